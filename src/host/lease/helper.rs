//! A write to sysfs in a process of its own: who writes to `unbind` sleeps in the kernel until the
//! old driver is done, and cannot be cancelled (docs/linux.md#unbinding-mlx4_core).
//!
//! The helper is this program again, as `cx3flash __host-write ATTRIBUTE` with the value on stdin. Its
//! exit code is the errno of the write, 0 when there was none; errnos beyond 125 are reported as 125.

use crate::card::{Clock, Patience, wait_for};
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Component, Path};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Name of the hidden command.
pub const HELPER_COMMAND: &str = "__host-write";
/// First pause between two polls of the helper: most attributes take less.
const PAUSE: Duration = Duration::from_millis(1);
/// Longest pause between two polls.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// Exit code for what is no errno of the write.
const OTHER: i32 = 125;
/// Longest value: a PCI address, a driver's name.
const LONGEST: u64 = 256;

/// Writes, within `limit`.
pub(super) fn write(
    clock: &dyn Clock,
    attribute: &Path,
    value: &str,
    limit: Duration,
) -> io::Result<()> {
    write_by(Path::new("/proc/self/exe"), clock, attribute, value, limit)
}

/// Has `program` write.
fn write_by(
    program: &Path,
    clock: &dyn Clock,
    attribute: &Path,
    value: &str,
    limit: Duration,
) -> io::Result<()> {
    let mut child = Command::new(program)
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
    let patience = Patience::every(limit, PAUSE).growing_to(LONGEST_PAUSE);
    let Some(status) = wait_for(clock, patience, || child.try_wait())? else {
        // A write that sleeps in the kernel goes on; a helper that has not begun it never will.
        if let Err(error) = child.kill() {
            tracing::debug!(%error, "the helper was not ended");
        }
        return Err(io::ErrorKind::TimedOut.into());
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
    // A newline belongs to it; nothing at all would be no write (docs/linux.md#binding).
    if read.is_err() || value.is_empty() {
        return libc::EINVAL;
    }
    code(put(attribute, value.as_bytes()))
}

/// One system call: the kernel takes each write as a whole value.
fn put(attribute: &Path, value: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(attribute)?;
    match file.write(value)? {
        whole if whole == value.len() => Ok(()),
        part => Err(io::Error::other(format!("{part} bytes were taken"))),
    }
}

/// Exit code of the helper.
fn code(written: io::Result<()>) -> i32 {
    match written {
        Ok(()) => 0,
        Err(error) => match error.raw_os_error() {
            Some(errno) if (1..OTHER).contains(&errno) => errno,
            _ => OTHER,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{code, put, write_by};
    use crate::card::{Clock, WallClock};
    use std::cell::Cell;
    use std::fs::{self, Permissions};
    use std::io;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::time::Duration;
    use tempfile::TempDir;

    /// A helper that does as the script says.
    fn helper(dir: &TempDir, script: &str) -> PathBuf {
        let path = dir.path().join("helper");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Ends what would hang.
    const LIMIT: Duration = Duration::from_secs(300);

    fn run(program: &Path, attribute: &Path) -> io::Result<()> {
        run_on(&WallClock::default(), program, attribute)
    }

    /// Another test's fork may hold the script open for writing for a moment.
    fn run_on(clock: &dyn Clock, program: &Path, attribute: &Path) -> io::Result<()> {
        loop {
            match write_by(program, clock, attribute, "0000:05:00.0", LIMIT) {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                other => return other,
            }
        }
    }

    #[test]
    fn the_helper_gets_the_attribute_and_the_value() {
        let dir = tempfile::tempdir().unwrap();
        let told = dir.path().join("told");
        let program = helper(&dir, "{ echo \"$1\"; cat; } > \"$2\"");
        run(&program, &told).unwrap();
        let said = fs::read_to_string(&told).unwrap();
        assert_eq!(said, "__host-write\n0000:05:00.0");
    }

    #[test]
    fn its_exit_code_is_the_errno() {
        let dir = tempfile::tempdir().unwrap();
        for (script, errno) in [
            ("cat > /dev/null; exit 22", Some(libc::EINVAL)),
            // Without taking its value.
            ("exit 16", Some(libc::EBUSY)),
            ("exit 125", None),
            ("kill -9 $$", None),
        ] {
            let program = helper(&dir, script);
            let error = run(&program, Path::new("x")).unwrap_err();
            assert_eq!(error.raw_os_error(), errno, "{script}");
            assert_ne!(error.kind(), io::ErrorKind::TimedOut, "{script}");
        }
    }

    /// Time jumps by an hour whenever the clock is read, once `after` exists.
    struct JumpingClock<'a> {
        now: Cell<Duration>,
        after: &'a Path,
    }

    impl Clock for JumpingClock<'_> {
        fn now(&self) -> Duration {
            if self.after.exists() {
                self.now.set(self.now.get() + Duration::from_secs(3600));
            }
            self.now.get()
        }

        fn sleep(&self, time: Duration) {
            std::thread::sleep(time);
        }
    }

    #[test]
    fn a_process_that_is_paused_does_not_give_up_on_its_helper() {
        let dir = tempfile::tempdir().unwrap();
        let program = helper(&dir, "cat > /dev/null; sleep 0.1");
        let clock = JumpingClock {
            now: Cell::default(),
            after: Path::new("/"),
        };
        run_on(&clock, &program, Path::new("x")).unwrap();
    }

    #[test]
    fn a_helper_that_hangs_is_ended_at_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let program = helper(
            &dir,
            "echo $$ > \"$2.new\"; mv \"$2.new\" \"$2\"; exec sleep 3000",
        );
        let clock = JumpingClock {
            now: Cell::default(),
            after: &pid,
        };
        let error = run_on(&clock, &program, &pid).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let pid = fs::read_to_string(&pid).unwrap();
        // Ended, and perhaps not reaped yet: a zombie has no memory.
        let memory = format!("/proc/{}/statm", pid.trim());
        while fs::read_to_string(&memory).is_ok_and(|text| !text.starts_with("0 ")) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_the_kernel_says_becomes_the_code() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attribute");
        // Never made: an attribute is there, or the device is gone.
        assert_eq!(code(put(&path, b"x")), libc::ENOENT);
        fs::write(&path, "old").unwrap();
        assert_eq!(code(put(&path, b"\n")), 0);
        assert_eq!(fs::read(&path).unwrap(), b"\nld", "written, not made anew");
        assert_eq!(code(Err(io::Error::from_raw_os_error(300))), 125);
    }
}
