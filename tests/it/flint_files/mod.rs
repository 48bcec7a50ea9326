//! The same scripts with Debian's mstflint 4.21 and with `cx3flash` under the name `mstflint`, each in a
//! directory of its own with the same files: stdout, exit code and the files left.

pub(crate) mod engine;

use crate::support::flint::table_of_differences;
use engine::{FileScript, compare, script};

/// Every kind of file, for every command that reads one.
const FILES: [&str; 19] = [
    "new.bin",
    "fs_new.bin",
    "blank.bin",
    "four.bin",
    "no_rom.bin",
    "no_ini.bin",
    "no_tag.bin",
    "no_psid.bin",
    "foreign.bin",
    "multicast.bin",
    "damaged.bin",
    "header.bin",
    "pointer.bin",
    "cut.bin",
    "tail.bin",
    "shifted.bin",
    "junk.bin",
    "odd.bin",
    "none.bin",
];

fn reading() -> Vec<FileScript> {
    let mut all = Vec::new();
    for file in FILES {
        let of = |command: &str| script(&[&format!("-i {file} {command}")]);
        for command in [
            "q",
            "query full",
            "-qq q",
            "v",
            "verify showitoc",
            "dc",
            "dc out.ini",
            "dh",
            "cs",
            "checksum",
            "rrom out.rom",
            "ts query",
            "-flashed_version q",
        ] {
            // Flags stand before the command.
            match command.split_once(' ') {
                Some((flag, rest)) if flag.starts_with('-') => {
                    all.push(script(&[&format!("{flag} -i {file} {rest}")]));
                }
                _ => all.push(of(command)),
            }
        }
        all.push(of("qrom"));
        all.push(of("rw 0"));
        all.push(of("rb 0x20 16"));
    }
    all
}

fn dumps() -> Vec<FileScript> {
    vec![
        script(&["-striped_image -i even.dump q", "-striped_image -i even.dump v"]),
        script(&["-striped_image -i odd_half.dump query full"]),
        script(&["-striped_image -i odd_half.dump verify"]),
        script(&["-i even.dump q", "-i even.dump v", "-i even.dump cs"]),
        script(&["-striped_image -i even.dump dc out.ini", "-striped_image -i even.dump cs"]),
        script(&["-striped_image -i fs_new.bin v"]),
    ]
}

fn roms_and_raw() -> Vec<FileScript> {
    vec![
        script(&["-i good.rom qrom", "-i new.bin qrom", "-i junk.bin qrom", "-i empty.bin qrom"]),
        script(&["-i new.bin rrom out.rom", "-i out.rom qrom"]),
        script(&["-i new.bin rrom out.rom", "-i new.bin rrom out.rom"]).typed("y\n"),
        script(&["-i new.bin rrom out.rom", "-i no_rom.bin rrom out.rom"]).typed("n\n"),
        script(&["-i new.bin rrom out.rom", "-y -i fs_new.bin rrom out.rom"]),
        script(&["-i new.bin rrom out.rom", "-no -i fs_new.bin rrom out.rom"]),
        script(&["-i new.bin rrom out.rom", "-d nosuch rrom out.rom"]),
        script(&["-i new.bin rrom nowhere/out.rom", "-i new.bin dc nowhere/out.ini"]),
        script(&["-i new.bin rb 0 16 nowhere/out.raw", "-i new.bin rb 0 16 out.raw"]),
        script(&["-i new.bin rb 0 16", "-i new.bin rb 16 0x20", "-i new.bin rb 010 8"]),
        script(&[
            "-i new.bin rb 2 8",
            "-i new.bin rb 0 7",
            "-i new.bin rb 0 zz",
            "-i new.bin rb zz 4",
        ]),
        script(&["-i new.bin rb 0xfffff000 16", "-i new.bin rw 0xfffffff0"]),
        script(&["-i new.bin rw 4", "-i new.bin rw 100", "-i new.bin rw 2", "-i new.bin rw zz"]),
        script(&["-i empty.bin rw 0", "-i odd.bin rw 0"]),
        script(&["-i new.bin brom good.rom", "-y -i new.bin brom junk.bin"]),
        script(&[
            "-i new.bin brom none.rom",
            "-i no_rom.bin brom good.rom",
            "-i junk.bin brom good.rom",
        ]),
        script(&["-i new.bin drom", "-y -i no_rom.bin drom"]),
        script(&[
            "-i new.bin ts query",
            "-i new.bin ts set",
            "-i new.bin ts reset",
            "-i new.bin ts x",
        ]),
    ]
}

