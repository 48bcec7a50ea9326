//! Bad input: one clear line, the documented exit code, nothing changed.

use crate::support::cli::{CliRun, Sandbox};
use cx3flash::image::{Recipe, build, crc16};

/// query, verify and burn of a file that is no image end alike.
fn no_image(bench: &Sandbox, name: &str, message: &str) {
    for args in [
        vec!["query", name],
        vec!["verify", name],
        vec!["plan", name],
        vec!["burn", name, "--yes"],
        vec!["verify", "--against", name],
    ] {
        bench.refuses(&args, 1).reports(message);
    }
}

#[test]
fn a_file_that_is_no_image_is_refused() {
    let bench = Sandbox::owner();
    let mut fs3 = build(&Recipe::default()).unwrap();
    fs3[0x24] = 3;
    let mut fs4 = fs3.clone();
    fs4[4..16]
        .copy_from_slice(&[0xAB, 0xCD, 0xEF, 0x00, 0xFA, 0xDE, 0x12, 0x34, 0x56, 0x78, 0xDE, 0xAD]);
    std::fs::create_dir(bench.path("dir.bin")).unwrap();
    bench.write("empty.bin", b"");
    bench.write("notes.txt", &b"not firmware at all\n".repeat(400));
    bench.write("fs3.bin", &fs3);
    bench.write("fs4.bin", &fs4);
    for (name, message) in [
        ("nowhere.bin", "nowhere.bin"),
        ("dir.bin", "dir.bin"),
        ("empty.bin", "the file is empty"),
        ("notes.txt", "notes.txt"),
        ("fs3.bin", "FS3"),
        ("fs4.bin", "FS4"),
    ] {
        no_image(&bench, name, message);
    }
}

#[test]
fn an_endless_file_is_refused() {
    let bench = Sandbox::owner();
    for args in [["query", "/dev/zero"], ["verify", "/dev/zero"]] {
        bench.refuses(&args, 1).reports("/dev/zero");
    }
}

#[test]
fn a_damaged_zip_is_refused() {
    let bench = Sandbox::owner();
    let mut zip = b"PK\x03\x04\x14\0\0\0\x08\0".to_vec();
    zip.resize(4096, 0x5A);
    bench.write("fw.zip", &zip);
    no_image(&bench, "fw.zip", "fw.zip: a zip archive that is damaged or incomplete");
    bench.card(&["query", "fw.zip"]).reports("hint: download the file again");
}

#[test]
fn a_rom_file_is_refused_as_an_image() {
    let bench = Sandbox::owner();
    bench.run(&["rom", "read", "rom.bin", "--image", "new.bin"]).exits(0);
    no_image(&bench, "rom.bin", "ROM");
    bench.card(&["burn", "rom.bin", "--yes"]).reports("rom write rom.bin");
}

#[test]
fn an_image_is_refused_as_a_rom_file() {
    let bench = Sandbox::owner();
    bench.refuses(&["rom", "write", "new.bin", "--yes"], 1).reports("new.bin");
}

#[test]
fn an_image_for_another_chip_is_refused() {
    let bench = Sandbox::owner();
    bench.run(&["sim", "image", "pro.bin", "--like", "mcx312b-2.42.5000"]).exits(0);
    bench.run(&["query", "pro.bin"]).exits(0);
    for args in [vec!["plan", "pro.bin"], vec!["burn", "pro.bin", "--yes"]] {
        bench.refuses(&args, 4).reports("silicon");
    }
    // Spelling out the PSIDs is no way around the chip.
    let change = "MT_1170110023:MT_1200111023";
    bench.refuses(&["burn", "pro.bin", "--yes", "--change-psid", change], 4).reports("silicon");
}

#[test]
fn an_image_for_another_revision_is_refused() {
    let bench = Sandbox::owner();
    bench.run(&["sim", "create", "a0.cx3", "--board", "mcx311a-a0"]).exits(0);
    let before = bench.flash("a0.cx3");
    bench
        .run(&["-d", "sim:a0.cx3", "burn", "new.bin", "--yes"])
        .exits(4)
        .one_clear_line()
        .reports("silicon");
    assert!(before == bench.flash("a0.cx3"));
}

#[test]
fn another_psid_is_refused_without_change_psid() {
    let bench = Sandbox::owner();
    bench.oem_image("DEL_9990000001");
    let hint = "--change-psid MT_1170110023:DEL_9990000001";
    bench.refuses(&["plan", "oem.bin"], 4).reports(hint);
    bench.refuses(&["burn", "oem.bin", "--yes"], 4).reports(hint);
    for wrong in ["MT_1170110023:OTHER", "OTHER:DEL_9990000001"] {
        bench.refuses(&["burn", "oem.bin", "--yes", "--change-psid", wrong], 4).reports("psid");
    }
}

