//! What makes a card this card: GUIDs, MACs, VSD (fs2-image §6).

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
    /// All ones.
    #[must_use]
    pub fn is_blank(self) -> bool {
        self.0 == u64::MAX
    }
}

impl Mac {
    /// Low 48 bits all ones.
    #[must_use]
    pub fn is_blank(self) -> bool {
        self.0 & 0xFFFF_FFFF_FFFF == 0xFFFF_FFFF_FFFF
    }

    /// Fits 48 bits, is no multicast address (bit 40 clear) and not zero (§6.4 step 4).
    #[must_use]
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
    /// flint's `%4.4x%8.8x`: 12 digits, 16 when more than 48 bits are used.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}{:08x}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

fn parse_hex(text: &str, max_digits: usize, what: &str) -> Result<u64, String> {
    let plain: String = text
        .strip_prefix("0x")
        .unwrap_or(text)
        .chars()
        .filter(|c| *c != ':')
        .collect();
    if plain.is_empty() || plain.len() > max_digits || !plain.chars().all(|c| c.is_ascii_hexdigit())
    {
        return Err(format!(
            "{text:?} is not a {what} of at most {max_digits} hexadecimal digits"
        ));
    }
    u64::from_str_radix(&plain, 16).map_err(|e| format!("{text:?} is not a {what}: {e}"))
}

macro_rules! hex_text {
    ($ty:ident, $digits:expr, $what:expr) => {
        impl std::str::FromStr for $ty {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                parse_hex(text, $digits, $what).map($ty)
            }
        }
        impl Serialize for $ty {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}
hex_text!(Guid, 16, "GUID");
hex_text!(Mac, 16, "MAC");

/// The GUID section of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuidSection {
    /// First byte of the body (header word 0x34).
    pub body_at: ImageOffset,
    /// Node, port 1, port 2, system image; missing ones when the section is short.
    pub guids: Vec<Guid>,
    /// Port 1, port 2; empty in old 4-entry sections.
    pub macs: Vec<Mac>,
    /// Number of 64-bit entries in the section.
    pub entries: u32,
    /// All entries all ones and the CRC's low half 0xFFFF (§6.2).
    pub blank: bool,
    /// The stored CRC dword equals the computed one.
    pub crc_ok: bool,
}

/// Identity to be carried over a burn, byte for byte (P4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Node, port 1, port 2, system image.
    pub guids: [Guid; 4],
    /// Port 1, port 2.
    pub macs: [Mac; 2],
    /// The VSD field, raw, without trailing NULs (at most 208 bytes); as text in JSON when it is
    /// UTF-8, as hex otherwise.
    #[serde(with = "vsd_text")]
    pub vsd: Vec<u8>,
}

mod vsd_text {
    //! VSD as `{"text": …}` when it survives the round trip, else `{"hex": …}`.
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Form {
        Text(String),
        Hex(String),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Form::Text(text.to_owned()),
            Err(_) => Form::Hex(bytes.iter().map(|b| format!("{b:02x}")).collect()),
        }
        .serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        match Form::deserialize(d)? {
            Form::Text(text) => Ok(text.into_bytes()),
            Form::Hex(hex) => (0..hex.len())
                .step_by(2)
                .map(|i| {
                    hex.get(i..i + 2)
                        .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                        .ok_or_else(|| D::Error::custom("VSD is not hexadecimal"))
                })
                .collect(),
        }
    }
}
