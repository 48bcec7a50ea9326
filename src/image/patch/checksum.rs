//! Comparing images but for whose they are (docs/flint.md#checksum).

use super::super::be32;
use super::super::{ImageOffset, SectionKind};
use super::Contents;
use md5::{Digest, Md5};
use std::ops::Range;

/// Bytes flint masks from the GPH of the GUID section on, whatever its size.
const GUID_MASK: usize = 0x44;
/// Bytes flint masks from the start of the VSD data on, whatever its size.
const VSD_MASK: usize = 0xD0;

impl Contents {
    /// flint's `checksum`: an MD5 that is equal for two cards with the same firmware and another
    /// identity, printed byte-reversed (docs/flint.md#checksum).
    #[must_use]
    pub fn checksum(&self) -> String {
        let mut bytes = self.bytes().to_vec();
        let header = &self.image().header;
        mask(&mut bytes, 0x20..0x24);
        let guid = (header.guid_body.0 as usize).saturating_sub(0x10);
        mask(&mut bytes, guid..guid.saturating_add(GUID_MASK));
        // Without tag 5 flint masks from the start of the Image Info body (measured on 4.21).
        let vsd = self.vsd_at().unwrap_or(header.info_body.0 as usize);
        mask(&mut bytes, vsd..vsd.saturating_add(VSD_MASK));
        // flint reads the size of the Image Info section after it masked. The mask of a GUID section
        // with 4 entries covers that GPH, and in 32-bit arithmetic the dword in front of the body
        // goes instead (measured on mstflint 4.21).
        let info = header.info_body.0;
        let size = be32(&bytes, info.wrapping_sub(12) as usize).unwrap_or(0);
        let crc = info.wrapping_add(size.wrapping_mul(4)) as usize;
        mask(&mut bytes, crc..crc.saturating_add(4));
        Md5::digest(&bytes)
            .iter()
            .rev()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The same firmware, ROM included, in the same layout: equal in every byte but those that a
    /// change of identity may touch. These are the GUID entries, the VSD field, the CRCs of
    /// their sections and the full CRC.
    #[must_use]
    pub fn masked_equal(&self, other: &Self) -> bool {
        self.masked() == other.masked()
    }

    /// The bytes without the identity.
    fn masked(&self) -> Vec<u8> {
        let mut bytes = self.bytes().to_vec();
        for range in self.identity_ranges() {
            if let Some(place) = bytes.get_mut(range) {
                place.fill(0xFF);
            }
        }
        bytes
    }

    /// What a change of identity may touch.
    fn identity_ranges(&self) -> Vec<Range<usize>> {
        let header = &self.image().header;
        let mut ranges = Vec::with_capacity(4);
        // Bits 15:0 of the word at 0x20.
        ranges.push(0x22..0x24);
        let body_to_crc = |at: ImageOffset, len: u32| at.0 as usize..(at.0 + len) as usize + 4;
        if let Some(guids) = self.pointed_at(SectionKind::Guid, header.guid_body) {
            ranges.push(body_to_crc(guids.body_at, guids.body_len));
        }
        if let Some(info) = self.pointed_at(SectionKind::ImageInfo, header.info_body) {
            let crc = (info.body_at.0 + info.body_len) as usize;
            ranges.push(crc..crc + 4);
        }
        ranges.extend(self.vsd_field());
        ranges
    }

    /// First byte of the VSD data in the image.
    fn vsd_at(&self) -> Option<usize> {
        self.vsd_field().map(|field| field.start)
    }

    /// Where the VSD text is kept: the data of the last tag 5, at most 208 bytes of it.
    pub(super) fn vsd_field(&self) -> Option<Range<usize>> {
        let image = self.image();
        let (_, offset, size) = image
            .info
            .as_ref()?
            .tags
            .iter()
            .rfind(|(id, ..)| *id == 5)?;
        let start = (image.header.info_body.0 as usize).checked_add(*offset as usize)?;
        let end = start.checked_add((*size as usize).min(VSD_MASK))?;
        (end <= self.bytes().len()).then_some(start..end)
    }
}

/// Fill what lies inside.
fn mask(bytes: &mut [u8], range: Range<usize>) {
    let end = range.end.min(bytes.len());
    if let Some(place) = bytes.get_mut(range.start.min(end)..end) {
        place.fill(0xFF);
    }
}