fn identities() -> Vec<FileScript> {
    vec![
        script(&["-i new.bin -guid 0002c90300aabb00 sg", "-i new.bin q"]).typed("y\n"),
        script(&["-i new.bin -guid 0002c90300aabb00 sg", "-i new.bin q"]).typed("n\n"),
        script(&["-i new.bin -guid 0002c90300aabb00 sg"]),
        script(&["-no -i new.bin -mac 0002c9aabbcc sg"]),
        script(&["-y -i new.bin -mac 0002c9aabbcc sg", "-i new.bin query full", "-i new.bin v"]),
        script(&[
            "-y -i fs_new.bin -guids 0002c90300aabb01 0002c90300aabb02 0002c90300aabb03 0002c90300aabb04 -macs 0002c9aabb05 0002c9aabb06 sg",
            "-i fs_new.bin v",
        ]),
        script(&[
            "-y -i new.bin -guids 0002c90300aabb01,0002c90300aabb02,0002c90300aabb03,0002c90300aabb04 sg",
            "-i new.bin cs",
        ]),
        script(&["-y -i new.bin -mac 0102c9aabbcc sg"]),
        script(&[
            "-y -i blank.bin -guid 0002c90300aabb00 -mac 0002c9aabb02 sg",
            "-i blank.bin v",
            "-i blank.bin q",
        ]),
        script(&[
            "-i damaged.bin -guid 0002c90300aabb00 sg",
            "-i cut.bin -guid 0002c90300aabb00 sg",
            "-i junk.bin -guid 0002c90300aabb00 sg",
        ])
        .typed("y\n"),
        script(&["-i none.bin -guid 0002c90300aabb00 sg", "-i odd.bin -guid 0002c90300aabb00 sg"]),
        script(&[
            "-i new.bin sg",
            "-i new.bin -uid 0002c90300aabb00 sg",
            "-i new.bin -guid 0002c90300aabb00 -uid 0002c90300aabb00 sg",
        ]),
        script(&["-i new.bin -guid 0002c90300aabb00 sg x", "-i new.bin sg x y"]),
        script(&["-i new.bin -vsd shelf sv", "-i new.bin q", "-i new.bin v"]),
        script(&["-s -i fs_new.bin -vsd shelf sv", "-i fs_new.bin q"]),
        script(&["-i new.bin sv", "-i none.bin sv"]),
        script(&[&format!("-i new.bin -vsd {} sv", "x".repeat(208)), "-i new.bin q"]),
        script(&[&format!("-i new.bin -vsd {} sv", "x".repeat(209))]),
        script(&["-i damaged.bin -vsd x sv", "-i junk.bin -vsd x sv"]),
        script(&["-y -i tail.bin -mac 0002c9aabbcc sg", "-i tail.bin v"]),
        script(&["-y -i new.bin -mac 0002c9aabbcc sg nocrc", "-i new.bin v"]),
        script(&["-y -i four.bin -guid 0002c90300aabb00 -mac 0002c9aabb02 sg", "-i four.bin q"]),
        script(&["-y -i new.bin -guid 0002c90300aabb00 -guids 1 2 3 4 sg"]),
    ]
}

fn grammar() -> Vec<FileScript> {
    let lines = [
        "q",
        "nonsense",
        "-y",
        "-i new.bin",
        "--image new.bin q",
        "-image new.bin q",
        "--image=new.bin q",
        "-inew.bin q",
        "-i new.bin -nof q",
        "-i new.bin -guid 0x12 q",
        "-i new.bin -guid zz q",
        "-i new.bin -guid 123456789012345678 q",
        "-i new.bin -guids 1 2 q",
        "-i new.bin -guids 1 2 3 4 5 q",
        "-i new.bin -guids 1 2 zz 4 q",
        "-i new.bin -macs 1 sg",
        "-i new.bin -mac 00:02:c9:00:00:01 q",
        "-i new.bin -guid 1 -guids 1 2 3 4 q",
        "-i new.bin -qq full q",
        "-i new.bin -- q",
        "-- -i new.bin q",
        "-i new.bin -banks zz q",
        "-i new.bin -banks 4 q",
        "-i new.bin -flash_params a q",
        "-clear_semaphore",
        "-i new.bin -clear_semaphore q",
        "-ocr -i new.bin q",
        "-use_fw -i new.bin q",
        "-y -no -i new.bin q",
        "-i new.bin q full x",
        "-i new.bin q bad",
        "-i new.bin verify bad",
        "-i new.bin v a b",
        "-i new.bin checksum x",
        "-i new.bin dc a b",
        "-i new.bin ri",
        "-i new.bin ri x",
        "-i new.bin rrom",
        "-i new.bin hw",
        "-i new.bin hw query",
        "-i new.bin burn",
        "-i new.bin b",
        "-i new.bin bc",
        "-i new.bin swreset",
        "-i new.bin clear_semaphore",
        "-i new.bin reset_cfg",
        "-i new.bin rb",
        "-i new.bin rb 0",
        "-i new.bin rw",
        "-i new.bin sv x",
        "-i new.bin drom x",
        "-i new.bin brom",
        "-i new.bin ts",
        "-i new.bin ts query 1 2 3",
        "qrom",
        "-i new.bin qrom x",
        "verify",
        "checksum",
        "burn",
        "ri x",
        "hw query",
        "-i new.bin -log out.log q",
        "-i fs_new.bin -i new.bin q",
    ];
    lines.iter().map(|line| script(&[line])).collect()
}

