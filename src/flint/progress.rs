//! flint's progress text for our jobs (docs/hardware.md#write-order-in-mstflint).

use super::console::Console;
use crate::flash::{Event, Events, Phase};
use crate::job::{self, Device, JobError, WriteOutcome, WriteRequest};

/// The two lines of a command that writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProgressLines {
    /// Before the percentage, padded.
    work: Option<&'static str>,
    /// Before the last `OK`.
    end: &'static str,
}

impl ProgressLines {
    pub(super) const BURN: Self = Self {
        work: Some("Burning FS2 FW image without signatures - "),
        end: "Restoring signature                     - ",
    };
    /// Where the GUIDs of a card with blank ones are set.
    pub(super) const SIGNATURE: Self = Self { work: None, ..Self::BURN };
    pub(super) const VSD: Self = Self::short("Setting the VSD      - ");
    pub(super) const ROM: Self = Self::short("Burning ROM image    - ");
    pub(super) const NO_ROM: Self = Self::short("Removing ROM image    - ");

    const fn short(work: &'static str) -> Self {
        Self { work: Some(work), end: "Restoring signature  - " }
    }
}

/// Prints the progress of a job. The backup, which flint does not have, prints nothing.
pub(super) struct FlintProgress<'a> {
    console: &'a mut Console,
    lines: Option<ProgressLines>,
    total: u64,
    percent: Option<u64>,
}

impl<'a> FlintProgress<'a> {
    /// Without lines nothing is printed (`-s`).
    pub(super) fn new(console: &'a mut Console, lines: Option<ProgressLines>) -> Self {
        Self { console, lines, total: 0, percent: None }
    }

    fn work(&self) -> Option<&'static str> {
        self.lines?.work
    }

    /// Runs a job that writes the card: flint's questions were asked before.
    pub(super) fn write(
        &mut self,
        device: &mut Device,
        request: &WriteRequest<'_>,
    ) -> Result<WriteOutcome, JobError> {
        let dir = job::default_backup_dir();
        job::write(device, request, job::WriteOptions::later(&dir), &mut |_| true, self)
    }

    /// Prints how a job ended that writes.
    pub(super) fn end(self, done: Result<WriteOutcome, JobError>) -> Result<(), JobError> {
        match &done {
            Ok(outcome) if outcome.nothing_to_do => self
                .console
                .print("-I- The card holds exactly this already. Nothing was written.\n"),
            Ok(_) => {
                if let Some(work) = self.work() {
                    self.console.print_over(&format!("{work}OK  \n"));
                }
                if let Some(lines) = self.lines {
                    self.console.print_over(&format!("{}OK\n", lines.end));
                }
            }
            // The error does not go into the line of the percentage.
            Err(_) if self.percent.is_some() => self.console.print("\n"),
            Err(_) => {}
        }
        done.map(|_| ())
    }
}

impl Events for FlintProgress<'_> {
    fn emit(&mut self, event: Event) {
        tracing::info!(event = ?event, "progress");
        match event {
            Event::Started { total, .. } => self.total = total,
            Event::Advanced { phase: Phase::Write, done } if self.total > 0 => {
                let percent = done.saturating_mul(100) / self.total;
                // flint prints OK instead of 100 %.
                if let Some(work) = self.work()
                    && percent < 100
                    && self.percent != Some(percent)
                {
                    self.percent = Some(percent);
                    self.console.print_over(&format!("{work}{percent:3}%"));
                }
            }
            Event::Note { text } => self.console.remark(&text),
            Event::Advanced { .. } | Event::Finished { .. } => {}
        }
    }

    fn stop_requested(&self) -> bool {
        (self.console.stop_requested)()
    }
}
