//! Images whose header states another size than their sections have, as tools that edit an ini leave
//! them (docs/fs2.md#the-size-word): read and dumped right, burned with size and full CRC corrected.

use crate::support::cli::{FLASH_AT, Sandbox};
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

#[test]
fn of_an_image_that_is_complete_and_unsure_every_command_reports_the_same() {
    for (failsafe, image) in images().into_iter().filter(|(failsafe, _)| *failsafe) {
        assert!(failsafe);
        let bench = Sandbox::new();
        bench.write("odd.bin", &image);
        let create = ["sim", "create", "card.cx3", "--board", "mcx312b", "--image", "odd.bin"];
        bench.run(&create).exits(0);
        let doctor = bench.card(&["doctor"]);
        if doctor.code == 0 {
            // Its firmware runs.
            bench.card(&["activate"]).exits(0);
            continue;
        }
        let state = "complete, and whether it boots is not known: full image CRC";
        doctor.prints(state);
        bench.card(&["query"]).exits(0).prints(state);
        let verified = bench.card(&["verify"]).exits(0).prints(state);
        assert!(!verified.stdout.contains("the image is valid"), "{verified}");
        bench.card(&["plan", "odd.bin"]);
        let ran = bench.card(&["--json", "activate"]).exits(1);
        let document = ran.json();
        assert_eq!(document["error"]["code"], "image_unsure", "{ran}");
        assert!(document["error"]["message"].as_str().unwrap().contains(state), "{ran}");
        // The way on is one.
        let hint = document["error"]["hint"].as_str().unwrap();
        let command = hint.split('`').nth(1).unwrap();
        bench.shell(&format!("{command} --yes")).exits(0);
        bench.card(&["activate"]).exits(0);
        bench.card(&["doctor"]).exits(0);
    }
}

#[test]
fn query_and_activate_name_the_same_image_of_two() {
    // Both of the version that runs; of the first one the code is damaged, which a quick reading passes over.
    let bench = Sandbox::pro();
    let own = bench.read("card.cx3");
    bench.card(&["backup", "--out", "b"]).exits(0);
    bench.shell("cp b/*/image.bin own.bin").exits(0);
    let image = bench.read("own.bin");
    let size = own.len() - FLASH_AT;
    let mut flash = striped(&image, Half::Odd, size as u32).unwrap();
    for (byte, other) in flash.iter_mut().zip(striped(&image, Half::Even, size as u32).unwrap()) {
        *byte &= other;
    }
    flash[0x6_0000] ^= 0x10;
    bench.write("card.cx3", &[&own[..FLASH_AT], &flash].concat());
    let ran = bench.card(&["--json", "query"]).exits(0);
    let images = ran.json()["result"]["images"].clone();
    assert_eq!(images.as_array().unwrap().len(), 2, "{ran}");
    assert_eq!(images[0]["would_boot"], false, "{ran}");
    assert_eq!(images[1]["would_boot"], true, "{ran}");
    bench.card(&["activate"]).exits(0);
}
