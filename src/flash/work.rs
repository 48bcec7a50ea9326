//! The steps of a job, behind the states.

use super::gateway::BLOCK;
use super::plan_check;
use super::readings::{agreed, difference};
use super::session::FlashSession;
use super::source::FlashSource;
use super::{Boots, Event, Events, FlashError, Phase, Protection, SectorPlan, Stopped};
use crate::image::FlashAddr;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Bytes between two places where an erased sector is sampled, 16 bytes at both ends of each. The
/// erase itself is proven by the chip (WEL seen set, WIP seen cleared); the samples catch an erase
/// that hit another place or nothing at all, and [`super::Written::verify`] reads every byte that
/// counts.
const BLANK_STEP: u32 = 0x1000;

/// Bytes of a signature.
const SIGNATURE: u64 = 16;

/// First word of a signature that is invalidated.
const INVALID: [u8; 4] = [0; 4];

/// Bytes of the body verified between two events.
const VERIFY_STEP: usize = 0x1_0000;

/// Readings of all that was written, beyond the first, once something was misread.
const STEADY_READINGS: u32 = 3;

/// What makes the new image bootable and the old one not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The 16 bytes, or `None` when the job has none to write (equal already, or a job that leaves
    /// the signature alone).
    pub bytes: Option<[u8; 16]>,
    /// Value for the boot address register (image start << 8), if it should be set.
    pub boot_address: Option<u32>,
    /// Signatures to invalidate afterwards (first word programmed to 0).
    pub invalidate: Vec<FlashAddr>,
}

/// Judges what would boot; the flash module does not know images.
pub trait BootProbe {
    /// Judge from the flash alone.
    fn boots(&self, flash: &mut FlashSource<'_, '_>) -> Boots;
}

/// What is compared before and after the resets of a trial.
#[derive(Clone, Debug, Default)]
pub(super) struct BeforeTrial {
    /// The firmware that ran showed life at 0x41270.
    pub(super) life_shows: bool,
    /// The blocks of both signatures.
    pub(super) signatures: Vec<(u32, [u8; 16])>,
}

/// A job under way.
pub(super) struct PlanRun<'c> {
    pub(super) session: FlashSession<'c>,
    plan: SectorPlan,
    probe: &'c dyn BootProbe,
    /// Digest of everything that shall read back, taken before anything changes.
    promised: [u8; 32],
    pub(super) before: BeforeTrial,
    /// The boot address register shows what was written to it, where anything was.
    pub(super) addressed: bool,
}

/// Where a step failed, and why.
pub(super) type StepError = (Option<FlashAddr>, FlashError);

impl<'c> PlanRun<'c> {
    pub(super) fn new(
        mut session: FlashSession<'c>,
        plan: SectorPlan,
        probe: &'c dyn BootProbe,
    ) -> Self {
        session.gateway.changed = false;
        let before = BeforeTrial::default();
        Self { session, plan, probe, promised: [0; 32], before, addressed: true }
    }

    /// Runs one phase; where it fails, finds out what is left.
    pub(super) fn step(
        mut self,
        phase: Phase,
        events: &mut dyn Events,
        work: impl FnOnce(&mut Self, &mut dyn Events) -> Result<(), StepError>,
    ) -> Result<Self, Stopped> {
        let total = self.bytes_of(phase);
        events.emit(Event::Started { phase, total });
        self = self.attempt(phase, events, work)?;
        events.emit(Event::Finished { phase });
        Ok(self)
    }

    /// A part of a phase.
    pub(super) fn attempt(
        mut self,
        phase: Phase,
        events: &mut dyn Events,
        work: impl FnOnce(&mut Self, &mut dyn Events) -> Result<(), StepError>,
    ) -> Result<Self, Stopped> {
        match work(&mut self, events) {
            Ok(()) => Ok(self),
            Err((at, source)) => Err(self.stopped(phase, at, source, events)),
        }
    }

    /// What is left where a step failed.
    pub(super) fn stopped(
        mut self,
        phase: Phase,
        at: Option<FlashAddr>,
        source: FlashError,
        events: &mut dyn Events,
    ) -> Stopped {
        let boots = match self.session.settle(events) {
            Ok(()) => self.what_boots(),
            Err(_) => Boots::Unknown,
        };
        tracing::error!(?phase, ?at, ?boots, error = %source, "stopped");
        Stopped { phase, at, boots, touched: self.touched(), seen: None, source }
    }

