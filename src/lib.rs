//! cx3flash: flashes Mellanox ConnectX-3 and ConnectX-3 Pro cards from Linux userspace.
//!
//! Rooms, top to bottom; calls go one way, downward, and `tests/it/modules.rs` holds the code to it:
//!
//! | room | holds |
//! |---|---|
//! | [`cli`] | arguments, text, JSON, progress drawing, hints, exit codes |
//! | [`job`] | what a user asked for, step by step |
//! | [`plan`] | pure decisions: snapshots in, plan out |
//! | [`host`] | Linux: discovery, in-use checks, journal, lease, VFIO |
//! | [`sim`] | the simulated card |
//! | [`flash`] | gateway, chip table, sector layout, the typestate |
//! | [`card`] | CR-space, registers, semaphores, clock |
//! | [`image`] | FS2 images, without I/O |

pub mod card;
pub mod cli;
pub mod flash;
pub mod flint;
pub mod host;
pub mod image;
pub mod job;
pub mod plan;
pub mod sim;
