//! The steps of a job, behind the states.

use super::gateway::BLOCK;
use super::plan_check;
use super::readings::agreed;
use super::session::FlashSession;
use super::source::{Cache, FlashSource};
use super::{Boots, Event, Events, FlashError, Phase, Protection, SectorPlan, Stopped};
use crate::image::{FlashAddr, Source};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// What was proven before the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Bytes read back and compared.
    pub bytes: u64,
    /// SHA-256 over what was read back, piece by piece in the plan's order. It equals the one
    /// taken over the plan before the first erase.
    pub digest: [u8; 32],
}

/// Bytes between two places where an erased sector is sampled, 16 bytes at both ends of each. The
/// erase itself is proven by the chip (WEL seen set, WIP seen cleared); the samples catch an erase
/// that hit another place or nothing at all, and [`super::Written::verify`] reads every byte that
/// counts.
const BLANK_STEP: u32 = 0x1000;

/// Bytes of the body verified between two events.
const VERIFY_STEP: usize = 0x1_0000;

/// The commit: what makes the new image bootable and the old one not.
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
    fn boots(&self, flash: &mut dyn Source) -> Boots;
}

/// What every state has.
pub(super) struct Core<'c> {
    pub(super) session: FlashSession<'c>,
    pub(super) cache: Cache,
}

/// A job under way.
pub(super) struct PlanRun<'c> {
    pub(super) core: Core<'c>,
    plan: SectorPlan,
    probe: &'c dyn BootProbe,
    touched: bool,
    /// Digest of everything that shall read back, taken before anything changes.
    promised: [u8; 32],
}

/// Where a step failed, and why.
pub(super) type StepError = (Option<FlashAddr>, FlashError);

impl<'c> Core<'c> {
    pub(super) fn new(session: FlashSession<'c>) -> Self {
        let cache = Cache::new(session.chip.geometry.size);
        Self { session, cache }
    }

    pub(super) fn source(&mut self) -> FlashSource<'_, 'c> {
        FlashSource::new(&mut self.session, &mut self.cache)
    }
}

impl<'c> PlanRun<'c> {
    pub(super) fn new(core: Core<'c>, plan: SectorPlan, probe: &'c dyn BootProbe) -> Self {
        Self {
            core,
            plan,
            probe,
            touched: false,
            promised: [0; 32],
        }
    }

    pub(super) fn stop(
        mut self,
        phase: Phase,
        at: Option<FlashAddr>,
        source: FlashError,
        events: &mut dyn Events,
    ) -> Stopped {
        self.core.cache.forget();
        let boots = match self.core.session.settle(events) {
            Ok(()) => self.what_boots(),
            Err(_) => Boots::Unknown,
        };
        tracing::error!(?phase, ?at, ?boots, error = %source, "stopped");
        Stopped {
            phase,
            at,
            boots,
            touched: self.touched,
            source,
        }
    }

    /// Judged from readings of the flash until two in a row lead to the same answer.
    fn what_boots(&mut self) -> Boots {
        let judged = agreed(|| {
            self.core.cache.forget();
            Ok(self.probe.boots(&mut self.core.source()))
        });
        judged.ok().flatten().unwrap_or(Boots::Unknown)
    }

    /// A request to stop counts before the first change always, later only where another image boots.
    fn check_stop(&self, events: &dyn Events) -> Result<(), StepError> {
        if events.stop_requested() && (!self.touched || self.plan.interruptible) {
            return Err((None, FlashError::Interrupted));
        }
        Ok(())
    }

    pub(super) fn erase(&mut self, events: &mut dyn Events) -> Result<(), StepError> {
        let erases = self.plan.erases.clone();
        let total = erases.iter().map(|(_, size)| u64::from(size.bytes())).sum();
        events.emit(Event::Started {
            phase: Phase::Erase,
            total,
        });
        self.check_stop(events)?;
        plan_check::check(&self.plan, &self.core.session.chip).map_err(|e| (None, e))?;
        self.promised = digest(&self.plan.expect);
        self.check_protection(events).map_err(|e| (None, e))?;
        self.core.cache.forget();
        if let Some(at) = self
            .plan
            .signature_at
            .filter(|_| self.plan.invalidate_first)
        {
            self.invalidate(at)?;
        }
        let mut done = 0;
        for (at, size) in erases {
            self.check_stop(events)?;
            self.touched = true;
            let fail = |e| (Some(at), e);
            self.core.session.erase(at, size).map_err(fail)?;
            self.check_blank(at, size.bytes(), events).map_err(fail)?;
            done += u64::from(size.bytes());
            events.emit(Event::Advanced {
                phase: Phase::Erase,
                done,
            });
        }
        events.emit(Event::Finished {
            phase: Phase::Erase,
        });
        Ok(())
    }

