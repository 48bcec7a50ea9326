//! cx3flash flashes Mellanox ConnectX-3 and ConnectX-3 Pro cards from Linux userspace.
//!
//! Each module calls only modules below it in this table (`tests/it/modules.rs` checks it):
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | arguments, text, JSON, progress, exit codes |
//! | [`flint`] | flint's command line, texts and questions |
//! | [`job`] | what a user requested, step by step; what a failure means to the caller |
//! | [`plan`] | decisions without I/O: snapshots in, plan out |
//! | [`host`] | Linux: discovery, in-use checks, journal, lease, VFIO |
//! | [`sim`] | the simulated card |
//! | [`flash`] | gateway, chip table, sector layout, the typestate |
//! | [`card`] | CR-space, registers, semaphores, clock |
//! | [`image`] | FS2 images, without I/O |
//!
//! Start at [`cli::main`] for the program, at [`job::burn`] for the path of a burn.

pub mod card;
pub mod cli;
pub mod flash;
pub mod flint;
pub mod host;
pub mod image;
pub mod job;
pub mod plan;
pub mod sim;
