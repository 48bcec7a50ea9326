//! Bad input to `rom`, `identity`, `config`, `flash protect` and `restore`: one clear line, the exit
//! code of the table, card file and directory as they were.

use crate::support::cli::{CliRun, FLASH_AT, Sandbox};
use cx3flash::image::{Recipe, RomRecipe, build};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every file below `dir` with its bytes. Logs grow with every job and are no part of the promise.
fn everything(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("state") {
                left.push(path);
            } else if path.is_file() {
                found.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Flash and directory byte for byte as before; of a card file its counters may go on.
fn refuses(bench: &Sandbox, args: &[&str], code: i32) -> CliRun {
    let files = || {
        let mut found = everything(&bench.path(""));
        for (path, bytes) in &mut found {
            if path.extension().is_some_and(|e| e == "cx3") {
                bytes.drain(..FLASH_AT);
            }
        }
        found
    };
    let before = files();
    let ran = bench.card(args).exits(code).one_clear_line();
    let after = files();
    let names = |map: &BTreeMap<PathBuf, Vec<u8>>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after), "files came or went\n{ran}");
    assert!(before == after, "a file changed\n{ran}");
    ran
}

#[test]
fn a_file_that_is_no_rom_is_refused() {
    let bench = Sandbox::owner();
    bench.write("notes.txt", &b"no rom\n".repeat(200));
    bench.write("empty.rom", b"");
    for name in ["notes.txt", "empty.rom", "nowhere.rom", "new.bin"] {
        refuses(&bench, &["rom", "write", name, "--yes"], 1).reports(name);
    }
    // `rom info` reports the same, except for the image, which has a ROM.
    for name in ["notes.txt", "empty.rom", "nowhere.rom"] {
        refuses(&bench, &["rom", "info", name], 1).reports(name);
    }
}

#[test]
fn a_rom_for_another_device_is_refused() {
    let bench = Sandbox::owner();
    let rom = RomRecipe::pxe((3, 4, 752), 0x1007, 0x2000).build().unwrap();
    bench.write("pro.rom", &rom);
    refuses(&bench, &["rom", "write", "pro.rom", "--yes"], 4)
        .reports("the firmware is for device 4099 (0x1003), the ROM for device 4103 (0x1007)");
    bench.run(&["rom", "info", "pro.rom"]).exits(0);
}

#[test]
fn reading_a_rom_that_is_not_there_is_refused() {
    let bench = Sandbox::owner();
    let none = Recipe { rom: None, ..Recipe::default() };
    bench.write("bare.bin", &build(&none).unwrap());
    refuses(&bench, &["rom", "read", "out.rom", "--image", "bare.bin"], 1)
        .reports("no expansion ROM");
    refuses(&bench, &["rom", "read", "new.bin"], 1).reports("new.bin");
}

#[test]
fn guids_and_macs_of_wrong_length_are_refused() {
    let bench = Sandbox::owner();
    for args in [
        ["--guid", "0xe41d2d0300aabbcc0"],
        ["--guid", "e41d2d0300aabbc"],
        ["--guid", "1"],
        ["--guid", "e41d2d03zzaabbc0"],
        ["--guid", ""],
        ["--guid", "0xffffffffffffffff"],
        ["--guids", "e41d2d0300aabbc0,e41d2d0300aabbc1"],
        ["--mac", "e41d2ddd78500"],
        ["--mac", "e41d2ddd786"],
        ["--mac", "12345"],
        ["--mac", "e4:1d:2d:dd:78"],
        ["--mac", "e4:1d-2d:dd:78:60"],
        ["--macs", "e41d2ddd7850,e41d2ddd785"],
        ["--macs", "e41d2ddd7850"],
        ["--mac", "0xffffffffffff"],
    ] {
        let all = ["identity", "set", args[0], args[1], "--yes"];
        refuses(&bench, &all, 64);
    }
    for (mac, first) in
        [("e4:1d:2d:dd:78:60", "e41d2ddd7860"), ("E4-1D-2D-DD-78-70", "e41d2ddd7870")]
    {
        bench.card(&["identity", "set", "--mac", mac, "--yes"]).exits(0);
        bench.card(&["identity", "show"]).exits(0).prints(first);
    }
}

#[test]
fn a_mac_no_port_can_have_is_refused() {
    let bench = Sandbox::owner();
    // Multicast, broadcast's neighbour, nothing at all; and a second one that is multicast.
    for args in [
        ["--mac", "01005e000001"],
        ["--mac", "000000000000"],
        ["--macs", "e41d2ddd7850,e51d2ddd7851"],
    ] {
        let all = ["identity", "set", args[0], args[1], "--yes"];
        refuses(&bench, &all, 64).reports("multicast");
    }
}

