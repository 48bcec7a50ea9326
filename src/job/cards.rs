//! Which cards there are: those of the host, and card files.

use super::CardSelector;
use super::selector::CARD_FILE;
use crate::host::{Function, Host};
use crate::sim::{CardSpec, spec_in};
use std::path::{Path, PathBuf};

/// Card files in a directory, by name.
pub fn card_files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| match dir == Path::new(".") {
            true => PathBuf::from(entry.file_name()),
            false => entry.path(),
        })
        .filter(|path| path.extension().is_some_and(|x| x == CARD_FILE))
        .collect();
    paths.sort();
    paths
}

/// The real cards by address, then those in `simulated`. Virtual functions are no cards.
pub fn all_cards(host: &Host, simulated: &[PathBuf]) -> Vec<CardSelector> {
    let real = host.cards().unwrap_or_default();
    real.into_iter()
        .filter(|card| card.function != Function::Virtual)
        .map(|card| CardSelector::Host(card.bdf.to_string()))
        .chain(simulated.iter().cloned().map(CardSelector::Sim))
        .collect()
}

/// An address for a new card file: no card of the host and no card file beside it has it.
pub fn free_address(file: &Path, host: &Host) -> String {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let simulated = card_files(dir).into_iter().filter_map(|path| Some(spec_in(&path)?.bdf));
    let real = host.cards().unwrap_or_default().into_iter().map(|card| card.bdf.to_string());
    let taken: Vec<String> = real.chain(simulated).collect();
    CardSpec::free_address(&taken)
}
