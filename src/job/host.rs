//! `host status` and `host restore`: the journals, and putting the host back after a
//! process that could not do it itself.

use super::device::open_borrowed;
use super::{Device, HostReport, JobError};
use crate::card::{Semaphore, SemaphoreState, Staleness, WATCH};
use crate::flash::{Event, Events};
use crate::host::{Bdf, Borrowed, Host, Lease, Mark, Pending, give_back};

/// Every journal there is: cards that some process took and did not give back.
pub fn host_status(host: &Host) -> Result<Vec<Pending>, JobError> {
    Ok(Lease::pending(host)?)
}

/// Put the host back from the journals alone: free what a killed process left taken, see that the
/// card boots, give it to its driver. May be run any number of times.
/// Every card is tried; the error is that of the first one that could not be given back.
pub fn host_restore(
    host: &Host,
    only: Option<Bdf>,
    events: &mut dyn Events,
) -> Result<Vec<HostReport>, JobError> {
    let mut reports = Vec::new();
    let mut first = None;
    let pending = Lease::pending(host)?;
    for bdf in Lease::journals(host)? {
        if only.is_some_and(|only| only != bdf) {
            continue;
        }
        // A journal without a record is removed; nothing is owed to its card.
        let owed = pending.iter().any(|pending| pending.bdf == bdf);
        if owed {
            events.emit(Event::Note { text: format!("putting {bdf} back") });
        }
        match put_back(host, bdf) {
            Ok(Some(report)) => reports.push(report),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%bdf, error = ?error, "not put back");
                first = first.or(Some(error).filter(|_| owed));
            }
        }
    }
    match first {
        None => Ok(reports),
        Some(error) => Err(error),
    }
}

/// One card; `None` when its journal is gone already.
fn put_back(host: &Host, bdf: Bdf) -> Result<Option<HostReport>, JobError> {
    let Some(mut lease) = Lease::adopt(host, bdf)? else {
        return Ok(None);
    };
    let marks = lease.marks();
    let on_vfio = host.card(bdf).is_ok_and(|card| card.on_vfio());
    if !on_vfio || !(marks.semaphores_held || marks.flash_touched) {
        // The card's registers were never reached, or cannot be.
        let ending = give_back(&mut lease)?;
        return Ok(Some(HostReport::new(host.card(bdf)?, Some(&ending))));
    }
    let borrowed = Borrowed::resume(host, lease, None)?;
    let mut device = open_borrowed(host, borrowed, &bdf.to_string())?;
    release_and_probe(&mut device, marks.semaphores_held, marks.flash_touched)?;
    device.end();
    match device.not_put_back() {
        Some(error) => Err(error),
        None => Ok(device.borrowed.as_ref().map(HostReport::of)),
    }
}

/// Free what the dead process held, and find out whether the card boots.
fn release_and_probe(device: &mut Device, ours: bool, touched: bool) -> Result<(), JobError> {
    for semaphore in [Semaphore::Flash, Semaphore::FlashProgramming] {
        if device.card.probe_semaphore(semaphore)? == SemaphoreState::Free {
            continue;
        }
        // Ours: the lock of the dead process is free, and VFIO has one user at a time.
        if !ours {
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
    if touched {
        // Opening the session waits for an erase that still runs.
        let boots = super::settle::settled_boot(device)?;
        device.note(Mark::Boots(boots.start.is_some()));
    }
    Ok(())
}
