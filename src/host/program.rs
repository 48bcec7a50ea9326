//! Programs of the system that this one runs, with a limit of time.

use crate::card::{Clock, Patience, wait_for};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// First pause between two polls of the program.
const PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// Bytes that are kept of what a program prints.
const MOST: u64 = 256 << 10;
/// A program that has ended may leave another one that keeps its output open.
const CLOSED: Duration = Duration::from_secs(1);
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
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let patience = Patience::every(limit, PAUSE).growing_to(LONGEST_PAUSE);
    let Some(status) = wait_for(clock, patience, || child.try_wait())? else {
        end(&mut child, clock);
        let program = command.get_program().display();
        let text = format!("{program} has not ended within {} s", limit.as_secs());
        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
    };
    let text = |from: Receiver<Vec<u8>>| from.recv_timeout(CLOSED).unwrap_or_default();
    Ok(Output { status, stdout: text(stdout), stderr: text(stderr) })
}

fn end(child: &mut Child, clock: &dyn Clock) {
    let ended = child.kill().and_then(|()| wait_for(clock, KILLED, || child.try_wait()));
    if !matches!(ended, Ok(Some(_))) {
        tracing::warn!(pid = child.id(), "a program was killed and has not ended yet");
    }
}

/// Reads what a program prints while it runs, so that a full pipe does not stop it.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (to, from) = mpsc::channel();
    if let Some(mut pipe) = pipe {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = pipe.by_ref().take(MOST).read_to_end(&mut bytes);
            if read.and_then(|_| io::copy(&mut pipe, &mut io::sink())).is_err() {
                tracing::debug!("the output of a program is not complete");
            }
            let _ = to.send(bytes);
        });
    }
    from
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
        let script = format!("echo $$ > {}; exec sleep 600", pid.display());
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
        assert_eq!(printed.stdout.len() as u64, MOST);
        assert_eq!(printed.stderr, b"why\n");
    }

    #[test]
    fn a_program_that_leaves_another_one_behind_has_ended() {
        let left = shell("sleep 600 & echo $!", Duration::from_secs(300)).unwrap();
        assert!(left.status.success());
    }
}
