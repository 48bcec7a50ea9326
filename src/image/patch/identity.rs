//! Writing GUIDs, MACs and VSD into an image (docs/flint.md#guids-of-a-burn, docs/fs2.md#vsd).

use super::{Contents, PatchError};
use crate::image::words::{BLANK_CRC, put_be32};
use crate::image::{Guid, Identity, Mac, Section, SectionKind, crc16};

/// Bytes of one entry of the GUID section.
const ENTRY: usize = 8;

impl Contents {
    /// With this identity: all 6 entries and the VSD. An empty VSD is written too when the image
    /// has a field for it; without one, only a VSD that is not empty is an error.
    /// An old image with 4 entries, which has no place for the MACs, is a
    /// [`PatchError::GuidSection`].
    pub fn with_identity(&self, identity: &Identity) -> Result<Self, PatchError> {
        let entries = entries(&identity.guids, &identity.macs);
        self.with_entries(0, &entries, Some(&identity.vsd))
    }

    /// With these GUIDs: node, port 1, port 2, system image. MACs and VSD stay.
    pub fn with_guids(&self, guids: &[Guid; 4]) -> Result<Self, PatchError> {
        self.with_entries(0, &entries(guids, &[]), None)
    }

    /// With these MACs of port 1 and port 2. GUIDs and VSD stay.
    pub fn with_macs(&self, macs: &[Mac; 2]) -> Result<Self, PatchError> {
        self.with_entries(4, &entries(&[], macs), None)
    }

    fn with_entries(
        &self,
        first: usize,
        entries: &[u8],
        vsd: Option<&[u8]>,
    ) -> Result<Self, PatchError> {
        let mut bytes = self.start_change()?;
        self.put_entries(&mut bytes, first, entries)?;
        if let Some(vsd) = vsd {
            self.put_vsd(&mut bytes, vsd)?;
        }
        self.finish_identity(bytes, false)
    }

    /// With this VSD. GUIDs and MACs stay, blank ones too.
    pub fn with_vsd(&self, vsd: &[u8]) -> Result<Self, PatchError> {
        let mut bytes = self.start_change()?;
        self.put_vsd(&mut bytes, vsd)?;
        self.finish_identity(bytes, self.is_blank())
    }

    /// With all entries blank, section CRC and full CRC blank too (docs/fs2.md#blank-guids): an
    /// image that waits for an identity and does not boot before it has one. The VSD stays.
    pub fn with_blank_guids(&self) -> Result<Self, PatchError> {
        let mut bytes = self.start_change()?;
        let section = self.guid_section()?;
        let body = section.body_at.0 as usize;
        let crc = body + section.body_len as usize;
        let place = bytes.get_mut(body..crc);
        place.ok_or(PatchError::GuidSection(0))?.fill(0xFF);
        if !put_be32(&mut bytes, crc, BLANK_CRC) {
            return Err(PatchError::GuidSection(0));
        }
        self.finish_identity(bytes, true)
    }

    /// The image waits for an identity.
    pub(super) fn is_blank(&self) -> bool {
        self.image().guids.as_ref().is_some_and(|guids| guids.blank)
    }

    fn finish_identity(&self, bytes: Vec<u8>, blank: bool) -> Result<Self, PatchError> {
        let changed = Self::finish_change(bytes, blank)?;
        if !changed.only_identity_changed(self) {
            let text = "more than the identity changed";
            return Err(PatchError::SelfCheck(text.into()));
        }
        Ok(changed)
    }

    fn guid_section(&self) -> Result<&Section, PatchError> {
        self.pointed_at(SectionKind::Guid, self.image().header.guid_body)
            .ok_or(PatchError::GuidSection(0))
    }

    /// Writes entries from number `first` on and the section's CRC. A blank section loses its blank
    /// CRC by that: it holds an identity now, even if an incomplete one.
    fn put_entries(
        &self,
        bytes: &mut [u8],
        first: usize,
        entries: &[u8],
    ) -> Result<(), PatchError> {
        let section = self.guid_section()?;
        let count = section.body_len as usize / ENTRY;
        let wrong = || PatchError::GuidSection(count as u32);
        // Sections with more than 6 entries were never seen; the meaning of the others is unknown.
        if !matches!(count, 4 | 6) || first * ENTRY + entries.len() > count * ENTRY {
            return Err(wrong());
        }
        let start = section.body_at.0 as usize + first * ENTRY;
        let place = bytes.get_mut(start..start + entries.len());
        place.ok_or_else(wrong)?.copy_from_slice(entries);
        stamp_section(bytes, section)
    }

    /// Zeroes the VSD field, writes `vsd` and the CRC of the Image Info section.
    fn put_vsd(&self, bytes: &mut [u8], vsd: &[u8]) -> Result<(), PatchError> {
        let section = self.pointed_at(SectionKind::ImageInfo, self.image().header.info_body);
        let (Some(section), Some(field)) = (section, self.vsd_field()) else {
            // mstflint overwrites the start of the section in this case (docs/fs2.md#vsd).
            return if vsd.is_empty() { Ok(()) } else { Err(PatchError::NoVsdTag) };
        };
        let too_long = PatchError::VsdTooLong { len: vsd.len(), max: field.len() };
        let place = bytes.get_mut(field).ok_or(PatchError::NoVsdTag)?;
        place.fill(0);
        let start = place.get_mut(..vsd.len()).ok_or(too_long)?;
        start.copy_from_slice(vsd);
        stamp_section(bytes, section)
    }
}

fn entries(guids: &[Guid], macs: &[Mac]) -> Vec<u8> {
    let guids = guids.iter().map(|guid| guid.0);
    let macs = macs.iter().map(|mac| mac.0);
    guids.chain(macs).flat_map(u64::to_be_bytes).collect()
}

/// Writes the CRC of one section.
fn stamp_section(bytes: &mut [u8], section: &Section) -> Result<(), PatchError> {
    let start = section.at.0 as usize;
    let crc_at = section.body_at.0 as usize + section.body_len as usize;
    let done = bytes.get(start..crc_at).map(crc16);
    match done {
        Some(crc) if put_be32(bytes, crc_at, crc.into()) => Ok(()),
        _ => Err(PatchError::SelfCheck(format!(
            "the section at {start:#x} ends outside of the image"
        ))),
    }
}
