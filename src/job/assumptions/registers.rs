//! Stages about registers: boot, transports, semaphores.

use crate::card::{
    BarAccess, Card, CardError, Chip, Reg, Semaphore, SemaphoreState, Staleness, WATCH,
};
use crate::job::JobError;
use crate::job::stage::{AGREED, StageFinding};
use std::collections::BTreeMap;
use std::time::Duration;

/// Registers without side effects that hold still.
const COMPARED: [Reg; 4] =
    [Reg::DeviceId, Reg::RunningVersion(0), Reg::RunningVersion(1), Reg::BootAddress];
/// Flushes that are measured.
const FLUSHES: u32 = 16;

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

/// Reads the same registers by every transport there is.
pub(in crate::job) fn transports(card: &mut Card) -> Result<StageFinding, JobError> {
    let mut answers: BTreeMap<BarAccess, Vec<u32>> = BTreeMap::new();
    for by in BarAccess::ALL {
        for reg in COMPARED {
            match card.read_by(by, reg) {
                Ok(Some(value)) => answers.entry(by).or_default().push(value),
                Ok(None) => {}
                Err(CardError::Transport(error)) => {
                    return Ok(StageFinding::contradicted(format!("{by} fails: {error}")));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    let in_use = card.transport();
    if answers.len() < 2 {
        return Ok(StageFinding::unknown("there is one transport only"));
    }
    let agree = |values: &Vec<u32>| answers.values().filter(|other| *other == values).count();
    let agreed = answers.values().find(|values| 2 * agree(values) > answers.len());
    let names = |wanted: bool| {
        let of = |(by, values): (&BarAccess, &Vec<u32>)| {
            ((agreed == Some(values)) == wanted).then(|| by.to_string())
        };
        answers.iter().filter_map(of).collect::<Vec<_>>().join(", ")
    };
    let finding = match agreed {
        None => StageFinding::contradicted("no two transports agree"),
        Some(values) if names(false).is_empty() => {
            let id = values.first().copied().unwrap_or_default();
            if Chip::decode(id).is_err() {
                let what = format!("all transports read {id:#010x} as the hardware id");
                return Ok(StageFinding::contradicted(what));
            }
            StageFinding::proved(format!(
                "{} read the same, the hardware id {id:#010x} among it: the byte order is right",
                names(true)
            ))
        }
        Some(values) => {
            let odd = answers.iter().find(|(_, other)| *other != values);
            let swapped = |other: &Vec<u32>| {
                let swap: Vec<u32> = other.iter().map(|value| value.swap_bytes()).collect();
                swap == *values
            };
            let why = match odd {
                Some((_, other)) if swapped(other) => "has its bytes in the other order",
                _ => "reads something else",
            };
            StageFinding::contradicted(format!("{} {why} than {}", names(false), names(true)))
        }
    };
    let finding = match in_use {
        Some(by) => finding.with("in_use", by.to_string()),
        None => finding,
    };
    Ok(finding.with(AGREED, names(true)))
}

/// Takes and frees the two semaphores of flash work, and measures the flush.
pub(in crate::job) fn semaphores(card: &mut Card) -> Result<StageFinding, JobError> {
    for semaphore in [Semaphore::FlashProgramming, Semaphore::Flash] {
        let number = semaphore.number();
        card.acquire(semaphore)?;
        let taken = card.probe_semaphore(semaphore);
        let freed = card.release(semaphore).and_then(|()| card.confirm_writes());
        if taken? == SemaphoreState::Free {
            let what = format!("semaphore {number} reads free after it was taken");
            return Ok(StageFinding::contradicted(what));
        }
        freed?;
        if card.probe_semaphore(semaphore)? != SemaphoreState::Free {
            // Another program may have taken it meanwhile.
            let name = semaphore.guards();
            return match card.watch(semaphore, WATCH)? {
                Staleness::Stale { .. } => Ok(StageFinding::contradicted(format!(
                    "semaphore {number} stays taken after it was freed"
                ))),
                _ => Err(CardError::SemaphoreHeld { number, name }.into()),
            };
        }
    }
    let clock = card.clock();
    let semaphore = Semaphore::FlashProgramming;
    let mut times = Vec::new();
    for _ in 0..FLUSHES {
        card.acquire(semaphore)?;
        let start = clock.now();
        let freed = card.release(semaphore).and_then(|()| card.confirm_writes());
        times.push(clock.now().saturating_sub(start));
        freed?;
    }
    let us = |time: Option<&Duration>| time.map_or(0, |time| time.as_micros() as u64);
    Ok(StageFinding::proved("40 and 63 were taken and freed, and seen so")
        .with("shortest_flush_us", us(times.iter().min()))
        .with("longest_flush_us", us(times.iter().max())))
}
