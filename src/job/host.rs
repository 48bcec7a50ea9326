//! `host status`, `host restore` and `host forget`: the journals, and putting the host back after
//! a process that could not do it itself.

use super::activate::no_reset;
use super::device::open_borrowed;
use super::error_text::error_chain;
use super::exit::Exit;
use super::session::version;
use super::settle::{complete_at, settled_boot};
use super::{Device, HostReport, JobError};
use crate::card::{FirmwareState, ResetSeen, Semaphore, SemaphoreState, Staleness, WATCH, WATCHED};
use crate::flash::{Event, Events};
use crate::host::{
    Bdf, BorrowOptions, Borrowed, Droppable, Ending, ForgetChoice, Host, HostError, Lease,
    LeaseError, Mark, Marks, Pending, VfioError, give_back,
};
use crate::image::Image;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::PathBuf;

/// Outcome of `host status`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct HostStatusOutcome {
    /// Every journal there is: cards that some process took and did not give back.
    pub pending: Vec<Pending>,
    /// Journals whose card was gone, or another one was in its place: nothing is owed to them.
    #[serde(serialize_with = "crate::escape::serialize_paths")]
    #[schemars(with = "Vec<String>")]
    pub aside: Vec<PathBuf>,
}

/// Outcome of `host restore`.
#[derive(Debug, JsonSchema, Serialize)]
pub struct HostRestoreOutcome {
    /// Every card that had a journal.
    pub cards: Vec<HostReport>,
    /// The worst reason why one of them is not restored.
    #[serde(skip)]
    pub failed: Option<JobError>,
}

/// Outcome of `host forget`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct HostForgetOutcome {
    pub bdf: Bdf,
    /// The files that were dropped.
    #[serde(serialize_with = "crate::escape::serialize_paths")]
    #[schemars(with = "Vec<String>")]
    pub dropped: Vec<PathBuf>,
    /// Journals of the card that is there. They stay while there is one of another card to drop.
    #[serde(serialize_with = "crate::escape::serialize_paths")]
    #[schemars(with = "Vec<String>")]
    pub kept: Vec<PathBuf>,
}

pub fn host_status(host: &Host) -> Result<HostStatusOutcome, JobError> {
    Ok(HostStatusOutcome { pending: Lease::pending(host)?, aside: Lease::kept_aside(host)? })
}

/// Drops the journals of an address after `confirm`. That of the card that is there stays while there is another.
pub fn host_forget(
    host: &Host,
    bdf: Bdf,
    confirm: &mut dyn FnMut(&ForgetChoice) -> bool,
) -> Result<HostForgetOutcome, JobError> {
    let Some(choice) = Lease::forget_journals(host, bdf, confirm)? else {
        return Err(JobError::Declined);
    };
    let paths =
        |journals: Vec<Droppable>| journals.into_iter().map(|journal| journal.path).collect();
    Ok(HostForgetOutcome { bdf, dropped: paths(choice.dropped), kept: paths(choice.kept) })
}

/// Put the host back from the journals alone: free what a killed process left taken, see that the
/// card boots, give it to its driver. May be run any number of times. Every card is tried and
/// reported.
pub fn host_restore(
    host: &Host,
    only: Option<Bdf>,
    events: &mut dyn Events,
) -> Result<HostRestoreOutcome, JobError> {
    let mut outcome = HostRestoreOutcome { cards: Vec::new(), failed: None };
    let mut pending = Lease::pending(host)?;
    if let Some(only) = only {
        // A card is named by its address now; one that has none, by the address in its journal.
        let is_now = |card: &Pending| card.moved_to.unwrap_or(card.bdf) == only;
        let any = pending.iter().any(is_now);
        pending.retain(|card| if any { is_now(card) } else { card.bdf == only });
    }
    for pending in pending {
        let bdf = pending.moved_to.unwrap_or(pending.bdf);
        events.emit(Event::Note { text: format!("putting {bdf} back") });
        let (report, error) = match put_back(host, &pending) {
            Ok(None) => continue,
            Ok(Some(report)) => {
                let error = (!report.restored).then(|| unrestored(bdf, &report));
                (report, error)
            }
            Err(error) => {
                let report = {
                    let needs_recover = error.outcome().exit == Exit::NeedsRecover;
                    HostReport::unrestored(host, bdf, needs_recover, error_chain(&error))
                };
                let keeps_code =
                    matches!(error.outcome().exit, Exit::NeedsRecover | Exit::HostNotRestored)
                        || matches!(
                            error,
                            JobError::Host(HostError::Lease(LeaseError::Held { .. }))
                        );
                let error = if keeps_code { error } else { unrestored(bdf, &report) };
                (report, Some(error))
            }
        };
        outcome.cards.push(report);
        if let Some(error) = error {
            tracing::error!(%bdf, error = ?error, "not put back");
            let worst = outcome.failed.as_ref().map_or(0, severity);
            if severity(&error) > worst {
                outcome.failed = Some(error);
            }
        }
    }
    Lease::remove_unfinished(host);
    Ok(outcome)
}

/// A card that needs `recover` comes before one that is only not restored, and that one before one
/// that another process holds.
fn severity(error: &JobError) -> u8 {
    match error.outcome().exit {
        Exit::NeedsRecover => 3,
        Exit::HostNotRestored => 2,
        _ => 1,
    }
}

fn unrestored(bdf: Bdf, report: &HostReport) -> JobError {
    if report.needs_recover {
        return JobError::Host(LeaseError::NotBootable { bdf }.into());
    }
    let problem = report.failure.clone().unwrap_or_default();
    JobError::NotPutBack { problem: format!("{bdf}: {problem}"), host: Box::new(report.clone()) }
}

