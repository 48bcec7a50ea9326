//! The typestate machine: [`Flash`] explains it.

use super::chains::{self, LEAST_BYTES};
use super::gateway::{BLOCK, MAX_CHAIN};
use super::measure::{self, GatewayFigures};
use super::session::FlashSession;
use super::source::FlashSource;
use super::trial::{Trial, WayBack};
use super::work::PlanRun;
use super::{
    BootProbe, ChainProof, ChainVerdict, Event, Events, FlashChip, FlashError, Phase, Protection,
    SectorPlan, Signature, Stopped,
};
use crate::card::{Card, Clock, ResetSeen};
use std::ops::Range;

/// Entry to the typestate machine.
///
/// States consume each other, cannot be made from outside of this file, and carry what they have
/// proven. Only [`Verified`] has `commit`, and only [`Confirmed`] takes the old image its signature. The
/// semaphores stay held from `lock` until the last state is dropped, but for the resets of a trial, which clear
/// them; they are freed on every path out, after the chip has finished.
///
/// ```no_run
/// use cx3flash::card::{Card, Clock};
/// use cx3flash::flash::{BootProbe, Flash, Locked, SectorPlan, Signature};
///
/// fn burn<'c>(
///     card: &'c mut Card,
///     clock: &'c dyn Clock,
///     plan: SectorPlan,
///     probe: &'c dyn BootProbe,
///     signature: &Signature,
/// ) -> Result<Locked<'c>, Box<dyn std::error::Error>> {
///     let events = &mut ();
///     let locked = Flash::lock(card, clock)?; // semaphores 40 and 63
///     let erased = locked.erase(plan, probe, events)?; // blank-checked
///     let written = erased.write(events)?; // signature withheld
///     let verified = written.verify(events)?; // whole body read back
///     let committed = verified.commit(signature, events)?; // the 16 bytes that make it boot
///     Ok(committed.untried().invalidate_old(events)?) // the old image is none any more
/// }
/// ```
///
/// Every other order does not compile. Writing before erasing:
///
/// ```compile_fail,E0599
/// # use cx3flash::flash::Locked;
/// fn order(locked: Locked<'_>) {
///     let _ = locked.write(&mut ());
/// }
/// ```
///
/// Verifying before writing:
///
/// ```compile_fail,E0599
/// # use cx3flash::flash::Erased;
/// fn order(erased: Erased<'_>) {
///     let _ = erased.verify(&mut ());
/// }
/// ```
///
/// Committing before verifying:
///
/// ```compile_fail,E0599
/// # use cx3flash::flash::{Signature, Written};
/// fn order(written: Written<'_>, signature: &Signature) {
///     let _ = written.commit(signature, &mut ());
/// }
/// ```
///
/// Invalidating the old signature before the new firmware was seen, or a trial left out by name:
///
/// ```compile_fail,E0599
/// # use cx3flash::flash::Committed;
/// fn order(committed: Committed<'_>) {
///     let _ = committed.invalidate_old(&mut ());
/// }
/// ```
///
/// Invalidating it although the new firmware was not seen running:
///
/// ```compile_fail,E0599
/// # use cx3flash::flash::Refused;
/// fn order(refused: Refused<'_>) {
///     let _ = refused.invalidate_old(&mut ());
/// }
/// ```
///
/// Erasing twice:
///
/// ```compile_fail,E0382
/// # use cx3flash::flash::{BootProbe, Locked, SectorPlan};
/// fn order<'c>(locked: Locked<'c>, plan: SectorPlan, probe: &'c dyn BootProbe) {
///     let _ = locked.erase(plan.clone(), probe, &mut ());
///     let _ = locked.erase(plan, probe, &mut ());
/// }
/// ```
///
/// Committing twice:
///
/// ```compile_fail,E0382
/// # use cx3flash::flash::{Signature, Verified};
/// fn order(verified: Verified<'_>, signature: &Signature) {
///     let _ = verified.commit(signature, &mut ());
///     let _ = verified.commit(signature, &mut ());
/// }
/// ```
///
/// Making a verified state without the verification:
///
/// ```compile_fail,E0423
/// # use cx3flash::flash::Verified;
/// fn forge() -> Verified<'static> {
///     Verified(todo!())
/// }
/// ```
///
/// Taking the contents out of a state:
///
/// ```compile_fail,E0616
/// # use cx3flash::flash::Written;
/// fn take(written: Written<'_>) {
///     let _ = written.0;
/// }
/// ```
///
/// Two sessions on one card:
///
/// ```compile_fail,E0499
/// # use cx3flash::card::{Card, Clock};
/// # use cx3flash::flash::Flash;
/// fn twice(card: &mut Card, clock: &dyn Clock) {
///     let first = Flash::lock(card, clock);
///     let second = Flash::lock(card, clock);
///     drop((first, second));
/// }
/// ```
pub struct Flash;

