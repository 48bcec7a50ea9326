//! Image stores: `images`, and `--from` of `plan` and `burn`.

use crate::cli_archive::{gzip, tgz};
use crate::support::cli::{CliRun, Sandbox};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// The owner's card and a store as downloads make it: two versions for the card, one of them in an archive, an image
/// of another board, and what lies beside them.
fn bench() -> Sandbox {
    let bench = Sandbox::owner();
    fs::create_dir_all(bench.path("dl/vendor/old")).unwrap();
    let old = ["sim", "image", "dl/vendor/old/old.bin", "--like", "mcx311a-2.35.5100"];
    bench.run(&old).exits(0);
    bench.oem_image("DEL_9990000001");
    fs::rename(bench.path("oem.bin"), bench.path("dl/oem.bin")).unwrap();
    let archive = tgz(&[("README", b"read me"), ("dir/new.bin", &bench.read("new.bin"))]);
    bench.write("dl/vendor/fw.tgz", &archive);
    bench.write("dl/notes.txt", b"read me");
    bench
}

fn image<'a>(document: &'a Value, file: &str) -> &'a Value {
    let images = document["result"]["images"].as_array().unwrap();
    images.iter().find(|image| image["file"] == file).unwrap_or_else(|| panic!("{document:#}"))
}

/// No line of the answer is wider than a terminal.
#[track_caller]
fn fits_80_columns(ran: &CliRun) {
    let wide = ran.stdout.lines().find(|line| line.chars().count() > 80);
    assert!(wide.is_none(), "{wide:?}\n{ran}");
}

#[test]
fn a_store_is_listed_with_what_each_image_is() {
    let bench = bench();
    let mut damaged = bench.read("new.bin");
    damaged[0x5000] ^= 1;
    bench.write("dl/damaged.bin", &damaged);
    let mut later = bench.read("new.bin");
    later[0x24] = 3;
    bench.write("dl/later.bin", &later);
    bench.write("dl/cut.bin", &bench.read("new.bin")[..5001]);
    bench.write("dl/fw.7z", b"7z\xBC\xAF\x27\x1C\0\x04");
    let document = bench.run(&["--json", "images", "dl"]).exits(0).json();
    let new = image(&document, "dl/vendor/fw.tgz/dir/new.bin");
    for (field, value) in [
        ("status", "valid"),
        ("psid", "MT_1170110023"),
        ("fw_version", "2.42.5000"),
        ("release_date", "2017-09-05"),
    ] {
        assert_eq!(new[field], value, "{new:#}");
    }
    assert!(new["silicon"].as_str().unwrap().contains("ConnectX-3"), "{new:#}");
    assert_eq!(image(&document, "dl/oem.bin")["psid"], "DEL_9990000001");
    for (file, status, problem) in [
        ("dl/damaged.bin", "damaged", "CRC"),
        ("dl/cut.bin", "damaged", "only the first 5001 bytes"),
        ("dl/later.bin", "other_family", "FS3"),
    ] {
        let image = image(&document, file);
        assert_eq!(image["status"], status, "{image:#}");
        assert!(image["problem"].as_str().unwrap().contains(problem), "{image:#}");
    }
    assert_eq!(document["result"]["unread"][0]["file"], "dl/fw.7z");
    assert_eq!(document["result"]["other_files"], 2);
    let text = bench.run(&["images", "dl"]).exits(0);
    fits_80_columns(&text);
    text.prints("MT_1170110023   2.42.5000  2017-09-05  valid")
        .prints("6 images, 3 valid; 2 other files");
    bench.run(&["images", "none"]).exits(1).one_clear_line().reports("none");
    bench.run(&["images", "new.bin", "dl/oem.bin"]).exits(0).prints("2 images, 2 valid");
}

#[test]
fn the_newest_image_for_the_card_is_chosen_and_the_others_are_explained() {
    let bench = bench();
    let chosen = "chosen: dl/vendor/fw.tgz/dir/new.bin (MT_1170110023, 2.42.5000)";
    bench
        .card(&["plan", "--from", "dl"])
        .exits(0)
        .prints(chosen)
        .prints("left out: dl/vendor/old/old.bin (older: 2.35.5100)")
        .prints("left out: 1 image for other PSIDs");
    // The same bytes twice are one image; several stores count as one.
    let again = ["--json", "plan", "--from", "dl", "--from", "new.bin"];
    let plan = bench.card(&again).exits(0).json();
    let choice = &plan["result"]["choice"];
    assert_eq!(choice["fw_version"], "2.42.5000", "{choice:#}");
    assert_eq!(choice["left_out"][1]["reason"], "same", "{choice:#}");
    let yes = ["--yes", "--no-activate", "--backup-dir", "backups"];
    let burned = bench.card(&[&["--json", "burn", "--from", "dl"][..], &yes].concat()).exits(0);
    assert_eq!(burned.json()["result"]["choice"]["file"], "dl/vendor/fw.tgz/dir/new.bin");
    bench.card(&["verify", "--against", "new.bin"]).exits(0);
    bench.card(&[&["burn", "--from", "dl"][..], &yes].concat()).exits(2);
    // `--expect` is about the image that was chosen.
    let other = "0".repeat(64);
    bench.refuses(&["plan", "--from", "dl", "--expect", &other], 4).reports("expected_file");
}

