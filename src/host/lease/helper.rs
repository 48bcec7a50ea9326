//! A write to sysfs in a process of its own: a process that writes to `unbind` sleeps in the kernel
//! until the old driver is done, and cannot be cancelled (docs/linux.md#unbinding-mlx4_core).
//!
//! The helper is this program, as `cx3flash __host-write ATTRIBUTE` with the value on stdin. Its
//! exit code is the errno of the write, 0 when there was none; errnos beyond 125 are reported as
//! 125.

use crate::card::{Clock, Patience, wait_for};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Component, Path};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Name of the hidden command.
pub const HELPER_COMMAND: &str = "__host-write";
/// First pause between two polls of the helper.
const PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// Exit code when there is no errno.
const OTHER: i32 = 125;
/// Longest value: a PCI address, a driver's name.
const LONGEST: u64 = 256;

pub(super) fn write(
    clock: &dyn Clock,
    attribute: &Path,
    value: &str,
    limit: Duration,
    held: Option<&File>,
) -> io::Result<()> {
    write_by(Path::new("/proc/self/exe"), clock, attribute, value, limit, held)
}

fn write_by(
    program: &Path,
    clock: &dyn Clock,
    attribute: &Path,
    value: &str,
    limit: Duration,
    held: Option<&File>,
) -> io::Result<()> {
    // It writes nothing there: this is how it inherits the open file, and with it the lock.
    let stdout = match held {
        Some(file) => Stdio::from(file.try_clone()?),
        None => Stdio::null(),
    };
    let mut child = Command::new(program)
        .arg(HELPER_COMMAND)
        .arg(attribute)
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(Stdio::null())
        // Ctrl-C must not end the helper, which reports how its write ended.
        .process_group(0)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(value.as_bytes())
    {
        // It ended early; its exit code has the reason.
        tracing::debug!(%error, "the helper did not read its value");
    }
    let patience = Patience::every(limit, PAUSE).growing_to(LONGEST_PAUSE);
    let Some(status) = wait_for(clock, patience, || child.try_wait())? else {
        // A write that sleeps in the kernel continues; one that has not begun is prevented.
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

/// Runs the helper: reads the value from stdin and writes it to `attribute`, which must be below
/// `/sys`. Returns the exit code.
pub fn write_attribute(attribute: &Path) -> i32 {
    let plain = attribute.components().all(|part| !matches!(part, Component::ParentDir));
    if !attribute.starts_with("/sys") || !plain {
        return libc::EPERM;
    }
    let mut value = String::new();
    let read = io::stdin().take(LONGEST).read_to_string(&mut value);
    // A newline is part of the value; a write of zero bytes does nothing (docs/linux.md#binding).
    if read.is_err() || value.is_empty() {
        return libc::EINVAL;
    }
    code(put(attribute, value.as_bytes()))
}

/// Writes with one system call: the kernel takes each write as one value.
fn put(attribute: &Path, value: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(attribute)?;
    match file.write(value)? {
        all if all == value.len() => Ok(()),
        some => Err(io::Error::other(format!("only {some} bytes were written"))),
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
    use super::{code, libc, put, write_by};
    use crate::card::{Clock, WallClock};
    use std::cell::Cell;
    use std::fs::{self, File, Permissions};
    use std::io;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::time::Duration;
    use tempfile::TempDir;

    /// A helper that runs this shell script.
    fn helper(dir: &TempDir, script: &str) -> PathBuf {
        let path = dir.path().join("helper");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    const LIMIT: Duration = Duration::from_secs(300);

    fn run(program: &Path, attribute: &Path) -> io::Result<()> {
        run_on(&WallClock::default(), program, attribute, LIMIT)
    }

    /// Another test's fork may hold the script open for writing for a moment.
    fn run_on(
        clock: &dyn Clock,
        program: &Path,
        attribute: &Path,
        limit: Duration,
    ) -> io::Result<()> {
        run_holding(clock, program, attribute, limit, None)
    }

    fn run_holding(
        clock: &dyn Clock,
        program: &Path,
        attribute: &Path,
        limit: Duration,
        held: Option<&File>,
    ) -> io::Result<()> {
        loop {
            match write_by(program, clock, attribute, "0000:05:00.0", limit, held) {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                other => return other,
            }
        }
    }

    #[test]
    fn the_helper_gets_the_attribute_and_the_value() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("output");
        let program = helper(&dir, "{ echo \"$1\"; cat; } > \"$2\"");
        run(&program, &output).unwrap();
        let written = fs::read_to_string(&output).unwrap();
        assert_eq!(written, "__host-write\n0000:05:00.0");
    }

    #[test]
    fn the_helper_keeps_the_lock_of_its_process_open() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("output");
        let lock = dir.path().join("lock");
        let held = File::create(&lock).unwrap();
        let program =
            helper(&dir, "cat > /dev/null; at=$(readlink /proc/$$/fd/1); echo \"$at\" > \"$2\"");
        run_holding(&WallClock::default(), &program, &output, LIMIT, Some(&held)).unwrap();
        assert_eq!(fs::read_to_string(&output).unwrap().trim(), lock.to_str().unwrap());
    }

    #[test]
    fn the_exit_code_of_the_helper_is_the_errno() {
        let dir = tempfile::tempdir().unwrap();
        for (script, errno) in [
            ("cat > /dev/null; exit 22", Some(libc::EINVAL)),
            // Without reading its value.
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

    /// Jumps by an hour at each reading once `after` exists.
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
    fn a_paused_process_still_waits_for_its_helper() {
        let dir = tempfile::tempdir().unwrap();
        let program = helper(&dir, "cat > /dev/null; sleep 0.1");
        let clock = JumpingClock { now: Cell::default(), after: Path::new("/") };
        run_on(&clock, &program, Path::new("x"), LIMIT).unwrap();
    }

    #[test]
    fn a_helper_that_hangs_is_ended_at_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let program = helper(&dir, "echo $$ > \"$2.new\"; mv \"$2.new\" \"$2\"; exec sleep 3000");
        let clock = JumpingClock { now: Cell::default(), after: &pid };
        // The clock jumps at each poll, and a jump counts as little: some forty polls.
        let error = run_on(&clock, &program, &pid, Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let pid = fs::read_to_string(&pid).unwrap();
        // It may be a zombie still, which has no memory.
        let memory = format!("/proc/{}/statm", pid.trim());
        while fs::read_to_string(&memory).is_ok_and(|text| !text.starts_with("0 ")) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn an_errno_of_the_write_becomes_the_exit_code() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attribute");
        // Never created: without the attribute the device is gone.
        assert_eq!(code(put(&path, b"x")), libc::ENOENT);
        fs::write(&path, "old").unwrap();
        assert_eq!(code(put(&path, b"\n")), 0);
        assert_eq!(fs::read(&path).unwrap(), b"\nld", "written, not truncated");
        assert_eq!(code(Err(io::Error::from_raw_os_error(300))), 125);
    }
}
