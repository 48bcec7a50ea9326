//! The identity of a card, which a burn keeps: GUIDs, MACs, VSD (P4).

use super::{Guid, Image, Mac, trim_zeros};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Identity to be carried over a burn, byte for byte (P4).
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Identity {
    /// Node, port 1, port 2, system image.
    pub guids: [Guid; 4],
    /// Port 1, port 2.
    pub macs: [Mac; 2],
    /// The VSD field, raw, without trailing NULs (at most 208 bytes); as text in JSON when it is
    /// UTF-8, as hex otherwise.
    #[serde(with = "vsd_text")]
    #[schemars(with = "vsd_text::VsdText")]
    pub vsd: Vec<u8>,
}

/// Why the identity of an image must not be carried over (P4, docs/fs2.md#order-of-a-burn).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("the image has no readable GUID section")]
    NoSection,
    #[error("the GUID pointer {0:#x} of the header does not lead to a GUID section")]
    NotGuids(u32),
    #[error("the GUID section fails its CRC")]
    Crc,
    #[error("the GUID section has {0} entries instead of 6 or 4")]
    Entries(u32),
    #[error("the image holds neither valid GUIDs nor valid MACs")]
    Blank,
    /// The Image Info section, where the VSD is, could not be read or fails its CRC.
    #[error("the Image Info section, which holds the VSD, is damaged")]
    Info,
}

impl Identity {
    /// Longest VSD in bytes (tag 5, docs/fs2.md#image-info-section).
    pub const VSD_MAX: usize = 208;

    /// The identity an image holds, to be carried into another one. Blank GUIDs beside valid MACs
    /// are normal on Ethernet cards and are kept. Old sections of 4 entries have no
    /// MACs: they are [derived](Identity::macs_of).
    pub fn from_image(image: &Image) -> Result<Self, IdentityError> {
        let section = image.guids.as_ref().ok_or(IdentityError::NoSection)?;
        if !section.type_ok {
            return Err(IdentityError::NotGuids(section.body_at.0));
        }
        // A section written blank has a blank CRC, which is no damage.
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
        Ok(Self { guids, macs, vsd: trim_zeros(&raw[..raw.len().min(Self::VSD_MAX)]).to_vec() })
    }

    /// The MACs of a card whose section has none: each port GUID without its middle 16 bits, as
    /// mstflint derives them (docs/flint.md#guids-of-a-burn).
    pub fn macs_of(guids: &[Guid; 4]) -> [Mac; 2] {
        [guids[1], guids[2]].map(|g| Mac(g.0 >> 40 << 24 | g.0 & 0xFF_FFFF))
    }
}

mod vsd_text {
    //! VSD as `{"text": …}` when it survives the round trip, else `{"hex": …}`.
    use crate::image::words::from_hex;
    use schemars::JsonSchema;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    /// The VSD: text when it is UTF-8, else digits.
    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum VsdText {
        Text(String),
        Hex(String),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => VsdText::Text(text.to_owned()),
            Err(_) => VsdText::Hex(bytes.iter().map(|b| format!("{b:02x}")).collect()),
        }
        .serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        match VsdText::deserialize(d)? {
            VsdText::Text(text) => Ok(text.into_bytes()),
            VsdText::Hex(hex) => {
                from_hex(&hex).ok_or_else(|| D::Error::custom("VSD is not hexadecimal"))
            }
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
    fn blank_guids_beside_valid_macs_are_carried() {
        let recipe =
            Recipe { guids: Some([Guid(u64::MAX); 4]), vsd: Some(String::new()), ..recipe() };
        let identity = Identity::from_image(&image(&recipe)).unwrap();
        assert!(identity.guids.iter().all(|g| g.is_blank()));
        assert_eq!(identity.macs, MACS);
        assert_eq!(identity.vsd, b"");
    }

    #[test]
    fn an_identity_without_valid_guids_or_macs_is_refused() {
        let all_blank = Recipe { guids: None, ..recipe() };
        let refused = Identity::from_image(&image(&all_blank));
        assert_eq!(refused, Err(IdentityError::Blank));
        // Blank entries under a right CRC, and multicast MACs.
        for macs in [[Mac(u64::MAX); 2], [Mac(0x0100_0000_0001); 2], [Mac(0); 2]] {
            let recipe = Recipe { guids: Some([Guid(u64::MAX); 4]), macs, ..recipe() };
            let refused = Identity::from_image(&image(&recipe));
            assert_eq!(refused, Err(IdentityError::Blank), "{macs:?}");
        }
    }

    #[test]
    fn macs_of_a_section_with_4_entries_come_from_its_guids() {
        let old = Recipe { guid_entries: 4, ..recipe() };
        let identity = Identity::from_image(&image(&old)).unwrap();
        assert_eq!(identity.macs, [Mac(0xF452_14AA_BBC1), Mac(0xF452_14AA_BBC2)]);
    }

    #[test]
    fn a_damaged_identity_is_refused() {
        let good = build(&recipe()).unwrap();
        let header = parse(&good).header;
        let (guids, info) = (header.guid_body.0, header.info_body.0);
        let mut bytes = good.clone();
        bytes[guids as usize + 3] ^= 1;
        assert_eq!(Identity::from_image(&parse(&bytes)), Err(IdentityError::Crc));
        let mut bytes = good.clone();
        bytes[info as usize + 5] ^= 1;
        assert_eq!(Identity::from_image(&parse(&bytes)), Err(IdentityError::Info));
        // The pointer to some other section that has 12 dwords and a right CRC.
        let mut bytes = good.clone();
        let gph = guids as usize - 16;
        bytes[gph + 3] = 7;
        let crc = crc16(&bytes[gph..gph + 64]);
        bytes[gph + 64..gph + 68].copy_from_slice(&u32::from(crc).to_be_bytes());
        assert_eq!(Identity::from_image(&parse(&bytes)), Err(IdentityError::NotGuids(guids)));
        let mut bytes = good;
        bytes[0x34] = 0x7F;
        assert_eq!(Identity::from_image(&parse(&bytes)), Err(IdentityError::NoSection));
    }
}