    /// Nothing that must change may be protected: a protected erase or program does nothing and
    /// reports nothing.
    fn check_protection(&mut self, events: &mut dyn Events) -> Result<(), FlashError> {
        let session = &mut self.core.session;
        session.refresh_protection()?;
        let changes = plan_check::changes(&self.plan);
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
        let ends = (0..len)
            .step_by(BLANK_STEP as usize)
            .flat_map(|n| [n, n + BLANK_STEP - BLOCK as u32]);
        for offset in ends {
            let first = at.0 + offset;
            let mut sample = [0; BLOCK];
            self.core.session.read(FlashAddr(first), &mut sample)?;
            if sample == [0xFF; BLOCK] {
                continue;
            }
            let sample = self.core.session.agreed_block(first)?;
            if let Some((n, found)) = sample.iter().enumerate().find(|(_, b)| **b != 0xFF) {
                return Err(FlashError::NotBlank {
                    at: at.0,
                    first: first + n as u32,
                    found: *found,
                });
            }
            self.core.session.chained = false;
            events.emit(wrong_reading(first));
        }
        Ok(())
    }

    pub(super) fn write(&mut self, events: &mut dyn Events) -> Result<(), StepError> {
        let programs = std::mem::take(&mut self.plan.programs);
        events.emit(Event::Started {
            phase: Phase::Write,
            total: programs.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        });
        let mut done = 0;
        for (at, bytes) in programs {
            self.check_stop(events)?;
            self.touched = true;
            self.core
                .session
                .program(at, &bytes)
                .map_err(|e| (Some(at), e))?;
            done += bytes.len() as u64;
            events.emit(Event::Advanced {
                phase: Phase::Write,
                done,
            });
        }
        events.emit(Event::Finished {
            phase: Phase::Write,
        });
        Ok(())
    }

    pub(super) fn verify(&mut self, events: &mut dyn Events) -> Result<Evidence, StepError> {
        let expect = std::mem::take(&mut self.plan.expect);
        events.emit(Event::Started {
            phase: Phase::Verify,
            total: expect.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        });
        let mut hash = Sha256::new();
        let mut done = 0;
        for (at, bytes) in &expect {
            for (n, wanted) in bytes.chunks(VERIFY_STEP).enumerate() {
                self.check_stop(events)?;
                let at = FlashAddr(at.0 + (n * VERIFY_STEP) as u32);
                self.compare(at, wanted, &mut hash, events)?;
                done += wanted.len() as u64;
                events.emit(Event::Advanced {
                    phase: Phase::Verify,
                    done,
                });
            }
        }
        events.emit(Event::Finished {
            phase: Phase::Verify,
        });
        let evidence = Evidence {
            bytes: done,
            digest: hash.finalize().into(),
        };
        if evidence.digest != self.promised {
            let what = "what was verified is not what the job began with";
            return Err((None, FlashError::Plan { at: 0, what }));
        }
        Ok(evidence)
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
        let session = &mut self.core.session;
        let fail = |e| (Some(at), e);
        let mut found = vec![0; wanted.len()];
        session.read(at, &mut found).map_err(fail)?;
        let mut from = 0;
        while let Some(n) = differs(&found, wanted, from) {
            let place = at.0 + n as u32;
            let block = place - place % BLOCK as u32;
            let again = session.agreed_block(block).map_err(fail)?;
            let lead = at.0.saturating_sub(block) as usize;
            let start = block.saturating_sub(at.0) as usize;
            from = found.len().min(start + BLOCK - lead);
            if let Some(place) = found.get_mut(start..from)
                && let Some(again) = again.get(lead..lead + place.len())
            {
                place.copy_from_slice(again);
            }
            if let Some(n) = differs(&found, wanted, start).filter(|n| *n < from)
                && let (Some(&found), Some(&wanted)) = (found.get(n), wanted.get(n))
            {
                let at = at.0 + n as u32;
                let error = FlashError::Differs { at, found, wanted };
                return Err((Some(FlashAddr(at)), error));
            }
            session.chained = false;
            events.emit(wrong_reading(block));
        }
        hash.update(&found);
        Ok(())
    }

