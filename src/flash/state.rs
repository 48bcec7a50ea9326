//! The typestate machine.
//!
//! ```text
//! let locked   = Flash::lock(&mut card, &clock)?;       // semaphores 40 and 63, RAII
//! let erased   = locked.erase(plan, &probe, events)?;   // blank-checked
//! let written  = erased.write(events)?;                 // signature withheld
//! let verified = written.verify(events)?;               // whole body read back
//! let done     = verified.commit(&signature, events)?;  // the 16 bytes that make it boot
//! ```
//!
//! States consume each other, cannot be made from outside of this file, and carry what they have
//! proven. Only [`Verified`] has `commit`. The semaphores stay held from `lock` until the last
//! state is dropped, and are freed on every road out, after the chip has finished.

use super::session::Session;
use super::source::{Cache, FlashSource};
use super::{Boots, Event, Events, FlashError, FlashPart, Phase, Protection, SectorPlan, Stopped};
use crate::card::{Card, Clock};
use crate::image::{FlashAddr, Source};
use sha2::{Digest, Sha256};

/// Bytes read at both ends of every 4 KiB of an erased sector. The erase itself is proven by the
/// chip (WEL seen set, WIP seen cleared); the samples catch an erase that hit another place or
/// nothing at all, and [`Written::verify`] reads every byte that counts.
const BLANK_SAMPLE: u32 = 16;
/// Bytes between two samples.
const BLANK_STEP: u32 = 0x1000;

/// Bytes of the body verified between two pieces of news.
const VERIFY_STEP: usize = 0x1_0000;

/// Entry to the machine.
pub struct Flash;

impl Flash {
    /// Take semaphores 40 and 63, find out which chip it is and how it may be read.
    ///
    /// # Errors
    /// [`FlashError`]: semaphore held, no or unknown chip, gateway stuck, card gone.
    pub fn lock<'c>(card: &'c mut Card, clock: &'c dyn Clock) -> Result<Locked<'c>, FlashError> {
        let session = Session::open(card, clock)?;
        let cache = Cache::new(session.part.geometry.size);
        Ok(Locked(Core { session, cache }))
    }
}

/// What every state has.
struct Core<'c> {
    session: Session<'c>,
    cache: Cache,
}

/// A job under way.
struct Work<'c> {
    core: Core<'c>,
    plan: SectorPlan,
    probe: &'c dyn BootProbe,
    touched: bool,
}

/// Semaphores held, nothing changed.
pub struct Locked<'c>(Core<'c>);
/// The region is erased and blank.
pub struct Erased<'c>(Work<'c>);
/// The body is programmed; the signature's place is blank.
pub struct Written<'c>(Work<'c>);
/// The whole body was read back and is right.
pub struct Verified<'c>(Work<'c>, Evidence);
/// The last act is done.
pub struct Done<'c>(Core<'c>, Evidence);

/// What was proven before the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Bytes read back and compared.
    pub bytes: u64,
    /// SHA-256 over what was read back, piece by piece in the plan's order.
    pub digest: [u8; 32],
}

/// The last act: what makes the new image bootable and the old one not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The 16 bytes, or `None` when the job has none to write (equal already, or a job that leaves
    /// the signature alone).
    pub bytes: Option<[u8; 16]>,
    /// Value for the boot address register (image start << 8), if it should be set.
    pub boot_address: Option<u32>,
    /// Signatures to void afterwards (first word programmed to 0).
    pub retire: Vec<FlashAddr>,
}

/// Says what would boot; the flash room does not know images.
pub trait BootProbe {
    /// Judge from the flash alone.
    fn boots(&self, flash: &mut dyn Source) -> Boots;
}

impl<'c> Core<'c> {
    fn source(&mut self) -> FlashSource<'_, 'c> {
        FlashSource::new(&mut self.session, &mut self.cache)
    }
}

impl<'c> Locked<'c> {
    /// The chip.
    #[must_use]
    pub fn part(&self) -> &FlashPart {
        &self.0.session.part
    }

    /// Its block protection.
    #[must_use]
    pub fn protection(&self) -> &Protection {
        &self.0.session.protection
    }