    fn bytes_of(&self, phase: Phase) -> u64 {
        let sum =
            |pieces: &[(FlashAddr, Vec<u8>)]| pieces.iter().map(|(_, b)| b.len()).sum::<usize>();
        match phase {
            Phase::Erase => {
                let sizes = self.plan.erases.iter().map(|(_, size)| size.bytes());
                sizes.map(u64::from).sum()
            }
            Phase::Write => sum(&self.plan.programs) as u64,
            Phase::Verify => sum(&self.plan.expect) as u64,
            _ if self.plan.signature_at.is_some() => SIGNATURE,
            _ => 0,
        }
    }

    /// Judged from readings of the flash until two in a row lead to the same answer.
    fn what_boots(&mut self) -> Boots {
        let judged = agreed(|| {
            self.session.cache.forget();
            Ok(self.probe.boots(&mut FlashSource(&mut self.session)))
        });
        judged.ok().flatten().unwrap_or(Boots::Unknown)
    }

    /// Where the new signature is.
    pub(super) fn signature_at(&self) -> Option<FlashAddr> {
        self.plan.signature_at
    }

    /// An erase or program was sent.
    fn touched(&self) -> bool {
        self.session.gateway.changed
    }

    /// A request to stop counts before the first change always, later only where another image boots.
    fn check_stop(&self, events: &dyn Events) -> Result<(), StepError> {
        if events.stop_requested() && (!self.touched() || self.plan.interruptible) {
            return Err((None, FlashError::Interrupted));
        }
        Ok(())
    }

    pub(super) fn erase(&mut self, events: &mut dyn Events) -> Result<(), StepError> {
        self.check_stop(events)?;
        plan_check::check(&self.plan, &self.session.chip).map_err(|e| (None, e))?;
        self.promised = digest(&self.plan.expect);
        let changes = plan_check::changes(&self.plan);
        self.check_protection(&changes, events).map_err(|e| (None, e))?;
        self.session.cache.forget();
        let signature = self.plan.signature_at;
        if let Some(at) = signature.filter(|_| self.plan.invalidate_first) {
            self.prove(at, &INVALID)?;
        }
        let phase = Phase::Erase;
        let mut done = 0;
        for (at, size) in self.plan.erases.clone() {
            self.check_stop(events)?;
            let fail = |e| (Some(at), e);
            self.session.erase(at, size).map_err(fail)?;
            self.check_blank(at, size.bytes(), events).map_err(fail)?;
            done += u64::from(size.bytes());
            events.emit(Event::Advanced { phase, done });
        }
        Ok(())
    }

    /// Nothing that must change may be protected: a protected erase or program does nothing and
    /// reports nothing.
    pub(super) fn check_protection(
        &mut self,
        changes: &[Range<u32>],
        events: &mut dyn Events,
    ) -> Result<(), FlashError> {
        let session = &mut self.session;
        session.refresh_protection()?;
        let hit = |p: &Protection| changes.iter().find(|range| p.touches(range)).cloned();
        if hit(&session.protection).is_some()
            && let Some(value) = session.chip.unprotect_with
        {
            let status = session.protection.status;
            session.unprotect(value)?;
            events.emit(Event::Note {
                text: format!(
                    "power-up write protection cleared for this session (status {status:#04x})"
                ),
            });
        }
        match hit(&session.protection) {
            None => Ok(()),
            Some(range) => Err(protected(&session.protection, &range)),
        }
    }

    fn check_blank(
        &mut self,
        at: FlashAddr,
        len: u32,
        events: &mut dyn Events,
    ) -> Result<(), FlashError> {
        let ends =
            (0..len).step_by(BLANK_STEP as usize).flat_map(|n| [n, n + BLANK_STEP - BLOCK as u32]);
        for offset in ends {
            let first = at.0 + offset;
            let mut sample = [0; BLOCK];
            self.session.read(FlashAddr(first), &mut sample)?;
            if sample == [0xFF; BLOCK] {
                continue;
            }
            let sample = self.session.agreed_block(first)?;
            if let Some((first, found, _)) = difference(first, &sample, first, &[0xFF; BLOCK]) {
                let at = at.0;
                return Err(FlashError::NotBlank { at, first, found });
            }
            self.session.chained = false;
            self.session.gateway.disturbed = true;
            events.emit(wrong_reading(first));
        }
        Ok(())
    }

