//! The plan of a burn.

use super::{Change, Check, Kept};
use crate::flash::{SectorPlan, Signature};
use crate::image::{Contents, Half};
use serde::Serialize;

/// What the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BurnOptions {
    /// `--change-psid FROM:TO`.
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

/// Where the image goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Target {
    /// The other half; the card boots the old image until the commit.
    Half {
        /// Which.
        half: Half,
        /// log2 of the chunk size.
        chunk_log2: u8,
    },
    /// Over the only image there is.
    InPlace,
}

/// What a burn would do, complete before the first write to anything.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Every check, passed or not, in a fixed order.
    pub checks: Vec<Check>,
    /// What will be different.
    pub changes: Vec<Change>,
    /// What stays.
    pub kept: Vec<Kept>,
    /// Sentences a person must read before saying yes.
    pub warnings: Vec<String>,
    /// The card already holds exactly this: exit 2.
    pub nothing_to_do: bool,
    /// What to do; `None` when a check refuses.
    pub action: Option<Action>,
}

/// The writes of a plan.
#[derive(Clone, Debug)]
pub struct Action {
    /// Where.
    pub target: Target,
    /// The image as it will stand on the card, identity and ROM patched in.
    pub contents: Contents,
    /// Sectors.
    pub sectors: SectorPlan,
    /// The last act.
    pub signature: Signature,
}

/// Decide.
#[must_use]
pub fn plan_burn(
    card: &super::CardSnapshot,
    image: &Contents,
    file_len: u64,
    options: &BurnOptions,
) -> Plan {
    let _ = (card, image, file_len, options);
    Plan {
        checks: Vec::new(),
        changes: Vec::new(),
        kept: Vec::new(),
        warnings: Vec::new(),
        nothing_to_do: false,
        action: None,
    }
}