#[test]
fn a_vsd_that_is_too_long_is_refused() {
    let bench = Sandbox::owner();
    let long = "x".repeat(209);
    refuses(&bench, &["identity", "set", "--vsd", &long, "--yes"], 4).reports("208");
    let fits = "x".repeat(208);
    bench.card(&["identity", "set", "--vsd", &fits, "--yes"]).exits(0);
}

#[test]
fn a_vsd_is_refused_where_the_image_has_no_tag_for_it() {
    let bench = Sandbox::owner();
    let bare = Recipe { vsd: None, ..Recipe::mcx311a_2_42_5000() };
    bench.write("bare.bin", &build(&bare).unwrap());
    // The owner's card has a VSD; the image could not keep it.
    bench.card(&["identity", "set", "--vsd", "mine", "--yes"]).exits(0);
    refuses(&bench, &["burn", "bare.bin", "--yes"], 4).reports("VSD tag");
}

#[test]
fn an_unknown_key_is_refused_with_its_neighbours() {
    let bench = Sandbox::owner();
    for (key, near) in [
        ("HCA.num_pf", "HCA.num_pfs"),
        ("FW.log_flashdev_siz", "FW.log_flashdev_size"),
        ("hca.num_pfs", "HCA.num_pfs"),
    ] {
        refuses(&bench, &["config", "show", "--key", key], 1)
            .reports(&format!("no key {key}; similar names: {near}"));
        refuses(&bench, &["config", "show", "new.bin", "--key", key], 1).reports(near);
    }
    let far = refuses(&bench, &["config", "show", "--key", "nothing.like_it_at_all"], 1);
    assert!(!far.stderr.contains("near it"), "{far}");
    refuses(&bench, &["config", "show", "--key", "HCA.num_pfs", "--summary"], 64);
    bench.card(&["config", "show", "--key", "HCA.num_pfs"]).exits(0).prints("1\n");
}

#[test]
fn a_dump_of_a_card_of_another_size_is_refused() {
    let bench = Sandbox::pro();
    bench.run(&["sim", "create", "big.cx3", "--board", "mcx354a-pro"]).exits(0);
    bench.run(&["-d", "sim:big.cx3", "backup", "--out", "kept"]).exits(0);
    let dir = std::fs::read_dir(bench.path("kept")).unwrap().next();
    let dir = dir.unwrap().unwrap().path();
    let backup = dir.to_string_lossy().into_owned();
    refuses(&bench, &["restore", &backup, "--yes"], 4);
    let dump = dir.join("flash.bin").to_string_lossy().into_owned();
    refuses(&bench, &["burn", &dump, "--yes"], 1).reports("raw dump");
}

#[test]
fn protection_of_an_undescribed_chip_is_refused() {
    // M25PX16: MST neither reports nor changes its bits.
    let bench = Sandbox::owner();
    refuses(&bench, &["flash", "protect", "--on", "--yes"], 4).reports("M25PX");
    refuses(&bench, &["flash", "protect", "--off", "--on"], 64);
    refuses(&bench, &["flash", "protect", "--top", "4"], 64);
    bench.card(&["flash", "protect", "--off", "--yes"]).exits(2).prints("protected    nothing");
}

#[test]
fn protection_is_switched_after_a_question_and_kept() {
    let bench = Sandbox::pro();
    refuses(&bench, &["flash", "protect", "--on"], 64).reports("no terminal");
    refuses(&bench, &["flash", "protect", "--on", "--top", "3", "--yes"], 4).reports("1, 2, 4");
    bench
        .card(&["flash", "protect", "--on", "--top", "4", "--yes"])
        .exits(0)
        .prints("0x1c0000..0x200000");
    bench.card(&["flash", "protect"]).exits(0).prints("0x1c0000..0x200000 (status register 0x0c)");
    bench
        .card(&["flash", "protect", "--on", "--yes"])
        .exits(0)
        .prints("protected    0x0..0x200000");
    let before = bench.flash("card.cx3");
    bench.card(&["burn", "new.bin", "--yes"]).exits(4).reports("write protected");
    assert!(before == bench.flash("card.cx3"));
    bench.card(&["flash", "protect", "--off", "--yes"]).exits(0).prints("protected    nothing");
    bench.card(&["burn", "new.bin", "--yes", "--no-activate"]).exits(0);
}
