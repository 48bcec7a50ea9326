//! Comparison of two inis, key by key.

use crate::image::{Ini, IniEntry, ini_equal};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// A key that is not the same in both.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct IniChange {
    /// Empty in front of the first section.
    pub section: String,
    pub key: String,
    /// In the card's ini; `None` = the key is added.
    pub from: Option<String>,
    /// In the new one; `None` = the key is removed.
    pub to: Option<String>,
}

/// Every difference of two inis.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct IniDiff {
    /// The keys of `FIRST_KEYS` first, then in the order of the texts.
    pub changes: Vec<IniChange>,
    /// Keys only the new one has.
    pub added: usize,
    /// Keys only the card's has.
    pub removed: usize,
    /// Keys with another value.
    pub changed: usize,
}

/// Keys people ask for first: what the card is and what the machine sees of it.
const FIRST_KEYS: [&str; 20] = [
    "Name",
    "Description",
    "silicon_rev",
    "adapter_dev_id",
    "hca_header_device_id",
    "hca_header_subsystem_id",
    "num_of_ports",
    "phy_type_port1",
    "phy_type_port2",
    "num_pfs",
    "total_vfs",
    "sriov_en",
    super::UAR_BAR,
    "log_flashdev_size",
    "log_flash_sector_size",
    "nv_cfg_en",
    "nv_config_sectors",
    "gen_guids_from_mac",
    "eth_xfi_en",
    "PRS_name",
];

/// More keys than this that differ in their digits alone are a table, such as an equaliser's.
const TABLE: usize = 4;

impl IniDiff {
    /// Of a key that is given twice the first one counts, as in [`Ini::get`]; values are
    /// equal when they mean the same.
    pub fn of(card: &Ini, image: &Ini) -> Self {
        let (old, new) = (first_values(card), first_values(image));
        // An image may hold a hundred thousand keys: a search for each one would take minutes.
        let (before, after) = (by_key(&old), by_key(&new));
        let value =
            |map: &KeyMap<'_>, entry: &IniEntry| map.get(&name(entry)).map(|v| (*v).to_owned());
        let change = |entry: &IniEntry| IniChange {
            section: entry.section.clone(),
            key: entry.key.clone(),
            from: value(&before, entry),
            to: value(&after, entry),
        };
        let only_old = old.iter().filter(|e| !after.contains_key(&name(e)));
        let mut changes: Vec<IniChange> = new.iter().chain(only_old).map(change).collect();
        changes.retain(|change| match (&change.from, &change.to) {
            (Some(from), Some(to)) => !ini_equal(from, to),
            _ => true,
        });
        let mut shapes: HashMap<String, usize> = HashMap::new();
        for change in &changes {
            *shapes.entry(shape(&change.key)).or_default() += 1;
        }
        changes.sort_by_cached_key(|change| {
            let known = FIRST_KEYS.iter().position(|key| *key == change.key);
            let table = shapes.get(&shape(&change.key)).is_some_and(|n| *n > TABLE);
            (known.unwrap_or(FIRST_KEYS.len()), table)
        });
        let added = changes.iter().filter(|c| c.from.is_none()).count();
        let removed = changes.iter().filter(|c| c.to.is_none()).count();
        Self { added, removed, changed: changes.len() - added - removed, changes }
    }
}

/// Every key once, with its first value.
fn first_values(ini: &Ini) -> Vec<IniEntry> {
    let mut seen = HashSet::new();
    let mut entries = ini.entries();
    entries.retain(|e| seen.insert((e.section.clone(), e.key.clone())));
    entries
}

/// Value of each section and key.
type KeyMap<'a> = HashMap<(&'a str, &'a str), &'a str>;

fn name(entry: &IniEntry) -> (&str, &str) {
    (&entry.section, &entry.key)
}

fn by_key(entries: &[IniEntry]) -> KeyMap<'_> {
    entries.iter().map(|e| (name(e), e.value.as_str())).collect()
}

fn shape(key: &str) -> String {
    key.chars().filter(|c| !c.is_ascii_digit()).collect()
}
