//! PCI addresses: domain, bus, device, function.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Address of a PCI function: `0000:01:00.0`. The domain is optional in input.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct Bdf {
    /// Domain (segment); virtual ones exceed 16 bits.
    pub domain: u32,
    pub bus: u8,
    /// Device, 0 to 31.
    pub device: u8,
    /// Function, 0 to 7.
    pub function: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a PCI address (such as 01:00.0 or 0000:01:00.0)")]
pub struct BadBdf(pub String);

/// Hex digits only: `from_str_radix` would also accept a sign.
fn hex(text: &str, longest: usize) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= longest;
    (plain && text.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| u32::from_str_radix(text, 16).ok())?
}

fn parse(text: &str) -> Option<Bdf> {
    let (front, function) = text.rsplit_once('.')?;
    let (front, device) = front.rsplit_once(':')?;
    let (domain, bus) = match front.rsplit_once(':') {
        Some((domain, bus)) => (hex(domain, 8)?, bus),
        None => (0, front),
    };
    let bdf = Bdf {
        domain,
        bus: u8::try_from(hex(bus, 2)?).ok()?,
        device: u8::try_from(hex(device, 2)?).ok()?,
        function: u8::try_from(hex(function, 1)?).ok()?,
    };
    (bdf.device < 32 && bdf.function < 8).then_some(bdf)
}

impl FromStr for Bdf {
    type Err = BadBdf;

    fn from_str(text: &str) -> Result<Self, BadBdf> {
        parse(text).ok_or_else(|| BadBdf(text.to_owned()))
    }
}

impl TryFrom<String> for Bdf {
    type Error = BadBdf;

    fn try_from(text: String) -> Result<Self, BadBdf> {
        text.parse()
    }
}

impl From<Bdf> for String {
    fn from(bdf: Bdf) -> Self {
        bdf.to_string()
    }
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

#[cfg(test)]
mod tests {
    use super::Bdf;

    #[test]
    fn the_domain_may_be_left_out() {
        let short: Bdf = "05:00.1".parse().expect("valid");
        assert_eq!(short.to_string(), "0000:05:00.1");
        assert_eq!("0000:05:00.1".parse(), Ok(short));
        let far: Bdf = "10000:e1:1f.7".parse().expect("valid");
        assert_eq!(far.to_string(), "10000:e1:1f.7");
    }

    #[test]
    fn a_malformed_address_is_refused() {
        for bad in [
            "",
            "1",
            "01:00",
            "01:00.8",
            "01:20.0",
            "x1:00.0",
            "+1:00.0",
            "01:00.0 ",
            "100:00.0",
            "0:1:2:3.4",
            "eth0",
            ":00.0",
            "01:.0",
            "01:00.",
        ] {
            assert!(bad.parse::<Bdf>().is_err(), "{bad:?}");
        }
    }
}
