//! Cards that were borrowed and not given back.

use super::error::one_of;
use super::follow::NO_BOOT;
use super::presence::Presence;
use super::{Lease, LeaseError};
use crate::host::journal::{self, HostStep, Journal, Marks};
use crate::host::{Bdf, Host};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// One journal.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Pending {
    pub bdf: Bdf,
    /// Driver it goes back to; `None`: none, or unknown.
    pub driver: Option<String>,
    /// Network devices it had.
    pub netdevs: Vec<String>,
    /// The change that was about to be made last.
    pub step: Option<HostStep>,
    pub marks: Marks,
    /// Written since the last reboot, and the card was not moved since: its bindings are still valid.
    pub this_boot: bool,
    /// The card was moved within a boot, and its journal followed it: the bindings of the card are the kernel's.
    pub followed: bool,
    /// Process that wrote it; it may still run.
    pub pid: Option<u32>,
    /// Why the journal cannot be used.
    pub problem: Option<String>,
    /// The card is not at its address.
    pub gone: bool,
    /// What is at its address instead.
    pub other_card: Option<String>,
    /// Address that the card has now. `host restore` and the next job with the card take the journal there.
    pub moved_to: Option<Bdf>,
    /// Cards of which one may be its card: it is applied to none of them.
    pub candidates: Vec<Bdf>,
    #[serde(skip)]
    pub(super) journal: Journal,
}

impl Lease {
    /// Every journal, usable or not; those of this boot first.
    pub fn pending(host: &Host) -> Result<Vec<Pending>, LeaseError> {
        let boot = host.boot_id();
        let mut list = Vec::new();
        for journal in journal::all(host)? {
            let mut pending = Pending {
                bdf: journal.bdf(),
                driver: None,
                netdevs: Vec::new(),
                step: None,
                marks: Marks::default(),
                this_boot: false,
                followed: false,
                pid: None,
                problem: None,
                gone: false,
                other_card: None,
                moved_to: None,
                candidates: Vec::new(),
                journal,
            };
            match pending.journal.read() {
                Ok(Some(record)) => {
                    match Presence::of(host, &record) {
                        Ok(Presence::Card) => {}
                        Ok(Presence::Moved(to)) => pending.moved_to = Some(to),
                        Ok(Presence::Unclear(cards)) => pending.candidates = cards,
                        Ok(Presence::Gone) => pending.gone = true,
                        Ok(other @ Presence::Other { .. }) => {
                            pending.other_card = Some(other.to_string());
                        }
                        Err(error) => pending.problem = Some(error.to_string()),
                    }
                    let original = record.original;
                    pending.driver = original.driver;
                    pending.netdevs = original.netdevs.into_iter().map(|n| n.name).collect();
                    pending.step = Some(record.step);
                    pending.marks = record.marks;
                    pending.this_boot = record.boot_id == boot;
                    pending.followed = record.boot_id == NO_BOOT;
                    pending.pid = Some(record.pid);
                }
                Ok(None) => continue,
                Err(error) => pending.problem = Some(error.to_string()),
            }
            list.push(pending);
        }
        // Of two journals of a card the newer one decides: the other one finds the card restored.
        list.sort_by_key(|pending| !pending.this_boot);
        Ok(list)
    }

    /// A record as JSON, for bug reports.
    pub fn journal(pending: &Pending) -> Result<Option<serde_json::Value>, LeaseError> {
        let record = pending.journal.read()?;
        // Plain data with string keys always serialises.
        Ok(record.map(|record| serde_json::to_value(record).unwrap_or_default()))
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bdf)?;
        if let Some(problem) = &self.problem {
            return write!(f, "  {problem}; to drop it: cx3flash host forget {}", self.bdf);
        }
        match &self.driver {
            Some(driver) => write!(f, "  goes back to {driver}")?,
            None => write!(f, "  had no driver")?,
        }
        if !self.netdevs.is_empty() {
            write!(f, " ({})", self.netdevs.join(", "))?;
        }
        if self.marks.flash_touched {
            f.write_str(match self.marks.boots {
                _ if self.marks.no_firmware => "  flash written, no firmware runs",
                Some(true) => "  flash written, boots",
                Some(false) => "  flash written, does not boot",
                None => "  flash written, not checked since",
            })?;
        }
        if self.followed {
            f.write_str("  from before the card was moved here")?;
        } else if !self.this_boot {
            f.write_str("  from before the last boot")?;
        }
        if let Some(to) = self.moved_to {
            write!(f, "  the card is at {to} now")?;
        }
        if self.gone {
            f.write_str("  the card is gone")?;
        }
        if !self.candidates.is_empty() {
            write!(f, "  it may belong to {}", one_of(&self.candidates))?;
            write!(f, "; to drop the journal: cx3flash host forget {}", self.bdf)?;
        }
        if let Some(other) = &self.other_card {
            write!(f, "  {other}; to drop the journal: cx3flash host forget {}", self.bdf)?;
        }
        Ok(())
    }
}
