//! Sections on their way into an image (docs/fs2.md#sections).

use super::SectionKind;
use super::crc::push_crc;
use super::words::{BLANK_CRC, GPH_LEN};

/// A section before it has a place.
pub(super) struct NewSection {
    /// GPH type.
    pub(super) kind: u32,
    /// The GPH size word: dwords, bytes for EMT.
    pub(super) size: u32,
    pub(super) param: u32,
    /// A multiple of 4 bytes.
    pub(super) body: Vec<u8>,
    pub(super) crc_blank: bool,
}

impl NewSection {
    /// A section with this body, padded with zeros to a dword; `None` when it is too long.
    pub(super) fn new(kind: u32, param: u32, mut body: Vec<u8>) -> Option<Self> {
        let bytes = body.len();
        body.resize(bytes.next_multiple_of(4), 0);
        if body.len() > SectionKind::MAX_BODY as usize {
            return None;
        }
        let size = if kind == 4 { bytes } else { body.len() / 4 };
        Some(Self { kind, size: size as u32, param, body, crc_blank: false })
    }

    /// Bytes with GPH and CRC.
    pub(super) fn len(&self) -> usize {
        GPH_LEN + self.body.len() + 4
    }

    /// Appends the section with `last` as its `next`, or with the offset behind it. Returns the
    /// offset of its body.
    pub(super) fn push(&self, image: &mut Vec<u8>, last: Option<u32>) -> u32 {
        let start = image.len();
        let next = last.unwrap_or((start + self.len()) as u32);
        let gph = [self.kind, self.size, self.param, next];
        image.extend(gph.into_iter().flat_map(u32::to_be_bytes));
        image.extend(&self.body);
        if self.crc_blank {
            image.extend(BLANK_CRC.to_be_bytes());
        } else {
            push_crc(image, start);
        }
        (start + GPH_LEN) as u32
    }
}
