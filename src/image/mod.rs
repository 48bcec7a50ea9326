//! FS2 firmware images: reading, checking, patching and building, without any I/O.
//!
//! [`scan`] finds where images may start, [`read`] walks one and says everything it says of itself
//! as an [`Image`], [`Contents`] holds a whole contiguous image that can be patched,
//! [`build`] makes valid images for fixtures and the demo.
//! Facts and section numbers: `reference/docs/fs2.md#sources-and-marks.

mod addr;
mod build;
mod crc;
mod finding;
mod identity;
mod info;
mod ini;
mod patch;
mod read;
mod rom;
mod scan;
mod section;
mod settings;
mod source;
mod tags;
mod words;

pub use addr::{AddressMap, FlashAddr, Half, ImageOffset, Runs};
pub use build::{
    BlockPlace, BuildError, ExtraSection, Recipe, RomBlock, RomRecipe, build, striped,
};
pub use crc::{Crc16State, crc16};
pub use finding::{Finding, FindingId, FlintVerdict, Severity};
pub use identity::{Guid, GuidSection, Identity, IdentityError, Mac};
pub use info::{BuildDate, Info, RawTexts, Version};
pub use ini::{Ini, IniEntry, IniError, ini_number};
pub use patch::{Contents, PatchError};
pub use read::{
    Depth, Form, Header, Image, ImageError, Layout, guess_form, read, read_whole, sniff,
};
pub use rom::{ExpRom, Rom, RomError};
pub use scan::{MAGIC, START_CANDIDATES, Scan, scan};
pub use section::{CrcVerdict, Section, SectionKind};
pub use settings::IniSetting;
pub use source::{Source, SourceError};
pub use words::{be32, be32s};
