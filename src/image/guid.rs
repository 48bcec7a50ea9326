//! GUIDs, MACs and the section that holds them (docs/fs2.md#guid-section).

use super::ImageOffset;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A 64-bit GUID; all ones = blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guid(pub u64);

/// A MAC entry as stored: 64 bits of which the low 48 are the address; all ones = blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mac(pub u64);

impl Guid {
    pub fn is_blank(self) -> bool {
        self.0 == u64::MAX
    }
}

impl Mac {
    /// Low 48 bits all ones.
    pub fn is_blank(self) -> bool {
        self.0 & 0xFFFF_FFFF_FFFF == 0xFFFF_FFFF_FFFF
    }

    /// Fits 48 bits, is no multicast address (bit 40 clear) and not zero
    /// (docs/flint.md#guids-of-a-burn).
    pub fn is_valid(self) -> bool {
        self.0 >> 48 == 0 && self.0 & (1 << 40) == 0 && self.0 != 0
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Mac {
    /// 12 digits, 16 when more than 48 bits are used (`%4.4x%8.8x` of mstflint).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}{:08x}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// A `what` of at most 16 hexadecimal digits; with colons, of exactly `octets` octets: a missing
/// octet must not become a leading zero.
fn parse_hex(text: &str, what: &str, octets: usize) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text).replace(':', "");
    if text.contains(':') && text.bytes().filter(u8::is_ascii_hexdigit).count() != octets * 2 {
        return Err(format!("{text:?} is no {what}: {octets} octets"));
    }
    if digits.is_empty() || digits.len() > 16 || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err(format!("{text:?} is not a {what} of at most 16 hexadecimal digits"));
    }
    u64::from_str_radix(&digits, 16).map_err(|e| format!("{text:?} is not a {what}: {e}"))
}

macro_rules! hex_text {
    ($ty:ident, $what:expr, $octets:expr) => {
        impl std::str::FromStr for $ty {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                parse_hex(text, $what, $octets).map($ty)
            }
        }
        impl Serialize for $ty {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
hex_text!(Guid, "GUID", 8);
hex_text!(Mac, "MAC", 6);

/// The GUID section of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuidSection {
    /// First byte of the body (header word 0x34).
    pub body_at: ImageOffset,
    /// Node, port 1, port 2, system image; missing ones when the section is short.
    pub guids: Vec<Guid>,
    /// Port 1, port 2; empty in old 4-entry sections.
    pub macs: Vec<Mac>,
    /// Every entry in order.
    #[serde(skip)]
    pub raw: Vec<u64>,
    /// Number of 64-bit entries in the section.
    pub entries: u32,
    /// All entries all ones and the CRC's low half 0xFFFF (docs/fs2.md#blank-guids).
    pub blank: bool,
    /// The stored CRC dword equals the computed one.
    pub crc_ok: bool,
    /// The header's pointer leads to a section of type 6.
    pub type_ok: bool,
}
