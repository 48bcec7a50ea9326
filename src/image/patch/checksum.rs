//! Comparing images without their identity (docs/flint.md#checksum).

use super::Contents;
use crate::image::words::{AT_SIZE, put_be32};
use crate::image::{Identity, ImageOffset, SectionKind, be32};
use md5::{Digest, Md5};
use std::ops::Range;

/// Bytes masked from the GPH of the GUID section on, whatever its size.
const GUID_MASK: usize = 0x44;

impl Contents {
    /// The `checksum` of mstflint: an MD5 that is equal for two cards with the same firmware and
    /// different identities, printed byte-reversed (docs/flint.md#checksum).
    pub fn checksum(&self) -> String {
        let mut bytes = self.bytes().to_vec();
        let header = &self.image().header;
        mask(&mut bytes, 0x20..0x24);
        let guid = (header.guid_body.0 as usize).saturating_sub(0x10);
        mask(&mut bytes, guid..guid.saturating_add(GUID_MASK));
        // Without tag 5 the mask starts at the Image Info body (measured with mstflint 4.21), and
        // has the length of the VSD field.
        let vsd = self.vsd_field().map_or(header.info_body.0 as usize, |field| field.start);
        mask(&mut bytes, vsd..vsd.saturating_add(Identity::VSD_MAX));
        // The size of the Image Info section is read after the masking. The mask of a GUID section
        // with 4 entries covers that GPH, and in 32-bit arithmetic the dword in front of the body
        // is masked instead (measured with mstflint 4.21).
        let info = header.info_body.0;
        let size = be32(&bytes, info.wrapping_sub(12) as usize).unwrap_or(0);
        let crc = info.wrapping_add(size.wrapping_mul(4)) as usize;
        mask(&mut bytes, crc..crc.saturating_add(4));
        Md5::digest(&bytes).iter().rev().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The same firmware, ROM included, in the same layout: equal in every byte but those that a
    /// change of identity may change. These are the GUID entries, the VSD field, the CRCs of
    /// their sections and the full CRC.
    pub fn masked_equal(&self, other: &Self) -> bool {
        self.masked() == other.masked()
    }

    /// The same, or a wrong size in the header of `before` was corrected.
    pub(super) fn only_identity_changed(&self, before: &Self) -> bool {
        let mut before = before.masked();
        put_be32(&mut before, AT_SIZE, self.image().len) && self.masked() == before
    }

    fn masked(&self) -> Vec<u8> {
        let mut bytes = self.bytes().to_vec();
        for range in self.identity_ranges() {
            mask(&mut bytes, range);
        }
        bytes
    }

    /// The bytes that a change of identity may change.
    fn identity_ranges(&self) -> Vec<Range<usize>> {
        let header = &self.image().header;
        // Bits 15:0 of the word at 0x20.
        let mut ranges = vec![0x22..0x24];
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

    /// Where the VSD text is kept: the data of the last tag 5, at most 208 bytes of it.
    pub(super) fn vsd_field(&self) -> Option<Range<usize>> {
        let (offset, size) = self.image().info.as_ref()?.tag(5)?;
        let start = (self.image().header.info_body.0 as usize).checked_add(offset as usize)?;
        let end = start.checked_add((size as usize).min(Identity::VSD_MAX))?;
        (end <= self.bytes().len()).then_some(start..end)
    }
}

/// Fills what lies inside.
fn mask(bytes: &mut [u8], range: Range<usize>) {
    let end = range.end.min(bytes.len());
    if let Some(place) = bytes.get_mut(range.start.min(end)..end) {
        place.fill(0xFF);
    }
}
