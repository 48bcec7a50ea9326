//! A trial start: new firmware is seen running while the old image still is one, or the old one comes back.

use super::work::{BeforeTrial, PlanRun, StepError, check_equal};
use super::{Event, Events, FlashError};
use crate::card::{CardError, FirmwareState, ResetSeen, RunningVersion, Semaphore, WATCHED};
use crate::image::FlashAddr;

/// What a trial distinguishes, and where it goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Version of the new image.
    pub new: RunningVersion,
    /// Version of the image that stays until the new one was seen.
    pub old: RunningVersion,
    /// The version of the old firmware showed before the job.
    pub old_ran: bool,
    /// The register at 0x41270 of this card is known not to change while firmware runs, so the version decides.
    pub by_version: bool,
    /// Where the old image starts.
    pub back: FlashAddr,
    /// The boot address of the old image, as its register takes it.
    pub back_address: u32,
}

/// What was done after a trial that did not show the new firmware.
#[derive(Debug)]
pub struct WayBack {
    /// What the trial showed.
    pub tried: Result<ResetSeen, FlashError>,
    /// What ran after the last reset on the way back; `None` where the old firmware ran already.
    pub now: Option<Result<ResetSeen, FlashError>>,
    /// The old firmware was seen running, as far as it showed that before.
    pub old_runs: bool,
    /// The register at 0x41270 changed under neither firmware, each freshly reset, nor before.
    pub register_still: bool,
    /// It was, after a reset with both images complete and the boot address on the old one. `None` where no
    /// such reset was seen.
    pub address_counts: Option<bool>,
    pub invalidated: Invalidated,
}

/// What became of the new signature on the way back.
#[derive(Debug)]
pub enum Invalidated {
    /// It is none any more, and the old one read as before.
    Done,
    /// Neither firmware was ever seen running: both images stay.
    BothStay,
    /// The flash could not be locked again, or a signature read otherwise: nothing was programmed.
    NotLocked(FlashError),
    /// It was programmed, and does not read as it should.
    Failed(FlashError),
}

/// Firmware of this version was loaded.
fn shows(version: RunningVersion, seen: &ResetSeen) -> bool {
    seen.firmware.state == FirmwareState::Runs && seen.firmware.version == Some(version)
}

