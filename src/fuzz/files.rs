//! Files beside images: card files, journals, the manifest of a backup, and JSON of arguments.

use crate::flash::trace::Trace;
use crate::host::fuzz_journal;
use crate::image::{Contents, Identity, Recipe, Version, build};
use crate::job::{Manifest, read_backup, trace_replay, trace_show};
use crate::sim::{CardSpec, Fault, SimCard};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

/// The flash in a backup of [`manifest`].
pub(super) const FLASH: &[u8] = b"the whole flash of a very small card";
/// A file of the same backup.
pub(super) const ROM: &[u8] = b"a ROM";
/// Images of recipes are no larger.
const LARGEST: u32 = 1 << 20;

/// A directory that goes when the closure returns; in memory where the system has such a place.
pub(super) fn in_dir<T>(act: impl FnOnce(&Path) -> T) -> T {
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
    act(dir.expect("a directory").path())
}

/// A card file in the short form of `sim::fuzz`.
pub fn card_file(data: &[u8]) {
    in_dir(|dir| crate::sim::fuzz_card_file(data, &dir.join("card")));
}

/// A file of a journal: what is decoded is encoded to an equal record.
pub fn journal(data: &[u8]) {
    fuzz_journal(data);
}

/// A trace: the bytes of its file, and the text of one. What can be read is shown and replayed, and ends.
pub fn trace(data: &[u8]) {
    let packed = compress_to_vec(data, CompressionLevel::Fastest);
    for file in [data, &packed] {
        let Ok(trace) = Trace::read(file) else { continue };
        let path = Path::new("trace");
        in_dir(|dir| {
            let path = dir.join("trace");
            std::fs::write(&path, file).expect("file");
            let shown = trace_show(&path, true, Arc::default()).expect("its header was read");
            assert_eq!(shown.lines().count(), trace.records.len());
            assert_eq!(shown.marks().count(), trace.marks().count());
            assert_eq!(shown.outcome.accesses as u64, trace.count());
        });
        if let Ok(outcome) = trace_replay(path, &trace, &mut ()) {
            assert!(outcome.progress.replayed <= outcome.progress.recorded);
        }
    }
}

/// `manifest.json` of a backup with these bytes, beside its files and one outside.
pub fn manifest(data: &[u8]) {
    round_trip::<Manifest>(data);
    in_dir(|dir| {
        let backup = dir.join("backup");
        let put = |path: &Path, bytes: &[u8]| std::fs::write(path, bytes).expect("file");
        std::fs::create_dir(&backup).expect("directory");
        put(&backup.join("manifest.json"), data);
        put(&backup.join("flash.bin"), FLASH);
        put(&backup.join("rom.bin"), ROM);
        put(&dir.join("flash.bin"), b"another flash");
        if let Ok(facts) = read_backup(&backup, None, &()) {
            assert_eq!(facts.flash, FLASH, "another file than that of the backup");
            let listed: Manifest = serde_json::from_slice(data).expect("it was read");
            assert_eq!(facts.chip, Some((listed.hw_id, listed.revision)));
            assert!(listed.files.iter().all(|file| !file.name.contains('/')));
        }
    });
}

/// What is read from JSON, written and read again is equal.
fn round_trip<T: DeserializeOwned + Serialize + PartialEq + Debug>(data: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(data).ok()?;
    let text = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&text).expect("what was written can be read");
    assert_eq!(again, value);
    Some(value)
}

/// JSON that a user hands to the program: an identity, a fault, a card, an image, a version.
pub fn arguments_json(data: &[u8]) {
    round_trip::<Version>(data);
    round_trip::<CardSpec>(data);
    if let Some(identity) = round_trip::<Identity>(data) {
        assert!(identity.vsd.len() <= data.len());
    }
    if let Some(fault) = round_trip::<Fault>(data) {
        let card = SimCard::new(CardSpec::default(), &[]);
        card.inject(fault);
        let mut bar0 = card.bar0();
        for at in [0xF0014, 0xF03FC, 0xF0400, 0xF0410] {
            let _ = bar0.read(crate::card::CrOffset(at));
            let _ = bar0.write(crate::card::CrOffset(at), 0x4005_2004);
        }
        card.power_cycle();
    }
    if let Some(recipe) = round_trip::<Recipe>(data)
        && recipe.size <= LARGEST
        && let Ok(bytes) = build(&recipe)
    {
        // What the builder makes is an image, and keeps its promise about the size.
        let contents = Contents::from_file(&bytes).expect("an image");
        assert_eq!(contents.bytes().len(), bytes.len());
        assert!(recipe.size == 0 || recipe.size as usize == bytes.len());
    }
}
