//! What is done to the host, behind a trait: a directory cannot play `bind` (linux-vfio §11.3).

use super::helper;
use crate::card::{Clock, WallClock};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Changes of the host.
pub(super) trait Actions {
    /// Write an attribute of sysfs; the answer is the kernel's.
    fn write(&self, attribute: &Path, value: &str) -> io::Result<()>;

    /// The same for an attribute whose write sleeps where no signal reaches it: `bind`, `unbind`,
    /// `remove`, `rescan` (linux-vfio §6.1). `TimedOut` when it has not returned by then; it goes on.
    fn write_within(&self, attribute: &Path, value: &str, limit: Duration) -> io::Result<()>;

    /// Load a module with what it needs.
    fn modprobe(&self, module: &str) -> io::Result<()>;

    /// Let time pass between two looks.
    fn pause(&self, time: Duration);
}

/// The machine's own.
pub(super) struct Machine;

impl Actions for Machine {
    fn write(&self, attribute: &Path, value: &str) -> io::Result<()> {
        // One system call: the kernel takes each write as a whole value.
        let mut file = OpenOptions::new().write(true).open(attribute)?;
        file.write_all(value.as_bytes())
    }

    fn write_within(&self, attribute: &Path, value: &str, limit: Duration) -> io::Result<()> {
        helper::write(attribute, value, limit)
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

    fn pause(&self, time: Duration) {
        WallClock::default().sleep(time);
    }
}
