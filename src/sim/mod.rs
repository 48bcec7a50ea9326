//! The simulated card: registers, SPI NOR, boot ROM, faults, time; card files. It is written from
//! docs/hardware.md#requirements-for-an-emulator and shares no code with `card` and `flash`, which
//! it tests.
//!
//! Clones of a [`SimCard`] are handles on the same card. `bar0` and `config_gateway` are its
//! register accesses ([`crate::card::CrSpace`]), `clock` is its time. An access that no correct
//! driver makes is recorded ([`SimCard::misuse`]) and fails the driver under test.

mod boot;
mod booting;
mod bus;
mod card;
mod chips;
mod config;
mod defects;
mod dma;
mod fault;
mod file;
mod firmware;
mod fs2;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod gateway;
mod mutate;
mod nor;
mod nv_log;
mod nv_register;
mod random;
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
pub use fault::{Fault, FirmwareDefect, WrongRead, WrongRegister};
pub use file::CardFileError;
pub use fs2::BootRefusal;
#[cfg(any(test, fuzzing))]
pub(crate) use fuzz::open as fuzz_card_file;
pub use records::{Counters, Misuse, Op};
pub use spec::CardSpec;
pub use store::spec_in;
