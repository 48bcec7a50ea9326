//! Rows of `docs/flint.md` that no text shows: what our dialect does underneath.

use crate::support::cli::Sandbox;
use cx3flash::image::{Recipe, build};
use std::fs;

/// Which rows are shown here; `flint_card` looks for all of them.
const ROWS: [&str; 5] = ["backup", "ri-file", "in-place", "escaped", "size-word"];

fn flint(words: &[&'static str]) -> Vec<&'static str> {
    let mut all = vec!["flint"];
    all.extend(words);
    all
}

#[test]
fn a_burn_makes_a_backup_first() {
    assert_eq!(ROWS[0], "backup");
    let bench = Sandbox::owner();
    let before = bench.flash("card.cx3");
    bench
        .shell("CX3FLASH_BACKUP_DIR=backups cx3flash flint -d sim:card.cx3 -i new.bin -y b")
        .exits(0)
        .prints("Restoring signature                     - OK");
    let backups: Vec<_> =
        fs::read_dir(bench.path("backups")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(backups.len(), 1, "{backups:?}");
    assert!(fs::read(backups[0].join("flash.bin")).unwrap() == before);
}

#[test]
fn a_failed_ri_leaves_the_file_as_it_was() {
    assert_eq!(ROWS[1], "ri-file");
    let bench = Sandbox::owner();
    bench.run(&["sim", "create", "empty.cx3", "--blank"]).exits(0);
    bench.write("out.mlx", b"an older image");
    bench
        .run(&flint(&["-d", "sim:empty.cx3", "ri", "out.mlx"]))
        .exits(1)
        .prints("-E- Failed to read image.");
    assert_eq!(bench.read("out.mlx"), b"an older image");
}

#[test]
fn sg_of_a_file_replaces_it_in_one_step() {
    assert_eq!(ROWS[2], "in-place");
    let bench = Sandbox::owner();
    let before = bench.read("new.bin");
    // Another name for the same file keeps what was there: the new one is another file.
    fs::hard_link(bench.path("new.bin"), bench.path("old.bin")).unwrap();
    bench.run(&flint(&["-y", "-i", "new.bin", "-mac", "e41d2d000001", "sg"])).exits(0);
    assert!(bench.read("old.bin") == before);
    assert!(bench.read("new.bin") != before);
    let left: Vec<_> = fs::read_dir(bench.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_text_of_an_image_is_printed_escaped() {
    assert_eq!(ROWS[3], "escaped");
    let bench = Sandbox::owner();
    let hostile = Recipe { psid: "A\u{1b}[8m\nB".into(), ..Recipe::mcx311a_2_42_5000() };
    bench.write("esc.bin", &build(&hostile).unwrap());
    bench
        .run(&flint(&["-i", "esc.bin", "q"]))
        .exits(0)
        .prints("PSID:                  A\\x1b[8m\\nB\n");
}

#[test]
fn our_own_flags_and_mst_names_work_with_flint() {
    let bench = Sandbox::owner();
    bench
        .run(&["-d", "sim:card.cx3", "flint", "q"])
        .exits(0)
        .prints("PSID:                  MT_1170110023");
    bench
        .run(&["--report", "reports", "flint", "-d", "sim:card.cx3", "verify"])
        .exits(0)
        .reports("report: reports/cx3flash-report-");
    assert_eq!(fs::read_dir(bench.path("reports")).unwrap().count(), 1);
    bench.run(&["--json", "flint", "-d", "sim:card.cx3", "q"]).exits(64);
    // The name mst would give to the only card here.
    bench
        .run(&flint(&["-d", "/dev/mst/mt4099_pci_cr0", "q"]))
        .exits(0)
        .prints("FW Version:            2.35.5100");
    bench
        .run(&flint(&["-d", "/dev/mst/mt4103_pci_cr0", "q"]))
        .exits(1)
        .prints("-E- Cannot open Device: /dev/mst/mt4103_pci_cr0. ");
}

#[test]
fn sg_of_a_file_writes_a_wrong_size_word_right() {
    assert_eq!(ROWS[4], "size-word");
    let bench = Sandbox::owner();
    let mut image = bench.read("new.bin");
    let size = (image.len() as u32).to_be_bytes();
    let lower = (image.len() as u32 - 0x18).to_be_bytes();
    image[0x30..0x34].copy_from_slice(&lower);
    bench.write("odd.bin", &image);
    bench.run(&flint(&["-y", "-i", "odd.bin", "-mac", "e41d2d000001", "sg"])).exits(0);
    assert_eq!(bench.read("odd.bin")[0x30..0x34], size);
}
