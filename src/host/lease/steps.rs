//! A lease, and the single changes it makes to the host. Each change is in the journal first.

use super::LeaseError;
use super::actions::Actions;
use super::lock::{self, Lock};
use crate::card::{Patience, wait_until};
use crate::host::journal::{HostStep, Journal, JournalRecord, Marks, OriginalState};
use crate::host::{Bdf, Host, VFIO_PCI, sysfs};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// The driver of these cards.
pub(super) const MLX4: &str = "mlx4_core";

// A limit ends what would hang. It is far above what a busy host needs.

/// An unbind takes a few seconds; a leaked reference blocks it for ever
/// (docs/linux.md#unbinding-mlx4_core).
pub(super) const UNBIND_LIMIT: Duration = Duration::from_secs(240);
/// For writes that need no more than a lock, which a blocked step may hold.
const QUICK_LIMIT: Duration = Duration::from_secs(60);
/// A probe that meets dead firmware gives up after 62 s (docs/linux.md#failures-of-a-rebind).
const BIND_LIMIT: Duration = Duration::from_secs(240);
/// Longer than another process's probe may take ([`BIND_LIMIT`]).
const PARAMETER_FREE: Patience =
    Patience::every(Duration::from_secs(300), Duration::from_millis(100));

/// A fact about the card that goes into the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Semaphores of the card may be held by this process.
    SemaphoresHeld(bool),
    /// The first erase or program is about to happen.
    FlashTouched,
    /// Whether the flash boots.
    Boots(bool),
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
}

impl Lease {
    pub fn bdf(&self) -> Bdf {
        self.record.bdf
    }

    /// State of the host before it was changed.
    pub fn original(&self) -> &OriginalState {
        &self.record.original
    }

    /// Whether there is anything to restore. Not for a card that was on vfio-pci already.
    pub fn changed_host(&self) -> bool {
        !self.rebooted && !self.record.original.on_vfio()
    }

    pub fn marks(&self) -> Marks {
        self.record.marks
    }

    /// Adds a fact about the card to the journal; it is on the disk when this returns.
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
        // A card that was given back has no journal.
        if self.done { Ok(()) } else { self.write() }
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

