//! Decisions as tables: which check refuses what, where an image goes, what stays.

pub(crate) mod bench;
mod boots;
mod choice;
mod crossflash;
mod decisions;
mod parts;
mod places;
mod refusals;
mod refusals_flash;
mod restores;
mod starts;