fn differences() -> Vec<FileScript> {
    vec![
        script(&["-h"]).prints("help", "cx3flash --help", 0),
        script(&["-i new.bin q -y"]).prints("help", "flags after command is not allowed", 1),
        script(&["-i new.bin nonsense"]).prints("help", "Invalid command: nonsense", 1),
        script(&["-v"]).prints("version", "imitates mstflint 4.21.0", 0),
        script(&["-i new.bin ww 0 0"]).prints("raw", "cx3flash restore", 1),
        script(&["-d x e 0"]).prints("raw", "cx3flash restore", 1),
        script(&["-d x wb new.bin 0"]).prints("raw", "cx3flash burn", 1),
        script(&["-d x -i new.bin bb"]).prints("raw", "cx3flash restore", 1),
        script(&["-d x -no_devid_check -i new.bin burn"]).prints("unchecked", "cx3flash plan", 1),
        script(&["-y -ignore_crc_check -i damaged.bin -guid 0002c90300aabb00 sg"]).prints(
            "unchecked",
            "cx3flash verify",
            1,
        ),
        script(&["-d x set_key 1"]).prints("hw-key", "locks the card", 1),
        script(&["-i new.bin sign"]).prints("other-generations", "not signed", 1),
        script(&["fi"]).prints("other-generations", "cx3flash recover", 1),
        script(&["-i nowhere q"]).prints("directory", "Is a directory", 1),
        script(&["-i blank.bin -vsd x sv"]).prints("blank-crc", "Restoring signature", 0),
        script(&["-apc -i new.bin q"]).prints("apc", "PSID:", 0),
        script(&["-linkx -i new.bin q"]).prints("cables", "-linkx is not done", 1),
        script(&["-i header.bin -vsd x sv"]).prints("damaged-file", "not valid", 1),
        script(&["-i page.bin q"]).prints("foreign-file", "It is an HTML page, not an image; ", 1),
        script(&["-i fw.zip v"]).prints("foreign-file", "It is a zip archive, not an image; ", 1),
        script(&["-i empty.bin q"]).prints("foreign-file", "the file is empty; download", 1),
        script(&["-i split.bin v"]).prints(
            "foreign-file",
            "only the first 41 bytes of an FS2 image; ",
            1,
        ),
        script(&["-i fs3.bin q"]).prints(
            "foreign-file",
            "the file is an FS3 image, made for a later chip; ",
            1,
        ),
        script(&["-i fs4.bin q"]).prints(
            "foreign-file",
            "the file is an FS4 image, made for a later chip; ",
            1,
        ),
        script(&["-i good.rom v"]).prints(
            "foreign-file",
            "the file is an expansion ROM, not an image; ",
            1,
        ),
        script(&["-y -i header.bin -guid 0002c90300aabb00 sg"]).prints(
            "damaged-file",
            "not valid",
            1,
        ),
        script(&["-striped_image -y -i new.bin -guid 0002c90300aabb00 sg"]).prints(
            "striped-file",
            "Restoring signature",
            0,
        ),
        script(&["-s -d nosuch ri x"]).prints("silent", "-E- Cannot open Device", 1),
        script(&["-i no_tag.bin -vsd x sv"]).prints("no-vsd-tag", "-E- Failed to set the VSD", 1),
    ]
}

#[test]
fn commands_that_only_read_match_mstflint() {
    compare(&reading());
}

#[test]
fn commands_on_dumps_match_mstflint() {
    compare(&dumps());
}

#[test]
fn roms_and_raw_words_match_mstflint() {
    compare(&roms_and_raw());
}

#[test]
fn changes_of_identity_match_mstflint() {
    compare(&identities());
}

#[test]
fn the_grammar_matches_mstflint() {
    compare(&grammar());
}

#[test]
fn every_difference_has_a_row_of_the_table() {
    let all = differences();
    compare(&all);
    let table = table_of_differences();
    for script in &all {
        let row = script.row().unwrap();
        assert!(table.contains(&row), "no row {row} in docs/flint.md");
    }
}

#[test]
fn enough_scripts_are_compared() {
    let all = [reading(), dumps(), roms_and_raw(), identities(), grammar(), differences()];
    assert!(all.iter().map(Vec::len).sum::<usize>() >= 60);
}
