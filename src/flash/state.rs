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
use super::work::{Core, Work};
use super::{Boots, Events, FlashError, FlashPart, Phase, Protection, SectorPlan, Stopped};
use crate::card::{Card, Clock};
use crate::image::{FlashAddr, Source};

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
