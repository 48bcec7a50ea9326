//! The card bench's file.
//!
//! ```toml
//! bdf = "0000:05:00.0"            # the card's address, with its domain
//! serial = "MT1234X56789"         # as the card says it (VPD, or the PCI serial number where it has no VPD)
//! psid = "MT_1170110023"          # of the image on the card
//! images = ["old.bin", "new.bin"] # two images for it, relative to this file
//! expendable = "MT1234X56789"     # only with this may scenarios write the flash; must be the card's own serial
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// One real card.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address with domain.
    pub bdf: String,
    /// The serial the card must have; nothing is run on another one.
    pub serial: String,
    /// The PSID the card must have.
    pub psid: String,
    /// An older and a newer image for it.
    pub images: [PathBuf; 2],
    /// The serial again, by whoever accepts that the card may be lost.
    #[serde(default)]
    pub expendable: Option<String>,
}

impl Config {
    /// Reads the file; image paths become relative to where the file lies.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or says something else.
    pub fn read(file: &Path) -> Result<Config> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let mut config = Config::parse(&text).with_context(|| file.display().to_string())?;
        let dir = file.parent().unwrap_or(Path::new(""));
        for image in &mut config.images {
            *image = fs::canonicalize(dir.join(&*image))
                .with_context(|| format!("image {}", image.display()))?;
        }
        Ok(config)
    }

    fn parse(text: &str) -> Result<Config> {
        let config: Config = toml::from_str(text)?;
        if !is_bdf(&config.bdf) {
            bail!("bdf {:?} is not of the form 0000:05:00.0", config.bdf);
        }
        if config.serial.is_empty() || config.psid.is_empty() {
            bail!("serial and psid say which card is meant and may not be empty");
        }
        Ok(config)
    }

    /// Whether scenarios may write the flash of a card that says `own` is its serial.
    ///
    /// # Errors
    ///
    /// When the file calls another card expendable than the one at hand: a slip that must not be guessed around.
    pub fn may_write(&self, own: &str) -> Result<bool> {
        match &self.expendable {
            None => Ok(false),
            Some(named) if named == own => Ok(true),
            Some(named) => bail!("expendable names {named:?}, the card at hand is {own:?}"),
        }
    }
}

fn is_bdf(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = b"hhhh:hh:hh.o";
    bytes.len() == shape.len()
        && bytes.iter().zip(shape).all(|(&b, &s)| match s {
            b'h' => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
            b'o' => (b'0'..=b'7').contains(&b),
            s => b == s,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "bdf = \"0000:05:00.0\"\nserial = \"MT1\"\npsid = \"MT_1\"\nimages = [\"a\", \"b\"]\n";

    #[test]
    fn a_card_may_be_written_only_when_it_is_named() {
        let config = Config::parse(GOOD).unwrap();
        assert!(!config.may_write("MT1").unwrap());
        let named = Config::parse(&format!("{GOOD}expendable = \"MT1\"\n")).unwrap();
        assert!(named.may_write("MT1").unwrap());
        assert!(named.may_write("MT2").is_err());
    }

    #[test]
    fn slips_are_refused() {
        for (from, to) in [
            ("0000:05:00.0", "05:00.0"),
            ("0000:05:00.0", "0000:05:00.9"),
            ("\"MT1\"", "\"\""),
            ("serial", "seriall"),
            ("[\"a\", \"b\"]", "[\"a\"]"),
        ] {
            assert!(Config::parse(&GOOD.replace(from, to)).is_err(), "{to}");
        }
        assert!(Config::parse(&format!("{GOOD}expandable = \"MT1\"\n")).is_err());
    }
}
