//! `list`: the cards that can be seen.

use super::session::Facts;
use super::{JobError, open};
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
    let cards = selectors.iter().map(|selector| entry(selector)).collect();
    Ok(ListOutcome { cards })
}

fn entry(selector: &str) -> ListEntry {
    let looked = open(selector).and_then(|mut device| {
        let facts = Facts::of(&mut device)?;
        Ok((facts, device.board))
    });
    match looked {
        Ok((facts, board)) => ListEntry {
            device: selector.to_owned(),
            bdf: facts.bdf,
            board,
            chip_name: Some(facts.chip.name()),
            recovery: facts.recovery,
            running: facts.running,
            ready: true,
            problem: None,
        },
        Err(error) => ListEntry {
            device: selector.to_owned(),
            bdf: None,
            board: None,
            chip_name: None,
            recovery: false,
            running: None,
            ready: false,
            problem: Some(error.to_string()),
        },
    }
}