impl Flash {
    /// Take semaphores 40 and 63, find out which chip it is and how it may be read.
    ///
    /// # Errors
    /// [`FlashError`]: semaphore held, no or unknown chip, gateway stuck, card gone.
    pub fn lock<'c>(card: &'c mut Card, clock: &'c dyn Clock) -> Result<Locked<'c>, FlashError> {
        Ok(Locked(FlashSession::open(card, clock)?))
    }
}

/// Semaphores held, nothing changed.
pub struct Locked<'c>(FlashSession<'c>);
/// The region is erased and blank.
pub struct Erased<'c>(PlanRun<'c>);
/// The body is programmed; the signature's place is blank.
pub struct Written<'c>(PlanRun<'c>);
/// The whole body was read back and is right.
pub struct Verified<'c>(PlanRun<'c>);
/// The new image has its signature, and every old one still has its own.
pub struct Committed<'c>(PlanRun<'c>, Signature);
/// The new firmware was seen running, or starts without a trial.
pub struct Confirmed<'c>(PlanRun<'c>, Signature);
/// The new firmware was not seen running.
pub struct Refused<'c>(PlanRun<'c>, Trial, Result<ResetSeen, FlashError>);

/// What a trial has shown.
pub enum Tried<'c> {
    /// The new firmware runs.
    New(Confirmed<'c>, ResetSeen),
    /// Other firmware runs, or none, or the card does not answer.
    Other(Refused<'c>),
}

impl<'c> Locked<'c> {
    pub(super) fn session(&mut self) -> &mut FlashSession<'c> {
        &mut self.0
    }

    pub fn chip(&self) -> &FlashChip {
        &self.0.chip
    }

    pub fn protection(&self) -> &Protection {
        &self.0.protection
    }

    /// Reads hold chip-select in this session: proven on this card.
    pub fn chained_reads(&self) -> bool {
        self.0.chained
    }

    /// Switches chained reads on, by an earlier proof on this very card. A proof that does not hold
    /// changes nothing.
    pub fn trust_chains(&mut self, proof: &ChainProof) {
        self.0.chained |= proof.holds();
    }

    /// Reads the flash by chains and compares with `known`, the flash as read singly in this session.
    /// Chained reads are on afterwards when they agree, and off when they do not.
    ///
    /// # Errors
    /// [`FlashError::Differs`] when single readings agree on something else than `known`;
    /// [`FlashError::Unsteady`] when readings of a block never agree;
    /// [`FlashError::Interrupted`] when a stop is wanted.
    pub fn prove_chains(
        &mut self,
        known: &[u8],
        events: &mut dyn Events,
    ) -> Result<ChainVerdict, FlashError> {
        let session = &mut self.0;
        session.chained = false;
        let verdict = chains::prove(session, known, (MAX_CHAIN, LEAST_BYTES), events)?;
        session.chained = matches!(verdict, ChainVerdict::Proven(_));
        Ok(verdict)
    }

    /// Compares chains of `length` bytes with single reads once over the flash, as
    /// [`Locked::prove_chains`] does. Reads of this session stay as they are.
    ///
    /// # Errors
    /// As [`Locked::prove_chains`]; [`FlashError::Plan`] for a length that is no multiple of 16.
    pub fn compare_chains(
        &mut self,
        known: &[u8],
        length: u32,
        events: &mut dyn Events,
    ) -> Result<ChainVerdict, FlashError> {
        let length = length as usize;
        if length == 0 || !length.is_multiple_of(BLOCK) || length > MAX_CHAIN {
            return Err(FlashError::Plan { at: 0, what: "no length of a chain" });
        }
        chains::prove(&mut self.0, known, (length, 0), events)
    }

    /// Measures the gateway by this many commands of each kind, which change nothing.
    ///
    /// # Errors
    /// [`FlashError`].
    pub fn measure(&mut self, times: (u32, u32)) -> Result<GatewayFigures, FlashError> {
        measure::measure(&mut self.0, times)
    }

    /// The flash as a place to read images from; a block is read once in a session.
    pub fn source(&mut self) -> FlashSource<'_, 'c> {
        FlashSource(&mut self.0)
    }

    /// The chip does nothing at this moment (no erase or program runs).
    pub fn is_idle(&mut self) -> Result<bool, FlashError> {
        self.0.is_idle()
    }

    /// Clear protection bits that power does not clear. They stay cleared after the session.
    ///
    /// # Errors
    /// [`FlashError::Protected`] when the status is not the one that the user was shown, or when the chip
    /// keeps the bits.
    pub fn clear_protection(&mut self, shown: u8) -> Result<(), FlashError> {
        self.0.clear_protection(shown)
    }

    /// Protect a range. The bits stay set after the session, through power-off.
    ///
    /// # Errors
    /// [`FlashError::Protected`] when the status is not the one that the user was shown, when no bits
    /// protect that range, or when the chip does not keep them.
    pub fn set_protection(&mut self, shown: u8, range: &Range<u32>) -> Result<(), FlashError> {
        self.0.set_protection(shown, range)
    }

    /// Reset the card, so that it loads what the flash holds. No erase or program runs then, and
    /// none can start in between: the session has checked and holds the semaphores. Ends it, and reports
    /// whether the reset was seen.
    ///
    /// # Errors
    /// [`FlashError`]; [`crate::card::CardError::ResetTimeout`] when the card does not come back.
    pub fn software_reset(mut self) -> Result<bool, FlashError> {
        self.0.software_reset()
    }

    /// Erases what the plan lists, after a check of the protection bits. When the plan asks for it, the
    /// old signature is invalidated first: one program of 0, so that a cut leaves a card that goes to
    /// recovery mode cleanly instead of starting a torn image.
    pub fn erase(
        self,
        plan: SectorPlan,
        probe: &'c dyn BootProbe,
        events: &mut dyn Events,
    ) -> Result<Erased<'c>, Stopped> {
        let run = PlanRun::new(self.0, plan, probe);
        Ok(Erased(run.step(Phase::Erase, events, PlanRun::erase)?))
    }
}

