//! `internal_err_reset` of mlx4_core, off while the driver probes a card: the error path of the
//! probe can crash the kernel (docs/linux.md#failures-of-a-rebind).
//!
//! All cards share the parameter, and several processes may give back cards at once. Two files in
//! [`crate::host::Host::lock_dir`] keep them apart:
//!
//! | file | what |
//! |---|---|
//! | `internal_err_reset.lock` | locked while the parameter changes; holds its original value while it is off |
//! | `internal_err_reset.users` | share-locked by everyone who needs it off; the kernel counts them, and releases the lock of a process that dies |
//!
//! The first user notes the value, the last one restores it. After a kill the note stays, and the
//! next user or `host restore` restores the value. A reboot removes both the files and the change.

use super::LeaseError;
use super::actions::{BIND_LIMIT, QUICK_LIMIT};
use super::lock::{Lock, noted, release};
use super::steps::{Lease, MLX4};
use crate::card::{Patience, wait_until};
use crate::escape;
use crate::host::{Bdf, VFIO_PCI, sysfs};
use nix::libc;
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

const PARAMETER: &str = "/sys/module/mlx4_core/parameters/internal_err_reset";
/// Longer than another process may take for its change ([`QUICK_LIMIT`]).
const CHANGED: Patience = Patience::every(Duration::from_secs(150), Duration::from_millis(20));

/// Pauses before a probe that failed with EAGAIN or EIO is tried again. EAGAIN is a semaphore of the card
/// that is taken for a moment, or a probe that the kernel defers; EIO a card that was not ready after its
/// reset (docs/linux.md#failures-of-a-rebind).
const RETRIES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)];
/// A probe that fails after more than this has waited for the firmware in vain (62 s): it is not tried again.
const QUICK_PROBE: Duration = Duration::from_secs(15);

/// One use of the switched-off parameter; given back by [`Lease::unguard`].
pub(super) struct Guard {
    /// `None`: lock files cannot be used.
    users: Option<Lock>,
    /// Value before.
    was: String,
}

impl Guard {
    /// The lock that a process must keep open that may outlive this one in its probe.
    pub(super) fn held(&self) -> Option<&File> {
        self.users.as_ref()
    }
}

impl Lease {
    /// Binds a function through `drivers/NAME/bind`, which reports the probe's errno
    /// (docs/linux.md#binding); mlx4_core with `internal_err_reset` off.
    pub(super) fn bind(&self, bdf: Bdf, driver: &str) -> Result<(), LeaseError> {
        if driver == MLX4 {
            self.guarded(|held| self.probe(bdf, driver, held))
        } else {
            self.probe(bdf, driver, None)
        }
    }

    /// Runs a probe of mlx4_core with the parameter off.
    pub(super) fn guarded(
        &self,
        probe: impl FnOnce(Option<&File>) -> Result<(), LeaseError>,
    ) -> Result<(), LeaseError> {
        let guard = self.guard()?;
        let probed = probe(guard.as_ref().and_then(Guard::held));
        if matches!(probed, Err(LeaseError::Stuck { .. })) {
            // The probe continues, so the use does too, as long as this process and the helper live.
            // The last user or `host restore` restores the parameter.
            std::mem::forget(guard);
            return probed;
        }
        let restored = self.unguard(guard);
        probed.and(restored)
    }

    fn probe(&self, bdf: Bdf, driver: &str, held: Option<&File>) -> Result<(), LeaseError> {
        let clock = self.actions.clock();
        for pause in RETRIES {
            let begin = clock.now();
            match self.probe_once(bdf, driver, held) {
                Err(LeaseError::Refused { source, .. })
                    if matches!(source.raw_os_error(), Some(libc::EAGAIN | libc::EIO))
                        && clock.now().saturating_sub(begin) < QUICK_PROBE =>
                {
                    tracing::warn!(%bdf, driver, error = %source, "the probe is tried again");
                    clock.sleep(pause);
                }
                other => return other,
            }
        }
        self.probe_once(bdf, driver, held)
    }