    pub(super) fn write(&mut self, events: &mut dyn Events) -> Result<(), StepError> {
        let phase = Phase::Write;
        let mut done = 0;
        for (at, bytes) in std::mem::take(&mut self.plan.programs) {
            self.check_stop(events)?;
            let programmed = self.session.program(at, &bytes);
            programmed.map_err(|e| (Some(at), e))?;
            done += bytes.len() as u64;
            events.emit(Event::Advanced { phase, done });
        }
        Ok(())
    }

    pub(super) fn verify(&mut self, events: &mut dyn Events) -> Result<(), StepError> {
        let phase = Phase::Verify;
        let mut hash = Sha256::new();
        let mut done = 0;
        let expect = std::mem::take(&mut self.plan.expect);
        for (at, bytes) in &expect {
            for (n, wanted) in bytes.chunks(VERIFY_STEP).enumerate() {
                self.check_stop(events)?;
                let at = FlashAddr(at.0 + (n * VERIFY_STEP) as u32);
                self.compare(at, wanted, &mut hash, events)?;
                done += wanted.len() as u64;
                events.emit(Event::Advanced { phase, done });
            }
        }
        if <[u8; 32]>::from(hash.finalize()) != self.promised {
            let what = "what was verified is not what the job began with";
            return Err((None, FlashError::Plan { at: 0, what }));
        }
        if self.session.gateway.disturbed {
            let text = "something was misread in this job: what was written is read again".into();
            events.emit(Event::Note { text });
            for _ in 0..STEADY_READINGS {
                for (at, bytes) in &expect {
                    self.check_stop(events)?;
                    self.check_steady(*at, bytes)?;
                }
            }
        }
        tracing::info!(bytes = done, "verified");
        Ok(())
    }

    /// The bytes read right once more, block by block. One wrong reading is none of the cells; a block that
    /// differs has to read right many times.
    fn check_steady(&mut self, at: FlashAddr, wanted: &[u8]) -> Result<(), StepError> {
        let session = &mut self.session;
        let fail = |e| (Some(at), e);
        let start = at.0 - at.0 % BLOCK as u32;
        let mut found = vec![0; ((at.0 - start) as usize + wanted.len()).next_multiple_of(BLOCK)];
        session.read_as(FlashAddr(start), &mut found, BLOCK).map_err(fail)?;
        for (block, found) in (start..).step_by(BLOCK).zip(found.chunks(BLOCK)) {
            if difference(block, found, at.0, wanted).is_some() {
                let steady = session.proven_block(block).map_err(fail)?;
                check_equal(block, &steady, at, wanted)?;
            }
        }
        Ok(())
    }

    /// Reads bytes back and compares them. Blocks that differ are read again, singly, until two
    /// consecutive readings agree: only those decide.
    fn compare(
        &mut self,
        at: FlashAddr,
        wanted: &[u8],
        hash: &mut Sha256,
        events: &mut dyn Events,
    ) -> Result<(), StepError> {
        let session = &mut self.session;
        let fail = |e| (Some(at), e);
        let lead = at.0 as usize % BLOCK;
        let start = at.0 - lead as u32;
        let mut found = vec![0; (lead + wanted.len()).next_multiple_of(BLOCK)];
        session.read(FlashAddr(start), &mut found).map_err(fail)?;
        for (block, found) in (start..).step_by(BLOCK).zip(found.chunks_mut(BLOCK)) {
            if difference(block, found, at.0, wanted).is_none() {
                continue;
            }
            found.copy_from_slice(&session.agreed_block(block).map_err(fail)?);
            check_equal(block, found, at, wanted)?;
            session.chained = false;
            session.gateway.disturbed = true;
            events.emit(wrong_reading(block));
        }
        hash.update(found.get(lead..lead + wanted.len()).unwrap_or_default());
        Ok(())
    }

