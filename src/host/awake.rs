//! Sleep and shutdown wait while a flash is written: an inhibitor lock of logind, held by `systemd-inhibit` in a
//! process of its own. It ends when our pipe closes, also after SIGKILL, and the lock with it. Where there is no
//! logind nothing is inhibited and nothing fails.

use super::Host;
use crate::card::{Patience, WallClock, wait_for};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = "usr/bin/systemd-inhibit";
const PAUSE: Duration = Duration::from_millis(1);
/// D-Bus answers at once, or hangs.
const ANSWER: Patience =
    Patience::every(Duration::from_secs(2), PAUSE).growing_to(Duration::from_millis(20));
/// What it holds open sends this back once the lock is taken.
const ECHO: &[u8] = b"\n";

/// Sleep and shutdown are inhibited until this is dropped.
#[derive(Debug)]
pub struct Awake(Child);

impl Host {
    /// Inhibits sleep and shutdown; `None` where logind is missing, refuses or does not answer.
    pub fn keep_awake(&self, why: &str) -> Option<Awake> {
        match self.inhibit(why) {
            Ok(awake) => {
                tracing::info!("sleep and shutdown are inhibited");
                Some(awake)
            }
            Err(error) => {
                tracing::info!(%error, "sleep and shutdown are not inhibited");
                None
            }
        }
    }

    fn inhibit(&self, why: &str) -> io::Result<Awake> {
        let mut child = Command::new(self.path(PROGRAM))
            .args([
                "--what=shutdown:sleep:idle:handle-lid-switch:handle-power-key",
                "--mode=block",
                "--no-ask-password",
            ])
            .args(["--who=cx3flash", &format!("--why={why}"), "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C must not end it.
            .process_group(0)
            .spawn()?;
        let (stdin, stdout) = (child.stdin.as_mut(), child.stdout.take());
        let sent = stdin.map_or(Ok(()), |stdin| stdin.write_all(ECHO));
        let awake = Awake(child);
        sent?;
        let mut stdout = stdout.ok_or(ErrorKind::BrokenPipe)?;
        fcntl_setfl(&stdout, fcntl_getfl(&stdout)? | OFlags::NONBLOCK)?;
        let answered =
            wait_for(&WallClock::default(), ANSWER, || match stdout.read(&mut [0; ECHO.len()]) {
                Ok(0) => Err(io::Error::other("logind has refused")),
                Ok(_) => Ok(Some(())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
                Err(error) => Err(error),
            })?;
        answered.ok_or(ErrorKind::TimedOut)?;
        Ok(awake)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let ended = wait_for(&WallClock::default(), ANSWER, || self.0.try_wait());
        if !matches!(ended, Ok(Some(_))) && self.0.kill().is_ok() {
            tracing::warn!(pid = self.0.id(), "systemd-inhibit has not ended and was killed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, PROGRAM};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    /// A host whose `systemd-inhibit` is this script.
    fn host(script: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join(PROGRAM);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        // Written under another name: a script that is open for writing cannot be run.
        let new = program.with_extension("new");
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, program).unwrap();
        dir
    }

    fn awake(root: &Path) -> Option<super::Awake> {
        Host::at(root).keep_awake("a flash is written")
    }

    #[test]
    fn the_lock_is_held_until_it_is_dropped_and_names_its_reason() {
        let dir = host(r#"cd "$(dirname "$0")"; echo "$@" > arguments; touch held; cat; rm held"#);
        let held = dir.path().join("usr/bin/held");
        let lock = awake(dir.path()).unwrap();
        assert!(held.exists());
        drop(lock);
        assert!(!held.exists());
        let arguments = fs::read_to_string(dir.path().join("usr/bin/arguments")).unwrap();
        assert_eq!(
            arguments,
            "--what=shutdown:sleep:idle:handle-lid-switch:handle-power-key --mode=block --no-ask-password --who=cx3flash --why=a flash is written cat\n"
        );
    }

    #[test]
    fn nothing_fails_where_there_is_no_logind_or_it_refuses() {
        assert!(awake(tempfile::tempdir().unwrap().path()).is_none());
        for script in ["exit 1", "exec >&-; cat"] {
            assert!(awake(host(script).path()).is_none(), "{script}");
        }
    }
}
