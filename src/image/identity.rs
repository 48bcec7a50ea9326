//! What makes a card this card: GUIDs, MACs, VSD (docs/fs2.md#guid-section).

use super::{Image, ImageOffset};
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

    /// Fits 48 bits, is no multicast address (bit 40 clear) and not zero (docs/flint.md#guids-of-a-burn step 4).
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
                // Written octet by octet, a missing octet must not become a leading zero.
                let octets = if $what == "MAC" { 12 } else { 16 };
                let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
                if text.contains(':') && digits != octets {
                    return Err(format!("{text:?} is no {}: {} octets", $what, octets / 2));
                }
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
    /// Every entry in order, for sections of an odd shape.
    #[serde(skip)]
    pub raw: Vec<u64>,
    /// Number of 64-bit entries in the section.
    pub entries: u32,
    /// All entries all ones and the CRC's low half 0xFFFF (docs/fs2.md#blank-guids).
    pub blank: bool,
    /// The stored CRC dword equals the computed one.
    pub crc_ok: bool,
    /// The header's pointer leads to a section of type 6. flint does not look (docs/flint.md#order-of-verify).
    pub type_ok: bool,
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

/// Why the identity of an image must not be carried over (promise P4, docs/fs2.md#order-of-a-burn #5).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The header leads to no GUID section.
    #[error("the image has no readable GUID section")]
    NoSection,
    /// The header leads to something else.
    #[error("the GUID pointer {0:#x} of the header does not lead to a GUID section")]
    NotGuids(u32),
    /// Its CRC is wrong.
    #[error("the GUID section fails its CRC")]
    Crc,
    /// Neither 4 nor 6 entries.
    #[error("the GUID section has {0} entries instead of 6 or 4")]
    Entries(u32),
    /// Neither GUIDs nor MACs.
    #[error("the image holds neither valid GUIDs nor valid MACs")]
    Blank,
    /// The Image Info section, where the VSD is, could not be read or fails its CRC.
    #[error("the Image Info section, which holds the VSD, is damaged")]
    Info,
}

impl Identity {
    /// Longest VSD in bytes (docs/fs2.md#image-info-section tag 5).
    pub const VSD_MAX: usize = 208;

    /// The identity an image holds, to be carried into another one. Blank GUIDs beside valid MACs
    /// are normal on Ethernet cards and come along as they are. Old sections of 4 entries have no
    /// MACs: they are [derived](Identity::macs_of).
    ///
    /// # Errors
    /// [`IdentityError`] when there is nothing trustworthy to carry.
    pub fn from_image(image: &Image) -> Result<Self, IdentityError> {
        let section = image.guids.as_ref().ok_or(IdentityError::NoSection)?;
        if !section.type_ok {
            return Err(IdentityError::NotGuids(section.body_at.0));
        }
        // A section written blank has a blank CRC; that is no damage, but nothing to carry either.
        if section.blank {
            return Err(IdentityError::Blank);
        }
        if !section.crc_ok {
            return Err(IdentityError::Crc);
        }
        let (guids, macs) = match *section.raw.as_slice() {
            [a, b, c, d] => {
                let guids = [a, b, c, d].map(Guid);
                (guids, Self::macs_of(&guids))
            }
            [a, b, c, d, e, f] => ([a, b, c, d].map(Guid), [e, f].map(Mac)),
            _ => return Err(IdentityError::Entries(section.entries)),
        };
        let guids_valid = guids.iter().all(|g| !g.is_blank() && g.0 != 0);
        if !guids_valid && !macs.iter().all(|m| m.is_valid()) {
            return Err(IdentityError::Blank);
        }
        let info = image.info.as_ref().filter(|_| image.info_crc_ok);
        let raw = info.ok_or(IdentityError::Info)?.vsd_raw.as_deref();
        let raw = raw.unwrap_or_default();
        let raw = &raw[..raw.len().min(Self::VSD_MAX)];
        let used = raw.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        Ok(Self {
            guids,
            macs,
            vsd: raw[..used].to_vec(),
        })
    }

    /// The MACs flint takes for a card whose section has none: each port GUID without its middle 16
    /// bits (docs/flint.md#guids-of-a-burn step 3).
    #[must_use]
    pub fn macs_of(guids: &[Guid; 4]) -> [Mac; 2] {
        [guids[1], guids[2]].map(|g| Mac(g.0 >> 40 << 24 | g.0 & 0xFF_FFFF))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Depth, FlashAddr, Form, Recipe, build, crc16, read};

