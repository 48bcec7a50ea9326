//! What is done to the host, behind a trait: a directory cannot play `bind` (docs/linux.md#test-seams).

use super::helper;
use crate::card::{Clock, WallClock};
use crate::host::journal::{Journal, JournalError, JournalRecord};
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Changes of the host.
pub(super) trait Actions {
    /// Write an attribute of sysfs; the answer is the kernel's. Such a write may sleep where no signal
    /// reaches it: `bind`, `unbind`, `remove`, `rescan` (docs/linux.md#unbinding-mlx4_core), and whatever else takes the
    /// device's lock behind one of those (`driver_override` does, K drivers/base/driver.c
    /// `driver_set_override`). `TimedOut` when it has not returned by then; it goes on.
    fn write_within(&self, attribute: &Path, value: &str, limit: Duration) -> io::Result<()>;

    /// Load a module with what it needs.
    fn modprobe(&self, module: &str) -> io::Result<()>;

    /// What waits are measured on.
    fn clock(&self) -> &dyn Clock;

    /// Write a record; it is on the disk when this returns.
    fn record(&self, journal: &mut Journal, record: &JournalRecord) -> Result<(), JournalError> {
        journal.write(record)
    }

    /// Remove the journal.
    fn forget(&self, journal: &mut Journal) -> Result<(), JournalError> {
        journal.remove()
    }
}

/// The machine's own.
#[derive(Default)]
pub(super) struct SystemActions(WallClock);

impl Actions for SystemActions {
    fn write_within(&self, attribute: &Path, value: &str, limit: Duration) -> io::Result<()> {
        helper::write(&self.0, attribute, value, limit)
    }

    fn modprobe(&self, module: &str) -> io::Result<()> {
        let output = Command::new("modprobe")
            .arg("--")
            .arg(module)
            .output()
            .or_else(|error| match error.kind() {
                // root's PATH lacks it under sudo and su on some systems.
                io::ErrorKind::NotFound => Command::new("/sbin/modprobe")
                    .arg("--")
                    .arg(module)
                    .output(),
                _ => Err(error),
            })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(
            said.lines().next().unwrap_or("modprobe failed").to_owned(),
        ))
    }

    fn clock(&self) -> &dyn Clock {
        &self.0
    }
}