impl PlanRun<'_> {
    /// The new firmware runs. Without life at 0x41270 its version alone is no evidence: firmware that was loaded
    /// and hangs shows it as well.
    pub(super) fn new_runs(&self, trial: &Trial, seen: &ResetSeen) -> bool {
        let by_version = trial.by_version && !self.before.life_shows;
        shows(trial.new, seen) && (seen.firmware.lives || by_version)
    }

    /// The old firmware runs, or shows as much as it did before.
    fn old_runs(&self, trial: &Trial, seen: &ResetSeen) -> bool {
        let as_before = trial.old_ran && !self.before.life_shows;
        shows(trial.old, seen) && (seen.firmware.lives || as_before)
    }

    /// The register at 0x41270 changed under neither firmware, nor before.
    fn register_still(&self, trial: &Trial, seen: [&Result<ResetSeen, FlashError>; 2]) -> bool {
        let [new, old] =
            seen.map(|seen| seen.as_ref().ok().filter(|s| s.arrived && !s.firmware.moved));
        let version = |seen: Option<&ResetSeen>, of| seen.is_some_and(|seen| shows(of, seen));
        !self.before.life_shows
            && trial.old_ran
            && version(new, trial.new)
            && version(old, trial.old)
    }

    /// Resets the card. The outer error: the reset was not sent.
    pub(super) fn start_new(
        &mut self,
        trial: &Trial,
    ) -> Result<Result<ResetSeen, FlashError>, FlashError> {
        let what = "a trial needs the place of the new signature";
        let new = self.signature_at().ok_or(FlashError::Plan { at: trial.back.0, what })?;
        self.before = BeforeTrial::default();
        for at in [new, trial.back] {
            let block = at.0 - at.0 % 16;
            let bytes = self.session.proven_block(block)?;
            self.before.signatures.push((block, bytes));
        }
        self.before.life_shows = self.session.gateway.card.shows_life()?;
        self.session.ready_for_reset()?;
        let seen = self.reset_and_watch();
        if !self.session.gateway.card.is_held() {
            return Ok(seen);
        }
        // The semaphores are still ours, so the write was lost: it is sent again.
        self.session.ready_for_reset()?;
        Ok(self.reset_and_watch())
    }

    fn reset_and_watch(&mut self) -> Result<ResetSeen, FlashError> {
        let seen = self.session.gateway.card.reset_and_watch(WATCHED)?;
        tracing::info!(?seen, "started on trial");
        Ok(seen)
    }

    /// The flash is ours again, behind the same chip, and both signatures read as before.
    pub(super) fn lock_again(
        &mut self,
        trial: &Trial,
        events: &mut dyn Events,
    ) -> Result<(), StepError> {
        self.session.lock_again().map_err(|e| (None, e))?;
        let new = self.signature_at();
        let changes: Vec<_> =
            new.into_iter().chain([trial.back]).map(|at| at.0..at.0.saturating_add(4)).collect();
        self.check_protection(&changes, events).map_err(|e| (None, e))?;
        for (at, wanted) in self.before.signatures.clone() {
            let found = self.session.proven_block(at).map_err(|e| (Some(FlashAddr(at)), e))?;
            check_equal(at, &found, FlashAddr(at), &wanted)?;
        }
        Ok(())
    }

    pub(super) fn go_back(
        &mut self,
        trial: &Trial,
        tried: Result<ResetSeen, FlashError>,
        events: &mut dyn Events,
    ) -> WayBack {
        let text = "the new firmware was not seen running: back to the old one".into();
        events.emit(Event::Note { text });
        let mut old_runs = tried.as_ref().is_ok_and(|seen| self.old_runs(trial, seen));
        // Firmware that hangs may prevent each of these; a reset may end that.
        if let Err(error) = self.session.lock_again() {
            tracing::warn!(%error, "the flash is not locked before the way back");
            let held = |number| number == Semaphore::FlashProgramming.number();
            if matches!(error, FlashError::Card(CardError::SemaphoreHeld { number, .. }) if held(number))
            {
                // Another program has the flash, and a reset could end its erase.
                let (register_still, address_counts) = (false, None);
                let (now, invalidated) = (None, Invalidated::NotLocked(error));
                return WayBack {
                    tried,
                    now,
                    old_runs,
                    register_still,
                    address_counts,
                    invalidated,
                };
            }
        }
        let address = self.session.gateway.card.set_boot_address(trial.back_address);
        let set_back = address.as_ref().is_ok_and(|found| *found == trial.back_address);
        if !set_back {
            tracing::warn!(?address, "the boot address register was not set back");
        }
        let mut now = None;
        if !old_runs {
            let seen = self.reset_and_watch();
            old_runs = seen.as_ref().is_ok_and(|seen| self.old_runs(trial, seen));
            now = Some(seen);
        }
        let arrived = now.as_ref().is_some_and(|seen| seen.as_ref().is_ok_and(|s| s.arrived));
        // That the register counts for nothing shows where the reset back started what the trial did.
        let same = matches!((&tried, &now), (Ok(tried), Some(Ok(now)))
            if (tried.firmware.state, tried.firmware.version) == (now.firmware.state, now.firmware.version));
        let shown = arrived && (old_runs || set_back && same);
        let mut address_counts = shown.then_some(old_runs);
        if !old_runs && !trial.old_ran {
            let invalidated = Invalidated::BothStay;
            let (address_counts, register_still) = (None, false);
            return WayBack { tried, now, old_runs, register_still, address_counts, invalidated };
        }
        let new = self.signature_at();
        let invalidated = match self.lock_again(trial, events) {
            Err((_, error)) => Invalidated::NotLocked(error),
            Ok(()) => match self.invalidate(new.as_slice()) {
                Ok(()) => Invalidated::Done,
                Err((_, error)) => Invalidated::Failed(error),
            },
        };
        // Where the boot ROM takes no notice of the register, the old image is the only one now.
        if !old_runs
            && matches!(invalidated, Invalidated::Done)
            && self.session.ready_for_reset().is_ok()
        {
            let seen = self.reset_and_watch();
            old_runs = seen.as_ref().is_ok_and(|seen| self.old_runs(trial, seen));
            now = Some(seen);
        }
        // Old firmware that does not start at all shows nothing of the register.
        address_counts = address_counts.filter(|_| old_runs);
        let register_still =
            now.as_ref().is_some_and(|now| self.register_still(trial, [&tried, now]));
        WayBack { tried, now, old_runs, register_still, address_counts, invalidated }
    }
}