    /// Programs a few bytes of one block and sees them there. The data registers hold the wanted
    /// bytes already, so a reading that did not arrive would look right: two readings must agree.
    fn prove(&mut self, at: FlashAddr, bytes: &[u8]) -> Result<(), StepError> {
        let fail = |e| (Some(at), e);
        let session = &mut self.core.session;
        let lead = at.0 % BLOCK as u32;
        if lead as usize + bytes.len() > BLOCK {
            let what = "a signature is not inside one block of 16 bytes";
            return Err(fail(FlashError::Plan { at: at.0, what }));
        }
        if bytes.iter().any(|b| *b != 0xFF) {
            self.touched = true;
            session.program(at, bytes).map_err(fail)?;
        }
        let block = session.agreed_block(at.0 - lead).map_err(fail)?;
        let found = block.iter().skip(lead as usize);
        match found.zip(bytes).enumerate().find(|(_, (f, w))| f != w) {
            None => Ok(()),
            Some((n, (&found, &wanted))) => {
                let at = at.0 + n as u32;
                let error = FlashError::Differs { at, found, wanted };
                Err((Some(FlashAddr(at)), error))
            }
        }
    }

    /// Programs the first word of a signature to 0.
    fn invalidate(&mut self, at: FlashAddr) -> Result<(), StepError> {
        self.prove(at, &[0; 4])
    }

    pub(super) fn commit(
        &mut self,
        signature: &Signature,
        events: &mut dyn Events,
    ) -> Result<(), StepError> {
        events.emit(Event::Started {
            phase: Phase::Commit,
            total: 16,
        });
        self.core.cache.forget();
        self.check_commit(signature)?;
        if let (Some(at), Some(bytes)) = (self.plan.signature_at, signature.bytes) {
            let (word0, rest) = bytes.split_at(4);
            self.prove(FlashAddr(at.0 + 4), rest)?;
            self.prove(at, word0)?;
        }
        if let Some(value) = signature.boot_address {
            self.set_boot_address(value, events)?;
        }
        for at in &signature.invalidate {
            self.invalidate(*at)?;
        }
        events.emit(Event::Advanced {
            phase: Phase::Commit,
            done: 16,
        });
        events.emit(Event::Finished {
            phase: Phase::Commit,
        });
        Ok(())
    }

    /// Before the first word of the signature: everything after it can be done, too.
    fn check_commit(&self, signature: &Signature) -> Result<(), StepError> {
        if signature.bytes.is_some() && self.plan.signature_at.is_none() {
            let what = "the signature has no place in the plan";
            return Err((None, FlashError::Plan { at: 0, what }));
        }
        let protection = &self.core.session.protection;
        for at in &signature.invalidate {
            let range = at.0..at.0.saturating_add(4);
            if protection.touches(&range) {
                return Err((Some(*at), protected(protection, &range)));
            }
        }
        Ok(())
    }

    /// Only a software reset reads this register (mstflint mflash/mflash.c, `mf_update_boot_addr`), so
    /// a refusal of it is reported, not fatal: a power cycle starts the new image all the same.
    fn set_boot_address(&mut self, wanted: u32, events: &mut dyn Events) -> Result<(), StepError> {
        let found = self
            .core
            .session
            .gateway
            .card
            .set_boot_address(wanted)
            .map_err(|e| (None, e.into()))?;
        if found != wanted {
            let error = FlashError::BootAddress { found, wanted };
            events.emit(Event::Note {
                text: format!("{error}: switch the power off and on to load the new firmware"),
            });
        }
        Ok(())
    }
}

/// First difference at or after `from`.
fn differs(found: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let pairs = found.iter().zip(wanted).enumerate().skip(from);
    pairs.into_iter().find(|(_, (f, w))| f != w).map(|(n, _)| n)
}

/// Reported where a reading is corrected; single reads are used from then on, whatever was wrong.
fn wrong_reading(at: u32) -> Event {
    Event::Note {
        text: format!("one reading at {at:#010x} was wrong; read again"),
    }
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
