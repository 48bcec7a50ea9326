//! The same scripts with Debian's mstflint 4.21 and with `cx3flash flint`, each on its own copy of
//! the same simulated card: text, exit code and flash.

mod burning;
mod changing;
mod engine;
mod looks;
pub(crate) mod world;

use crate::support::mst;
use burning::{answered, burns, corners, refusals};
use changing::{changes, ours};
use engine::compare;
use looks::{copies, looks};

#[test]
fn looks_differ_from_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &looks());
}

#[test]
fn copies_differ_from_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &copies());
}

#[test]
fn burns_differ_from_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &burns());
}

#[test]
fn refusals_differ_from_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &refusals());
}

#[test]
fn answers_lead_elsewhere_than_with_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &answered());
}

#[test]
fn corners_differ_from_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &corners());
}

#[test]
fn changes_differ_from_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &changes());
}

#[test]
fn differences_are_others_than_those_in_the_table() {
    let Some(mst) = mst() else { return };
    compare(mst, &ours());
}

/// Rows of the table of differences.
fn rows() -> Vec<&'static str> {
    include_str!("../../../docs/flint.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .map(|(id, _)| id)
        .filter(|id| *id != "id")
        .collect()
}

#[test]
fn a_difference_has_no_row() {
    let all = [looks(), ours()];
    for script in all.iter().flatten() {
        if let Some(row) = script.row() {
            assert!(rows().contains(&row), "no row {row} in differences.md");
        }
    }
}

/// Every source file of the tests of the dialect.
fn sources(dir: &std::path::Path, all: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name.starts_with("flint_") {
            sources(&path, all);
        } else if name.ends_with(".rs") && (name.starts_with("flint_") || !dir.ends_with("it")) {
            all.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn a_row_is_shown_by_no_transcript() {
    let mut all = String::new();
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    sources(&tests, &mut all);
    assert!(rows().len() > 20, "the table is not found");
    for row in rows() {
        assert!(
            all.contains(&format!("\"{row}\"")),
            "no transcript shows the difference {row}"
        );
    }
}

#[test]
fn too_few_scripts_are_compared() {
    let all = [
        looks(),
        copies(),
        burns(),
        refusals(),
        answered(),
        changes(),
        corners(),
        ours(),
    ];
    assert!(all.iter().map(Vec::len).sum::<usize>() >= 140);
}

/// A directory with the failsafe card and an image for it.
fn bench() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    world::card("fs", &dir.path().join("card.cx3"));
    std::fs::write(dir.path().join("fs_new.bin"), world::file("fs_new.bin")).unwrap();
    dir
}

/// `cx3flash flint` with the card of [`bench`].
fn flint(dir: &std::path::Path, args: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cx3flash"));
    command
        .args(["flint", "-y", "-d", "sim:card.cx3"])
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("CX3FLASH_BACKUP_DIR", dir.join("backups"))
        .env("XDG_STATE_HOME", dir.join("state"));
    command
}

/// Row "backup": flint has nothing to compare with.
#[test]
fn a_burn_begins_without_a_backup() {
    let dir = bench();
    let before = cx3flash::sim::SimCard::open(&dir.path().join("card.cx3"))
        .unwrap()
        .flash();
    let output = flint(dir.path(), &["-i", "fs_new.bin", "burn"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let made: Vec<_> = std::fs::read_dir(dir.path().join("backups"))
        .expect("the row \"backup\" holds")
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(std::fs::read(made[0].join("flash.bin")).unwrap() == before);
}

/// Row "stdout-full".
#[test]
fn work_whose_report_cannot_be_written_ends_with_74() {
    let dir = bench();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = flint(dir.path(), &["query"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{output:?}");
}

/// Row "outcome".
#[test]
fn a_burn_whose_card_vanishes_while_it_is_written_ends_with_9() {
    let dir = bench();
    let fault = cx3flash::sim::Fault::PowerCut { op: 5, seed: 3 };
    cx3flash::sim::SimCard::open(&dir.path().join("card.cx3"))
        .unwrap()
        .inject(fault);
    let output = flint(dir.path(), &["-i", "fs_new.bin", "burn"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(9), "{output:?}");
}
