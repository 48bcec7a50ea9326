//! What stands at one signature, and how well.

use super::identity_of;
use crate::image::{
    AddressMap, Contents, CrcVerdict, FindingId, FlashAddr, Identity, Image, Layout, SectionKind,
    Severity,
};
use std::ops::Range;

/// What stands at one signature.
#[derive(Clone, Debug)]
pub struct ImageSlot {
    /// Where the signature is.
    pub start: FlashAddr,
    /// The image, or why there is none to speak of.
    pub contents: Result<Contents, String>,
}

impl ImageSlot {
    /// What the image says of itself.
    #[must_use]
    pub fn image(&self) -> Option<&Image> {
        self.contents.as_ref().ok().map(Contents::image)
    }

    /// How well it stands.
    #[must_use]
    pub fn validity(&self) -> Validity {
        match &self.contents {
            Ok(contents) => validity(contents.image()),
            Err(why) => Validity {
                code: false,
                rom: true,
                identity: false,
                notes: vec![why.clone()],
            },
        }
    }

    /// Expected to boot: everything but the ROM is whole (10.7 #16).
    #[must_use]
    pub fn boots(&self) -> bool {
        let validity = self.validity();
        validity.code && validity.identity
    }

    /// Identity in it, when both sections that hold it are whole.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        if !self.validity().identity {
            return None;
        }
        identity_of(self.image()?).ok()
    }

    /// How its offsets become flash addresses.
    #[must_use]
    pub fn map(&self) -> Option<AddressMap> {
        Some(AddressMap::on_flash(self.image()?.layout, self.start))
    }

    /// Flash ranges its bytes lie in.
    #[must_use]
    pub fn ranges(&self) -> Vec<Range<u32>> {
        self.map()
            .map_or_else(Vec::new, |map| ranges(map, 0, self.len()))
    }

    /// Bytes of the image: to the end of its chain, or all that its header claims when the chain
    /// is broken.
    #[must_use]
    pub fn len(&self) -> u32 {
        let len = self.contents.as_ref().map_or(0, |c| c.bytes().len());
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// There is no image at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Flash ranges of `len` bytes of an image from its offset `from`.
pub(super) fn ranges(map: AddressMap, from: u32, len: u32) -> Vec<Range<u32>> {
    map.runs(crate::image::ImageOffset(from), len)
        .map(|(at, n)| at.0..at.0.saturating_add(n))
        .collect()
}

/// Do two ranges share a byte?
pub(super) fn overlap(a: &Range<u32>, b: &Range<u32>) -> bool {
    a.start < b.end && b.start < a.end
}

/// How well an image on a card stands, by what the damage means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Chain and code sections are whole.
    pub code: bool,
    /// The ROM is whole, or there is none.
    pub rom: bool,
    /// GUID and Image Info sections are whole.
    pub identity: bool,
    /// One sentence for each thing that is not.
    pub notes: Vec<String>,
}

/// Judge a fully read image of a card. A wrong full image CRC alone is a note: flint leaves one
/// behind on good cards when the file had trailing bytes (docs/fs2.md#order-of-a-burn #9).
#[must_use]
pub fn validity(image: &Image) -> Validity {
    let mut validity = Validity {
        code: true,
        rom: true,
        identity: image.info_crc_ok
            && image.info.is_some()
            && image
                .guids
                .as_ref()
                .is_some_and(|g| g.type_ok && (g.crc_ok || g.blank)),
        notes: Vec::new(),
    };
    for section in &image.sections {
        if matches!(
            section.crc,
            CrcVerdict::Ok | CrcVerdict::Blank | CrcVerdict::NotChecked
        ) {
            continue;
        }
        match section.kind {
            SectionKind::Rom => validity.rom = false,
            SectionKind::Guid | SectionKind::ImageInfo => validity.identity = false,
            _ => validity.code = false,
        }
    }
    for finding in &image.findings {
        if finding.severity < Severity::Error {
            continue;
        }
        validity.notes.push(finding.detail.clone());
        match finding.id {
            FindingId::StartAddress | FindingId::Chain | FindingId::Overlap => {
                validity.code = false
            }
            FindingId::Info
            | FindingId::Pointer
            | FindingId::IdentityCrc
            | FindingId::MissingTag => validity.identity = false,
            FindingId::Rom => validity.rom = false,
            FindingId::SectionCrc
            | FindingId::BlankGuids
            | FindingId::FullImageCrc
            | FindingId::Size
            | FindingId::TrailingBytes
            | FindingId::NoVsdTag
            | FindingId::Ini => {}
        }
    }
    if let Layout::Failsafe { chunk_log2 } = image.layout
        && image.start.0 != 0
        && Some(image.start.0) != 1u32.checked_shl(u32::from(chunk_log2))
    {
        validity.code = false;
    }
    if image.layout == Layout::NonFailsafe && image.start.0 != 0 {
        validity.code = false;
    }
    validity
}
