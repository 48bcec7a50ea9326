//! A lease, and the single changes it makes to the host. Each change is in the journal first.

use super::LeaseError;
use super::actions::{Actions, QUICK_LIMIT, UNBIND_LIMIT};
use super::error::in_full;
use super::lock::Lock;
use crate::escape;
use crate::host::journal::{HostStep, Journal, JournalRecord, Marks, OriginalState};
use crate::host::{Bdf, Host, card, sysfs};
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// The driver of these cards.
pub(super) const MLX4: &str = "mlx4_core";

/// A fact about the card that goes into the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Semaphores of the card may be held by this process.
    SemaphoresHeld(bool),
    /// The first erase or program is about to happen.
    FlashTouched,
    /// Whether the flash boots.
    Boots(bool),
    /// No firmware was seen running, whatever the flash holds.
    NoFirmware,
    /// A new image is about to be started while the old one stays.
    Trial {
        /// Boot address of the old one.
        back: u32,
        /// Whether its firmware shows life by a register.
        life_shows: bool,
    },
    /// A serial number that the card shows once an image runs that is on its flash, or about to be written.
    NewSerial(u64),
}

/// A borrowed card. Dropping it changes nothing: the journal stays, and the card stays on vfio-pci,
/// until it is given back.
pub struct Lease {
    pub(super) host: Host,
    pub(super) actions: Rc<dyn Actions>,
    /// `None`: this user may not make lock files.
    pub(super) lock: Option<Lock>,
    /// `None`: this user may not write journals, and the host is not changed.
    pub(super) journal: Option<Journal>,
    pub(super) record: JournalRecord,
    /// The journal was written before the last reboot: the bindings in it are gone.
    pub(super) rebooted: bool,
    /// The card was given back.
    pub(super) done: bool,
    /// Messages for the user that no error carries.
    pub(super) warnings: RefCell<Vec<String>>,
    /// Modules whose loading has not ended in time. It is not waited for twice.
    pub(super) unended: RefCell<Vec<String>>,
    /// Why the journal on the disk is not what it should be. The record here is.
    pub(super) complaint: Option<String>,
}

impl Lease {
    pub fn bdf(&self) -> Bdf {
        self.record.bdf
    }

    /// State of the host before it was changed.
    pub fn original(&self) -> &OriginalState {
        &self.record.original
    }

    /// Whether there is anything to restore.
    pub fn changed_host(&self) -> bool {
        !self.rebooted && self.record.changed_host()
    }

    pub fn marks(&self) -> Marks {
        self.record.marks
    }

    /// Adds a fact about the card to the journal before it becomes true. It is on the disk when
    /// this returns; on an error it is not in the record.
    pub fn mark(&mut self, mark: Mark) -> Result<(), LeaseError> {
        // A card that was given back has no journal.
        if self.done {
            return Ok(());
        }
        let before = self.record.marks;
        self.add(mark);
        self.write().inspect_err(|_| self.record.marks = before)
    }

    /// Adds a fact that is true already. A journal that cannot be written does not change it.
    pub fn note(&mut self, mark: Mark) {
        if !self.done && self.is_new(mark) {
            self.add(mark);
            self.update();
        }
    }

    /// Not a serial number that is known already, or that another card shows.
    fn is_new(&self, mark: Mark) -> bool {
        let Mark::NewSerial(serial) = mark else {
            return true;
        };
        let record = &self.record;
        record.serial != Some(serial)
            && !record.new_serials.contains(&serial)
            && self.host.cards().is_ok_and(|cards| !card::is_shared(&cards, record.bdf, serial))
    }

    fn add(&mut self, mark: Mark) {
        let marks = &mut self.record.marks;
        match mark {
            Mark::SemaphoresHeld(held) => marks.semaphores_held = held,
            Mark::FlashTouched => {
                marks.flash_touched = true;
                marks.boots = None;
                marks.no_firmware = false;
            }
            Mark::Boots(boots) => {
                marks.boots = Some(boots);
                marks.no_firmware = false;
            }
            Mark::NoFirmware => {
                marks.boots = None;
                marks.no_firmware = true;
            }
            Mark::Trial { back, life_shows } => {
                marks.back_address = Some(back);
                marks.no_life = !life_shows;
            }
            Mark::NewSerial(serial) => self.record.new_serials.push(serial),
        }
    }

