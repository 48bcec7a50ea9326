//! Stages about registers: boot, transports, semaphores.

use super::stages::confirmed;
use crate::card::{
    BarAccess, Card, CardError, Chip, Reg, Semaphore, SemaphoreState, Staleness, WATCH,
};
use crate::job::JobError;
use crate::job::stage::{AGREED, StageFinding, StageResult};
use std::collections::BTreeMap;
use std::time::Duration;

/// Registers without side effects that hold still.
const COMPARED: [Reg; 4] =
    [Reg::DeviceId, Reg::RunningVersion(0), Reg::RunningVersion(1), Reg::BootAddress];
/// Flushes that are measured.
const FLUSHES: u32 = 16;
/// The semaphores of flash work.
const FLASH_WORK: [Semaphore; 2] = [Semaphore::FlashProgramming, Semaphore::Flash];
/// Times that a semaphore which stays taken is freed before that contradicts.
const MOST_RELEASES: u32 = 2;

/// What the card showed from VFIO's open until it was ready.
pub(in crate::job) fn boot(card: &Card) -> StageFinding {
    let steps = card.boot_curve();
    let Some(last) = steps.last() else {
        return StageFinding::unknown("the card was not waited for");
    };
    let finding = if steps.len() > 1 {
        StageFinding::proved(format!(
            "after it was opened the card showed {} states, the last one from {} ms on: opening restarts \
             the chip",
            steps.len(),
            last.ms
        ))
    } else {
        StageFinding::unknown(
            "the card showed one state from the first look on, so whether opening restarts the chip is \
             not known",
        )
    };
    steps.iter().fold(finding, |finding, step| {
        finding.with("seen", format!("{} ms: {}", step.ms, step.seen))
    })
}

/// Reads the same registers by every transport there is. One that fails does not agree.
pub(in crate::job) fn transports(card: &mut Card) -> Result<StageFinding, JobError> {
    let mut answers: BTreeMap<BarAccess, Vec<u32>> = BTreeMap::new();
    let mut failures = Vec::new();
    for by in BarAccess::ALL {
        match compared(card, by) {
            Ok(Some(values)) => drop(answers.insert(by, values)),
            Ok(None) => {}
            Err(CardError::Transport(error)) => failures.push(format!("{by} fails: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    if answers.len() + failures.len() < 2 {
        return Ok(StageFinding::unknown("there is one transport only"));
    }
    let count = |values: &Vec<u32>| answers.values().filter(|other| *other == values).count();
    let agreed = answers.values().find(|values| 2 * count(values) > answers.len());
    let names = |wanted: bool| {
        let of = |(by, values): (&BarAccess, &Vec<u32>)| {
            ((agreed == Some(values)) == wanted).then(|| by.to_string())
        };
        answers.iter().filter_map(of).collect::<Vec<_>>().join(", ")
    };
    let id = agreed.and_then(|values| values.first().copied()).unwrap_or_default();
    let mut against = failures;
    let finding = match agreed {
        // The one in use has shown the hardware id of a ConnectX-3, and of two neither is in the majority.
        None if answers.len() == 2 => {
            against.insert(0, format!("{} read different values", names(false)));
            StageFinding::unknown(against.join("; "))
        }
        None => {
            against.insert(0, "no two transports agree".to_owned());
            StageFinding::contradicted(against.join("; "))
        }
        Some(_) if Chip::decode(id).is_err() => {
            let what = format!("{} read {id:#010x} as the hardware id", names(true));
            return Ok(StageFinding::contradicted(what));
        }
        Some(values) => {
            if let Some((_, other)) = answers.iter().find(|(_, other)| *other != values) {
                let why =
                    match other.iter().map(|value| value.swap_bytes()).eq(values.iter().copied()) {
                        true => "has its bytes in the other order",
                        false => "reads something else",
                    };
                against.insert(0, format!("{} {why} than {}", names(false), names(true)));
            }
            match against.is_empty() {
                true => StageFinding::proved(format!(
                    "{} read the same, the hardware id {id:#010x} among it: the byte order is right",
                    names(true)
                )),
                false => StageFinding::contradicted(against.join("; ")),
            }
        }
    };
    let finding = match card.transport() {
        Some(by) => finding.with("in_use", by.to_string()),
        None => finding,
    };
    Ok(finding.with(AGREED, names(true)))
}

/// What a transport reads; `None` where the card cannot be reached by it.
fn compared(card: &mut Card, by: BarAccess) -> Result<Option<Vec<u32>>, CardError> {
    COMPARED.into_iter().map(|reg| card.read_by(by, reg)).collect()
}

/// Takes and frees the two semaphores of flash work, and measures the flush.
pub(in crate::job) fn semaphores(card: &mut Card) -> Result<StageFinding, JobError> {
    let taken = confirmed(|| taken(card))?;
    if taken.result == StageResult::Contradicted {
        return Ok(taken);
    }
    for semaphore in FLASH_WORK {
        let freed = freed(card, semaphore)?;
        if freed.result != StageResult::Proved {
            return Ok(freed);
        }
    }
    Ok(taken)
}

/// Takes both, in the order of every job, and measures flushes while they are held.
fn taken(card: &mut Card) -> Result<StageFinding, JobError> {
    let mut hold = card.hold_flash()?;
    for semaphore in FLASH_WORK {
        if hold.probe_semaphore(semaphore)? == SemaphoreState::Free {
            let number = semaphore.number();
            let what = format!("semaphore {number} reads free after it was taken");
            return Ok(StageFinding::contradicted(what));
        }
    }
    let clock = hold.clock();
    let mut times = Vec::new();
    for _ in 0..FLUSHES {
        let start = clock.now();
        // Without a command in the command register an address does nothing.
        hold.write(Reg::GatewayAddress, 0)?;
        hold.confirm_writes()?;
        times.push(clock.now().saturating_sub(start));
    }
    let us = |time: Option<&Duration>| time.map_or(0, |time| time.as_micros() as u64);
    Ok(StageFinding::proved("40 and 63 were taken and freed, and seen so")
        .with("shortest_flush_us", us(times.iter().min()))
        .with("longest_flush_us", us(times.iter().max())))
}

/// Whether a semaphore that was this program's reads free. One that stays taken, and at whose gateway nothing
/// moves, is freed once more: a read that was not answered has taken it, or the write that freed it was lost.
pub(in crate::job) fn freed(
    card: &mut Card,
    semaphore: Semaphore,
) -> Result<StageFinding, JobError> {
    let number = semaphore.number();
    for _ in 0..MOST_RELEASES {
        if card.probe_semaphore(semaphore)? == SemaphoreState::Free {
            return Ok(StageFinding::proved(format!("semaphore {number} is free")));
        }
        match card.watch(semaphore, WATCH)? {
            Staleness::Free => {}
            Staleness::InUse { why } => {
                let what = format!("another program has taken semaphore {number} meanwhile: {why}");
                return Ok(StageFinding::unknown(what));
            }
            Staleness::Stale { .. } => card.release(semaphore)?,
        }
    }
    Ok(match card.probe_semaphore(semaphore)? {
        SemaphoreState::Free => StageFinding::proved(format!("semaphore {number} is free")),
        SemaphoreState::Unknown => {
            card.release(semaphore)?;
            StageFinding::unknown(format!("reads of semaphore {number} were not answered"))
        }
        SemaphoreState::Held => {
            StageFinding::contradicted(format!("semaphore {number} stays taken after it was freed"))
        }
    })
}
