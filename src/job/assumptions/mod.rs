//! What this program assumes of a card's registers, gateway and chains, tested on the card at hand; what a job
//! makes of the results.
//!
//! `selftest` runs these stages and more, a first burn the quick ones.

pub(super) mod flash;
mod judge;
pub(super) mod registers;
mod stages;

pub(super) use judge::{is_usable, judge, quick, reset_is_contradicted};
pub(super) use stages::{Stages, as_finding, confirmed};
