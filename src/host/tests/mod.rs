//! Tests of the host room: hosts made of files.

mod discover;
pub(in crate::host) mod fake;
mod select;
