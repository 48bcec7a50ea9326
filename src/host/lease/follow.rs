//! A journal whose card has another address now.

use super::presence::Presence;
use super::{Lease, LeaseError, lock};
use crate::host::Bdf;
use crate::host::journal::{Journal, JournalRecord};

/// Stands for the boot of a record whose card the kernel has enumerated again within a boot.
pub(super) const NO_BOOT: &str = "none: the card was moved";

impl Lease {
    /// Takes the lock and the journal along to the address that the card has now, if it has another one.
    pub(super) fn follow(&mut self) -> Result<(), LeaseError> {
        let Presence::Moved(to) = self.presence()? else {
            return Ok(());
        };
        let lock =
            lock::take(&self.host, to, |path, arg, mode| self.actions.lock(path, arg, mode))?;
        self.relocate(to)?;
        self.lock = lock;
        Ok(())
    }

    /// Takes the journal along to `to`. The caller holds the locks of both addresses. What is not the card's own
    /// is restored first. The bindings of the card are the kernel's, which has enumerated it again.
    pub(super) fn relocate(&mut self, to: Bdf) -> Result<(), LeaseError> {
        let from = self.bdf();
        let mut failures = Vec::new();
        self.restore_rest(&mut failures);
        self.all_done(failures)?;
        let mut record = JournalRecord {
            bdf: to,
            slot: self.host.slot(to),
            bridge: None,
            ..self.record.clone()
        };
        if !self.rebooted {
            NO_BOOT.clone_into(&mut record.boot_id);
        }
        if let Some(old) = &self.journal {
            let before = |operation| self.actions.before_disk(operation);
            let new = Journal::unused(&self.host, to);
            new.write(&record, &before)?;
            old.remove(&before)?;
            self.journal = Some(new);
        }
        self.record = record;
        self.rebooted = true;
        self.warn(format!("the card of {from} is at {to} now, and so is its journal"));
        Ok(())
    }
}
