//! What flint 4.21 concludes from the facts about an image, and its error texts, byte for byte
//! (docs/flint.md#verdicts-of-verify).

use crate::image::{
    CrcVerdict, Finding, FindingId, FlashAddr, Image, ImageError, Info, Layout, PointedField,
    PointerFault, RangeError, SectionKind, Severity, TagFault, WalkEnd,
};
use schemars::JsonSchema;
use serde::Serialize;

/// flint's text for a failsafe word with a wrong byte sum.
pub(super) const BAD_FAILSAFE_WORD: &str = "Corrupted chunk size checksum";

/// The conclusion of flint's `verify`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum FlintVerdict {
    /// "FW image verification succeeded. Image is bootable."
    Bootable,
    /// "FW image verification failed: …".
    Failed {
        /// flint's text after "failed: " and before ". AN HCA DEVICE CAN NOT BOOT …": "Bad CRC.",
        /// "(null)" when flint set no text; read errors end in a newline.
        text: String,
    },
    /// "Failed to get Guids status. …".
    NoGuidStatus { text: String },
    /// "BLANK GUIDS".
    BlankGuids,
    /// No verdict: the chain loops and flint does not end, or (quick reading) the bytes that decide
    /// were not read.
    Undecided { reason: String },
}

impl FlintVerdict {
    /// The verdict on these facts. flint also counts the signatures of the whole source: see
    /// [`scan_error`].
    pub fn of(image: &Image) -> Self {
        let failed = |text| Self::Failed { text };
        match image.walk_end {
            WalkEnd::WrongStart => return failed(wrong_start(image)),
            WalkEnd::Block => return failed(damaged_block(image)),
            WalkEnd::Info(fault) => {
                let fault = tag_text(fault);
                return failed(format!("Failed to read the info sector: {fault}\n"));
            }
            WalkEnd::Loop { .. } | WalkEnd::TooLong { .. } => {
                let reason = image.walk_end.to_string();
                return Self::Undecided { reason };
            }
            WalkEnd::Complete => {}
        }
        if let Some(fault) = image.guid_fault {
            let text = pointer_text(fault, SectionKind::Guid);
            return Self::NoGuidStatus { text };
        }
        if let Some(fault) = image.info_fault {
            let text = pointer_text(fault, SectionKind::ImageInfo);
            return Self::NoGuidStatus { text };
        }
        if image.computed_crc.is_none() {
            let reason = "the image was not read fully".to_owned();
            return Self::Undecided { reason };
        }
        if image.guids.as_ref().is_some_and(|g| g.blank) {
            return Self::BlankGuids;
        }
        Self::Bootable
    }
}

/// The text after `-E- Failed to query image: F. ` when flint's `query` of this image fails; `None`
/// when it prints its lines.
pub fn query_error(image: &Image) -> Option<String> {
    match FlintVerdict::of(image) {
        FlintVerdict::Failed { text } | FlintVerdict::NoGuidStatus { text } => Some(text),
        _ => None,
    }
}

/// flint's error when the signatures alone make `query` and `verify` fail
/// (docs/fs2.md#image-start).
pub fn scan_error(magics: &[FlashAddr]) -> Option<String> {
    match magics {
        [] => Some("No valid image found".to_owned()),
        [a, b, c, ..] => Some(format!(
            "More than 2 image start locations found at addresses {:#x}, {:#x} and {:#x}. \
             Image may be corrupted.",
            a.0, b.0, c.0
        )),
        _ => None,
    }
}

/// flint's error where it fails for the same reason (docs/flint.md#verify): the text after `failed: `.
/// Before the one for a failsafe word it prints `\n    Can not read failsafe info word: ` and
/// the text.
pub fn error_text(error: &ImageError) -> Option<&'static str> {
    match error {
        ImageError::NoMagic => Some("No valid image found"),
        ImageError::FailsafeWord(_) => Some(BAD_FAILSAFE_WORD),
        _ => None,
    }
}

/// The Full Image line: only with tag 11 in the chain and after a complete walk
/// (docs/fs2.md#full-image-crc).
pub fn full_crc(image: &Image) -> Option<CrcVerdict> {
    let computed = u32::from(image.computed_crc?);
    image.chain_info.as_ref()?.mic_version?;
    let stored = u32::from(image.header.stored_full_crc);
    Some(if image.blank_in_chain {
        CrcVerdict::Blank
    } else if computed == stored {
        CrcVerdict::Ok
    } else {
        CrcVerdict::Wrong { computed, stored }
    })
}

/// The tags flint's query shows: those of every Image Info section of the chain, also of those the
/// header does not point at, then those of the section it points at.
pub fn query_info(image: &Image) -> Option<&Info> {
    let merged = image.merged_info.as_ref();
    merged.or(image.info.as_ref()).or(image.chain_info.as_ref())
}

/// flint prints the heading of its table: it does so before it refuses the start address of a
/// failsafe image, but not before that of a non-failsafe one (docs/flint.md#order-of-verify).
pub fn prints_heading(image: &Image) -> bool {
    image.layout != Layout::NonFailsafe || image.start.0 == 0
}

