//! Images whose header states another size than their sections have, as tools that edit an ini leave
//! them (docs/fs2.md#the-size-word): read and dumped right, burned with size and full CRC corrected.

use crate::support::cli::Sandbox;
use cx3flash::image::{Half, Recipe, build, crc16, striped};

/// The image with its size word changed by `change`; `sealed` = the full image CRC is redone.
fn with_size_word(recipe: &Recipe, change: u32, sealed: bool) -> Vec<u8> {
    let mut image = build(recipe).unwrap();
    let size = (image.len() as u32).wrapping_add(change).to_be_bytes();
    image[0x30..0x34].copy_from_slice(&size);
    if sealed {
        image[0x22..0x24].fill(0xFF);
        let sum = crc16(&image).to_be_bytes();
        image[0x22..0x24].copy_from_slice(&sum);
    }
    image
}

/// The new version for the owner's card and for the failsafe one, each with its word wrong in both
/// directions, with and without the full CRC redone.
fn images() -> Vec<(bool, Vec<u8>)> {
    let mut made = Vec::new();
    for (failsafe, recipe) in
        [(false, Recipe::mcx311a_2_42_5000()), (true, Recipe::mcx312b_2_42_5000())]
    {
        for (change, sealed) in [(0x18_u32.wrapping_neg(), false), (0x18, true), (0x200, false)] {
            made.push((failsafe, with_size_word(&recipe, change, sealed)));
        }
    }
    made
}

#[test]
fn an_image_with_a_wrong_size_word_is_burned_with_size_and_full_crc_corrected() {
    for (failsafe, image) in images() {
        let bench = if failsafe { Sandbox::pro() } else { Sandbox::owner() };
        bench.write("odd.bin", &image);
        bench.run(&["query", "odd.bin"]).exits(0).prints("2.42.5000");
        bench.run(&["verify", "odd.bin"]).exits(0).prints("the header claims");
        bench.run(&["flint", "-i", "odd.bin", "v"]).exits(0).prints("Image is bootable");
        bench.card(&["plan", "odd.bin"]).exits(0).prints("Size and full image CRC");
        bench.card(&["burn", "odd.bin", "--yes"]).exits(0);
        let verified = bench.card(&["verify"]).exits(0);
        assert!(!verified.stdout.contains("the header claims"), "{verified}");
        bench.run(&["flint", "-d", "sim:card.cx3", "ri", "back.bin"]).exits(0);
        let back = bench.read("back.bin");
        assert_eq!(back.len(), image.len());
        assert_eq!(back[0x30..0x34], (image.len() as u32).to_be_bytes());
        bench.run(&["verify", "back.bin"]).exits(0);
    }
}

#[test]
fn a_card_with_a_wrong_size_word_is_read_dumped_and_changed() {
    for (failsafe, image) in images() {
        let bench = Sandbox::new();
        bench.write("odd.bin", &image);
        let board = if failsafe { "mcx312b" } else { "mcx311a" };
        bench.run(&["sim", "create", "card.cx3", "--board", board, "--image", "odd.bin"]).exits(0);
        bench.card(&["query"]).exits(0).prints("2.42.5000");
        bench.card(&["verify"]).exits(0).prints("the header claims");
        bench.run(&["flint", "-d", "sim:card.cx3", "ri", "back.bin"]).exits(0);
        assert_eq!(bench.read("back.bin").len(), image.len());
        bench.card(&["backup"]).exits(0);
        let mac = ["identity", "set", "--mac", "0002c9aabbcc", "--yes"];
        bench.card(&mac).exits(0);
        bench.card(&["identity", "show"]).exits(0).prints("0002c9aabbcc");
        bench.card(&["rom", "remove", "--yes"]).exits(0);
        bench.card(&["rom", "info"]).exits(0).prints("no ROM");
        let verified = bench.card(&["verify"]).exits(0);
        assert!(!verified.stdout.contains("the header claims"), "{verified}");
    }
}

#[test]
fn a_raw_dump_with_a_wrong_size_word_is_a_dump() {
    for (failsafe, image) in images().into_iter().filter(|(failsafe, _)| *failsafe) {
        assert!(failsafe);
        let bench = Sandbox::new();
        for (half, fill) in [(Half::Even, 0xFF), (Half::Even, 0), (Half::Odd, 0xFF)] {
            let mut dump = striped(&image, half, 2 << 20).unwrap();
            if fill == 0 {
                // The other half holds zeros, among which a chain seems to end.
                let other = dump[0x8_0000..0x10_0000].iter().all(|byte| *byte == 0xFF);
                assert!(other);
                dump[0x8_0000..0x10_0000].fill(0);
            }
            bench.write("dump.bin", &dump);
            let ran = bench.run(&["verify", "dump.bin"]);
            assert_ne!(ran.code, 0, "{ran}");
            assert!(ran.stderr.contains("raw dump"), "{ran}");
        }
    }
}