    /// Adds a message for the user, once.
    pub(super) fn warn(&self, text: String) {
        tracing::warn!(bdf = %self.bdf(), "{text}");
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// The messages since the last call.
    pub fn take_warnings(&mut self) -> Vec<String> {
        let mut warnings = self.warnings.take();
        warnings.extend(self.complaint.take());
        warnings
    }

    /// Leaves journal and card as they are; another process can continue from here.
    pub fn leave(&mut self) {
        tracing::warn!(bdf = %self.bdf(), "left borrowed; the journal is kept");
        self.unlock();
    }

    /// Lets other processes have the card.
    pub fn unlock(&mut self) {
        self.lock = None;
    }

    /// Writes to the journal that `step` comes next; it is on the disk when this returns.
    pub(super) fn step(&mut self, step: HostStep) -> Result<(), LeaseError> {
        tracing::info!(bdf = %self.bdf(), ?step, "host step");
        self.record.step = step;
        self.write()
    }

    /// Writes that `step` of giving back comes next, as far as the disk permits.
    pub(super) fn step_back(&mut self, step: HostStep) {
        tracing::info!(bdf = %self.bdf(), ?step, "host step");
        self.record.step = step;
        self.update();
    }

    fn write(&mut self) -> Result<(), LeaseError> {
        if let Some(journal) = &self.journal {
            journal.write(&self.record, &|operation| self.actions.before_disk(operation))?;
        }
        self.complaint = None;
        Ok(())
    }

    /// Writes the record as far as the disk permits. Giving back needs no disk: what is in memory
    /// counts.
    pub(super) fn update(&mut self) {
        if let Err(error) = self.write() {
            self.complain("updated", &error);
        }
    }

    /// Removes the journal, as far as the disk permits: the card is given back.
    pub(super) fn forget(&mut self) {
        self.done = true;
        self.complaint = None;
        if let Some(journal) = &self.journal
            && let Err(error) = journal.remove(&|operation| self.actions.before_disk(operation))
        {
            self.complain("removed", &error.into());
        }
    }

    pub(super) fn complain(&mut self, what: &str, error: &LeaseError) {
        let path = self.journal.as_ref().map(|journal| escape::path(journal.path()));
        let text = format!(
            "the journal {} could not be {what} ({}); once its disk can be written: \
             cx3flash host restore",
            path.unwrap_or_default(),
            in_full(error)
        );
        tracing::error!("{text}");
        self.complaint = Some(text);
    }

    /// Driver of a function now.
    pub(super) fn driver_at(&self, bdf: Bdf) -> Result<Option<String>, LeaseError> {
        let read = self.host.try_driver_of(bdf);
        read.map_err(|source| self.refused(&format!("reading the driver of {bdf}"), source))
    }

    /// Loads a driver unless it is there.
    pub(super) fn need_driver(&self, driver: &str) -> Result<(), LeaseError> {
        let registered = || self.host.driver(driver).is_dir();
        if registered() {
            return Ok(());
        }
        // Driver and module differ in the hyphen only.
        let loaded = self.load(driver);
        // A modprobe that was given up continues in the kernel, and another program may load the module too.
        if registered() {
            return Ok(());
        }
        loaded?;
        Err(LeaseError::NoDriver {
            driver: driver.to_owned(),
            source: io::Error::other("its module is loaded, but it registered no PCI driver"),
        })
    }

    pub(super) fn load(&self, module: &str) -> Result<(), LeaseError> {
        let doing = format!("loading the driver {module}");
        if self.unended.borrow().iter().any(|unended| unended == module) {
            let text = "modprobe had not ended in its time, and is not started again";
            return Err(self.refused(&doing, io::Error::new(io::ErrorKind::TimedOut, text)));
        }
        self.actions.modprobe(module).map_err(|source| match source.kind() {
            // It is not missing: its module is still being loaded.
            io::ErrorKind::TimedOut => {
                self.unended.borrow_mut().push(module.to_owned());
                self.refused(&doing, source)
            }
            _ => LeaseError::NoDriver { driver: module.to_owned(), source },
        })
    }

    /// Unbinds a function from its driver, if it has one.
    pub(super) fn unbind(&self, bdf: Bdf) -> Result<(), LeaseError> {
        let Some(driver) = self.driver_at(bdf)? else {
            return Ok(());
        };
        let path = self.host.driver(&driver).join("unbind");
        let doing = format!("unbinding {bdf} from {driver}");
        self.slow_write(&path, &bdf.to_string(), UNBIND_LIMIT, &doing)
    }

    /// Sets or clears an override and checks the result; writes nothing when it is right already.
    /// A newline clears it: a write of zero bytes does nothing (docs/linux.md#binding).
    pub(super) fn set_override(&self, bdf: Bdf, driver: Option<&str>) -> Result<(), LeaseError> {
        let now = || sysfs::try_driver_override(self.host.device(bdf));
        if now().is_ok_and(|now| now.as_deref() == driver) {
            return Ok(());
        }
        let doing = match driver {
            Some(driver) => format!("setting driver_override of {bdf} to {driver}"),
            None => format!("clearing driver_override of {bdf}"),
        };
        let path = self.host.device(bdf).join("driver_override");
        let value = format!("{}\n", driver.unwrap_or_default());
        self.slow_write(&path, &value, QUICK_LIMIT, &doing)?;
        let now = now().map_err(|source| self.refused(&doing, source))?;
        if now.as_deref() == driver {
            return Ok(());
        }
        let detail = format!("it reads {}", now.as_deref().unwrap_or("(null)"));
        Err(self.refused(&doing, io::Error::other(detail)))
    }

    pub(super) fn slow_write(
        &self,
        path: &Path,
        value: &str,
        limit: Duration,
        doing: &str,
    ) -> Result<(), LeaseError> {
        self.slow_write_holding(path, value, limit, doing, None)
    }

    /// A write that keeps `held` open until it has returned, also when this process dies.
    pub(super) fn slow_write_holding(
        &self,
        path: &Path,
        value: &str,
        limit: Duration,
        doing: &str,
        held: Option<&File>,
    ) -> Result<(), LeaseError> {
        match self.actions.write_within(path, value, limit, held) {
            Ok(()) => Ok(()),
            // With an errno it is the kernel's answer: a probe may end with ETIMEDOUT.
            Err(error)
                if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() =>
            {
                Err(LeaseError::Stuck {
                    bdf: self.bdf(),
                    doing: doing.to_owned(),
                    seconds: limit.as_secs(),
                })
            }
            Err(source) => Err(self.refused(doing, source)),
        }
    }

    pub(super) fn refused(&self, doing: &str, source: io::Error) -> LeaseError {
        LeaseError::Refused { bdf: self.bdf(), doing: doing.to_owned(), source }
    }
}
