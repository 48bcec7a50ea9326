//! What is shown: scenarios over a bench.

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::rooms::Room;

/// What a scenario asks of a bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Only reads the card; the host is borrowed and put back.
    Reads,
    /// Writes the flash: a card must have named itself expendable.
    Writes,
    /// Faults, kill points or devices that only the lab has.
    Lab,
}

/// How a scenario that did not fail ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// It was seen.
    Yes,
    /// It could not be tried, for this reason.
    Skipped(String),
}

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name in reports, snake_case.
    pub name: &'static str,
    /// The guest it runs in; a card bench runs those of [`Room::Plain`].
    pub room: Room,
    /// What it asks for.
    pub need: Need,
    /// The scenario itself.
    pub run: fn(&mut dyn Bench) -> Result<Shown>,
}

/// All scenarios; those of one room run in this order, in one guest.
#[must_use]
pub fn all() -> Vec<Scenario> {
    Vec::new()
}
