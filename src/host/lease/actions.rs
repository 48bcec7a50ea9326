//! The changes of the host, behind a trait: a directory cannot play `bind`
//! (docs/linux.md#test-seams).

use super::helper;
use super::lock::{self, Lock};
use crate::card::{Clock, WallClock};
use crate::host::output_within;
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

// A limit ends what would hang. It is far above what a busy host needs.

/// An unbind takes a few seconds; a leaked reference blocks it for ever
/// (docs/linux.md#unbinding-mlx4_core).
pub(super) const UNBIND_LIMIT: Duration = Duration::from_secs(240);
/// For writes that need no more than a lock, which a blocked step may hold.
pub(super) const QUICK_LIMIT: Duration = Duration::from_secs(60);
/// A probe that meets dead firmware gives up after 62 s (docs/linux.md#failures-of-a-rebind).
pub(super) const BIND_LIMIT: Duration = Duration::from_secs(240);

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

    /// Loads a module and its dependencies. The module probes every device it matches meanwhile, so it has
    /// the limit of a probe.
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
        // root's PATH lacks it under sudo and su on some systems.
        modprobe_by(&["modprobe", "/sbin/modprobe"], &self.0, module)
    }

    fn clock(&self) -> &dyn Clock {
        &self.0
    }
}

/// Loads a module by the first of these programs that exists.
fn modprobe_by(programs: &[&str], clock: &dyn Clock, module: &str) -> io::Result<()> {
    let mut loaded = Err(io::ErrorKind::NotFound.into());
    for program in programs {
        let mut command = Command::new(program);
        loaded = output_within(command.arg("--").arg(module), clock, BIND_LIMIT);
        if !matches!(&loaded, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            break;
        }
    }
    let output = loaded?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let first = message.lines().next().unwrap_or("modprobe failed");
    Err(io::Error::other(first.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::modprobe_by;
    use crate::card::{Clock, WallClock};
    use std::cell::Cell;
    use std::fs::{self, Permissions};
    use std::io;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::Duration;

    /// An hour passes with each pause.
    #[derive(Default)]
    struct FastClock(Cell<Duration>);

    impl Clock for FastClock {
        fn now(&self) -> Duration {
            self.0.get()
        }

        fn sleep(&self, _: Duration) {
            self.0.set(self.0.get() + Duration::from_secs(3600));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn load(clock: &dyn Clock, dir: &Path, script: &str) -> io::Result<()> {
        let program = dir.join("modprobe");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        loop {
            match modprobe_by(&["/no/modprobe", program.to_str().unwrap()], clock, "mlx4_core") {
                // Another test's fork may hold the script open for writing for a moment.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                other => return other,
            }
        }
    }

    #[test]
    fn a_modprobe_that_hangs_is_ended_at_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let error = load(&FastClock::default(), dir.path(), "exec sleep 600").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("modprobe has not ended within 240 s"), "{error}");
    }

    #[test]
    fn the_message_of_modprobe_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let clock = WallClock::default();
        load(&clock, dir.path(), "test \"$*\" = '-- mlx4_core'").unwrap();
        let error = load(&clock, dir.path(), "echo FATAL: no >&2; exit 1").unwrap_err();
        assert_eq!(error.to_string(), "FATAL: no");
        let none = modprobe_by(&["/no/modprobe"], &clock, "mlx4_core").unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }
}
