//! The facts about one image.

use crate::escape::ForeignText;
use crate::image::{
    AddressMap, FileFormat, Finding, FlashAddr, GuidSection, ImageOffset, Info, Ini, Layout,
    RangeError, Rom, Section, SectionKind, Severity, SourceError, TagFault, Version,
};
use serde::Serialize;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only what a query shows: header, GPH chain, Image Info and GUID sections with their CRCs,
    /// the places of the ROM where version blocks lie. For cards.
    Quick,
    /// The same, and of the ini what names the board.
    Query,
    /// Every byte, every CRC, the ini.
    Full,
}

/// The first 0x38 bytes (docs/fs2.md#header).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    #[serde(skip)]
    pub raw: [u8; 0x38],
    /// 0x20 bits 15:0.
    pub stored_full_crc: u16,
    /// 0x2C bits 23:0.
    pub info_body: ImageOffset,
    /// 0x30: the size of the image; tools that edit an ini leave a wrong one.
    pub declared_size: u32,
    /// 0x34.
    pub guid_body: ImageOffset,
}

/// How the walk along the chain of sections ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "end")]
pub enum WalkEnd {
    #[error("the chain ends")]
    Complete,
    /// No walk: an image of this layout may not start here (docs/fs2.md#image-start).
    #[error("the image starts where none may start")]
    WrongStart,
    /// The last block is damaged: see its [`Section::crc`].
    #[error("a block is damaged")]
    Block,
    /// The tags of the last block, an Image Info section, do not fit it.
    #[error("{0}")]
    Info(TagFault),
    #[error("the chain of sections loops back to {at:#x}")]
    Loop { at: u32 },
    /// More sections, or more bytes in them, than any image has.
    #[error("the chain goes on at {at:#x} after {sections} sections")]
    TooLong { at: u32, sections: u32 },
}

/// What could not be read when a pointer of the header was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PointedField {
    Pointer,
    /// The size word of the GPH.
    Size,
    Body,
    Crc,
}

/// Why a pointer of the header does not lead to a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum PointerFault {
    #[error("the section that the header points at cannot be read: {error}")]
    Unreadable { field: PointedField, error: RangeError },
    #[error("the pointer {at:#010x} of the header leads out of the source")]
    Outside { at: u32 },
    /// The byte sum of the Image Info pointer is not 0.
    #[error("the Image Info pointer {pointer:#010x} has a wrong byte sum")]
    CheckByte { pointer: u32 },
    #[error("the GUID section has {entries} entries")]
    TooManyGuids { entries: u32 },
    #[error("{0}")]
    Tags(TagFault),
}

/// One image: its contents, what was seen while it was read, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Where the signature is in the source.
    pub start: FlashAddr,
    /// How its offsets map to the source.
    pub map: AddressMap,
    pub layout: Layout,
    pub header: Header,
    /// BOOT2 blocks and sections, in chain order, as far as the walk got.
    pub sections: Vec<Section>,
    /// End of the last section walked = size of the image in bytes. 0 when none was.
    pub len: u32,
    pub walk_end: WalkEnd,
    /// The last GPH of the walk that could not be read; its words count as 0.
    #[serde(skip)]
    pub unread_gph: Option<(ImageOffset, RangeError)>,
    /// The walk stopped at a section with a wrong CRC that holds no code (ROM, GUID, Image Info), and the
    /// rest of the chain is valid.
    #[serde(skip)]
    pub valid_behind: bool,
    /// The full image CRC of the bytes; `None` when the walk was not complete or only quick.
    pub computed_crc: Option<u16>,
    /// A GUID section of the chain is blank and so is its CRC.
    pub blank_in_chain: bool,
    /// Image Info, when the header's pointer leads to tags that can be read.
    pub info: Option<Info>,
    pub info_fault: Option<PointerFault>,
    /// The header's pointer leads to a section of type 10.
    pub info_type_ok: bool,
    /// And its CRC is right.
    pub info_crc_ok: bool,
    /// Tags of all Image Info sections of the chain, in chain order. Collected by a full reading
    /// only.
    #[serde(skip)]
    pub chain_info: Option<Info>,
    /// The same, then the tags of [`Image::info`].
    #[serde(skip)]
    pub merged_info: Option<Info>,
    /// GUID section the header's pointer leads to, when it could be read.
    pub guids: Option<GuidSection>,
    pub guid_fault: Option<PointerFault>,
    /// ROM, when there is a section of type 5 that is not empty (the first counts).
    pub rom: Option<Rom>,
    /// Number to order the board by, as the ini has it; `None` too when the ini was not read.
    pub part_number: Option<ForeignText>,
    /// What the board is, likewise.
    pub description: Option<ForeignText>,
    /// Ini, when it was read and is present (the last section of type 9 counts).
    #[serde(skip)]
    pub ini: Option<Ini>,
    /// Worst first; among equals in the order of the checks.
    pub findings: Vec<Finding>,
}

impl Image {
    /// No finding of severity error: the image may be burned and is expected to boot.
    pub fn is_valid(&self) -> bool {
        self.findings.iter().all(|f| f.severity != Severity::Error)
    }

    /// The header states the size that the chain of sections has.
    pub fn size_word_is_right(&self) -> bool {
        self.header.declared_size == self.len
    }

    pub fn fw_version(&self) -> Option<Version> {
        self.info.as_ref()?.fw_version
    }

    /// Takes part number and description from an ini.
    pub(super) fn describe(&mut self, ini: &Ini) {
        self.part_number = ini.part_number().map(Into::into);
        self.description = ini.description().map(Into::into);
    }

    /// The section of the ROM: the first of its kind that is not empty, as mstflint selects it
    /// (docs/fs2.md#rom-section). Its CRC may be wrong.
    pub fn rom_section(&self) -> Option<&Section> {
        self.sections.iter().find(|s| s.kind == SectionKind::Rom && s.body_len != 0)
    }

    /// The PSID; an empty one is none.
    pub fn psid(&self) -> Option<&ForeignText> {
        let psid = self.info.as_ref()?.psid.as_ref()?;
        Some(psid).filter(|psid| !psid.is_empty())
    }
}

/// Why there is no image to report on.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("the file is empty")]
    Empty,
    #[error("the file is {0}, not an image")]
    Foreign(FileFormat),
    #[error("the file is an FS{0} image, made for a later chip")]
    OtherFormat(u8),
    #[error("the file is an expansion ROM, not an image")]
    RomFile,
    /// A raw dump of a flash chip where one contiguous image is wanted; it may hold two images.
    #[error("the file is a raw dump of a flash chip, not an image")]
    RawDump,
    #[error("{0} bytes are too few for an image header")]
    TooShort(u32),
    /// An incomplete download.
    #[error("the file holds only the first {len} bytes of an FS2 image{}", of_size(*.size))]
    CutShort {
        len: u64,
        /// Bytes of the image, when its header is there.
        size: Option<u32>,
    },
    #[error("the length of {0} bytes is not a multiple of 4")]
    Unaligned(u64),
    #[error("no image signature at any of the places where an image may start")]
    NoMagic,
    #[error("the failsafe word {0:#010x} at 0x28 has a wrong byte sum")]
    FailsafeWord(u32),
}

fn of_size(size: Option<u32>) -> String {
    size.map_or_else(String::new, |size| format!(" of {size}"))
}
