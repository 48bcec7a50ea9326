//! The card itself.

use super::{BootOutcome, CardFileError, CardSpec, Counters, Fault};
use crate::card::{Clock, CrSpace};
use serde::Serialize;
use std::path::Path;
use std::rc::Rc;

/// An access a real card would not like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misuse {
    /// Number of the register access.
    pub access: u64,
    /// What was wrong, in words.
    pub what: String,
}

/// Handle on one simulated card.
#[derive(Clone)]
pub struct SimCard {
    _todo: Rc<()>,
}

impl SimCard {
    /// A fresh card in memory, flash as given (chip-sized; shorter is filled with FF), powered on.
    #[must_use]
    pub fn new(spec: CardSpec, flash: &[u8]) -> Self {
        let _ = (spec, flash);
        todo!()
    }

    /// A card kept in a file; every change of its flash, semaphores and running version is in the
    /// file as soon as it happens, so that a killed process leaves what a killed host would.
    ///
    /// # Errors
    /// No such file, no card file, or one of another version.
    pub fn open(path: &Path) -> Result<Self, CardFileError> {
        let _ = path;
        todo!()
    }

    /// Make a new card file. Never overwrites.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path, spec: CardSpec, flash: &[u8]) -> Result<Self, CardFileError> {
        let _ = (path, spec, flash);
        todo!()
    }

    /// Road through BAR0 (memory access: posted writes).
    #[must_use]
    pub fn bar0(&self) -> Box<dyn CrSpace> {
        todo!()
    }

    /// Road through the configuration-cycle gateway 0x58/0x5c.
    #[must_use]
    pub fn config_gateway(&self) -> Box<dyn CrSpace> {
        todo!()
    }

    /// Its time.
    #[must_use]
    pub fn clock(&self) -> Rc<dyn Clock> {
        todo!()
    }

    /// What it is made of.
    #[must_use]
    pub fn spec(&self) -> CardSpec {
        todo!()
    }

    /// Flash contents as they are.
    #[must_use]
    pub fn flash(&self) -> Vec<u8> {
        todo!()
    }

    /// Which image would start at the next power-on.
    #[must_use]
    pub fn boot_outcome(&self) -> BootOutcome {
        todo!()
    }

    /// Power off and on: boots, semaphores free, faults gone.
    pub fn power_cycle(&self) {
        todo!()
    }

    /// Add a fault.
    pub fn inject(&self, fault: Fault) {
        let _ = fault;
        todo!()
    }

    /// Counters so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        todo!()
    }

    /// Counters so far; they start again at zero.
    #[must_use]
    pub fn take_counters(&self) -> Counters {
        todo!()
    }

    /// Number of mutating flash operations since power-on.
    #[must_use]
    pub fn mutations(&self) -> u64 {
        todo!()
    }

    /// Everything a real card would not have liked.
    #[must_use]
    pub fn misuse(&self) -> Vec<Misuse> {
        todo!()
    }
}
