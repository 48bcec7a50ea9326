//! A card taken from its driver, and given back (promise P6; docs/linux.md#sequence-of-a-job, docs/linux.md#binding, docs/linux.md#mlx4_core, docs/linux.md#journal-and-restore).
//!
//! | file | what |
//! |---|---|
//! | `take` | lock, journal, siblings, override, unbind, bind |
//! | `give_back` | the same backwards, from the journal alone |
//! | `again` | remove and rescan, after recovery mode |
//! | `pending` | what the journals say |
//! | `lock` | one process a card |
//! | `actions`, `helper` | writes to sysfs, with a deadline where no signal helps |
//!
//! Every change is in the journal, synced, before it is made. Giving back compares what is with what
//! was and changes only what differs, so it may be done any number of times.

mod actions;
mod again;
mod error;
mod give_back;
mod helper;
mod lock;
mod pending;
mod take;
#[cfg(test)]
mod tests;

pub use error::LeaseError;
pub use give_back::GivenBack;
pub use helper::{HELPER_COMMAND, write_attribute};
pub use pending::Pending;

use super::journal::{HostStep, Journal, JournalRecord, Marks, OriginalState};
use super::{Bdf, Function, Host, PciCard, VFIO_PCI, sysfs};
use actions::Actions;
use lock::Lock;
use std::rc::Rc;
use std::time::Duration;

/// The driver of these cards.
const MLX4: &str = "mlx4_core";

// A limit ends what would hang. It is far above what a busy host needs.

/// An unbind takes a few seconds; a leaked reference holds it for ever (docs/linux.md#unbinding-mlx4_core).
const UNBIND_LIMIT: Duration = Duration::from_secs(240);
/// What takes no more than a lock; a step that is stuck holds it for ever.
const QUICK_LIMIT: Duration = Duration::from_secs(60);
/// A probe that meets dead firmware gives up after 62 s (docs/linux.md#failures-of-a-rebind).
const BIND_LIMIT: Duration = Duration::from_secs(240);

/// Something to write down about the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Semaphores of the card may be held by this process.
    SemaphoresHeld(bool),
    /// The first erase or program is about to happen.
    FlashTouched,
    /// What is on the flash boots, or not.
    Boots(bool),
}

/// A borrowed card. Dropping it changes nothing: the journal stays, and so does the card on vfio-pci,
/// until somebody gives it back.
pub struct Lease {
    host: Host,
    actions: Rc<dyn Actions>,
    /// `None`: this user may not make lock files.
    lock: Option<Lock>,
    /// `None`: this user may not write journals, and the host is not changed.
    journal: Option<Journal>,
    record: JournalRecord,
    /// The journal is of an earlier boot: the bindings it knows are gone.
    rebooted: bool,
    done: bool,
}

impl Lease {
    /// Address of the card.
    #[must_use]
    pub fn bdf(&self) -> Bdf {
        self.record.bdf
    }

    /// What the host was like.
    #[must_use]
    pub fn original(&self) -> &OriginalState {
        &self.record.original
    }

    /// Is there anything to put back? Not for a card that was on vfio-pci already.
    #[must_use]
    pub fn changed_host(&self) -> bool {
        !self.rebooted && self.record.original.driver.as_deref() != Some(VFIO_PCI)
    }

    /// What is known of the card.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.record.marks
    }

    /// Write something down about the card; on the disk when this returns.
    ///
    /// # Errors
    /// [`LeaseError::Journal`].
    pub fn mark(&mut self, mark: Mark) -> Result<(), LeaseError> {
        let marks = &mut self.record.marks;
        match mark {
            Mark::SemaphoresHeld(held) => marks.semaphores_held = held,
            Mark::FlashTouched => {
                marks.flash_touched = true;
                marks.boots = None;
            }
            Mark::Boots(boots) => marks.boots = Some(boots),
        }
        // A card that is back has no journal any more.
        if self.done { Ok(()) } else { self.write() }
    }

    /// Keep the journal and the card as they are; another process may take it from here.
    pub fn leave(self) {
        tracing::warn!(bdf = %self.bdf(), "left borrowed; the journal is kept");
        drop(self.lock);
    }

    /// About to change something.
    fn step(&mut self, step: HostStep) -> Result<(), LeaseError> {
        tracing::info!(bdf = %self.bdf(), ?step, "host step");
        self.record.step = step;
        self.write()
    }

    fn write(&mut self) -> Result<(), LeaseError> {
        match &mut self.journal {
            Some(journal) => Ok(self.actions.record(journal, &self.record)?),
            None => Ok(()),
        }
    }

    /// The card is back.
    fn forget(&mut self) -> Result<(), LeaseError> {
        if let Some(journal) = &mut self.journal {
            self.actions.forget(journal)?;
        }
        self.done = true;
        Ok(())
    }

    /// Driver the card has now.
    fn driver_now(&self) -> Option<String> {
        self.driver_of(self.bdf())
    }

    fn driver_of(&self, bdf: Bdf) -> Option<String> {
        sysfs::link(self.host.device(bdf).join("driver"))
    }

    /// See that a driver is there, loading it if need be.
    fn need_driver(&self, driver: &str) -> Result<(), LeaseError> {
        if self.host.driver(driver).is_dir() {
            return Ok(());
        }
        // Driver and module differ in the hyphen only.
        self.actions
            .modprobe(driver)
            .and_then(|()| {
                let there = self.host.driver(driver).is_dir();
                there.then_some(()).ok_or_else(|| {
                    std::io::Error::other("its module is loaded, and there is no such PCI driver")
                })
            })
            .map_err(|source| LeaseError::NoDriver {
                driver: driver.to_owned(),
                source,
            })
    }
}

/// This boot, as the kernel names it.
fn boot_id(host: &Host) -> String {
    sysfs::text(host.path("proc/sys/kernel/random/boot_id")).unwrap_or_default()
}

/// Is this the card the record is of? Leaving recovery mode changes the ids; another serial number
/// is another card.
fn same_card(record: &JournalRecord, card: &PciCard) -> bool {
    if let (Some(was), Some(is)) = (record.serial, card.serial)
        && was != is
    {
        return false;
    }
    let recorded = Function::of(record.device_id);
    if recorded == Some(Function::Recovery) || card.function == Function::Recovery {
        return true;
    }
    record.device_id == card.device_id && record.subsystem == card.subsystem
}
