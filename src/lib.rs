//! cx3flash flashes Mellanox ConnectX-3 and ConnectX-3 Pro cards from Linux userspace.
//!
//! Start at [`cli::main`] for the program and at [`job::write`] for the path of a burn. A module uses only
//! modules below it: [`cli`], [`flint`], [`job`], [`plan`], [`host`], [`sim`], [`flash`], [`card`],
//! [`image`], [`escape`], [`words`] (`tests/it/modules.rs` checks it).
//!
#![doc = include_str!("../docs/architecture.md")]

pub mod card;
pub mod cli;
pub mod escape;
pub mod flash;
pub mod flint;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod host;
pub mod image;
pub mod job;
pub mod plan;
pub mod sim;
pub mod words;
