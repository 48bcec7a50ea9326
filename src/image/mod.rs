//! FS2 firmware images: reading, checking, patching and building, without any I/O.
//!
//! [`scan`] finds where images may start, [`read`] walks one and reports the facts as an [`Image`],
//! [`Contents`] holds a complete contiguous image that can be patched, [`build`] makes valid images
//! for tests and the simulated card. The format is described in `docs/fs2.md`.
//!
#![doc = include_str!("../../docs/fs2.md")]

mod addr;
mod archive;
mod build;
mod crc;
mod finding;
mod format;
mod guid;
mod identity;
mod info;
mod ini;
mod new_section;
mod patch;
mod read;
mod rom;
mod scan;
mod section;
mod settings;
mod source;
mod tags;
mod words;

pub use addr::{AddressMap, FlashAddr, Form, Half, ImageOffset, Layout};
pub use archive::{
    ArchiveEntry, ArchiveError, ArchiveImage, ArchiveMember, MAX_UNPACKED, image_in_archive,
    walk_archive,
};
pub use build::{BuildError, ExtraSection, Recipe, RomBlock, RomRecipe, build, striped};
pub use crc::crc16;
pub use finding::{Finding, FindingId, Severity};
pub use format::FileFormat;
pub use guid::{Guid, GuidSection, Mac};
pub use identity::{Identity, IdentityError};
pub use info::{BuildDate, Info, Version};
pub use ini::{Ini, IniEntry, IniError, ini_count, ini_equal, ini_number};
pub use patch::{Contents, PatchError};
pub use read::{
    Depth, Header, Image, ImageError, PointedField, PointerFault, WalkEnd, guess_form,
    may_hold_image, read, sniff,
};
pub use rom::{ExpRom, PciFault, PciImage, Rom, RomError, RomFault};
pub use scan::{MAGIC, START_CANDIDATES, scan};
pub use section::{CrcVerdict, Section, SectionKind};
pub use settings::IniSetting;
pub use source::{RangeError, Source, SourceError};
pub use tags::TagFault;
pub use words::{be32, be32s, trim_zeros};

#[cfg(test)]
pub(crate) mod tests;
