//! The simulated card: registers, SPI NOR, boot ROM, faults, time; card files.
//! Contract: `reference/flash-hardware.md` §11.
//!
//! A [`SimCard`] is a handle; clones see the same card. `bar0` and `config_gateway` are roads to
//! it ([`crate::card::CrSpace`]), `clock` is its time.

mod boot;
mod bus;
mod card;
mod counters;
mod fault;
mod file;
mod gateway;
mod nor;
mod parts;
mod spec;

pub use boot::BootOutcome;
pub use card::{Misuse, SimCard};
pub use counters::Counters;
pub use fault::Fault;
pub use file::CardFileError;
pub use parts::SimPart;
pub use spec::CardSpec;
