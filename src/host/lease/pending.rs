//! Cards that were borrowed and not given back.

use super::presence::{Presence, moved_to};
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
    /// Written since the last reboot, so its bindings are still valid.
    pub this_boot: bool,
    /// Process that wrote it; it may still run.
    pub pid: Option<u32>,
    /// Why the journal cannot be used.
    pub problem: Option<String>,
    /// The card is not at its address.
    pub gone: bool,
    /// What is at its address instead.
    pub other_card: Option<String>,
    /// Where the card is since a reboot. `host restore` and the next job with the card take the journal there.
    pub moved_to: Option<Bdf>,
}

impl Lease {
    /// Every journal, usable or not.
    pub fn pending(host: &Host) -> Result<Vec<Pending>, LeaseError> {
        let boot = host.boot_id();
        let mut list = Vec::new();
        for bdf in journal::cards(host)? {
            let mut pending = Pending {
                bdf,
                driver: None,
                netdevs: Vec::new(),
                step: None,
                marks: Marks::default(),
                this_boot: false,
                pid: None,
                problem: None,
                gone: false,
                other_card: None,
                moved_to: None,
            };
            match Journal::of(host, bdf).read() {
                Ok(Some(record)) => {
                    pending.moved_to = moved_to(host, &record);
                    match Presence::of(host, &record) {
                        Ok(_) if pending.moved_to.is_some() => {}
                        Ok(Presence::Card) => {}
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
                    pending.pid = Some(record.pid);
                }
                Ok(None) => continue,
                Err(error) => pending.problem = Some(error.to_string()),
            }
            list.push(pending);
        }
        Ok(list)
    }

    /// A card's record as JSON, for bug reports.
    pub fn journal(host: &Host, bdf: Bdf) -> Result<Option<serde_json::Value>, LeaseError> {
        let record = Journal::of(host, bdf).read()?;
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
                Some(true) => "  flash written, boots",
                Some(false) => "  flash written, does not boot",
                None => "  flash written, not checked since",
            })?;
        }
        if !self.this_boot {
            f.write_str("  from before the last boot")?;
        }
        if let Some(to) = self.moved_to {
            write!(f, "  the card is at {to} now")?;
        }
        if self.gone {
            f.write_str("  the card is gone")?;
        }
        if let Some(other) = &self.other_card {
            write!(f, "  {other}; to drop the journal: cx3flash host forget {}", self.bdf)?;
        }
        Ok(())
    }
}
