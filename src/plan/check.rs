//! Checks and what a plan shows.

use serde::Serialize;

/// One check with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which.
    pub id: CheckId,
    /// Passed, or waived by a spelled-out option (then `detail` says so).
    pub ok: bool,
    /// One sentence with the figures.
    pub detail: String,
}

/// Stable names of checks; the numbers are the rows of fs2-image §10.2 and §10.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckId {
    /// The image verifies, stricter rules included (10.2 #4, 10.7 #10).
    ImageSound,
    /// Header size = chain end ≤ file length (10.7 #7).
    ImageSize,
    /// ROM in the image is for the image's device (10.2 #5).
    RomDevice,
    /// The card's identity can be read and is whole (10.2 #6, #9, #18; 10.7 #5; P4).
    Identity,
    /// The image can hold the identity (6 GUID entries, a VSD tag when one is to be kept).
    IdentityFits,
    /// Failsafe onto failsafe, non-failsafe onto non-failsafe (10.2 #8).
    Layout,
    /// Chunk sizes equal (10.3).
    ChunkSize,
    /// Older, same, newer: a note, never a refusal (10.2 #10).
    Version,
    /// PSID equal, or the change spelled out (10.2 #11, #16).
    Psid,
    /// Configuration pad equal (10.2 #12).
    ConfigPad,
    /// Silicon and revision (10.2 #15).
    Silicon,
    /// Which ROM will be on the card (10.2 #17, 10.7 #15).
    Rom,
    /// Size against half or whole flash less the NV area (10.3).
    Fits,
    /// ini's log_flashdev_size against the chip (10.7 #18).
    FlashSize,
    /// No erase reaches the NV configuration area (10.7 #8).
    NvArea,
    /// At most two signatures, the active one known (10.7 #11, #20).
    Signatures,
    /// Nothing write protected that must change (flash-hardware §5.3).
    Protection,
    /// The result was verified in memory after patching (10.7 #6).
    PatchedImage,
    /// Old and new ROM section damage is a note (10.7 #16).
    OldImage,
    /// A failsafe burn survives a cut; a non-failsafe one says so in words (10.2 #13, P1).
    Interruption,
}

/// Something that will be different afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Field name, snake_case.
    pub field: String,
    /// Before; `None` = nothing there.
    pub from: Option<String>,
    /// After.
    pub to: Option<String>,
}

/// Something that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Field name, snake_case.
    pub field: String,
    /// Its value.
    pub value: String,
}
