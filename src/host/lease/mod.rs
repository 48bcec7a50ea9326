//! A card taken from its driver and given back (promise P6; docs/linux.md#sequence-of-a-job,
//! docs/linux.md#binding, docs/linux.md#mlx4_core, docs/linux.md#journal-and-restore).
//!
//! Taking: every change is in the journal, synced, before it is made. Giving back: the record in
//! memory counts, and a disk that fails stops nothing. It compares the host with its original state
//! and changes only what differs, so it can be repeated.

mod actions;
mod error;
mod follow;
mod forget;
mod give_back;
mod guard;
mod helper;
mod lock;
mod pending;
mod presence;
mod reenumerate;
mod steps;
mod take;
#[cfg(test)]
pub(super) mod tests;

pub use error::LeaseError;
pub use forget::{Droppable, ForgetChoice};
pub use helper::{HELPER_COMMAND, write_attribute};
pub use pending::Pending;
pub use steps::{Lease, Mark};