    fn image(recipe: &Recipe) -> Image {
        parse(&build(recipe).unwrap())
    }

    fn parse(mut bytes: &[u8]) -> Image {
        read(&mut bytes, FlashAddr(0), Form::Contiguous, Depth::Full).unwrap()
    }

    const MACS: [Mac; 2] = [Mac(0xE41D_2DDD_7850), Mac(0xE41D_2DDD_7851)];
    const GUIDS: [Guid; 4] = [
        Guid(0xF452_1403_00AA_BBC0),
        Guid(0xF452_1403_00AA_BBC1),
        Guid(0xF452_1403_00AA_BBC2),
        Guid(0xF452_1403_00AA_BBC3),
    ];

    fn recipe() -> Recipe {
        Recipe {
            guids: Some(GUIDS),
            macs: MACS,
            vsd: Some("abc".into()),
            size: 0,
            ..Recipe::default()
        }
    }

    #[test]
    fn identity_is_carried_byte_for_byte() {
        let identity = Identity::from_image(&image(&recipe())).unwrap();
        assert_eq!((identity.guids, identity.macs), (GUIDS, MACS));
        assert_eq!(identity.vsd, b"abc");
    }

    #[test]
    fn blank_guids_beside_valid_macs_are_normal() {
        let recipe = Recipe {
            guids: Some([Guid(u64::MAX); 4]),
            vsd: Some(String::new()),
            ..recipe()
        };
        let identity = Identity::from_image(&image(&recipe)).unwrap();
        assert!(identity.guids.iter().all(|g| g.is_blank()));
        assert_eq!(identity.macs, MACS);
        assert_eq!(identity.vsd, b"");
    }

    #[test]
    fn nothing_valid_is_refused() {
        let all_blank = Recipe {
            guids: None,
            ..recipe()
        };
        let refused = Identity::from_image(&image(&all_blank));
        assert_eq!(refused, Err(IdentityError::Blank));
        // Blank entries under a right CRC, and multicast MACs.
        for macs in [[Mac(u64::MAX); 2], [Mac(0x0100_0000_0001); 2], [Mac(0); 2]] {
            let recipe = Recipe {
                guids: Some([Guid(u64::MAX); 4]),
                macs,
                ..recipe()
            };
            let refused = Identity::from_image(&image(&recipe));
            assert_eq!(refused, Err(IdentityError::Blank), "{macs:?}");
        }
    }

    #[test]
    fn old_sections_give_macs_out_of_guids() {
        let old = Recipe {
            guid_entries: 4,
            ..recipe()
        };
        let identity = Identity::from_image(&image(&old)).unwrap();
        assert_eq!(
            identity.macs,
            [Mac(0xF452_14AA_BBC1), Mac(0xF452_14AA_BBC2)]
        );
    }

    #[test]
    fn damage_is_refused_not_carried() {
        let good = build(&recipe()).unwrap();
        let whole = parse(&good);
        let (guids, info) = (whole.header.guid_body.0, whole.header.info_body.0);
        let mut bytes = good.clone();
        bytes[guids as usize + 3] ^= 1;
        assert_eq!(
            Identity::from_image(&parse(&bytes)),
            Err(IdentityError::Crc)
        );
        let mut bytes = good.clone();
        bytes[info as usize + 5] ^= 1;
        assert_eq!(
            Identity::from_image(&parse(&bytes)),
            Err(IdentityError::Info)
        );
        // The pointer to some other section that has 12 dwords and a right CRC.
        let mut bytes = good.clone();
        let gph = guids as usize - 16;
        bytes[gph + 3] = 7;
        let crc = crc16(&bytes[gph..gph + 64]);
        bytes[gph + 64..gph + 68].copy_from_slice(&u32::from(crc).to_be_bytes());
        assert_eq!(
            Identity::from_image(&parse(&bytes)),
            Err(IdentityError::NotGuids(guids))
        );
        let mut bytes = good;
        bytes[0x34] = 0x7F;
        assert_eq!(
            Identity::from_image(&parse(&bytes)),
            Err(IdentityError::NoSection)
        );
    }
}