    fn probe_once(&self, bdf: Bdf, driver: &str, held: Option<&File>) -> Result<(), LeaseError> {
        let path = self.host.driver(driver).join("bind");
        let doing = format!("binding {bdf} to {driver}");
        let bound = self.slow_write_holding(&path, &bdf.to_string(), BIND_LIMIT, &doing, held);
        let now = match self.driver_at(bdf) {
            Err(error) if bound.is_ok() => return Err(error),
            now => now.ok().flatten(),
        };
        match (now, bound) {
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

    /// Switches the parameter off for a probe. `None`: the driver has no such parameter.
    pub(super) fn guard(&self) -> Result<Option<Guard>, LeaseError> {
        // After a reading that failed there may be one.
        if let Ok(None) = self.try_error_reset() {
            return Ok(None);
        }
        let lock = self.lock_parameter();
        let Some(now) = self.try_error_reset()? else {
            return Ok(None);
        };
        let was = self.value_before(lock.as_ref(), &now);
        let users = lock.as_ref().and_then(|lock| {
            let users = self
                .actions
                .note(lock, &was)
                .and_then(|()| self.lock_file("users", FlockOperation::NonBlockingLockShared));
            users.unwrap_or_else(|error| {
                self.warn(format!("internal_err_reset is not shared with other jobs: {error}"));
                None
            })
        });
        if !is_off(&now) {
            let doing = "switching internal_err_reset off";
            match self.slow_write(&self.parameter(), "0\n", QUICK_LIMIT, doing) {
                // Without the guard the card can still go back.
                Err(LeaseError::Refused { source, .. }) => {
                    self.warn(format!("internal_err_reset stays on during the probe: {source}"));
                }
                other => other?,
            }
        }
        Ok(Some(Guard { users, was }))
    }

    /// Ends one use; the last one restores the parameter.
    pub(super) fn unguard(&self, guard: Option<Guard>) -> Result<(), LeaseError> {
        match guard {
            Some(guard) => self.end_use(guard.users, Some(guard.was)),
            None => Ok(()),
        }
    }

    /// Restores the parameter after a process that died and left it off.
    pub(super) fn restore_error_reset(&self) -> Result<(), LeaseError> {
        self.end_use(None, None)
    }

    fn end_use(&self, own: Option<Lock>, was: Option<String>) -> Result<(), LeaseError> {
        // Also not when an administrator has switched it on since.
        let off = || {
            let read = self.try_error_reset().map_err(|error| error.not_back(self.bdf()));
            read.map(|now| now.filter(|now| is_off(now)))
        };
        // After a reading that failed it may be off.
        if let Ok(None) = off() {
            return Ok(());
        }
        let lock = self.lock_parameter();
        if let Some(own) = own {
            release(own);
        }
        // Held to the end: no use begins before the parameter is restored.
        let _alone = match &lock {
            None => None,
            Some(_) => match self.lock_file("users", FlockOperation::NonBlockingLockExclusive) {
                Ok(None) => return Ok(()),
                Ok(alone) => alone,
                Err(error) => {
                    self.warn(format!(
                        "internal_err_reset is restored regardless of other jobs: {error}"
                    ));
                    None
                }
            },
        };
        let Some(now) = off()? else {
            return Ok(());
        };
        let note = lock.as_ref().and_then(noted);
        let was = note.or(was).unwrap_or_else(|| self.value_before(None, &now));
        if !is_off(&was) {
            let doing = "restoring internal_err_reset";
            self.slow_write(&self.parameter(), &format!("{was}\n"), QUICK_LIMIT, doing)
                .map_err(|error| error.not_back(self.bdf()))?;
        }
        if let Some(lock) = &lock
            && let Err(error) = self.actions.note(lock, "")
        {
            tracing::debug!(%error, "the note of internal_err_reset stays");
        }
        Ok(())
    }

    /// The parameter as it was before any user switched it off; `None` without the driver.
    pub(super) fn original_error_reset(&self) -> Option<String> {
        let now = self.error_reset()?;
        if !is_off(&now) {
            return Some(now);
        }
        let lock = self.lock_parameter();
        Some(self.value_before(lock.as_ref(), &self.error_reset()?))
    }

    fn value_before(&self, lock: Option<&Lock>, now: &str) -> String {
        if !is_off(now) {
            return now.to_owned();
        }
        let journal = || self.record.original.internal_err_reset.clone();
        lock.and_then(noted).or_else(journal).unwrap_or_else(|| now.to_owned())
    }

    fn parameter(&self) -> PathBuf {
        self.host.path(PARAMETER)
    }

    fn try_error_reset(&self) -> Result<Option<String>, LeaseError> {
        let read = sysfs::try_text(self.parameter());
        read.map_err(|source| self.refused("reading internal_err_reset", source))
    }

    fn error_reset(&self) -> Option<String> {
        sysfs::text(self.parameter())
    }

    /// Locks one of the two files. One of another user is not believed: only root writes the
    /// parameter.
    fn lock_file(&self, extension: &str, arg: FlockOperation) -> io::Result<Option<Lock>> {
        let path = self.host.lock_dir().join(format!("internal_err_reset.{extension}"));
        let lock = self.actions.lock(&path, arg, 0o600)?;
        // Also that of one who holds it: he could do so for ever.
        let owner = match &lock {
            Some(lock) => lock.metadata()?.uid(),
            None => std::fs::symlink_metadata(&path)?.uid(),
        };
        if owner == nix::unistd::geteuid().as_raw() {
            return Ok(lock);
        }
        Err(io::Error::other(format!("{} belongs to the user {owner}", escape::path(path))))
    }

    /// The lock under which the parameter changes. Without it the parameter is still restored, but
    /// another process may have switched it off.
    fn lock_parameter(&self) -> Option<Lock> {
        let locked = wait_until(self.actions.clock(), CHANGED, || {
            self.lock_file("lock", FlockOperation::NonBlockingLockExclusive).transpose()
        });
        let why = match locked {
            Some(Ok(lock)) => return Some(lock),
            Some(Err(error)) => error.to_string(),
            None => "another process has held it for minutes".to_owned(),
        };
        self.warn(format!(
            "internal_err_reset.lock in {}: {why}; run no other job until this one ends",
            escape::path(self.host.lock_dir())
        ));
        None
    }
}

fn is_off(value: &str) -> bool {
    matches!(value, "0" | "N")
}

/// What a probe's errno means, and what to look at (docs/linux.md#failures-of-a-rebind,
/// docs/linux.md#binding, docs/linux.md#vfio-errors).
fn probe_failure(driver: &str, error: &io::Error) -> String {
    let errno = error.raw_os_error();
    let meaning = match (driver, errno) {
        (VFIO_PCI, Some(libc::EINVAL)) => "the card has no IOMMU group: cx3flash doctor",
        (VFIO_PCI, Some(libc::EBUSY)) => "the card has virtual functions",
        (MLX4, Some(libc::EAGAIN)) => "a semaphore of the card is still taken",
        (MLX4, Some(libc::EINVAL)) => {
            "the card's ownership register is taken: power the machine off and on"
        }
        (MLX4, Some(libc::EIO | libc::ETIMEDOUT)) => "the firmware does not answer",
        (MLX4, Some(libc::EBUSY)) => {
            "its IOMMU group is still in use, or its memory is: lsof /dev/vfio/*"
        }
        (MLX4, Some(libc::ENODEV)) => {
            "the card did not come back from its reset, or its firmware is too old for the driver"
        }
        (_, Some(libc::EAGAIN)) => "the kernel defers it until another driver is there",
        (_, Some(libc::EBUSY)) => "the device, or its memory, is in use",
        (_, Some(libc::EIO | libc::ETIMEDOUT)) => "the device does not answer",
        (_, Some(libc::ENODEV)) => {
            "the device is gone, or the driver does not take its id: lspci -nn"
        }
        (_, Some(libc::ENOMEM)) => {
            "the kernel had no memory for it: echo 1 > /proc/sys/vm/compact_memory"
        }
        (_, Some(libc::ENOSPC)) => {
            "the kernel has no interrupt or address range left for it: unload an unused driver"
        }
        (_, Some(libc::EACCES | libc::EPERM)) => {
            "the kernel does not permit it: cat /sys/kernel/security/lockdown"
        }
        (_, Some(libc::ENOENT)) => {
            "the driver is no longer loaded, or its firmware file is missing"
        }
        (_, Some(libc::ENXIO)) => "the device has no such resource",
        (_, Some(libc::EOPNOTSUPP)) => "the driver does not support this device",
        _ => return String::new(),
    };
    format!(" ({meaning}; details: journalctl -k -g {driver})")
}