    /// Reads with chip-select held were proven to give what single reads give.
    #[must_use]
    pub fn chained_reads(&self) -> bool {
        self.0.session.chained
    }

    /// The flash as a place to read images from; nothing is read twice in one session.
    pub fn source(&mut self) -> FlashSource<'_, 'c> {
        self.0.source()
    }

    /// Every byte of the chip.
    ///
    /// # Errors
    /// [`FlashError`]; [`FlashError::Interrupted`] when a stop is wanted.
    pub fn read_all(
        &mut self,
        phase: Phase,
        events: &mut dyn Events,
    ) -> Result<Vec<u8>, FlashError> {
        self.0.source().read_all(phase, events)
    }

    /// The chip does nothing at this moment (no erase or program runs).
    ///
    /// # Errors
    /// [`FlashError`].
    pub fn is_idle(&mut self) -> Result<bool, FlashError> {
        self.0.session.is_idle()
    }

    /// Erase what the plan says, after a look at the protection bits. When the plan says so, the
    /// old signature is voided first: one program of 0, so that a cut leaves a card that goes to
    /// recovery mode cleanly instead of starting a torn image.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn erase(
        self,
        plan: SectorPlan,
        probe: &'c dyn BootProbe,
        events: &mut dyn Events,
    ) -> Result<Erased<'c>, Stopped> {
        let mut work = Work {
            core: self.0,
            plan,
            probe,
            touched: false,
        };
        match work.erase(events) {
            Ok(()) => Ok(Erased(work)),
            Err((at, source)) => Err(work.stop(Phase::Erase, at, source)),
        }
    }
}

impl<'c> Erased<'c> {
    /// Program the body. The place of the signature stays blank.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn write(self, events: &mut dyn Events) -> Result<Written<'c>, Stopped> {
        let mut work = self.0;
        match work.write(events) {
            Ok(()) => Ok(Written(work)),
            Err((at, source)) => Err(work.stop(Phase::Write, at, source)),
        }
    }
}

impl<'c> Written<'c> {
    /// Read the whole body back, equal and untouched sectors included, and compare (P2).
    ///
    /// # Errors
    /// [`Stopped`] with [`FlashError::Differs`] at the first difference.
    pub fn verify(self, events: &mut dyn Events) -> Result<Verified<'c>, Stopped> {
        let mut work = self.0;
        match work.verify(events) {
            Ok(evidence) => Ok(Verified(work, evidence)),
            Err((at, source)) => Err(work.stop(Phase::Verify, at, source)),
        }
    }
}

impl<'c> Verified<'c> {
    /// What was proven.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.1
    }

    /// Words 1 to 3 of the signature, read back; word 0, read back; the boot address; and only then
    /// the old signatures are voided. A torn program of word 0 is no signature.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn commit(
        self,
        signature: &Signature,
        events: &mut dyn Events,
    ) -> Result<Done<'c>, Stopped> {
        let Self(mut work, evidence) = self;
        match work.commit(signature, events) {
            Ok(()) => Ok(Done(work.core, evidence)),
            Err((at, source)) => Err(work.stop(Phase::Commit, at, source)),
        }
    }
}

impl<'c> Done<'c> {
    /// What was proven before the commit.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.1
    }

    /// The flash as it is now.
    pub fn source(&mut self) -> FlashSource<'_, 'c> {
        self.0.source()
    }

    /// The same session, for another job.
    #[must_use]
    pub fn relock(self) -> Locked<'c> {
        Locked(self.0)
    }
}

/// Where a step failed, and why.
type Fault = (Option<FlashAddr>, FlashError);

impl Work<'_> {
    fn stop(mut self, phase: Phase, at: Option<FlashAddr>, source: FlashError) -> Stopped {
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

    fn erase(&mut self, events: &mut dyn Events) -> Result<(), Fault> {
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

    fn write(&mut self, events: &mut dyn Events) -> Result<(), Fault> {
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

    fn verify(&mut self, events: &mut dyn Events) -> Result<Evidence, Fault> {
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

    fn commit(&mut self, signature: &Signature, events: &mut dyn Events) -> Result<(), Fault> {
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
