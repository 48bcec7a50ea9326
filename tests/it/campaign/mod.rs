//! Seeded campaigns: a card, its contents, an image, a command and a fault schedule are drawn from a
//! seed; the job runs on the simulated card; what it reports is compared with what the card holds.
//!
//! After a job that left something to repair, power is cycled and a repair runs under faults of its own;
//! last, one without faults. From seed 10,000 on jobs load the firmware that they wrote, on cards with any boot
//! ROM, and the firmware may fail. A contradiction prints its seed. `CX3FLASH_CAMPAIGN=N` runs N seeds,
//! `CX3FLASH_CAMPAIGN=1:SEED` replays one.

mod judge;
mod make;
mod run;

use make::{CampaignCase, WITH_ACTIVATION};
use std::collections::BTreeMap;
use std::io::Write;

/// Seeds of the ordinary run, without and with an activation.
const SEEDS: u64 = 15;

/// Seeds to run.
fn wanted() -> Vec<u64> {
    let Ok(text) = std::env::var("CX3FLASH_CAMPAIGN") else {
        return [1, WITH_ACTIVATION].into_iter().flat_map(|first| first..first + SEEDS).collect();
    };
    let (count, first) = text.split_once(':').unwrap_or((&text, "1"));
    let number = |text: &str| text.parse::<u64>().expect("CX3FLASH_CAMPAIGN is N or N:SEED");
    (number(first)..number(first) + number(count)).collect()
}

#[test]
fn what_a_job_reports_is_what_the_card_holds() {
    let seeds = wanted();
    let bench = make::CampaignFiles::new();
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    let mut faults: BTreeMap<String, u64> = BTreeMap::new();
    let mut contradictions = Vec::new();
    let mut jobs = 0;
    for &seed in &seeds {
        let scenario = CampaignCase::draw(seed, &bench);
        let verdict = run::play(&scenario, &bench);
        for (end, used) in &verdict.ends {
            jobs += 1;
            *ends.entry(end.clone()).or_default() += 1;
            for fault in used {
                *faults.entry(fault.clone()).or_default() += 1;
            }
        }
        if seeds.len() == 1 {
            say(&format!("{scenario}\n{}", verdict.log.join("\n")));
        }
        if let Err(why) = verdict.judged {
            let log = verdict.log.join("\n");
            contradictions.push(format!(
                "seed {seed}: {why}\n{scenario}\n{log}\nreplay: CX3FLASH_CAMPAIGN=1:{seed} cargo test --test it -- campaign"
            ));
        }
    }
    let list = |counts: &BTreeMap<String, u64>| {
        let parts: Vec<String> = counts.iter().map(|(what, n)| format!("{what} {n}")).collect();
        parts.join(", ")
    };
    say(&format!(
        "campaign: {} seeds, {jobs} jobs: {}; faults that happened: {}; contradictions {}",
        seeds.len(),
        list(&ends),
        list(&faults),
        contradictions.len()
    ));
    assert!(contradictions.is_empty(), "{}", contradictions.join("\n\n"));
}

/// 5045: a sector that reads differently each time after two cuts. 5191: the only image left has a damaged
/// ROM section.
#[test]
fn a_card_with_a_torn_sector_or_a_damaged_rom_is_reported_as_it_is_and_repaired() {
    let bench = make::CampaignFiles::new();
    for seed in [5045, 5191] {
        let verdict = run::play(&CampaignCase::draw(seed, &bench), &bench);
        assert!(verdict.judged.is_ok(), "{seed}: {:?}\n{}", verdict.judged, verdict.log.join("\n"));
    }
}

/// 3005: before the first reading the firmware stores a setting, and the page goes elsewhere.
#[test]
fn a_backup_holds_what_the_firmware_has_stored_before_it_wherever_that_went() {
    let bench = make::CampaignFiles::new();
    let verdict = run::play(&CampaignCase::draw(3005, &bench), &bench);
    assert!(verdict.judged.is_ok(), "{:?}\n{}", verdict.judged, verdict.log.join("\n"));
}

/// Past the test harness, so that the figures are seen in every run.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
