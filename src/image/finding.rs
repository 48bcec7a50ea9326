//! Verdicts: flint's, and the stricter ones of ours (docs/flint.md#verify, docs/fs2.md#order-of-a-burn).

use super::ImageOffset;
use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Does not keep the image from booting, as far as known.
    Warning,
    /// The image must not be burned.
    Error,
}

/// Stable name of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingId {
    /// The failsafe word's byte sum is wrong.
    FailsafeWord,
    /// The image starts where its kind may not (docs/fs2.md#image-start).
    StartAddress,
    /// A BOOT2 block or section fails its CRC, is too big or unreadable.
    SectionCrc,
    /// The chain loops, runs backwards into itself or never ends.
    Chain,
    /// Two blocks overlap.
    Overlap,
    /// The Image Info section is inconsistent.
    Info,
    /// The GUID pointer or the Image Info pointer does not point at such a section.
    Pointer,
    /// GUIDs and MACs are blank.
    BlankGuids,
    /// The GUID section fails its CRC (docs/fs2.md#order-of-a-burn #5).
    IdentityCrc,
    /// The full image CRC is wrong (docs/fs2.md#order-of-a-burn #10): error for us, a printed line for flint.
    FullImageCrc,
    /// Header size, chain end and file length disagree (docs/fs2.md#order-of-a-burn #7).
    Size,
    /// Bytes follow the image (docs/fs2.md#order-of-a-burn #9).
    TrailingBytes,
    /// More than two signatures (docs/fs2.md#order-of-a-burn #11).
    ManySignatures,
    /// No tag 5, a VSD cannot be put in (docs/fs2.md#order-of-a-burn #6).
    NoVsdTag,
    /// The ini does not inflate, or inflates beyond its bound.
    Ini,
    /// The ROM is damaged or for another device.
    Rom,
    /// Required tags are missing (version, PSID, device id).
    MissingTag,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub id: FindingId,
    /// How bad.
    pub severity: Severity,
    /// Where, if it has a place.
    pub at: Option<ImageOffset>,
    /// One sentence with the figures.
    pub detail: String,
    /// True when flint's `verify` or `query` fails for this too; false = stricter rule of ours.
    pub flint_fails: bool,
}

impl Finding {
    /// A finding of a rule of ours that flint does not have.
    #[must_use]
    pub fn ours(id: FindingId, severity: Severity, at: Option<u32>, detail: String) -> Self {
        Self {
            id,
            severity,
            at: at.map(ImageOffset),
            detail,
            flint_fails: false,
        }
    }

    /// A finding that makes flint fail too.
    #[must_use]
    pub fn shared(id: FindingId, severity: Severity, at: Option<u32>, detail: String) -> Self {
        Self {
            flint_fails: true,
            ..Self::ours(id, severity, at, detail)
        }
    }
}

/// What flint 4.21 `verify` would conclude of the same bytes (docs/flint.md#verdicts-of-verify).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum FlintVerdict {
    /// "FW image verification succeeded. Image is bootable."
    Bootable,
    /// "FW image verification failed: …".
    Failed {
        /// flint's text after "failed: " and before ". AN HCA DEVICE CAN NOT BOOT …", byte for
        /// byte: "Bad CRC.", "(null)" when flint set no text, read errors end in a newline.
        text: String,
    },
    /// "Failed to get Guids status. …".
    NoGuidStatus {
        /// flint's error text.
        text: String,
    },
    /// "BLANK GUIDS".
    BlankGuids,
    /// flint gives no verdict: the chain loops and flint never ends, or (quick reading) the bytes
    /// that decide were not read.
    Undecided {
        /// Which of the two, in words.
        reason: String,
    },
}

impl FlintVerdict {
    /// The text after `-E- Failed to query image: F. ` when flint's `query` of the same file fails;
    /// `None` when it prints its lines.
    #[must_use]
    pub fn query_error(&self) -> Option<&str> {
        match self {
            Self::Failed { text } | Self::NoGuidStatus { text } => Some(text),
            Self::Bootable | Self::BlankGuids | Self::Undecided { .. } => None,
        }
    }
}
