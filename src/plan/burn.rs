//! The plan of a burn.

use super::decide::{Base, PlanRequest, decide};
use super::{CardSnapshot, IdentityChange, Plan};
use crate::image::Contents;
use serde::Serialize;

/// Options of a burn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BurnOptions {
    /// `--change-psid FROM:TO`. FROM is `none` for a card whose image states no PSID.
    pub change_psid: Option<(String, String)>,
    /// `--rom image|device|none`; `None` = image's if it has one, else the card's.
    pub rom: Option<RomChoice>,
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

/// Decide what a burn of `image`, read from a file of `file_len` bytes, would do.
#[must_use]
pub fn plan_burn(
    card: &CardSnapshot,
    image: &Contents,
    file_len: u64,
    options: &BurnOptions,
) -> Plan {
    plan_burn_as(card, image, file_len, options, &IdentityChange::default())
}

/// [`plan_burn`] with parts of the identity changed.
#[must_use]
pub fn plan_burn_as(
    card: &CardSnapshot,
    image: &Contents,
    file_len: u64,
    options: &BurnOptions,
    change: &IdentityChange,
) -> Plan {
    decide(
        card,
        &PlanRequest {
            base: Base::File {
                contents: image,
                file_len,
            },
            options,
            change: change.clone(),
            rom: None,
        },
    )
}
