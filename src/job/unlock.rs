//! `unlock`: free a stale semaphore, after proof that nobody holds it.

use super::{Device, JobError};
use crate::card::{Semaphore, SemaphoreState};
use crate::flash::Events;
use serde::Serialize;

/// One semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SemaphoreReport {
    /// Which.
    pub semaphore: Semaphore,
    /// Index in the bank.
    pub number: u8,
    /// As found.
    pub before: SemaphoreState,
    /// As left.
    pub after: SemaphoreState,
}

/// Answer of `unlock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnlockOutcome {
    /// 40 and 63.
    pub semaphores: Vec<SemaphoreReport>,
    /// All were free already.
    pub nothing_to_do: bool,
    /// What shows that nobody works at the flash: one sentence per observation.
    pub proof: Vec<String>,
}

/// Free semaphores 40 and 63 when nobody uses them (flash-hardware §3.4). `confirm` is asked with
/// the proof.
///
/// # Errors
/// [`JobError::InUse`] when somebody does.
pub fn unlock(
    device: &mut Device,
    confirm: &mut dyn FnMut(&[String]) -> bool,
    events: &mut dyn Events,
) -> Result<UnlockOutcome, JobError> {
    let _ = (device, confirm, events);
    todo!()
}
