//! The simulated card: registers, SPI NOR, boot ROM, faults, time; card files.
//! Contract: `reference/docs/hardware.md#requirements-for-an-emulator.
//!
//! A [`SimCard`] is a handle; clones see the same card. `bar0` and `config_gateway` are roads to
//! it ([`crate::card::CrSpace`]), `clock` is its time. It is strict: what a real card would not
//! like is recorded ([`SimCard::misuse`]) and is a failure of the driver under test.

mod boot;
mod booting;
mod bus;
mod card;
mod chips;
mod config;
mod fault;
mod file;
mod firmware;
mod gateway;
mod mutate;
mod nor;
mod nv_log;
mod nv_register;
mod records;
pub mod serve;
mod served;
mod spec;
mod state;
mod status;
mod store;
mod tools_defaults;
mod tools_firmware;

#[cfg(test)]
mod tests;

pub use boot::{BootOutcome, BootOutcomes};
pub use card::SimCard;
pub use chips::SimChip;
pub use fault::{Fault, WrongRead};
pub use file::CardFileError;
pub use records::{Counters, Misuse, Op};
pub use spec::CardSpec;
