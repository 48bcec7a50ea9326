//! Walking one image (docs/fs2.md#sections), in flint's order and with flint's arithmetic, so that its verdict
//! can be told, and with rules of our own on top. The input is hostile until proven otherwise: no
//! panic, no loop without a bound, no allocation beyond the size of the source.
//!
//! Where the reading of flint and ours part:
//! - flint never ends on a looping chain; here that is a finding and [`super::FlintVerdict::Undecided`].
//! - flint refuses a range of a striped *file* that ends exactly where a chunk and the file end
//!   (docs/fs2.md#chunk-interleaving); here it is read.
//! - flint's address conversion wraps at 2 GiB; here such offsets are outside of the source.

mod boot2;
mod chain;
mod form;
mod header;
mod image;
mod pointers;
mod reader;
mod rom;
mod rules;
mod sniff;
mod verdict;

pub use form::guess_form;
pub use image::{Depth, Form, Header, Image, ImageError, Layout};
pub use sniff::sniff;
pub use verdict::{read, read_whole};

#[cfg(test)]
mod tests;