#[test]
fn a_raw_dump_is_refused_as_an_image() {
    let bench = Sandbox::pro();
    bench.write("dump.bin", &bench.flash("card.cx3"));
    no_image(&bench, "dump.bin", "raw dump");
    bench.card(&["burn", "dump.bin", "--yes"]).reports("hint: name image.bin of a backup");
    // Of a non-failsafe card the dump begins with the image as a file has it; the rest of the chip
    // is a finding.
    let bench = Sandbox::owner();
    bench.write("dump.bin", &bench.flash("card.cx3"));
    bench.run(&["verify", "dump.bin"]).exits(0).prints("trailing_bytes");
}

#[test]
fn a_truncated_image_is_refused() {
    let bench = Sandbox::owner();
    let whole = bench.read("new.bin");
    for keep in [0x30, 0x38, 0x1000, (whole.len() / 2) & !3, whole.len() - 4] {
        bench.write("short.bin", &whole[..keep]);
        bench.refuses(&["verify", "short.bin"], 1);
        let ran: CliRun = bench.card(&["burn", "short.bin", "--yes"]);
        assert!(matches!(ran.code, 1 | 4), "{ran}");
        let ran = ran.one_clear_line();
        assert!(ran.stderr.contains("short.bin") || ran.stderr.contains("image_s"), "{ran}");
    }
    bench.write("odd.bin", &whole[..whole.len() - 2]);
    let cut = format!("the first {} bytes of an FS2 image of {}", whole.len() - 2, whole.len());
    no_image(&bench, "odd.bin", &cut);
    bench.card(&["query", "odd.bin"]).reports("hint: download the file again");
    bench.write("long.bin", &[whole.as_slice(), b"x"].concat());
    no_image(&bench, "long.bin", "multiple of 4");
}

#[test]
fn trailing_data_is_reported_and_not_burned() {
    let bench = Sandbox::owner();
    let mut bytes = bench.read("new.bin");
    bytes.extend([0x55; 4096]);
    bench.write("long.bin", &bytes);
    // Flint's verdict is "bootable"; the bytes behind the image are a finding, and are not burned.
    let ran = bench.run(&["verify", "long.bin"]);
    let ran = ran.prints("trailing_bytes");
    assert!(ran.stdout.contains("Image is bootable."), "{ran}");
    let before = bench.flash("card.cx3");
    let ran = bench.card(&["plan", "long.bin"]).exits(0);
    assert!(before == bench.flash("card.cx3"), "{ran}");
    let ran = bench.card(&["burn", "long.bin", "--yes", "--backup-dir", "backups"]);
    ran.exits(0);
    let flash = bench.flash("card.cx3");
    let end = bytes.len() - 4096;
    assert!(flash[end..end + 64].iter().all(|b| *b == 0xFF), "burned");
}

/// Change a dword of a section's GPH and redo the section's CRC; the full CRC stays wrong.
fn patched_next(bytes: &mut [u8], gph: usize, next: u32) {
    bytes[gph + 12..gph + 16].copy_from_slice(&next.to_be_bytes());
    let dwords = u32::from_be_bytes(bytes[gph + 4..gph + 8].try_into().unwrap()) as usize;
    let end = gph + 16 + dwords * 4;
    let crc = crc16(&bytes[gph..end]);
    bytes[end..end + 4].copy_from_slice(&u32::from(crc).to_be_bytes());
}

#[test]
fn a_looping_chain_is_refused() {
    let bench = Sandbox::owner();
    let mut bytes = bench.read("new.bin");
    let verify = bench.run(&["verify", "new.bin", "--json"]).exits(0).json();
    let sections = verify["result"]["images"][0]["image"]["sections"].clone();
    let at = |n: usize| usize::try_from(sections[n]["at"].as_u64().unwrap()).unwrap();
    // The fifth section points back at the third.
    let back = u32::try_from(at(2)).unwrap();
    patched_next(&mut bytes, at(4), back);
    bench.write("loop.bin", &bytes);
    bench.refuses(&["verify", "loop.bin"], 1);
    bench.refuses(&["burn", "loop.bin", "--yes"], 4).reports("image_valid");
}

