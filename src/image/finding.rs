//! What is wrong with an image: the rules a burn depends on (docs/fs2.md#order-of-a-burn).

use super::ImageOffset;
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Note,
    /// Does not keep the image from booting, as far as known.
    Warning,
    /// The image must not be burned.
    Error,
}

/// Stable name of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingId {
    /// The image starts where none of its layout may (docs/fs2.md#image-start).
    StartAddress,
    /// A BOOT2 block or section fails its CRC, is too big or unreadable.
    SectionCrc,
    /// The chain loops, runs backwards into itself or does not end.
    Chain,
    /// Two blocks overlap.
    Overlap,
    /// The Image Info section is inconsistent.
    Info,
    /// The GUID pointer or the Image Info pointer does not point at such a section.
    Pointer,
    /// GUIDs and MACs are blank.
    BlankGuids,
    /// The GUID section fails its CRC.
    IdentityCrc,
    FullImageCrc,
    /// Header size, chain end and file length disagree.
    Size,
    /// Bytes follow the image.
    TrailingBytes,
    /// No tag 5: a VSD cannot be put in.
    NoVsdTag,
    /// The ini does not inflate, or inflates beyond its bound.
    Ini,
    /// The ROM is damaged or for another device.
    Rom,
    /// Required tags are missing (version, PSID, device id).
    MissingTag,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub id: FindingId,
    pub severity: Severity,
    /// Where, if it has a place.
    pub at: Option<ImageOffset>,
    /// One sentence with the values.
    pub detail: String,
}

impl Finding {
    pub(super) fn new(id: FindingId, severity: Severity, at: Option<u32>, detail: String) -> Self {
        let at = at.map(ImageOffset);
        Self { id, severity, at, detail }
    }
}
