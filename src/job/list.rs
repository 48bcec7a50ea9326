//! `list`: the cards that can be seen.

use super::JobError;
use crate::image::Version;
use serde::Serialize;

/// One card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListEntry {
    /// What to give to `-d`.
    pub device: String,
    /// PCI address.
    pub bdf: Option<String>,
    /// Board name, when known.
    pub board: Option<String>,
    /// `ConnectX-3 A1`.
    pub chip_name: Option<String>,
    /// No firmware runs.
    pub recovery: bool,
    /// Running firmware.
    pub running: Option<Version>,
    /// Can be worked with.
    pub ready: bool,
    /// Why not.
    pub problem: Option<String>,
}

/// Answer of `list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListOutcome {
    /// In the order they were named.
    pub cards: Vec<ListEntry>,
}

/// Look at each card named. A card that cannot be opened is listed with its problem.
///
/// # Errors
/// None today; discovery of real cards will have some.
pub fn list(selectors: &[String]) -> Result<ListOutcome, JobError> {
    let _ = selectors;
    todo!()
}
