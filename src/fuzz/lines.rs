//! Command lines of flint, and messages to the server of simulated cards.

use super::files::in_dir;
use crate::image::{Recipe, RomRecipe, build};
use crate::sim::SimCard;
use std::sync::OnceLock;

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
