//! The changes of the host, behind a trait: a directory cannot play `bind`
//! (docs/linux.md#test-seams).

use super::helper;
use super::lock::{self, Lock};
use crate::card::{Clock, WallClock};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub(super) trait Actions {
    /// Writes an attribute of sysfs and returns the kernel's answer. Such a write may sleep where
    /// no signal reaches it: `bind`, `unbind`, `remove`, `rescan`
    /// (docs/linux.md#unbinding-mlx4_core), and every write that takes the device's lock behind one
    /// of those (`driver_override` does, drivers/base/driver.c, `driver_set_override`). `TimedOut`
    /// when it has not returned within `limit`; it continues, and keeps `held` open.
    fn write_within(
        &self,
        attribute: &Path,
        value: &str,
        limit: Duration,
        held: Option<&File>,
    ) -> io::Result<()>;

    /// Loads a module and its dependencies.
    fn modprobe(&self, module: &str) -> io::Result<()>;

    fn clock(&self) -> &dyn Clock;

    /// Locks a file, which is made with `mode` if there is none; `None` when another process has a
    /// lock that excludes this one.
    fn lock(&self, path: &Path, arg: FlockOperation, mode: u32) -> io::Result<Option<Lock>> {
        lock::acquire(path, arg, mode)
    }

    /// Writes the note of `guard` to its lock file.
    fn note(&self, lock: &Lock, text: &str) -> io::Result<()> {
        lock::write_note(lock, text)
    }

    /// Called before each operation on the journal's files, with its name. A test makes it fail.
    fn before_disk(&self, _operation: &'static str) -> io::Result<()> {
        Ok(())
    }
}

/// Changes of this machine.
#[derive(Default)]
pub(super) struct SystemActions(WallClock);

impl Actions for SystemActions {
    fn write_within(
        &self,
        attribute: &Path,
        value: &str,
        limit: Duration,
        held: Option<&File>,
    ) -> io::Result<()> {
        helper::write(&self.0, attribute, value, limit, held)
    }

    fn modprobe(&self, module: &str) -> io::Result<()> {
        let run = |program| Command::new(program).arg("--").arg(module).output();
        let output = run("modprobe").or_else(|error| match error.kind() {
            // root's PATH lacks it under sudo and su on some systems.
            io::ErrorKind::NotFound => run("/sbin/modprobe"),
            _ => Err(error),
        })?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr);
        let first = message.lines().next().unwrap_or("modprobe failed");
        Err(io::Error::other(first.to_owned()))
    }

    fn clock(&self) -> &dyn Clock {
        &self.0
    }
}