    /// Writes to the journal that `step` comes next.
    pub(super) fn step(&mut self, step: HostStep) -> Result<(), LeaseError> {
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

    /// Removes the journal: the card is given back.
    pub(super) fn forget(&mut self) -> Result<(), LeaseError> {
        if let Some(journal) = &mut self.journal {
            self.actions.forget(journal)?;
        }
        self.done = true;
        Ok(())
    }

    /// Driver of the card now.
    pub(super) fn driver_now(&self) -> Option<String> {
        self.host.driver_of(self.bdf())
    }

    /// Loads a driver unless it is there.
    pub(super) fn need_driver(&self, driver: &str) -> Result<(), LeaseError> {
        let registered = || self.host.driver(driver).is_dir();
        if registered() {
            return Ok(());
        }
        // Driver and module differ in the hyphen only.
        self.load(driver)?;
        if registered() {
            return Ok(());
        }
        Err(LeaseError::NoDriver {
            driver: driver.to_owned(),
            source: io::Error::other("its module is loaded, but it registered no PCI driver"),
        })
    }

    pub(super) fn load(&self, module: &str) -> Result<(), LeaseError> {
        self.actions
            .modprobe(module)
            .map_err(|source| LeaseError::NoDriver { driver: module.to_owned(), source })
    }

    /// Binds a function through `drivers/NAME/bind`, which reports the probe's errno
    /// (docs/linux.md#binding).
    pub(super) fn bind(&self, bdf: Bdf, driver: &str) -> Result<(), LeaseError> {
        let path = self.host.driver(driver).join("bind");
        let doing = format!("binding {bdf} to {driver}");
        let bound = self.slow_write(&path, &bdf.to_string(), BIND_LIMIT, &doing);
        match (self.host.driver_of(bdf), bound) {
            // Something else may have bound it to this driver in between (udev).
            (Some(now), Ok(()) | Err(LeaseError::Refused { .. })) if now == driver => Ok(()),
            (_, Err(LeaseError::Refused { source, .. })) => {
                let doing = format!("{doing}{}", probe_failure(driver, &source));
                Err(self.refused(&doing, source))
            }
            (_, Err(other)) => Err(other),
            (now, Ok(())) => {
                let now = now.as_deref().unwrap_or("no driver");
                let detail = format!("the kernel reported success, but it is on {now}");
                Err(self.refused(&doing, io::Error::other(detail)))
            }
        }
    }

    /// Unbinds a function from its driver, if it has one.
    pub(super) fn unbind(&self, bdf: Bdf) -> Result<(), LeaseError> {
        let Some(driver) = self.host.driver_of(bdf) else {
            return Ok(());
        };
        let path = self.host.driver(&driver).join("unbind");
        let doing = format!("unbinding {bdf} from {driver}");
        self.slow_write(&path, &bdf.to_string(), UNBIND_LIMIT, &doing)
    }

    /// Sets or clears an override and checks the result; writes nothing when it is right already.
    /// A newline clears it: a write of zero bytes does nothing (docs/linux.md#binding).
    pub(super) fn set_override(&self, bdf: Bdf, driver: Option<&str>) -> Result<(), LeaseError> {
        let now = || sysfs::driver_override(self.host.device(bdf));
        if now().as_deref() == driver {
            return Ok(());
        }
        let doing = match driver {
            Some(driver) => format!("setting driver_override of {bdf} to {driver}"),
            None => format!("clearing driver_override of {bdf}"),
        };
        let path = self.host.device(bdf).join("driver_override");
        let value = format!("{}\n", driver.unwrap_or_default());
        self.slow_write(&path, &value, QUICK_LIMIT, &doing)?;
        let now = now();
        if now.as_deref() == driver {
            return Ok(());
        }
        let detail = format!("it reads {}", now.as_deref().unwrap_or("(null)"));
        Err(self.refused(&doing, io::Error::other(detail)))
    }

    /// Binds; mlx4_core with `internal_err_reset` off during the probe. All cards share the
    /// parameter: of two processes that give back, the second would save the first one's temporary
    /// value. So one waits for the other.
    pub(super) fn bind_guarded(&mut self, driver: &str) -> Result<(), LeaseError> {
        let bdf = self.bdf();
        if driver != MLX4 {
            return self.bind(bdf, driver);
        }
        let _parameter = self.lock_parameter();
        let guarded = self.switch_error_reset_off()?;
        let bound = self.bind(bdf, driver);
        if guarded {
            self.restore_error_reset()?;
        }
        bound
    }

    /// Waits until no other process has changed the parameter for a probe. A process that hangs in
    /// its probe must not keep this card from its driver for good.
    fn lock_parameter(&self) -> Option<Lock> {
        let lock = wait_until(self.actions.clock(), PARAMETER_FREE, || {
            let (done, lock) = lock::try_shared(&self.host, "internal_err_reset");
            done.then_some(lock)
        });
        lock.unwrap_or_else(|| {
            tracing::warn!("another process has held internal_err_reset for minutes; continuing");
            None
        })
    }

    /// The error path of mlx4_core's probe can crash the kernel; this parameter disables it
    /// (docs/linux.md#failures-of-a-rebind). The journal has the old value. Returns whether the
    /// parameter must be restored.
    fn switch_error_reset_off(&mut self) -> Result<bool, LeaseError> {
        let path = error_reset(&self.host);
        let Some(now) = sysfs::text(&path) else {
            return Ok(false);
        };
        if self.record.original.internal_err_reset.is_none() {
            self.record.original.internal_err_reset = Some(now.clone());
            self.write()?;
        }
        if now == "N" || now == "0" {
            return Ok(true);
        }
        let doing = "switching internal_err_reset off";
        match self.slow_write(&path, "0\n", QUICK_LIMIT, doing) {
            // Without the guard the card can still go back.
            Err(LeaseError::Refused { source, .. }) => {
                tracing::warn!(error = %source, "internal_err_reset stays on during the probe");
            }
            other => other?,
        }
        Ok(true)
    }

    pub(super) fn restore_error_reset(&self) -> Result<(), LeaseError> {
        let path = error_reset(&self.host);
        let (Some(was), Some(now)) = (&self.record.original.internal_err_reset, sysfs::text(&path))
        else {
            return Ok(());
        };
        if now == *was {
            return Ok(());
        }
        let doing = "restoring internal_err_reset";
        self.slow_write(&path, &format!("{was}\n"), QUICK_LIMIT, doing)
            .map_err(LeaseError::not_back)
    }

    pub(super) fn slow_write(
        &self,
        path: &Path,
        value: &str,
        limit: Duration,
        doing: &str,
    ) -> Result<(), LeaseError> {
        match self.actions.write_within(path, value, limit) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(LeaseError::Stuck {
                bdf: self.bdf(),
                doing: doing.to_owned(),
                seconds: limit.as_secs(),
            }),
            Err(source) => Err(self.refused(doing, source)),
        }
    }

    pub(super) fn refused(&self, doing: &str, source: io::Error) -> LeaseError {
        LeaseError::Refused { bdf: self.bdf(), doing: doing.to_owned(), source }
    }
}

/// Module parameter of mlx4_core: whether it resets cards whose firmware died.
pub(super) fn error_reset(host: &Host) -> PathBuf {
    host.path("sys/module/mlx4_core/parameters/internal_err_reset")
}

/// What a probe's errno means (docs/linux.md#binding, docs/linux.md#vfio-errors,
/// docs/linux.md#failures-of-a-rebind).
fn probe_failure(driver: &str, error: &io::Error) -> &'static str {
    use nix::libc;
    match (driver, error.raw_os_error()) {
        (VFIO_PCI, Some(libc::EINVAL)) => " (the card has no IOMMU group)",
        (VFIO_PCI, Some(libc::EBUSY)) => " (the card has virtual functions)",
        (MLX4, Some(libc::EAGAIN)) => " (a semaphore of the card is still taken)",
        (MLX4, Some(libc::EINVAL)) => " (the card's ownership register is taken)",
        (MLX4, Some(libc::EIO)) => " (the firmware does not answer)",
        (MLX4, Some(libc::EBUSY)) => " (its IOMMU group is still in use)",
        (MLX4, Some(libc::ENODEV)) => " (the card did not come back from its reset)",
        _ => "",
    }
}
