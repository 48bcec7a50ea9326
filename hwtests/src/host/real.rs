//! This machine with a real card as the host under test.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::config::RealCardConfig;
use super::server::CardServer;
use super::snapshot::HostSnapshot;
use super::{Signalled, TestHost, Transcript};
use crate::guest::agent::CommandOutput;

/// This machine and the card that a file names.
#[derive(Debug)]
pub struct RealHost {
    config: RealCardConfig,
    tool: String,
    images: [String; 2],
    transcript: Transcript,
    /// Scenarios may write the card's flash.
    pub may_write: bool,
}

impl RealHost {
    /// Opens the card, if serial and PSID are those of the file; nothing is written to find out.
    pub fn open(config: RealCardConfig, tool: &Path) -> Result<RealHost> {
        let mut host = RealHost {
            tool: tool.display().to_string(),
            images: config.images.clone().map(|i| i.display().to_string()),
            transcript: Transcript::default(),
            may_write: false,
            config,
        };
        let serial = host.serial()?;
        if serial != host.config.serial {
            bail!(
                "{} has the serial {serial:?}, not {:?} as in the file",
                host.config.bdf,
                host.config.serial
            );
        }
        host.may_write = host.config.may_write(&serial)?;
        let report = (&mut host as &mut dyn TestHost).expect("query", 0)?;
        let psid = report.text("/result/images/0/image/psid")?;
        if psid != host.config.psid {
            bail!("the card holds {psid}, not {} as in the file", host.config.psid);
        }
        Ok(host)
    }

    /// The serial in the card's VPD, or its PCI device serial number where it has no VPD.
    fn serial(&mut self) -> Result<String> {
        let bdf = self.config.bdf.clone();
        let text = (self as &mut dyn TestHost).must(&format!("lspci -vvv -s {bdf}"))?;
        serial_of(&text).with_context(|| format!("lspci shows no serial of {bdf}"))
    }

    /// Restores the host from a journal, if one is left, and compares it with `before`.
    pub fn finish(&mut self, before: &HostSnapshot) -> Result<()> {
        let host: &mut dyn TestHost = self;
        host.bare_json("host restore")?.exits(0).context("host restore")?;
        before.assert_unchanged(host)
    }
}

/// The serial in the output of `lspci -vvv`.
fn serial_of(text: &str) -> Option<String> {
    let after = |mark: &str| {
        text.lines()
            .find_map(|line| Some(line.split_once(mark)?.1.trim().to_owned()))
            .filter(|serial| !serial.is_empty())
    };
    after("[SN] Serial number:").or_else(|| after("Device Serial Number"))
}

impl TestHost for RealHost {
    fn run(&mut self, command: &str, limit: Duration) -> Result<CommandOutput> {
        let out = Command::new("timeout")
            .args(["-s", "KILL", &limit.as_secs().max(1).to_string()])
            .args(["sh", "-c", command])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()?;
        Ok(CommandOutput {
            code: out.status.code().unwrap_or(137),
            stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        })
    }

    fn bdf(&self) -> &str {
        &self.config.bdf
    }

    fn tool(&self) -> &str {
        &self.tool
    }

    fn images(&self) -> [&str; 2] {
        [&self.images[0], &self.images[1]]
    }

    fn server(&mut self, _: usize) -> Option<&mut CardServer> {
        None
    }

    fn signalled_at(&mut self, _: &str, _: &str, _: u64, _: Duration) -> Result<Signalled> {
        bail!("a real card cannot be stopped at a mutation")
    }

    fn console(&self) -> String {
        let out = Command::new("dmesg").output();
        out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default()
    }

    fn transcript(&mut self) -> &mut Transcript {
        &mut self.transcript
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serial_of_the_vpd_comes_first() {
        let both = "\tVital Product Data\n\t\t\t[SN] Serial number: MT1234X56789\n\
                    \tCapabilities: [148 v1] Device Serial Number 00-02-c9-03-00-00-10-10\n";
        assert_eq!(serial_of(both).as_deref(), Some("MT1234X56789"));
        let one = "\tCapabilities: [148 v1] Device Serial Number 00-02-c9-03-00-00-10-10\n";
        assert_eq!(serial_of(one).as_deref(), Some("00-02-c9-03-00-00-10-10"));
        assert_eq!(serial_of("\tCapabilities: none\n"), None);
    }
}
