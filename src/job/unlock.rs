//! `unlock`: free a stale semaphore, after proof that no program uses it.

use super::session::CardFacts;
use super::{CardDescription, Device, JobError};
use crate::card::{Semaphore, SemaphoreState, Staleness, WATCH};
use crate::flash::{Event, Events};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// A proof is as old as the question: an answer within this time needs no new one.
const ANSWERED_AT_ONCE: Duration = Duration::from_secs(1);

/// One semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct SemaphoreReport {
    pub semaphore: Semaphore,
    /// Index in the bank.
    pub number: u8,
    /// As found.
    pub before: SemaphoreState,
    /// As left.
    pub after: SemaphoreState,
}

/// Answer of `unlock`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct UnlockOutcome {
    /// The card, without its flash.
    pub card: CardDescription,
    /// 40 and 63.
    pub semaphores: Vec<SemaphoreReport>,
    /// Hardware access of a locked card was enabled with its key.
    pub hw_access_enabled: bool,
    /// All were free already, and the card was not locked.
    pub nothing_to_do: bool,
    /// Evidence that no program works at the flash: one sentence per observation.
    pub proof: Vec<String>,
}

/// Frees semaphores 40 and 63 when no program uses them (docs/hardware.md#clearing-a-semaphore). `confirm` is asked with
/// the proof.
pub fn unlock(
    device: &mut Device,
    confirm: &mut dyn FnMut(&[String]) -> bool,
    events: &mut dyn Events,
) -> Result<UnlockOutcome, JobError> {
    let card = CardFacts::of(device)?.without_flash();
    let enabled = device.card.was_unlocked();
    if enabled && device.original_driver().is_some() {
        let text = "the card's driver resets it when it gets the card back, which locks it again: \
                    give --key-file to the command that needs the card";
        events.emit(Event::Note { text: text.into() });
    }
    let mut held = Vec::new();
    let mut proof = Vec::new();
    let mut reports = Vec::new();
    for semaphore in [Semaphore::FlashProgramming, Semaphore::Flash] {
        let number = semaphore.number();
        let before = device.card.probe_semaphore(semaphore)?;
        reports.push(SemaphoreReport { semaphore, number, before, after: before });
        if before == SemaphoreState::Free {
            continue;
        }
        events.emit(Event::Note {
            text: format!(
                "semaphore {number} ({}) is taken: watching it for {} s",
                semaphore.guards(),
                WATCH.as_secs()
            ),
        });
        match device.card.watch(semaphore, WATCH)? {
            Staleness::InUse { why } => return Err(JobError::InUse { number, why }),
            Staleness::Free => {}
            Staleness::Stale { watched_ms } => {
                proof.push(format!(
                    "semaphore {number} ({}) stayed taken for {watched_ms} ms, the flash gateway stood idle and got no new command",
                    semaphore.guards()
                ));
                held.push(semaphore);
            }
        }
    }
    if held.is_empty() {
        return Ok(UnlockOutcome {
            card,
            semaphores: reports,
            hw_access_enabled: enabled,
            nothing_to_do: !enabled,
            proof,
        });
    }
    let asked = device.clock.now();
    if !confirm(&proof) {
        return Err(JobError::Declined);
    }
    if device.clock.now().saturating_sub(asked) > ANSWERED_AT_ONCE {
        // Another tool may have taken over while a person thought.
        let mut still = Vec::new();
        for semaphore in held {
            let number = semaphore.number();
            match device.card.watch(semaphore, WATCH)? {
                Staleness::InUse { why } => return Err(JobError::InUse { number, why }),
                Staleness::Stale { .. } => still.push(semaphore),
                Staleness::Free => {}
            }
        }
        held = still;
    }
    // 63 before 40, as it is freed after every session.
    for semaphore in held.into_iter().rev() {
        tracing::warn!(semaphore = semaphore.number(), "stale semaphore freed");
        device.card.release(semaphore)?;
    }
    for report in &mut reports {
        report.after = device.card.probe_semaphore(report.semaphore)?;
        if report.after == SemaphoreState::Unknown {
            // It was freed a moment ago: a read that was not answered has taken it.
            device.card.release(report.semaphore)?;
            report.after = device.card.probe_semaphore(report.semaphore)?;
        }
        if report.after != SemaphoreState::Free {
            return Err(JobError::InUse {
                number: report.number,
                why: "it was taken again at once".into(),
            });
        }
    }
    // An erase of the dead owner may still run: opening a session waits for the chip
    // (docs/hardware.md#clearing-a-semaphore).
    if !device.lock()?.is_idle()? {
        proof.push("the flash chip is still busy".into());
    }
    Ok(UnlockOutcome {
        card,
        semaphores: reports,
        hw_access_enabled: enabled,
        nothing_to_do: false,
        proof,
    })
}
