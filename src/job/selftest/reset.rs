//! Stages that need consent: commands to the running firmware, and a reset.

use super::kernel::KernelMessages;
use crate::card::{BootStep, Card, ToolsError};
use crate::flash::Events;
use crate::host::Borrowed;
use crate::image::Version;
use crate::job::activate::may_reset;
use crate::job::look::{in_words, runs, seen_version, shows_life, watched_reset};
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

/// VFIO's reset and a software reset: do they arrive, and does the second one load the firmware from the flash.
pub(super) fn reset(
    device: &mut Device,
    facts: &CardFacts,
    card: &CardSnapshot,
    kernel: &mut KernelMessages,
    events: &mut dyn Events,
) -> Result<StageFinding, JobError> {
    if facts.recovery {
        return Ok(StageFinding::unknown("a card in recovery mode is not reset"));
    }
    let (Some(_), Some(wanted)) = (card.boots().start, card.boots().version) else {
        return Ok(StageFinding::unknown(
            "not reset: no image on the flash is relied on to boot, and a reset may end in recovery mode",
        ));
    };
    if device.locks_again(card.images()) {
        return Ok(StageFinding::unknown(
            "not reset: a reset locks this card, which has a hardware access key; give it with --key-file FILE",
        ));
    }
    if let Err(error) = may_reset(device) {
        return Ok(StageFinding::unknown(error.to_string()));
    }
    // What the kernel reported before is about other stages.
    kernel.new_lines(device);
    let config = configuration(device);
    // The chip is idle, and nothing is sent to it before the reset.
    drop(device.lock()?);
    let by_vfio = device.card.hold_flash()?.function_reset()?;
    let vfio_curve = device.card.boot_curve().to_vec();
    let vfio_config = configuration(device);
    let before = device.card.running_version()?.map(version);

    let lived = shows_life(device)?;
    drop(device.lock()?);
    let seen = watched_reset(device, facts, wanted, events)?;
    let after = seen_version(&seen);
    let curve = device.card.boot_curve();
    let mut finding = match runs(&seen, lived) {
        true => judge(before, after, seen.arrived, curve.len() > 1, card),
        false => StageFinding::contradicted(format!(
            "the reset ended with a card whose firmware does not run: {}",
            in_words(&seen)
        )),
    };
    let what = match by_vfio {
        None => "there is none",
        Some(true) => "restarts the chip",
        Some(false) if vfio_curve.len() > 1 => "restarts the chip, whose semaphore 63 stays taken",
        Some(false) => "does not restart the chip",
    };
    finding = finding.with("vfio_reset", what.to_owned());
    finding = finding.with("vfio_ready_ms", ready_ms(&vfio_curve));
    finding = with_curve(finding, "vfio_seen", &vfio_curve);
    finding = with_changes(finding, "vfio_config", &config, &vfio_config);
    finding = with_curve(finding.with("ready_ms", ready_ms(curve)), "seen", curve);
    finding = with_changes(finding, "config", &config, &configuration(device));
    if let Some(version) = after {
        finding = finding.with("running", version.to_string());
    }
    let lines = kernel.new_lines(device);
    finding = finding.with("kernel_messages", lines.len() as u64);
    Ok(lines.into_iter().fold(finding, |finding, line| finding.with("kernel", line)))
}

/// When the card showed what it shows now, after the wait that ended with it.
fn ready_ms(curve: &[BootStep]) -> u64 {
    curve.last().map_or(0, |step| step.ms)
}

fn with_curve(finding: StageFinding, name: &str, curve: &[BootStep]) -> StageFinding {
    let step = |finding: StageFinding, step: &BootStep| {
        finding.with(name, format!("{} ms: {}", step.ms, step.seen))
    };
    curve.iter().fold(finding, step)
}

/// Dwords of configuration space by offset; empty for a simulated card.
fn configuration(device: &Device) -> Vec<(u16, u32)> {
    device.borrowed.as_ref().map(Borrowed::configuration).unwrap_or_default()
}

/// What of configuration space is another value than before the first reset.
fn with_changes(
    finding: StageFinding,
    name: &str,
    before: &[(u16, u32)],
    after: &[(u16, u32)],
) -> StageFinding {
    if before.is_empty() || before.len() != after.len() {
        return finding.with(name, "not known".to_owned());
    }
    let others = before.iter().zip(after).filter(|(before, after)| before != after);
    let list: Vec<String> = others
        .map(|((at, before), (_, after))| format!("{at:#04x}: {before:08x} then {after:08x}"))
        .collect();
    match list.is_empty() {
        true => finding.with(name, "as before".to_owned()),
        false => list.into_iter().fold(finding, |finding, change| finding.with(name, change)),
    }
}

fn judge(
    before: Option<Version>,
    after: Option<Version>,
    seen: bool,
    booted: bool,
    card: &CardSnapshot,
) -> StageFinding {
    let versions = || card.bootable().filter_map(|slot| slot.image()?.fw_version());
    let Some(runs) = after.filter(|_| seen) else {
        return match seen {
            true => StageFinding::unknown("the reset arrived; the firmware shows no version"),
            false => {
                StageFinding::contradicted("semaphore 63 is still taken: the reset did not arrive")
            }
        };
    };
    if !versions().any(|version| version == runs) {
        let boots = versions().next().map_or("none".into(), |v| v.to_string());
        StageFinding::contradicted(format!(
            "the reset arrived and loaded nothing: {runs} runs, the flash boots {boots}"
        ))
    } else if before != after || booted {
        StageFinding::proved(format!("the reset loaded the firmware: {runs} runs"))
    } else {
        StageFinding::unknown(format!(
            "the reset arrived; {runs} ran before and runs now, so whether it was loaded anew is not known"
        ))
    }
}