/// flint's `verify` or `query` of the image fails because of this finding too.
pub fn fails_for(image: &Image, finding: &Finding) -> bool {
    // The section a pointer leads to is checked when the chain comes to it.
    let chain_fails_at_it = |kind| {
        let mut sections = image.sections.iter();
        let section = sections.find(|s| s.kind == kind && Some(s.body_at) == finding.at);
        section.is_some_and(|s| s.crc != CrcVerdict::Ok)
    };
    match finding.id {
        FindingId::SectionCrc | FindingId::StartAddress | FindingId::BlankGuids => true,
        FindingId::IdentityCrc => chain_fails_at_it(SectionKind::Guid),
        FindingId::Pointer => {
            let header = &image.header;
            image.guid_fault.is_some() && finding.at == Some(header.guid_body)
                || image.info_fault.is_some() && finding.at == Some(header.info_body)
        }
        FindingId::Info if finding.severity == Severity::Error => {
            finding.at.is_none()
                || image.info_fault.is_some()
                || chain_fails_at_it(SectionKind::ImageInfo)
        }
        _ => false,
    }
}

/// What flint prints before the result of a block:
/// `     /0x00000038-0x0000065b (0x000624)/ (BOOT2)` (docs/flint.md#text-of-verify).
pub fn block_label(at: u32, len: u32, name: &str) -> String {
    let last = at.wrapping_add(len).wrapping_sub(1);
    format!("     /0x{at:08x}-0x{last:08x} (0x{len:06x})/ ({name})")
}

fn wrong_start(image: &Image) -> String {
    let start = image.start.0;
    match image.layout {
        Layout::NonFailsafe => format!(
            "FS2 Non Failsafe image must start at address 0. Found non-fs image at address {start:#x}"
        ),
        Layout::Failsafe { .. } => format!(
            "FS2 Failsafe image must start at address 0 or at chunk size. Found a failsafe image \
             at address {start:#x}"
        ),
    }
}

/// The text for the last block. For an impossible size flint sets none: it prints the text of an
/// earlier GPH that it could not read, or a null pointer.
fn damaged_block(image: &Image) -> String {
    if let Some(block) = image.sections.last() {
        match block.crc {
            CrcVerdict::Unreadable { reason } => {
                // The size word of a BOOT2 block could not be read, so the block has no end.
                let label = if block.kind == SectionKind::Boot2 && block.len == 8 {
                    format!("     /0x{:08x}/ (BOOT2)", block.at.0)
                } else {
                    block_label(block.at.0, block.len, &block.kind.name())
                };
                return read_error(&label, reason);
            }
            CrcVerdict::Wrong { .. } => return "Bad CRC.".to_owned(),
            _ => {}
        }
    }
    match image.unread_gph {
        Some((at, error)) => read_error(&format!("     /0x{:08x}/ (GeneralHeader)", at.0), error),
        None => "(null)".to_owned(),
    }
}

fn read_error(label: &str, error: RangeError) -> String {
    let reason = match error {
        RangeError::UnalignedOffset => "Address should be 4-bytes aligned.".to_owned(),
        RangeError::UnalignedLength => "Length should be 4-bytes aligned.".to_owned(),
        RangeError::Outside { at, len, size, striped } => {
            let space = if striped { "physical " } else { "" };
            format!(
                "Reading {len:#x} bytes from {space} address {at:#x} is out of image limits ({size:#x} bytes)"
            )
        }
        // "%#x" prints zero as a plain 0.
        RangeError::Missing(at) if at.0 == 0 => {
            "Failed to read from FW file, offset: 0 - Success".to_owned()
        }
        RangeError::Missing(at) => {
            format!("Failed to read from FW file, offset: {:#x} - Success", at.0)
        }
    };
    format!("{label} - read error ({reason})\n")
}

/// The text for a fault of the header's pointer to a GUID or Image Info section.
fn pointer_text(fault: PointerFault, to: SectionKind) -> String {
    let info = to == SectionKind::ImageInfo;
    match fault {
        PointerFault::Unreadable { field, error } => {
            let label = match (field, info) {
                (PointedField::Pointer, false) => "GUID PTR",
                (PointedField::Size, false) => "Number of GUIDs",
                (PointedField::Body, false) => "GUIDS",
                (PointedField::Crc, false) => "GUIDS CRC",
                (PointedField::Pointer, true) => "INFO PTR",
                (PointedField::Size, true) => "Info section size",
                (PointedField::Body | PointedField::Crc, true) => "Info Section",
            };
            read_error(label, error)
        }
        PointerFault::Outside { at } if info => format!(
            "Failed to read Info Section - Info section pointer ({at:08x}) too large. Probably the \
             image is corrupted."
        ),
        PointerFault::Outside { at } => format!(
            "Failed to read GUIDs - Illegal GUID pointer ({at:08x}). Probably image is corrupted"
        ),
        PointerFault::TooManyGuids { entries } => {
            format!("Failed to read GUIDs - Illegal Number of GUIDs ({entries})")
        }
        PointerFault::CheckByte { pointer } => format!(
            "Failed to read Info Section - Bad checksum for Info section pointer ({pointer:08x}). \
             Probably the image is corrupted."
        ),
        PointerFault::Tags(fault) => tag_text(fault),
    }
}

fn tag_text(fault: TagFault) -> String {
    match fault {
        TagFault::TooLong { number, id, size, section } => format!(
            "Info section corrupted: Tag {number} (TagId {id}, size {size}) exceeds \
             Info section size ({section} bytes) "
        ),
        TagFault::EndTag { section, end } => {
            let found = match end {
                Some(end) => format!("but end tag found after {end:#x} bytes."),
                None => "but end tag not found before section end.".to_owned(),
            };
            format!("Info section corrupted: Section data size is {section:#x} bytes, {found}")
        }
    }
}

#[cfg(test)]
mod tests;
