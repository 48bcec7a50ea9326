//! A real card of this machine as a bench.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::config::Config;
use super::served::Served;
use super::state::State;
use super::{Bench, Transcript};
use crate::guest::agent::Ran;

/// A real card.
#[derive(Debug)]
pub struct CardBench {
    config: Config,
    tool: String,
    images: [String; 2],
    transcript: Transcript,
    /// Whether scenarios may write its flash.
    pub may_write: bool,
}

impl CardBench {
    /// The card a file names, if it is the one at that address; nothing is written to find out.
    ///
    /// # Errors
    ///
    /// When the serial or the PSID is another one, or the card cannot be queried.
    pub fn open(config: Config, tool: &Path) -> Result<CardBench> {
        let images = config.images.clone().map(|i| i.display().to_string());
        let mut bench = CardBench {
            tool: tool.display().to_string(),
            images,
            transcript: Transcript::default(),
            may_write: false,
            config,
        };
        let serial = bench.serial()?;
        if serial != bench.config.serial {
            bail!(
                "{} has the serial {serial:?}, the file says {:?}",
                bench.config.bdf,
                bench.config.serial
            );
        }
        bench.may_write = bench.config.may_write(&serial)?;
        let psid = bench.config.psid.clone();
        let asked: &mut dyn Bench = &mut bench;
        let told = asked.expect("query", 0)?;
        let found = told.text("/result/images/0/image/psid")?;
        if found != psid {
            bail!("the card holds {found}, the file says {psid}");
        }
        Ok(bench)
    }

    /// The card's own serial: of its VPD, or its PCI device serial number where it has no VPD.
    fn serial(&mut self) -> Result<String> {
        let bdf = self.config.bdf.clone();
        let asked: &mut dyn Bench = self;
        let text = asked.must(&format!("lspci -vvv -s {bdf}"))?;
        serial_of(&text).with_context(|| format!("lspci shows no serial of {bdf}"))
    }

    /// What ends every run: the journal, if one is left, and the comparison with `before`.
    ///
    /// # Errors
    ///
    /// When the host is not as it was.
    pub fn finish(&mut self, before: &State) -> Result<()> {
        let bench: &mut dyn Bench = self;
        let restored = bench.bare_json("host restore")?;
        if restored.code != 0 {
            bail!("host restore ended with {}", restored.code);
        }
        before.must_be_again(bench)
    }
}

/// The serial in what `lspci -vvv` prints.
fn serial_of(text: &str) -> Option<String> {
    let after = |mark: &str| {
        text.lines()
            .find_map(|line| Some(line.split_once(mark)?.1.trim().to_owned()))
            .filter(|found| !found.is_empty())
    };
    after("[SN] Serial number:").or_else(|| after("Device Serial Number"))
}

impl Bench for CardBench {
    fn run(&mut self, command: &str, limit: Duration) -> Result<Ran> {
        let out = Command::new("timeout")
            .args(["-s", "KILL", &limit.as_secs().max(1).to_string()])
            .args(["sh", "-c", command])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()?;
        Ok(Ran {
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

    fn served(&mut self, _: usize) -> Option<&mut Served> {
        None
    }

    fn console(&self) -> String {
        let out = Command::new("dmesg").output();
        out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned())
            .unwrap_or_default()
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
