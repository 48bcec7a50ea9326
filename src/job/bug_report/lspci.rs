//! What `lspci` shows of a card.

use crate::card::WallClock;
use crate::host::{Bdf, Host, output_within};
use std::io;
use std::process::Command;
use std::time::Duration;

/// `lspci` reads vital product data at about a kilobyte a second from a slow card; one that hangs
/// must not hold up the end of a job.
const LIMIT: Duration = Duration::from_secs(40);

/// What `lspci` shows of one function, or why it shows nothing.
pub(super) fn of(host: &Host, bdf: Bdf) -> Result<String, String> {
    let mut sysfs = std::ffi::OsString::from("sysfs.path=");
    sysfs.push(host.path("sys/bus/pci"));
    let mut lspci = Command::new("lspci");
    lspci.args(["-A", "linux-sysfs", "-O"]).arg(sysfs).args([
        "-D",
        "-nn",
        "-k",
        "-vvv",
        "-s",
        &bdf.to_string(),
    ]);
    let printed = output_within(&mut lspci, &WallClock::default(), LIMIT).map_err(|error| {
        match error.kind() {
            io::ErrorKind::TimedOut => error.to_string(),
            _ => format!("lspci (package pciutils) cannot be run: {error}"),
        }
    })?;
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    if text.trim().is_empty() {
        return Err(format!("lspci shows nothing of {bdf}"));
    }
    Ok(text)
}
