//! What `lspci` says of a card.

use crate::host::{Bdf, Host};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `lspci` reads vital product data at about a kilobyte a second from a slow card; one that hangs
/// must not hold up the end of a job.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at the process.
const STEP: Duration = Duration::from_millis(20);

/// Everything `lspci` can tell of one function, or why it told nothing.
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
    let said = ended(child)?;
    if said.trim().is_empty() {
        return Err(format!("lspci says nothing of {bdf}"));
    }
    Ok(said)
}

fn ended(mut child: Child) -> Result<String, String> {
    // A function's text is a few KiB: it fits the pipe, so nobody has to read while it runs.
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if Instant::now() < until => std::thread::sleep(STEP),
            Ok(None) => {
                let killed = child.kill();
                tracing::warn!(?killed, "lspci does not end");
                return Err(format!("lspci did not end within {} s", PATIENCE.as_secs()));
            }
            Err(error) => return Err(format!("lspci: {error}")),
        }
    }
    let output = child
        .wait_with_output()
        .map_err(|error| format!("lspci: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
