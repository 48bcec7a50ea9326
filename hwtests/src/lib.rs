#![doc = include_str!("../../docs/lab.md")]
#![allow(clippy::print_stderr, reason = "a test harness writes to a terminal")]

pub mod guest;
pub mod host;
pub mod provision;
pub mod run;
pub mod scenario;
