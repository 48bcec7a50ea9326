//! Changing an image in memory; CRCs redone, result verified before anybody gets it (fs2-image §6, §8.3).

use super::Image;

/// A whole contiguous image with what [`super::read`] says of it. Bytes and summary always agree:
/// each change re-reads the result and fails if it is not sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    bytes: Vec<u8>,
    image: Image,
}

/// Why an image cannot be changed so.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The image has no tag 5 to hold a VSD.
    #[error("the image has no VSD tag")]
    NoVsdTag,
    /// Longer than 208 bytes.
    #[error("a VSD of {0} bytes does not fit 208")]
    VsdTooLong(usize),
    /// No GUID section, or one with another number of entries.
    #[error("the image has no GUID section of 6 entries (it has {0})")]
    GuidSection(u32),
    /// No sound image to start from.
    #[error("the image is not sound: {0}")]
    Unsound(String),
    /// Not an image.
    #[error(transparent)]
    Image(#[from] super::ImageError),
    /// The ROM is none.
    #[error(transparent)]
    Rom(#[from] super::RomError),
    /// The changed image does not verify; a defect of this program.
    #[error("the changed image does not verify: {0}")]
    SelfCheck(String),
}

impl Contents {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What they say.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }
}

impl Contents {
    /// From the bytes of a file: recognises foreign formats by name, reads fully, cuts trailing
    /// bytes off (they stay a finding).
    ///
    /// # Errors
    /// When there is no image in it. An image with findings is returned; see [`Image::is_sound`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, super::ImageError> {
        let _ = bytes;
        todo!()
    }

    /// The image at `start` of a raw dump, de-striped.
    ///
    /// # Errors
    /// As [`Contents::from_file`].
    pub fn from_dump(dump: &[u8], start: super::FlashAddr) -> Result<Self, super::ImageError> {
        let _ = (dump, start);
        todo!()
    }

    /// With this identity: all 6 entries, and the VSD when `vsd` is given.
    ///
    /// # Errors
    /// [`PatchError`].
    pub fn with_identity(&self, identity: &super::Identity) -> Result<Self, PatchError> {
        let _ = identity;
        todo!()
    }

    /// With this ROM section content, or without one.
    ///
    /// # Errors
    /// [`PatchError`].
    pub fn with_rom(&self, rom: Option<&[u8]>) -> Result<Self, PatchError> {
        let _ = rom;
        todo!()
    }

    /// Body of the ROM section.
    #[must_use]
    pub fn rom(&self) -> Option<&[u8]> {
        todo!()
    }
}
