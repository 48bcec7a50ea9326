//! Fuzz targets: one function each, called by `fuzz/fuzz_targets` under cargo-fuzz and by the replay of
//! `fuzz/corpus` in `cargo test` (CONTRIBUTING.md).
//!
//! A target asserts what must hold for any bytes, not only that nothing panics.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a panic is the finding of a fuzzer"
)]

mod files;
mod images;
mod job;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod tests;

pub use files::{arguments_json, card_file, journal, manifest, trace};
pub use images::{archive, dump, image, ini, rom};
pub use job::job;

use crate::image::{Recipe, RomRecipe, build};
use crate::sim::SimCard;
use files::in_dir;
use std::sync::OnceLock;

/// A target and its name, which is that of its directory below `fuzz/corpus`.
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[FuzzTarget] = &[
    ("image", image),
    ("archive", archive),
    ("dump", dump),
    ("ini", ini),
    ("rom", rom),
    ("card_file", card_file),
    ("journal", journal),
    ("manifest", manifest),
    ("trace", trace),
    ("arguments_json", arguments_json),
    ("flint_line", flint_line),
    ("vfio_user", vfio_user),
    ("job", job),
];

/// A flash of `size` bytes out of few: records of an address in units of 64 bytes (u16, big-endian), a
/// length (u16, big-endian) and so many bytes, on FF. The last record may be cut short.
pub(crate) fn flash_of(mut records: &[u8], size: usize) -> Vec<u8> {
    let mut flash = vec![0xFF; size];
    while let Some(([a, b, c, d], rest)) = records.split_first_chunk() {
        let at = usize::from(u16::from_be_bytes([*a, *b])) * UNIT;
        let len = usize::from(u16::from_be_bytes([*c, *d])).min(rest.len());
        let (bytes, after) = rest.split_at(len);
        let fits = len.min(size.saturating_sub(at));
        if let Some(place) = flash.get_mut(at..at + fits) {
            place.copy_from_slice(&bytes[..fits]);
        }
        records = after;
    }
    flash
}

/// Bytes of a unit of address of [`flash_of`].
const UNIT: usize = 64;

/// The records of which [`flash_of`] makes `flash`.
#[cfg(test)]
pub(crate) fn records_of(flash: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    let blank = |unit: &[u8]| unit.iter().all(|b| *b == 0xFF);
    let units: Vec<&[u8]> = flash.chunks(UNIT).collect();
    let mut from = 0;
    while from < units.len() {
        if blank(units[from]) {
            from += 1;
            continue;
        }
        let most = (from + 1023).min(units.len());
        let to = (from..most).find(|n| blank(units[*n])).unwrap_or(most);
        let bytes = units[from..to].concat();
        records.extend((from as u16).to_be_bytes());
        records.extend((bytes.len() as u16).to_be_bytes());
        records.extend(bytes);
        from = to;
    }
    records
}

/// Exit codes that the help of `flint` lists.
const EXITS: [u8; 6] = [0, 1, 7, 8, 9, 74];

/// Words of a command line, one a line. There is an image `i`, a ROM `r` and a card `sim:c`.
pub fn flint_line(data: &[u8]) {
    static FILES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let [image, rom] = FILES.get_or_init(|| {
        let rom = RomRecipe::pxe((3, 4, 752), 0x1003, 0x400).build().expect("a ROM");
        let recipe = Recipe { size: 0, rom: Some(rom.clone()), ..Recipe::default() };
        [build(&recipe).expect("an image"), rom]
    });
    let exit = in_dir(|dir| crate::flint::fuzz_words(data, dir, image, rom));
    assert!(EXITS.contains(&exit), "exit code {exit}");
}

/// Messages of a client of `sim serve`, in the pieces of `sim::serve::fuzz`.
pub fn vfio_user(data: &[u8]) {
    thread_local! {
        static CARD: SimCard = crate::sim::serve::fuzz_card();
    }
    CARD.with(|card| crate::sim::serve::fuzz_converse(data, &card.fork()));
}
