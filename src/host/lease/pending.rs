//! Cards that were borrowed and not given back.

use super::{Lease, LeaseError, Marks, boot_id};
use crate::host::journal::{self, HostStep, Journal};
use crate::host::{Bdf, Host};
use serde::Serialize;
use std::fmt;

/// One journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// The card.
    pub bdf: Bdf,
    /// Driver it goes back to; `None` = none, or not known.
    pub driver: Option<String>,
    /// Network devices it had.
    pub netdevs: Vec<String>,
    /// The change that was about to be made last.
    pub step: Option<HostStep>,
    /// What is known of the card.
    pub marks: Marks,
    /// Written in this boot, so the bindings it knows still count.
    pub this_boot: bool,
    /// Process that wrote it; it may still be at work.
    pub pid: Option<u32>,
    /// Why the journal cannot be used.
    pub problem: Option<String>,
}

impl Lease {
    /// Every journal there is, good or not.
    ///
    /// # Errors
    /// [`LeaseError::Journal`] when their directory cannot be read.
    pub fn pending(host: &Host) -> Result<Vec<Pending>, LeaseError> {
        let boot = boot_id(host);
        let mut found = Vec::new();
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
            };
            match Journal::look(host, bdf) {
                Ok(Some(record)) => {
                    pending.driver = record.original.driver;
                    pending.netdevs = record
                        .original
                        .netdevs
                        .into_iter()
                        .map(|n| n.name)
                        .collect();
                    pending.step = Some(record.step);
                    pending.marks = record.marks;
                    pending.this_boot = record.boot_id == boot;
                    pending.pid = Some(record.pid);
                }
                Ok(None) => continue,
                Err(error) => pending.problem = Some(error.to_string()),
            }
            found.push(pending);
        }
        Ok(found)
    }

    /// Cards with a journal file, also one in which nothing was written yet: its process was killed
    /// before the first change of the host.
    ///
    /// # Errors
    /// [`LeaseError::Journal`] when their directory cannot be read.
    pub fn journals(host: &Host) -> Result<Vec<Bdf>, LeaseError> {
        Ok(journal::cards(host)?)
    }

    /// A card's newest good record as JSON, for people who have to find out what happened.
    ///
    /// # Errors
    /// [`LeaseError::Journal`].
    pub fn journal(host: &Host, bdf: Bdf) -> Result<Option<serde_json::Value>, LeaseError> {
        let record = Journal::look(host, bdf)?;
        // Plain data with string keys: nothing in it can fail to serialise.
        Ok(record.map(|record| serde_json::to_value(record).unwrap_or_default()))
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bdf)?;
        if let Some(problem) = &self.problem {
            return write!(f, "  {problem}");
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
                None => "  flash written, not looked at since",
            })?;
        }
        if !self.this_boot {
            f.write_str("  from before the last boot")?;
        }
        Ok(())
    }
}
