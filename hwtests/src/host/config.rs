//! The TOML file that names a real card (docs/lab.md#a-real-card).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RealCardConfig {
    /// Address with domain.
    pub bdf: String,
    /// The serial the card must have; nothing is run on another one.
    pub serial: String,
    /// The PSID the card must have.
    pub psid: String,
    /// An older and a newer image for it.
    pub images: [PathBuf; 2],
    /// The serial again, if the card may be lost: only then do scenarios write its flash.
    #[serde(default)]
    pub expendable: Option<String>,
}

impl RealCardConfig {
    /// Reads the file; image paths are relative to its directory.
    pub fn read(file: &Path) -> Result<RealCardConfig> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let mut config =
            RealCardConfig::parse(&text).with_context(|| file.display().to_string())?;
        let dir = file.parent().unwrap_or(Path::new(""));
        for image in &mut config.images {
            *image = fs::canonicalize(dir.join(&*image))
                .with_context(|| format!("image {}", image.display()))?;
        }
        Ok(config)
    }

    fn parse(text: &str) -> Result<RealCardConfig> {
        let config: RealCardConfig = toml::from_str(text)?;
        if !is_bdf(&config.bdf) {
            bail!("bdf {:?} is not of the form 0000:05:00.0", config.bdf);
        }
        if config.serial.is_empty() || config.psid.is_empty() {
            bail!("serial and psid must not be empty");
        }
        Ok(config)
    }

    /// Whether scenarios may write the flash of a card with serial `own`. It is an error when the
    /// file calls another card expendable.
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
    fn a_card_is_written_only_when_the_file_calls_it_expendable() {
        let config = RealCardConfig::parse(GOOD).unwrap();
        assert!(!config.may_write("MT1").unwrap());
        let named = RealCardConfig::parse(&format!("{GOOD}expendable = \"MT1\"\n")).unwrap();
        assert!(named.may_write("MT1").unwrap());
        assert!(named.may_write("MT2").is_err());
    }

    #[test]
    fn a_malformed_file_is_refused() {
        for (from, to) in [
            ("0000:05:00.0", "05:00.0"),
            ("0000:05:00.0", "0000:05:00.9"),
            ("\"MT1\"", "\"\""),
            ("serial", "seriall"),
            ("[\"a\", \"b\"]", "[\"a\"]"),
        ] {
            assert!(RealCardConfig::parse(&GOOD.replace(from, to)).is_err(), "{to}");
        }
        assert!(RealCardConfig::parse(&format!("{GOOD}expandable = \"MT1\"\n")).is_err());
    }
}
