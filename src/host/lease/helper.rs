//! A write to sysfs in a process of its own: who writes to `unbind` sleeps in the kernel until the
//! old driver is done, and cannot be cancelled (linux-vfio §6.1).
//!
//! The helper is this program again, as `cx3flash __host-write ATTRIBUTE` with the value on stdin. Its
//! exit code is the errno of the write, 0 when there was none; errnos beyond 125 are reported as 125.

use crate::card::{Clock, WallClock};
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Component, Path};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Name of the hidden command.
pub const HELPER_COMMAND: &str = "__host-write";
/// Time between two looks at the helper.
const STEP: Duration = Duration::from_millis(10);
/// Exit code for what is no errno of the write.
const OTHER: i32 = 125;
/// Longest value: a PCI address, a driver's name.
const LONGEST: u64 = 256;

/// Write, within `limit`.
pub(super) fn write(attribute: &Path, value: &str, limit: Duration) -> io::Result<()> {
    let mut child = Command::new("/proc/self/exe")
        .arg(HELPER_COMMAND)
        .arg(attribute)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is for us alone: a helper that dies of it could not say how its write ended.
        .process_group(0)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(value.as_bytes())
    {
        // It ended early; its exit code says why.
        tracing::debug!(%error, "the helper did not take its value");
    }
    let clock = WallClock::default();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if clock.now() > limit {
            return Err(io::ErrorKind::TimedOut.into());
        }
        clock.sleep(STEP);
    };
    match status.code() {
        Some(0) => Ok(()),
        Some(OTHER) | None => Err(io::Error::other("the helper process failed")),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// The helper's whole life: read the value from stdin, write it to `attribute`, which must be below
/// `/sys`. The answer is the exit code.
#[must_use]
pub fn write_attribute(attribute: &Path) -> i32 {
    let plain = attribute
        .components()
        .all(|part| !matches!(part, Component::ParentDir));
    if !attribute.starts_with("/sys") || !plain {
        return libc::EPERM;
    }
    let mut value = String::new();
    let read = io::stdin().take(LONGEST).read_to_string(&mut value);
    // A newline belongs to it; nothing at all would be no write (linux-vfio §3.1).
    if read.is_err() || value.is_empty() {
        return libc::EINVAL;
    }
    let written = OpenOptions::new()
        .write(true)
        .open(attribute)
        .and_then(|mut file| file.write_all(value.as_bytes()));
    match written {
        Ok(()) => 0,
        Err(error) => match error.raw_os_error() {
            Some(errno) if (1..OTHER).contains(&errno) => errno,
            _ => OTHER,
        },
    }
}
