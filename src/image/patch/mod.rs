//! Changing an image in memory; CRCs redone, result verified before anybody gets it
//! (docs/fs2.md#guid-section, docs/flint.md#rom-commands).
//!
//! [`Contents`] holds a whole contiguous image beside what [`super::read`] says of it. Every change
//! makes a new `Contents` from scratch: bytes patched, CRCs stamped, read again in full, and
//! refused with [`PatchError::SelfCheck`] when the result is not sound or when more changed than
//! was asked for.

mod checksum;
mod contents;
mod error;
mod identity;
mod rom;

pub use contents::Contents;
pub use error::PatchError;

#[cfg(test)]
mod tests;
