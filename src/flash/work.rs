//! The work behind the states: what one job does to the chip, in order.
//!
//! The order is enforced by [`super::state`]; here are the checks inside each step.

use super::session::Session;
use super::source::{Cache, FlashSource};
use super::state::{BootProbe, Evidence, Signature};
use super::{Boots, Event, Events, FlashError, Phase, SectorPlan, Stopped};
use crate::image::FlashAddr;
use sha2::{Digest, Sha256};

/// Bytes read at both ends of every 4 KiB of an erased sector. The erase itself is proven by the
/// chip (WEL seen set, WIP seen cleared); the samples catch an erase that hit another place or
/// nothing at all, and [`Written::verify`] reads every byte that counts.
const BLANK_SAMPLE: u32 = 16;
/// Bytes between two samples.
const BLANK_STEP: u32 = 0x1000;

/// Bytes of the body verified between two pieces of news.
const VERIFY_STEP: usize = 0x1_0000;

/// What every state has.
pub(super) struct Core<'c> {
    pub(super) session: Session<'c>,
    pub(super) cache: Cache,
}

impl<'c> Core<'c> {
    pub(super) fn source(&mut self) -> FlashSource<'_, 'c> {
        FlashSource::new(&mut self.session, &mut self.cache)
    }
}

/// A job under way.
pub(super) struct Work<'c> {
    pub(super) core: Core<'c>,
    pub(super) plan: SectorPlan,
    pub(super) probe: &'c dyn BootProbe,
    pub(super) touched: bool,
}

/// Where a step failed, and why.
pub(super) type Fault = (Option<FlashAddr>, FlashError);

