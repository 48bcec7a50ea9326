//! Programs of the system that this one runs, with a limit of time.

use crate::card::{Clock, Patience, wait_for};
use crate::escape;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// First pause between two polls of the program.
const PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// Bytes that are kept of what a program prints.
const MOST: usize = 256 << 10;
/// Reads at each poll: one that prints without end is still ended at the limit.
const CHUNKS: usize = 64;
/// A program that sleeps in the kernel ends later than it is killed, or never.
const KILLED: Patience = Patience::every(Duration::from_secs(1), PAUSE);

/// Runs a program to its end and returns what it printed, at most 256 KiB of each. One that has not ended
/// within `limit` is killed: `TimedOut`.
pub fn output_within(
    command: &mut Command,
    clock: &dyn Clock,
    limit: Duration,
) -> io::Result<Output> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C must not end it in the middle of its work.
        .process_group(0)
        .spawn()?;
    let mut printed = (Printed::of(child.stdout.take()), Printed::of(child.stderr.take()));
    let patience = Patience::every(limit, PAUSE).growing_to(LONGEST_PAUSE);
    let ended = wait_for(clock, patience, || {
        let ended = child.try_wait();
        printed.0.read();
        printed.1.read();
        ended
    })?;
    let Some(status) = ended else {
        end(&mut child, clock);
        let program = escape::path(Path::new(command.get_program()));
        let text = format!("{program} has not ended within {} s", limit.as_secs());
        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
    };
    Ok(Output { status, stdout: printed.0.bytes, stderr: printed.1.bytes })
}

fn end(child: &mut Child, clock: &dyn Clock) {
    let ended = child.kill().and_then(|()| wait_for(clock, KILLED, || child.try_wait()));
    if !matches!(ended, Ok(Some(_))) {
        tracing::warn!(pid = child.id(), "a program was killed and has not ended yet");
    }
}

/// What a program has printed. It is read without waiting: another program that it leaves behind may keep
/// the pipe open. No thread, which a host without free memory cannot start.
struct Printed<P> {
    pipe: Option<P>,
    bytes: Vec<u8>,
}

impl<P: Read + AsFd> Printed<P> {
    fn of(pipe: Option<P>) -> Self {
        let set = |pipe: &P| fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK);
        // A pipe whose reads would wait is not read.
        let pipe = pipe.filter(|pipe| set(pipe).is_ok());
        Self { pipe, bytes: Vec::new() }
    }

    /// Reads what is in the pipe, so that a full one does not stop the program; keeps the first [`MOST`].
    fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else {
            return;
        };
        let mut chunk = [0; 16 << 10];
        for _ in 0..CHUNKS {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => {
                    let kept = len.min(MOST - self.bytes.len());
                    self.bytes.extend_from_slice(&chunk[..kept]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Empty for now, or broken.
                Err(_) => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, output_within};
    use crate::card::WallClock;
    use std::io;
    use std::process::{Command, Output};
    use std::time::Duration;

    fn shell(script: &str, limit: Duration) -> io::Result<Output> {
        output_within(Command::new("sh").args(["-c", script]), &WallClock::default(), limit)
    }

    #[test]
    fn a_program_that_hangs_is_killed_and_reaped() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("echo $$ > {}; exec sleep 600", pid.to_str().unwrap());
        let error = shell(&script, Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("sh has not ended within 1 s"), "{error}");
        if let Ok(pid) = std::fs::read_to_string(pid) {
            assert!(!std::path::Path::new("/proc").join(pid.trim()).exists());
        }
    }

    #[test]
    fn a_program_that_prints_without_end_is_bounded() {
        let printed = shell("head -c 5000000 /dev/zero; echo why >&2", Duration::from_secs(300));
        let printed = printed.unwrap();
        assert_eq!(printed.stdout.len(), MOST);
        assert_eq!(printed.stderr, b"why\n");
    }

    #[test]
    fn a_program_that_leaves_another_one_behind_has_ended() {
        let left = shell("echo why >&2; sleep 5 & echo done", Duration::from_secs(300)).unwrap();
        assert!(left.status.success());
        assert_eq!((&left.stdout[..], &left.stderr[..]), (&b"done\n"[..], &b"why\n"[..]));
    }
}