    /// Programs a few bytes of one block and sees them there. The data registers hold the wanted
    /// bytes already, so a reading that did not arrive would look right: two readings must agree.
    fn prove(&mut self, at: FlashAddr, bytes: &[u8]) -> Result<(), StepError> {
        let fail = |e| (Some(at), e);
        let lead = at.0 % BLOCK as u32;
        if lead as usize + bytes.len() > BLOCK {
            let what = "a signature is not inside one block of 16 bytes";
            return Err(fail(FlashError::Plan { at: at.0, what }));
        }
        let block = at.0 - lead;
        if bytes.iter().any(|b| *b != 0xFF) {
            self.session.program(at, bytes).map_err(fail)?;
        }
        let found = self.session.proven_block(block).map_err(fail)?;
        check_equal(block, &found, at, bytes)
    }

    pub(super) fn commit(
        &mut self,
        signature: &Signature,
        events: &mut dyn Events,
    ) -> Result<(), StepError> {
        self.session.cache.forget();
        self.check_commit(signature)?;
        if let (Some(at), Some(bytes)) = (self.plan.signature_at, signature.bytes) {
            let (word0, rest) = bytes.split_at(4);
            self.prove(FlashAddr(at.0 + 4), rest)?;
            self.prove(at, word0)?;
        }
        if let Some(value) = signature.boot_address {
            self.set_boot_address(value, events)?;
        }
        events.emit(Event::Advanced { phase: Phase::Commit, done: self.bytes_of(Phase::Commit) });
        tracing::info!("committed");
        Ok(())
    }

    /// Invalidates signatures.
    pub(super) fn invalidate(&mut self, signatures: &[FlashAddr]) -> Result<(), StepError> {
        for at in signatures {
            self.prove(*at, &INVALID)?;
        }
        Ok(())
    }

    /// Before the first word of the signature: everything after it can be done, too.
    fn check_commit(&self, signature: &Signature) -> Result<(), StepError> {
        if signature.bytes.is_some() && self.plan.signature_at.is_none() {
            let what = "the signature has no place in the plan";
            return Err((None, FlashError::Plan { at: 0, what }));
        }
        let protection = &self.session.protection;
        for at in &signature.invalidate {
            let range = at.0..at.0.saturating_add(4);
            if protection.touches(&range) {
                return Err((Some(*at), protected(protection, &range)));
            }
        }
        Ok(())
    }

    /// Only a software reset reads this register (mstflint mflash/mflash.c, `mf_update_boot_addr`), so
    /// a refusal of it is reported, not fatal: a power cycle starts the new image all the same. No trial follows.
    fn set_boot_address(&mut self, wanted: u32, events: &mut dyn Events) -> Result<(), StepError> {
        let card = &mut self.session.gateway.card;
        let found = card.set_boot_address(wanted).map_err(|e| (None, e.into()))?;
        self.addressed = found == wanted;
        if !self.addressed {
            let error = FlashError::BootAddress { found, wanted };
            events.emit(Event::Note {
                text: format!("{error}: switch the power off and on to load the new firmware"),
            });
        }
        Ok(())
    }
}

/// [`FlashError::Differs`] where a block read at `start` is not what is wanted at `at`.
pub(super) fn check_equal(
    start: u32,
    found: &[u8],
    at: FlashAddr,
    wanted: &[u8],
) -> Result<(), StepError> {
    match difference(start, found, at.0, wanted) {
        None => Ok(()),
        Some((at, found, wanted)) => {
            let error = FlashError::Differs { at, found, wanted };
            Err((Some(FlashAddr(at)), error))
        }
    }
}

/// Reported where a reading is corrected; single reads are used from then on, whatever was wrong.
fn wrong_reading(at: u32) -> Event {
    Event::Note { text: format!("one reading at {at:#010x} was wrong; read again") }
}

fn protected(protection: &Protection, range: &Range<u32>) -> FlashError {
    FlashError::Protected {
        status: protection.status,
        what: format!("{:#010x}..{:#010x} must change", range.start, range.end),
    }
}

fn digest(pieces: &[(FlashAddr, Vec<u8>)]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (_, bytes) in pieces {
        hash.update(bytes);
    }
    hash.finalize().into()
}