#[test]
fn a_hostile_zlib_in_the_ini_is_bounded() {
    use std::io::Write;
    let bench = Sandbox::owner();
    // 64 MiB of zeros in 64 KiB: more than any ini inflates to.
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let block = vec![b'A'; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&block).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let recipe = Recipe {
        ini: None,
        size: 0,
        extra: vec![cx3flash::image::ExtraSection {
            kind: 9,
            len: u32::try_from(bomb.len().next_multiple_of(4)).unwrap(),
        }],
        ..Recipe::default()
    };
    let mut bytes = build(&recipe).unwrap();
    let gph = (0..bytes.len() - 16)
        .step_by(4)
        .find(|at| {
            bytes[*at..at + 4] == 9_u32.to_be_bytes()
                && bytes[at + 4..at + 8]
                    == u32::try_from(bomb.len().div_ceil(4)).unwrap().to_be_bytes()
        })
        .unwrap();
    bytes[gph + 16..gph + 16 + bomb.len()].copy_from_slice(&bomb);
    let next = u32::from_be_bytes(bytes[gph + 12..gph + 16].try_into().unwrap());
    patched_next(&mut bytes, gph, next);
    bench.write("bomb.bin", &bytes);
    let started = std::time::Instant::now();
    bench.refuses(&["verify", "bomb.bin"], 1);
    bench.refuses(&["config", "show", "bomb.bin"], 1);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn an_unwritable_backup_directory_is_refused() {
    let bench = Sandbox::owner();
    bench.write("file", b"");
    let args = ["burn", "new.bin", "--yes", "--backup-dir", "file/backups"];
    bench.refuses(&args, 1).reports("file/backups");
    bench.refuses(&["backup", "--out", "file/backups"], 1).reports("file/backups");
}

#[test]
fn a_full_backup_directory_is_refused() {
    let bench = Sandbox::owner();
    std::fs::create_dir(bench.path("backups")).unwrap();
    let before = bench.flash("card.cx3");
    // No file may grow beyond 1 MiB; the card file (2 MiB) is only written near its front.
    let limit = "trap '' XFSZ; ulimit -f 2048; exec";
    for what in ["burn new.bin --yes --backup-dir backups", "backup --out backups"] {
        bench
            .shell(&format!("{limit} cx3flash -d sim:card.cx3 {what}"))
            .exits(1)
            .one_clear_line()
            .reports("backups");
        let left = std::fs::read_dir(bench.path("backups")).unwrap().count();
        assert_eq!(left, 0, "half a backup was left behind");
    }
    assert!(before == bench.flash("card.cx3"));
}

#[test]
fn a_card_file_of_another_version_is_refused() {
    let bench = Sandbox::owner();
    let mut bytes = bench.read("card.cx3");
    bytes[16..20].copy_from_slice(&7_u32.to_le_bytes());
    bench.write("card.cx3", &bytes);
    bench
        .refuses(&["query"], 3)
        .reports("version 7")
        .reports("hint: create a new one: cx3flash sim create new.cx3");
}

#[test]
fn a_file_that_is_no_card_is_refused() {
    let bench = Sandbox::owner();
    bench
        .run(&["-d", "sim:nowhere.cx3", "query"])
        .exits(3)
        .one_clear_line()
        .reports("hint: create one: cx3flash sim create nowhere.cx3");
    bench.run(&["-d", "sim:new.bin", "query"]).exits(3).one_clear_line();
    let whole = bench.read("card.cx3");
    bench.write("half.cx3", &whole[..whole.len() / 2]);
    bench.run(&["-d", "sim:half.cx3", "query"]).exits(3).one_clear_line();
}

#[test]
fn a_card_that_is_not_there_is_reported() {
    for card in ["0000:01:00.0", "01:00.0", "enp1s0", "mlx4_0"] {
        Sandbox::new().run(&["-d", card, "query"]).exits(3).one_clear_line().reports(card);
    }
}

#[test]
fn no_card_and_several_cards_are_reported() {
    let bench = Sandbox::new();
    bench.run(&["query"]).exits(3).one_clear_line();
    bench.run(&["sim", "create", "a.cx3"]).exits(0);
    bench.run(&["query"]).exits(0).reports("using sim:a.cx3");
    bench.run(&["sim", "create", "b.cx3"]).exits(0);
    bench.run(&["query"]).exits(3).one_clear_line().reports("sim:a.cx3, sim:b.cx3");
    let mut command = bench.command(&["query"]);
    command.env("CX3FLASH_DEVICE", "sim:b.cx3");
    assert!(command.status().unwrap().success());
}

#[test]
fn without_a_terminal_a_burn_needs_yes() {
    let bench = Sandbox::owner();
    bench
        .refuses(&["burn", "new.bin"], 64)
        .reports("hint: cx3flash -d sim:card.cx3 burn new.bin --yes\n");
}

#[test]
fn existing_files_are_not_overwritten() {
    let bench = Sandbox::owner();
    bench.write("there", b"mine");
    for args in [
        vec!["rom", "read", "there"],
        vec!["flash", "read", "there"],
        vec!["sim", "image", "there"],
        vec!["sim", "create", "there"],
    ] {
        bench.refuses(&args, 1).reports("there");
        assert_eq!(bench.read("there"), b"mine");
    }
}
