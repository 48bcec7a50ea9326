//! What `lspci` shows of a card.

use crate::card::{Clock, Patience, WallClock, wait_for};
use crate::host::{Bdf, Host};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// `lspci` reads vital product data at about a kilobyte a second from a slow card; one that hangs
/// must not hold up the end of a job.
const PATIENCE: Patience = Patience::every(Duration::from_secs(40), Duration::from_millis(20));
/// The text of one function has a few KiB.
const MOST: u64 = 256 << 10;

/// What `lspci` shows of one function, or why it shows nothing.
pub(super) fn of(host: &Host, bdf: Bdf) -> Result<String, String> {
    let mut sysfs = std::ffi::OsString::from("sysfs.path=");
    sysfs.push(host.path("sys/bus/pci"));
    let child = Command::new("lspci")
        .args(["-A", "linux-sysfs", "-O"])
        .arg(sysfs)
        .args(["-D", "-nn", "-k", "-vvv", "-s", &bdf.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("lspci (package pciutils) cannot be run: {error}"))?;
    let text = output(child, &WallClock::default(), PATIENCE)?;
    if text.trim().is_empty() {
        return Err(format!("lspci shows nothing of {bdf}"));
    }
    Ok(text)
}

/// What `child` prints. It has ended and is reaped afterwards, whatever is answered.
fn output(mut child: Child, clock: &dyn Clock, patience: Patience) -> Result<String, String> {
    let reader = reader(&mut child);
    let ended = wait_for(clock, patience, || child.try_wait());
    if !matches!(ended, Ok(Some(_))) {
        if let Err(error) = child.kill().and_then(|()| child.wait()) {
            tracing::warn!(%error, "lspci cannot be ended");
        }
        return Err(match ended {
            Err(error) => format!("lspci: {error}"),
            Ok(_) => format!("lspci did not end within {} s", patience.limit().as_secs()),
        });
    }
    let text = match reader.map(JoinHandle::join) {
        Some(Ok(text)) => text.map_err(|error| format!("lspci: {error}"))?,
        _ => Vec::new(),
    };
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Reads what the child prints while it runs, so that a full pipe does not stop it; what exceeds
/// [`MOST`] is discarded.
fn reader(child: &mut Child) -> Option<JoinHandle<std::io::Result<Vec<u8>>>> {
    let mut stdout = child.stdout.take()?;
    Some(std::thread::spawn(move || {
        let mut text = Vec::new();
        stdout.by_ref().take(MOST).read_to_end(&mut text)?;
        std::io::copy(&mut stdout, &mut std::io::sink())?;
        Ok(text)
    }))
}

#[cfg(test)]
mod tests {
    use super::{MOST, output};
    use crate::card::{Patience, WallClock};
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    fn shell(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn a_program_that_hangs_is_killed_and_reaped() {
        let child = shell("exec sleep 600");
        let process = format!("/proc/{}", child.id());
        let patience = Patience::every(Duration::from_millis(1), Duration::from_millis(1));
        let error = output(child, &WallClock::default(), patience).unwrap_err();
        assert!(error.contains("did not end"), "{error}");
        assert!(!std::path::Path::new(&process).exists());
    }

    #[test]
    fn a_program_that_prints_without_end_is_bounded() {
        let child = shell("head -c 5000000 /dev/zero");
        let patience = Patience::every(Duration::from_secs(40), Duration::from_millis(1));
        let text = output(child, &WallClock::default(), patience).unwrap();
        assert_eq!(text.len() as u64, MOST);
    }
}
