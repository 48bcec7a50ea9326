//! Power cuts at every flash operation of the firmware during `config set`.
//!
//! The card boots under either order of search, every setting is the old or the new one, settings
//! stored together change together, and the repeated command completes.

use super::engine::{CutTally, Points, sweep};
use cx3flash::card::nv::Parameter;
use cx3flash::image::{Half, Recipe, RomRecipe, build, striped};
use cx3flash::job::{self, JobError, NvChange, NvSetOutcome};
use cx3flash::sim::{CardSpec, SimCard, SimChip};
use std::collections::BTreeMap;
use std::path::Path;

/// What every sweep sets. The first two are stored together.
const WANTED: [(&str, u32); 5] = [
    ("NUM_OF_VFS", 3),
    ("SRIOV_EN", 1),
    ("BOOT_VLAN_P1", 17),
    ("CQ_TIMESTAMP", 0),
    ("WOL_MAGIC_EN_P1", 1),
];

fn wanted() -> Vec<(Parameter, u32)> {
    WANTED.iter().map(|(name, value)| (Parameter::named(name).unwrap(), *value)).collect()
}

/// A card of 1 MiB with a small image.
fn card(failsafe: bool, chip: SimChip) -> SimCard {
    let (hw_id, revision) = if failsafe { (0x1f7, 0) } else { (0x1f5, 1) };
    let shape = if failsafe { Recipe::mcx312b_2_42_5000() } else { Recipe::mcx311a_2_42_5000() };
    let recipe = Recipe {
        chunk_log2: failsafe.then_some(16),
        rom: Some(RomRecipe::pxe((3, 4, 752), 0x1003, 0x2000).build().unwrap()),
        size: 0x9000 - 0x2f4,
        ini: None,
        ..shape
    };
    let flash = striped(&build(&recipe).unwrap(), Half::Even, chip.size()).unwrap();
    let spec = CardSpec { hw_id, revision, chip, ..CardSpec::default() };
    let card = SimCard::new(spec, &flash);
    card.set_hurry(true);
    card
}

fn set(card: &SimCard, wanted: &[(Parameter, u32)]) -> Result<NvSetOutcome, JobError> {
    let shm = Path::new("/dev/shm");
    let backups =
        if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
    let mut device = job::open_sim(card, "sim")?;
    job::nv_set(&mut device, wanted, backups.path(), &mut |_: &[NvChange], _: &Path| true, &mut ())
}

fn values(card: &SimCard) -> BTreeMap<String, Option<u32>> {
    let mut device = job::open_sim(card, "sim").unwrap();
    let outcome = job::nv_query(&mut device).unwrap();
    outcome.parameters.into_iter().map(|p| (p.name, p.next_boot)).collect()
}

fn swept(name: &str, start: &SimCard) -> CutTally {
    // Operations are counted from power-on.
    start.power_cycle();
    let old = values(start);
    let boots = start.boot_outcomes();
    assert!(WANTED.iter().all(|(n, v)| old[*n] != Some(*v)), "{old:?}");
    sweep(name, start, Points::Every, &|card| set(card, &wanted()).is_ok(), &|card, op, _| {
        assert_eq!(card.boot_outcomes(), boots, "op {op}: P1 broken");
        let found = values(card);
        let mut new = 0;
        for (name, value) in &found {
            let wanted = WANTED.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
            if wanted.is_some() && *value == wanted {
                new += 1;
            } else {
                assert_eq!(*value, old[name], "op {op}: {name} is neither old nor new");
            }
        }
        let together = |n: &str, v: u32| found[n] == Some(v);
        assert_eq!(
            together("NUM_OF_VFS", 3),
            together("SRIOV_EN", 1),
            "op {op}: settings stored together differ"
        );
        match set(card, &wanted()) {
            Ok(outcome) => assert_eq!(outcome.nothing_to_do, new == WANTED.len(), "op {op}"),
            Err(error) => panic!("op {op}: set again: {error}"),
        }
        let after = values(card);
        assert!(WANTED.iter().all(|(n, v)| after[*n] == Some(*v)), "op {op}: {after:?}");
        assert_eq!(card.misuse(), [], "op {op}");
        assert!(card.semaphores_held().is_empty(), "op {op}");
        format!("{new} new")
    })
}

/// Fills the log until only one more TLV fits.
fn fill(card: &SimCard, slots: u32) {
    let vlan = Parameter::named("BOOT_RETRY_CNT_P1").unwrap();
    for n in 0..slots {
        let mut device = job::open_sim(card, "sim").unwrap();
        let mut tools = device.card.tools().unwrap();
        tools.write_tlv(vlan.tlv(), &[0x2001_0001 | (n % 7) << 24]).unwrap();
    }
}

#[test]
fn a_cut_config_set_leaves_each_setting_of_a_fresh_card_old_or_new() {
    let tally = swept("config set, fresh", &card(false, SimChip::W25q80));
    assert!(tally.outcomes.contains_key("0 new"), "no cut before the end");
    assert!(tally.outcomes.len() > 2, "the settings came all at once");
}

#[test]
fn a_cut_config_set_in_a_full_area_leaves_each_setting_old_or_new() {
    let card = card(false, SimChip::W25q80);
    // 4 KiB: a header and 63 slots, of which the sweep's TLVs take the last two and then none.
    fill(&card, 61);
    let tally = swept("config set, full area", &card);
    assert!(tally.points > 6, "the area was not copied");
}

#[test]
fn a_cut_config_set_leaves_each_setting_of_a_failsafe_card_old_or_new() {
    let tally = swept("config set, failsafe", &card(true, SimChip::W25q80));
    assert!(tally.outcomes.contains_key("0 new"), "no cut before the end");
}

#[test]
fn a_cut_config_set_in_areas_used_twice_leaves_each_setting_old_or_new() {
    let card = card(true, SimChip::W25q80);
    // 8 KiB areas of 127 slots: full, copied to the other one, full again but for one.
    fill(&card, 127 + 125);
    let tally = swept("config set, both areas used", &card);
    assert!(tally.points > 7, "no erase was met");
}
