//! The same scripts with Debian's mstflint 4.21 and with `cx3flash flint`, each on its own copy of
//! the same simulated card: text, exit code and flash.

mod burning;
mod changing;
mod engine;
mod reading;
pub(crate) mod world;

use crate::support::flint::table_of_differences;
use crate::support::mst;
use burning::{answered, burns, corners, refusals};
use changing::{changes, ours};
use engine::compare;
use reading::{copies, reading};

#[test]
fn commands_that_only_read_match_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &reading());
}

#[test]
fn copies_of_a_card_match_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &copies());
}

#[test]
fn burns_match_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &burns());
}

#[test]
fn refusals_of_burns_match_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &refusals());
}

#[test]
fn answers_to_questions_match_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &answered());
}

#[test]
fn old_sections_and_damaged_roms_match_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &corners());
}

#[test]
fn changes_of_a_card_match_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &changes());
}

#[test]
fn differences_are_those_of_the_table() {
    let Some(mst) = mst() else { return };
    compare(mst, &ours());
}

#[test]
fn every_difference_has_a_row() {
    let all = [reading(), ours()];
    for script in all.iter().flatten() {
        if let Some(row) = script.row() {
            assert!(table_of_differences().contains(&row), "no row {row} in docs/flint.md");
        }
    }
}

/// The text of every test of flint.
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
fn every_row_is_shown_by_a_transcript() {
    let mut all = String::new();
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    sources(&tests, &mut all);
    assert!(table_of_differences().len() > 20, "the table is not found");
    for row in table_of_differences() {
        assert!(all.contains(&format!("\"{row}\"")), "no transcript shows the difference {row}");
    }
}

#[test]
fn enough_scripts_are_compared() {
    let all = [reading(), copies(), burns(), refusals(), answered(), changes(), corners(), ours()];
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

/// Row "stdout-full".
#[test]
fn a_query_that_cannot_be_printed_ends_with_74() {
    let dir = bench();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = flint(dir.path(), &["query"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{output:?}");
}

/// Row "outcome".
#[test]
fn a_burn_whose_card_vanishes_ends_with_9() {
    let dir = bench();
    let fault = cx3flash::sim::Fault::PowerCut { op: 5, seed: 3 };
    cx3flash::sim::SimCard::open(&dir.path().join("card.cx3")).unwrap().inject(fault);
    let output = flint(dir.path(), &["-i", "fs_new.bin", "burn"]).output().unwrap();
    assert_eq!(output.status.code(), Some(9), "{output:?}");
}
