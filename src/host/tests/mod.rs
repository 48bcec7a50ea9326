//! Tests with hosts that are directories.

mod discover;
pub(in crate::host) mod fake;
mod findings;
mod in_use_net;
mod in_use_users;
mod net;
mod port;
mod select;
