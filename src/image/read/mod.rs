//! Reading one image (docs/fs2.md#sections) in the order and with the arithmetic of mstflint, so
//! that its conclusion follows from the facts. The input is taken for hostile: no panic, no loop
//! without a bound, no allocation beyond the size of the source.

mod detect;
mod findings;
mod image;
mod inspect;
mod pointers;
mod reader;
mod rom;
mod walk;

pub use detect::{guess_form, may_hold_image, sniff};
pub use image::{Depth, Header, Image, ImageError, PointedField, PointerFault, WalkEnd};
pub use inspect::read;

#[cfg(test)]
mod tests;
