//! What is requested of a burn.

use super::IdentityChange;
use crate::image::Contents;
use serde::Serialize;

/// Options of a burn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BurnOptions {
    /// `--change-psid FROM:TO`. FROM is `none` for a card whose image states no PSID.
    pub change_psid: Option<(String, String)>,
    /// `--rom image|device|none`; `None` = image's if it has one, else the card's.
    pub rom: Option<RomChoice>,
    /// `--allow-older`: an image of an older version may be written.
    pub allow_older: bool,
    /// `--expect`: SHA-256 of the image file, lower-case hex.
    pub expect: Option<String>,
    /// Write the image although the card holds it already: the self-test of an expendable card.
    pub rewrite: bool,
    /// Hardware id and revision of the chip on which the backup of the image shows that it ran.
    pub ran_on: Option<(u16, u8)>,
    /// Parts of the identity that change.
    pub identity: IdentityChange,
}

/// Whose ROM will be on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RomChoice {
    /// The image's (none if it has none).
    Image,
    /// The card's (refused if it has none).
    Device,
    /// None.
    None,
}

/// The image to write.
#[derive(Clone, Copy)]
pub(super) enum Base<'a> {
    /// The image of a file.
    File { contents: &'a Contents, file_len: u64 },
    /// The card's own image.
    Own,
}

/// A burn, as requested.
#[derive(Clone, Copy)]
pub(super) struct PlanRequest<'a> {
    pub(super) base: Base<'a>,
    pub(super) options: &'a BurnOptions,
    /// The ROM of a file.
    pub(super) rom: Option<&'a [u8]>,
}
