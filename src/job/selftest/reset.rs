//! Stages that need consent: commands to the running firmware, and a reset.

use crate::card::{Card, ToolsError};
use crate::image::Version;
use crate::job::activate::may_reset;
use crate::job::session::{CardFacts, version};
use crate::job::stage::StageFinding;
use crate::job::{Device, JobError};
use crate::plan::CardSnapshot;

/// Offset in the answer of `QUERY_DEV_CAP` that `config query` reads as well.
const CAPABILITIES: u16 = 0x48;

/// One command to the running firmware.
pub(super) fn tools_interface(card: &mut Card) -> Result<StageFinding, JobError> {
    let clock = card.clock();
    let start = clock.now();
    let answer = card.tools().and_then(|mut tools| tools.capabilities(CAPABILITIES));
    let us = clock.now().saturating_sub(start).as_micros() as u64;
    let finding = match answer {
        Ok(_) => StageFinding::proved("the firmware answers QUERY_DEV_CAP"),
        Err(ToolsError::Card(error)) => return Err(error.into()),
        Err(error @ ToolsError::Timeout { .. }) => StageFinding::contradicted(error.to_string()),
        Err(error) => StageFinding::unknown(error.to_string()),
    };
    Ok(finding.with("answer_us", us))
}

/// A software reset: does it arrive, and does it load the firmware from the flash.
pub(super) fn reset(
    device: &mut Device,
    facts: &CardFacts,
    card: &CardSnapshot,
) -> Result<StageFinding, JobError> {
    if facts.recovery {
        return Ok(StageFinding::unknown("a card in recovery mode is not reset"));
    }
    if card.boots().start.is_none() {
        return Ok(StageFinding::unknown(
            "not reset: no image on the flash is relied on to boot, and a reset may end in recovery mode",
        ));
    }
    if let Err(error) = may_reset(device) {
        return Ok(StageFinding::unknown(error.to_string()));
    }
    let clock = device.card.clock();
    let start = clock.now();
    let seen = device.lock()?.software_reset()?;
    let ms = clock.now().saturating_sub(start).as_millis() as u64;
    let after = device.card.running_version()?.map(version);
    let curve = device.card.boot_curve();
    let booted = curve.len() > 1;
    let finding = judge(facts.running, after, seen, booted, card);
    let finding = finding.with("ready_ms", ms);
    let finding = curve.iter().fold(finding, |finding, step| {
        finding.with("seen", format!("{} ms: {}", step.ms, step.seen))
    });
    Ok(match after {
        Some(version) => finding.with("running", version.to_string()),
        None => finding,
    })
}

fn judge(
    before: Option<Version>,
    after: Option<Version>,
    seen: bool,
    booted: bool,
    card: &CardSnapshot,
) -> StageFinding {
    let name = |version: Option<Version>| version.map_or("none".into(), |v| v.to_string());
    let versions = || card.bootable().filter_map(|slot| slot.image()?.fw_version());
    if !seen {
        StageFinding::contradicted("semaphore 63 is still taken: the reset did not arrive")
    } else if after.is_none() || versions().any(|version| Some(version) == after) {
        if before != after || booted {
            StageFinding::proved(format!("the reset loaded the firmware: {} runs", name(after)))
        } else {
            StageFinding::unknown(format!(
                "the reset arrived; {} ran before and runs now, so whether it was loaded anew is not known",
                name(after)
            ))
        }
    } else {
        StageFinding::contradicted(format!(
            "the reset arrived and loaded nothing: {} runs, the flash boots {}",
            name(after),
            name(versions().next())
        ))
    }
}