impl<'c> Erased<'c> {
    /// Program the body. The place of the signature stays blank.
    pub fn write(self, events: &mut dyn Events) -> Result<Written<'c>, Stopped> {
        Ok(Written(self.0.step(Phase::Write, events, PlanRun::write)?))
    }
}

impl<'c> Written<'c> {
    /// Read the whole body back, equal and untouched sectors included, and compare (P2).
    ///
    /// # Errors
    /// [`Stopped`] with [`FlashError::Differs`] at the first difference.
    pub fn verify(self, events: &mut dyn Events) -> Result<Verified<'c>, Stopped> {
        let run = self.0.step(Phase::Verify, events, PlanRun::verify)?;
        Ok(Verified(run))
    }
}

impl<'c> Verified<'c> {
    /// Words 1 to 3 of the signature, read back; word 0, read back; the boot address. A torn program of
    /// word 0 is no signature. Both images are complete then.
    pub fn commit(
        self,
        signature: &Signature,
        events: &mut dyn Events,
    ) -> Result<Committed<'c>, Stopped> {
        let commit = |run: &mut PlanRun<'c>, events: &mut dyn Events| run.commit(signature, events);
        Ok(Committed(self.0.step(Phase::Commit, events, commit)?, signature.clone()))
    }
}

impl<'c> Committed<'c> {
    /// The boot address register shows what was written to it, where anything was.
    pub fn is_addressed(&self) -> bool {
        self.0.addressed
    }

    /// Leaves the trial out: no reset, nothing is seen of the new firmware.
    pub fn untried(self) -> Confirmed<'c> {
        Confirmed(self.0, self.1)
    }

    /// Resets the card, which loads the image at the boot address, and watches what runs. The semaphores are
    /// free meanwhile. Before it returns [`Tried::New`] they are held again, the chip is the same, and both
    /// signatures read as before.
    ///
    /// # Errors
    /// [`Stopped`] when the reset was not sent, or the flash cannot be locked again under the new firmware;
    /// both images are complete.
    pub fn try_out(mut self, trial: Trial, events: &mut dyn Events) -> Result<Tried<'c>, Stopped> {
        let phase = Phase::Trial;
        events.emit(Event::Started { phase, total: 0 });
        let seen = match self.0.start_new(&trial) {
            Ok(seen) => seen,
            Err(error) => {
                // Whoever resets the card next does not start what was not tried.
                if let Err(error) = self.0.session.gateway.card.set_boot_address(trial.back_address)
                {
                    tracing::warn!(%error, "the boot address register was not set back");
                }
                return Err(self.0.stopped(phase, None, error, events));
            }
        };
        let tried = match seen {
            Ok(seen) if self.0.new_runs(&trial, &seen) => {
                let again =
                    |run: &mut PlanRun<'c>, events: &mut dyn Events| run.lock_again(&trial, events);
                let run = self.0.attempt(phase, events, again);
                let run = run.map_err(|stopped| Stopped { seen: Some(seen), ..stopped })?;
                Tried::New(Confirmed(run, self.1), seen)
            }
            seen => Tried::Other(Refused(self.0, trial, seen)),
        };
        events.emit(Event::Finished { phase });
        Ok(tried)
    }
}

impl<'c> Confirmed<'c> {
    /// Invalidates the old signatures: only the new image boots. The session is free for another job.
    pub fn invalidate_old(mut self, events: &mut dyn Events) -> Result<Locked<'c>, Stopped> {
        let old = std::mem::take(&mut self.1.invalidate);
        let invalidate = |run: &mut PlanRun<'c>, _: &mut dyn Events| run.invalidate(&old);
        Ok(Locked(self.0.attempt(Phase::Commit, events, invalidate)?.session))
    }
}

impl Refused<'_> {
    /// Back to the old image: the boot address, a reset unless the old firmware runs already, and, with the
    /// flash locked again and the old signature read as before, the new signature is invalidated. Every step
    /// is tried, and what could be done is reported.
    pub fn go_back(mut self, events: &mut dyn Events) -> WayBack {
        self.0.go_back(&self.1, self.2, events)
    }
}
