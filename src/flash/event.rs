//! What a session reports while it works. The command line draws; tests count.
//!
//! For each phase: one `Started`, any number of `Advanced` with rising `done`, one `Finished`
//! (or none when the session stopped). A second reading that begins anew is started anew.

use schemars::JsonSchema;
use serde::Serialize;

/// The steps of a job that take time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The flash is read a second time, and the backup on disk is confirmed. Finished: there is a backup.
    Backup,
    /// Erasing sectors.
    Erase,
    /// Programming the body.
    Write,
    /// Reading the body back.
    Verify,
    /// The signature, the boot address; the old signature.
    Commit,
    /// The new firmware is started, and the old image still is one.
    Trial,
    /// Reading for query, verify, plans and backups.
    Read,
}

impl Phase {
    /// When something happened in it.
    pub fn step(self) -> &'static str {
        match self {
            Self::Backup => "during the backup",
            Self::Erase => "while erasing",
            Self::Write => "while writing",
            Self::Verify => "while reading back",
            Self::Commit => "while making the new image bootable",
            Self::Trial => "while trying the new firmware",
            Self::Read => "while reading",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A phase begins; `total` in bytes (0 when unknown).
    Started {
        phase: Phase,
        /// Bytes to do.
        total: u64,
    },
    /// Bytes done so far in this phase.
    Advanced { phase: Phase, done: u64 },
    /// A phase is complete.
    Finished { phase: Phase },
    /// Something worth a line for a person.
    Note { text: String },
}

/// Where events go, and where a request to stop comes from.
pub trait Events {
    /// Takes one event.
    fn emit(&mut self, event: Event);
    /// True once the user asked to stop (SIGINT, SIGTERM). Checked between sectors and pages.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Discards every event.
impl Events for () {
    fn emit(&mut self, _event: Event) {}
}
