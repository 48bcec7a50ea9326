//! The corpus of each target as ordinary tests.

use super::{FuzzTarget, TARGETS, flash_of, records_of};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Bytes of the whole corpus.
const LARGEST: u64 = 1 << 20;

fn corpus(name: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", dir.display());
    files
}

/// Every file of the corpus passes through its target.
fn replay(name: &str) {
    let (_, target): &FuzzTarget = TARGETS.iter().find(|(n, _)| *n == name).unwrap();
    for path in corpus(name) {
        let bytes = fs::read(&path).unwrap();
        let ended = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
        assert!(ended.is_ok(), "{} is a finding", path.display());
    }
}

#[test]
fn the_corpus_of_image_passes() {
    replay("image");
}

#[test]
fn the_corpus_of_archive_passes() {
    replay("archive");
}

#[test]
fn the_corpus_of_dump_passes() {
    replay("dump");
}

#[test]
fn the_corpus_of_ini_passes() {
    replay("ini");
}

#[test]
fn the_corpus_of_rom_passes() {
    replay("rom");
}

#[test]
fn the_corpus_of_card_file_passes() {
    replay("card_file");
}

#[test]
fn the_corpus_of_journal_passes() {
    replay("journal");
}

#[test]
fn the_corpus_of_trace_passes() {
    replay("trace");
}

#[test]
fn the_corpus_of_manifest_passes() {
    replay("manifest");
}

#[test]
fn the_corpus_of_arguments_json_passes() {
    replay("arguments_json");
}

#[test]
fn the_corpus_of_flint_line_passes() {
    replay("flint_line");
}

#[test]
fn the_corpus_of_vfio_user_passes() {
    replay("vfio_user");
}

#[test]
fn the_corpus_of_job_passes() {
    replay("job");
}

/// A target without program, program without target, or corpus without target would never run.
#[test]
fn every_target_has_its_program_its_corpus_and_its_replay() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |dir: &str| {
        let mut names: Vec<String> = fs::read_dir(top.join(dir))
            .unwrap()
            .map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(names("fuzz/fuzz_targets"), targets);
    assert_eq!(names("fuzz/corpus"), targets);
    let manifest = fs::read_to_string(top.join("fuzz/Cargo.toml")).unwrap();
    let replays = include_str!("tests.rs");
    for name in targets {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml: {name}");
        assert!(replays.contains(&format!("replay(\"{name}\")")), "no replay of {name}");
    }
}

#[test]
fn the_corpus_stays_small() {
    let sizes = TARGETS.iter().flat_map(|(name, _)| corpus(name));
    let total: u64 = sizes.map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(total <= LARGEST, "{total} bytes");
}

#[test]
fn a_flash_survives_its_records() {
    let mut flash = vec![0xFF; 0x2_0000];
    flash[0x40..0x1_8000].fill(7);
    flash[0x1_FFFF] = 0;
    assert!(flash_of(&records_of(&flash), flash.len()) == flash);
    assert!(flash_of(b"\xFF\xFF\0\x08beyond", 0x100) == [0xFF; 0x100]);
}
