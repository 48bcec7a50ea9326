//! Jobs on simulated cards: what they leave on the card, on the disk and in the answer.

mod assumptions;
mod awake;
mod backups;
pub(crate) mod bench;
mod booting;
mod budgets;
mod burns;
mod firmware;
mod inspection;
mod pulled;
mod readings;
mod refusals;
mod repairs;
mod sectors;
mod selftest;
mod selftest_cards;
mod selftest_stops;
mod settings;
mod stops;
mod traces;
mod trial;
mod trial_stops;