impl Work<'_> {
    pub(super) fn stop(
        mut self,
        phase: Phase,
        at: Option<FlashAddr>,
        source: FlashError,
    ) -> Stopped {
        self.core.cache.forget();
        let boots = match self.core.session.settle() {
            Ok(()) => self.probe.boots(&mut self.core.source()),
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

    /// A wish to stop counts before the first change always, later only where another image boots.
    fn heed(&self, events: &dyn Events) -> Result<(), Fault> {
        if events.stop_wanted() && (!self.touched || self.plan.interruptible) {
            return Err((None, FlashError::Interrupted));
        }
        Ok(())
    }

    pub(super) fn erase(&mut self, events: &mut dyn Events) -> Result<(), Fault> {
        let erases = self.plan.erases.clone();
        let total = erases.iter().map(|(_, size)| u64::from(size.bytes())).sum();
        events.tell(Event::Started {
            phase: Phase::Erase,
            total,
        });
        self.heed(events)?;
        self.check_protection().map_err(|e| (None, e))?;
        self.core.cache.forget();
        if let Some(at) = self.plan.signature_at.filter(|_| self.plan.void_first) {
            self.void(at)?;
        }
        let mut done = 0;
        for (at, size) in erases {
            self.heed(events)?;
            self.touched = true;
            let fail = |e| (Some(at), e);
            self.core.session.erase(at, size).map_err(fail)?;
            self.check_blank(at, size.bytes()).map_err(fail)?;
            done += u64::from(size.bytes());
            events.tell(Event::Advanced {
                phase: Phase::Erase,
                done,
            });
        }
        events.tell(Event::Finished {
            phase: Phase::Erase,
        });
        Ok(())
    }

    fn check_protection(&mut self) -> Result<(), FlashError> {
        let session = &mut self.core.session;
        let ranges = self
            .plan
            .erases
            .iter()
            .map(|(at, size)| at.0..at.0.saturating_add(size.bytes()))
            .chain(
                self.plan
                    .programs
                    .iter()
                    .map(|(at, bytes)| at.0..at.0.saturating_add(bytes.len() as u32)),
            )
            .chain(
                self.plan
                    .signature_at
                    .map(|at| at.0..at.0.saturating_add(16)),
            );
        let Some(hit) = ranges.into_iter().find(|r| session.protection.touches(r)) else {
            return Ok(());
        };
        if let Some(value) = session.part.unprotect_with {
            session.unprotect(value)?;
            if !session.protection.touches(&hit) {
                return Ok(());
            }
        }
        Err(FlashError::Protected {
            status: session.protection.status,
            what: format!("{:#010x}..{:#010x} must change", hit.start, hit.end),
        })
    }

    fn check_blank(&mut self, at: FlashAddr, len: u32) -> Result<(), FlashError> {
        let ends = (0..len)
            .step_by(BLANK_STEP as usize)
            .flat_map(|n| [n, n + BLANK_STEP - BLANK_SAMPLE]);
        for offset in ends {
            let first = at.0 + offset;
            let mut sample = [0; BLANK_SAMPLE as usize];
            self.core.session.read(FlashAddr(first), &mut sample)?;
            if let Some((n, found)) = sample.iter().enumerate().find(|(_, b)| **b != 0xFF) {
                return Err(FlashError::NotBlank {
                    at: at.0,
                    first: first + n as u32,
                    found: *found,
                });
            }
        }
        Ok(())
    }

    pub(super) fn write(&mut self, events: &mut dyn Events) -> Result<(), Fault> {
        let programs = std::mem::take(&mut self.plan.programs);
        events.tell(Event::Started {
            phase: Phase::Write,
            total: programs.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        });
        let mut done = 0;
        for (at, bytes) in programs {
            self.heed(events)?;
            self.touched = true;
            self.core
                .session
                .program(at, &bytes)
                .map_err(|e| (Some(at), e))?;
            done += bytes.len() as u64;
            events.tell(Event::Advanced {
                phase: Phase::Write,
                done,
            });
        }
        events.tell(Event::Finished {
            phase: Phase::Write,
        });
        Ok(())
    }

    pub(super) fn verify(&mut self, events: &mut dyn Events) -> Result<Evidence, Fault> {
        let expect = std::mem::take(&mut self.plan.expect);
        events.tell(Event::Started {
            phase: Phase::Verify,
            total: expect.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        });
        let mut hash = Sha256::new();
        let mut done = 0;
        for (at, bytes) in &expect {
            for (n, wanted) in bytes.chunks(VERIFY_STEP).enumerate() {
                self.heed(events)?;
                let at = FlashAddr(at.0 + (n * VERIFY_STEP) as u32);
                self.compare(at, wanted, &mut hash)?;
                done += wanted.len() as u64;
                events.tell(Event::Advanced {
                    phase: Phase::Verify,
                    done,
                });
            }
        }
        events.tell(Event::Finished {
            phase: Phase::Verify,
        });
        Ok(Evidence {
            bytes: done,
            digest: hash.finalize().into(),
        })
    }

    fn compare(&mut self, at: FlashAddr, wanted: &[u8], hash: &mut Sha256) -> Result<(), Fault> {
        let mut found = vec![0; wanted.len()];
        let fail = |e| (Some(at), e);
        self.core.session.read(at, &mut found).map_err(fail)?;
        hash.update(&found);
        let differs = found.iter().zip(wanted).position(|(f, w)| f != w);
        match differs.and_then(|n| Some((n, *found.get(n)?, *wanted.get(n)?))) {
            None => Ok(()),
            Some((n, found, wanted)) => {
                let at = at.0 + n as u32;
                Err((
                    Some(FlashAddr(at)),
                    FlashError::Differs { at, found, wanted },
                ))
            }
        }
    }

    /// Program a few bytes and see them there.
    fn prove(&mut self, at: FlashAddr, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.iter().any(|b| *b != 0xFF) {
            self.touched = true;
            self.core
                .session
                .program(at, bytes)
                .map_err(|e| (Some(at), e))?;
        }
        self.compare(at, bytes, &mut Sha256::new())
    }

    fn void(&mut self, at: FlashAddr) -> Result<(), Fault> {
        self.prove(at, &[0; 4])
    }

    pub(super) fn commit(
        &mut self,
        signature: &Signature,
        events: &mut dyn Events,
    ) -> Result<(), Fault> {
        events.tell(Event::Started {
            phase: Phase::Commit,
            total: 16,
        });
        self.core.cache.forget();
        if let (Some(at), Some(bytes)) = (self.plan.signature_at, signature.bytes) {
            let (word0, rest) = bytes.split_at(4);
            self.prove(FlashAddr(at.0 + 4), rest)?;
            self.prove(at, word0)?;
        }
        if let Some(value) = signature.boot_address {
            self.set_boot_address(value, events)?;
        }
        for at in &signature.retire {
            self.void(*at)?;
        }
        events.tell(Event::Advanced {
            phase: Phase::Commit,
            done: 16,
        });
        events.tell(Event::Finished {
            phase: Phase::Commit,
        });
        Ok(())
    }

    /// Only a software reset looks at this register (flash-hardware §6.5), so a refusal of it is
    /// told, not fatal: a power cycle starts the new image all the same.
    fn set_boot_address(&mut self, wanted: u32, events: &mut dyn Events) -> Result<(), Fault> {
        let found = self
            .core
            .session
            .hold
            .set_boot_address(wanted)
            .map_err(|e| (None, e.into()))?;
        if found != wanted {
            let error = FlashError::BootAddress { found, wanted };
            events.tell(Event::Note {
                text: format!("{error}: switch the power off and on to load the new firmware"),
            });
        }
        Ok(())
    }
}
