//! A journal whose card has another address now.

use super::presence::Presence;
use super::{Lease, LeaseError, lock};
use crate::host::journal::{Journal, JournalRecord};
use crate::host::{Bdf, Host};

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
        let record = moved(&self.host, &self.record, to, self.rebooted);
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

/// The record of a card that is at `to` now.
pub(super) fn moved(host: &Host, record: &JournalRecord, to: Bdf, rebooted: bool) -> JournalRecord {
    let boot_id = if rebooted { record.boot_id.clone() } else { NO_BOOT.to_owned() };
    JournalRecord { bdf: to, slot: host.slot(to), bridge: None, boot_id, ..record.clone() }
}