/// One card; `None` when its journal is gone already.
fn put_back(host: &Host, pending: &Pending) -> Result<Option<HostReport>, JobError> {
    let Some(mut lease) = Lease::adopt(host, pending)? else {
        return Ok(None);
    };
    let bdf = lease.bdf();
    let marks = lease.marks();
    if lease.is_unknown_since_reboot() {
        // Its driver did not bind it, and only its flash shows why.
        let warnings = lease.take_warnings();
        drop(lease);
        let card = host.card(bdf)?;
        let borrowed = Borrowed::take(host, card, &BorrowOptions::default(), &mut |_| {})?;
        warnings.into_iter().for_each(|warning| borrowed.warn(warning));
        let marks = Marks { semaphores_held: false, ..marks };
        return Ok(Some(probe_and_end(host, &borrowed, bdf, marks)));
    }
    let on_vfio = lease.card_is_here() && host.card(bdf).is_ok_and(|card| card.on_vfio());
    if !on_vfio || !(marks.semaphores_held || marks.flash_touched) {
        // The card's registers were never reached, or cannot be.
        return put_back_closed(host, lease).map(Some);
    }
    match Borrowed::resume(host, lease) {
        Ok(borrowed) => Ok(Some(probe_and_end(host, &borrowed, bdf, marks))),
        Err(unopened) => {
            let (lease, error) = *unopened;
            let unknown = marks.flash_touched && marks.boots != Some(true);
            if unknown || matches!(error, HostError::Vfio(VfioError::Busy { .. })) {
                return Err(error.into());
            }
            // Its flash is as it was, or known to boot: its driver may have it. The driver finds a semaphore that is taken.
            let error = error_chain(&JobError::from(error));
            let mut report = put_back_closed(host, lease)?;
            report.warnings.push(format!(
                "the card could not be opened to free what the dead process held: {error}"
            ));
            Ok(Some(report))
        }
    }
}

/// Gives back a card without opening it.
fn put_back_closed(host: &Host, mut lease: Lease) -> Result<HostReport, JobError> {
    let bdf = lease.bdf();
    let ending = match give_back(&mut lease) {
        Err(error @ LeaseError::Unclear { .. }) => return Err(error.into()),
        ending => ending.unwrap_or_else(|error| Ending::Failed(HostError::Lease(error))),
    };
    let mut report = HostReport::new(bdf, host.card(bdf).ok(), Some(&ending));
    report.warnings.append(&mut lease.take_warnings());
    Ok(report)
}

/// Gives back an open card. What the card answered does not keep it from its driver, unless that is
/// that nothing boots.
fn probe_and_end(host: &Host, borrowed: &Borrowed, bdf: Bdf, marks: Marks) -> HostReport {
    let probed = open_borrowed(host, borrowed.clone(), &bdf.to_string(), &BorrowOptions::default())
        .and_then(|mut device| {
            let probed = release_and_probe(&mut device, marks);
            device.end();
            probed
        });
    let mut report = HostReport::of(borrowed);
    match probed {
        // The report has it.
        Ok(()) | Err(JobError::NotPutBack { .. }) => {}
        Err(error) => report.warnings.push(error_chain(&error)),
    }
    report
}

/// Free what the dead process held, and find out whether the card boots.
pub(super) fn release_and_probe(device: &mut Device, marks: Marks) -> Result<(), JobError> {
    for semaphore in [Semaphore::Flash, Semaphore::FlashProgramming] {
        if device.card.probe_semaphore(semaphore)? == SemaphoreState::Free {
            continue;
        }
        // Ours: the lock of the dead process is free, and VFIO has one user at a time.
        if !marks.semaphores_held {
            let number = semaphore.number();
            if let Staleness::InUse { why } = device.card.watch(semaphore, WATCH)? {
                return Err(JobError::InUse { number, why });
            }
        }
        device.card.release(semaphore)?;
        if let Some(borrowed) = &device.borrowed {
            let number = semaphore.number();
            let text = format!(
                "semaphore {number} was left taken by a process that is gone; it was freed"
            );
            borrowed.freed(number, text);
        }
    }
    if !marks.flash_touched {
        return Ok(());
    }
    // Opening the session waits for an erase that still runs.
    // Where an image is complete and not relied on, the driver finds out.
    let boots = settled_boot(device)?;
    if let Some(boots) = &boots {
        device.note(Mark::Boots(boots.start.is_some()));
    }
    let Some(back) = marks.back_address else {
        return Ok(());
    };
    if boots.is_some_and(|boots| boots.start.is_none()) {
        return Ok(());
    }
    let Some(old) = complete_at(device, back)? else {
        return Ok(());
    };
    // The next reset, which may be the driver's, starts the old image.
    let shown = device.card.set_boot_address(back)?;
    if shown != back {
        tracing::warn!(shown, back, "the boot address register was not set back");
    }
    if device.card.firmware() == FirmwareState::Runs && device.card.shows_life()? {
        return Ok(());
    }
    if !starts(device, &old, marks.no_life) {
        device.note(Mark::NoFirmware);
    }
    Ok(())
}

/// A reset starts the firmware of `old`. Where it showed no life before either, its version after the reset
/// decides: firmware that has stopped leaves its version behind, a reset does not.
pub(super) fn starts(device: &mut Device, old: &Image, no_life: bool) -> bool {
    if no_reset(device).is_some() {
        return false;
    }
    let Ok(ResetSeen { firmware, .. }) = device.card.reset_and_watch(WATCHED) else {
        return false;
    };
    let as_before = no_life && firmware.version.map(version) == old.fw_version();
    firmware.state == FirmwareState::Runs && (firmware.lives || as_before)
}
