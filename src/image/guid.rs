//! GUIDs, MACs and the section that holds them (docs/fs2.md#guid-section).

use super::ImageOffset;
use crate::escape::string_schema;
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

/// Exactly `digits` hexadecimal digits, together or in groups of two or four with `:` or `-` between them, as drivers
/// and tools print them: a missing digit must not become a leading zero.
fn parse_hex(text: &str, what: &str, digits: usize) -> Result<u64, String> {
    let wrong = || {
        format!(
            "{text:?} is not a {what}: exactly {digits} hexadecimal digits, in pairs with `:` or `-` between them, or together"
        )
    };
    let plain = match text.chars().find(|c| [':', '-'].contains(c)) {
        None => text.strip_prefix("0x").unwrap_or(text).to_owned(),
        Some(separator) => {
            let mut groups = text.split(separator);
            let len = groups.next().map_or(0, str::len);
            if ![2, 4].contains(&len) || groups.any(|group| group.len() != len) {
                return Err(wrong());
            }
            text.replace(separator, "")
        }
    };
    if plain.len() != digits || !plain.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    u64::from_str_radix(&plain, 16).map_err(|_| wrong())
}

macro_rules! hex_text {
    ($ty:ident, $what:expr, $digits:expr) => {
        impl std::str::FromStr for $ty {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                parse_hex(text, $what, $digits).map($ty)
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
                // A stored MAC may use more than 48 bits: a blank one does.
                let stored = u64::from_str_radix(&text, 16).map($ty).ok();
                match stored.filter(|stored| text.len() > 12 && stored.to_string() == text) {
                    Some(stored) => Ok(stored),
                    None => text.parse().map_err(serde::de::Error::custom),
                }
            }
        }
    };
}
hex_text!(Guid, "GUID", 16);
hex_text!(Mac, "MAC", 12);
string_schema!(Guid, "pattern": "^[0-9a-f]{16}$");
string_schema!(Mac, "pattern": "^([0-9a-f]{12}|[0-9a-f]{16})$");

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

#[cfg(test)]
mod tests {
    use super::{Guid, Mac};

    #[test]
    fn guids_and_macs_have_exactly_their_digits() {
        let mac = Ok(Mac(0xE41D_2DDD_7860));
        for text in [
            "e41d2ddd7860",
            "E41D2DDD7860",
            "0xe41d2ddd7860",
            "e4:1d:2d:dd:78:60",
            "e4-1d-2d-dd-78-60",
            "e41d:2ddd:7860",
        ] {
            assert_eq!(text.parse(), mac, "{text}");
        }
        for text in [
            "",
            "0x",
            "12345",
            "e41d2ddd786",
            "e41d2ddd78600",
            "0000e41d2ddd7860",
            "e4:1d:2d:dd:78:6",
            "e4:1d:2d:dd:786:0",
            "e4:1d-2d:dd-78:60",
            "e4:1d:2d:dd:78:60:",
            ":e4:1d:2d:dd:78:60",
            "e41d2d:dd7860",
            "e4:1d2d:dd78:60",
            "0xe4:1d:2d:dd:78:60",
            "e4.1d.2d.dd.78.60",
            "+41d2ddd7860",
            "e41d2ddd786g",
            " e41d2ddd7860",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
        let guid = Ok(Guid(0xE41D_2D03_00DD_7860));
        // ibstat, sysfs `node_guid`, and the forms of MACs.
        for text in [
            "e41d2d0300dd7860",
            "0xe41d2d0300dd7860",
            "e41d:2d03:00dd:7860",
            "e4:1d:2d:03:00:dd:78:60",
            "e4-1d-2d-03-00-dd-78-60",
        ] {
            assert_eq!(text.parse(), guid, "{text}");
        }
        for text in ["1", "e41d2ddd7860", "e41d2d0300dd786", "e41d2d0300dd78600"] {
            assert!(text.parse::<Guid>().is_err(), "{text}");
        }
    }

    #[test]
    fn json_holds_every_mac_that_a_card_can_store() {
        for mac in [Mac(0xE41D_2DDD_7860), Mac(u64::MAX), Mac(1 << 48), Mac(0)] {
            let text = serde_json::to_string(&mac).unwrap();
            assert_eq!(serde_json::from_str::<Mac>(&text).unwrap(), mac, "{text}");
        }
        for text in ["\"12345\"", "\"0000e41d2ddd7860\"", "\"e41d2ddd786\""] {
            assert!(serde_json::from_str::<Mac>(text).is_err(), "{text}");
        }
    }
}