#[test]
fn two_images_of_the_newest_version_are_refused_and_named() {
    let bench = bench();
    let second = ["sim", "image", "dl/b.bin", "--like", "mcx311a-2.42.5000", "--seed", "7"];
    bench.run(&second).exits(0);
    for (command, advised) in [
        (&["plan", "--from", "dl"][..], "plan dl/b.bin"),
        (&["burn", "--from", "dl", "--yes"], "burn --yes dl/b.bin"),
    ] {
        let hint = format!("name one of them, for example: cx3flash -d sim:card.cx3 {advised}\n");
        bench
            .refuses(command, 4)
            .reports("2 different images of 2.42.5000 fit: dl/b.bin, dl/vendor/fw.tgz/dir/new.bin")
            .reports(&hint);
    }
    let json = bench.card(&["--json", "plan", "--from", "dl"]).exits(4).json();
    assert_eq!(json["error"]["code"], "several_images_fit");
}

#[test]
fn a_store_without_an_image_for_the_card_is_refused_with_the_psids_that_are_there() {
    let bench = bench();
    bench.run(&["sim", "create", "pro.cx3", "--board", "mcx312b"]).exits(0);
    let ran = bench.run(&["-d", "pro.cx3", "plan", "--from", "dl"]).exits(4).one_clear_line();
    ran.reports("no valid image for MT_1200111023 on a ConnectX-3Pro is there: ")
        .reports("images for DEL_9990000001, MT_1170110023")
        .reports("hint: see what is there: cx3flash images dl");
    // A damaged one of the right board is named.
    let mut damaged = bench.read("new.bin");
    damaged[0x5000] ^= 1;
    fs::create_dir(bench.path("bad")).unwrap();
    bench.write("bad/fw.bin", &damaged);
    bench.refuses(&["burn", "--from", "bad", "--yes"], 4).reports("bad/fw.bin (damaged: ");
    fs::create_dir(bench.path("empty")).unwrap();
    bench.refuses(&["plan", "--from", "empty"], 4).reports("is there: no image");
    // A card without an image has no PSID.
    bench.run(&["sim", "create", "blank.cx3", "--blank"]).exits(0);
    let ran = bench.run(&["-d", "blank.cx3", "plan", "--from", "dl"]).exits(4).one_clear_line();
    ran.reports("the PSID of the card is unknown").reports("recover");
}

#[test]
fn an_image_is_named_or_chosen_and_a_change_of_psid_needs_a_named_one() {
    let bench = bench();
    bench.refuses(&["plan"], 64).reports("--from <DIR>");
    bench.refuses(&["plan", "new.bin", "--from", "dl"], 64);
    let change = ["plan", "--from", "dl", "--change-psid", "MT_1170110023:DEL_9990000001"];
    bench.refuses(&change, 64).reports("--change-psid");
}

#[test]
fn bombs_links_and_what_cannot_be_read_are_named_and_the_rest_is_used() {
    let bench = bench();
    bench.write("dl/bomb.gz", &gzip(&vec![0; (128 << 20) + 1]));
    symlink("..", bench.path("dl/loop")).unwrap();
    bench.write("dl/vendor/torn.tgz", &bench.read("dl/vendor/fw.tgz")[..4000]);
    fs::create_dir(bench.path("dl/secret")).unwrap();
    fs::set_permissions(bench.path("dl/secret"), fs::Permissions::from_mode(0o000)).unwrap();
    let document = bench.run(&["--json", "images", "dl"]).exits(0).json();
    let unread = document["result"]["unread"].as_array().unwrap();
    for (file, problem) in [
        ("dl/bomb.gz", "more than 128 MiB"),
        ("dl/loop", "a symbolic link"),
        ("dl/vendor/torn.tgz", "damaged or incomplete"),
    ] {
        let found = unread.iter().find(|entry| entry["file"] == file);
        let found = found.unwrap_or_else(|| panic!("{file}: {document:#}"));
        assert!(found["problem"].as_str().unwrap().contains(problem), "{found:#}");
    }
    if !nix::unistd::geteuid().is_root() {
        assert!(unread.iter().any(|entry| entry["file"] == "dl/secret"), "{document:#}");
    }
    bench.card(&["plan", "--from", "dl"]).exits(0).prints("not read: dl/bomb.gz (it unpacks");
}

#[test]
fn a_directory_with_10000_files_is_read() {
    let bench = bench();
    for n in 0..10_000 {
        bench.write(&format!("dl/vendor/{n}.txt"), b"some text\n");
    }
    let ran = bench.card(&["plan", "--from", "dl"]).exits(0);
    ran.prints("chosen: dl/vendor/fw.tgz/dir/new.bin");
    bench.run(&["images", "dl"]).exits(0).prints("10002 other files");
}

#[test]
fn names_with_control_characters_are_text() {
    let bench = Sandbox::owner();
    fs::create_dir(bench.path("dl")).unwrap();
    bench.write("dl/a\n\u{1b}[8m.bin", &bench.read("new.bin"));
    bench.write("dl/b\n.7z", b"7z\xBC\xAF\x27\x1C\0\x04");
    for args in [&["images", "dl"][..], &["-d", "card.cx3", "plan", "--from", "dl"]] {
        let ran = bench.run(args).exits(0);
        assert!(!ran.stdout.contains('\u{1b}'), "{ran}");
        ran.prints(r"dl/a\n\x1b[8m.bin").prints(r"dl/b\n.7z");
    }
    bench.run(&["--json", "images", "dl"]).exits(0).json();
}
