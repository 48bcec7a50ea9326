//! Builder of valid images from a small description: fixtures, demo, tests (docs/fs2.md#a-valid-image).
//!
//! [`Recipe`] describes an image, [`build`] makes it, [`RomRecipe`] makes the expansion ROM for
//! it, [`striped`] lays an image out as a raw dump of a flash chip. Nothing here holds a byte of
//! vendor firmware: code is seeded filler, only the shape is that of real images.

mod assemble;
mod error;
mod filler;
mod flash_dump;
mod info;
mod ini;
mod models;
mod recipe;
mod rom;

pub use assemble::build;
pub use error::BuildError;
pub use flash_dump::striped;
pub use recipe::{ExtraSection, Recipe};
pub use rom::{BlockPlace, RomBlock, RomRecipe};

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::recipes;
