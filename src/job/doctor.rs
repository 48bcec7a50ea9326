//! `doctor`: can this card be worked with?

use super::JobError;
use serde::Serialize;
use std::path::Path;

/// One look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Stable name.
    pub id: &'static str,
    /// Fine.
    pub ok: bool,
    /// One sentence with the figures.
    pub detail: String,
    /// What to do when it is not fine.
    pub fix: Option<String>,
}

/// Answer of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoctorOutcome {
    /// Looks in a fixed order: card, chip, firmware, semaphores, flash, protection, chained_reads,
    /// images, identity, backup_space. Those that cannot be made are listed as not ok.
    pub checks: Vec<Diagnosis>,
    /// All fine.
    pub ok: bool,
}

/// Look at everything a burn needs. Changes nothing.
///
/// # Errors
/// [`JobError::NoSuchCard`] only; what is wrong with a card is in the answer.
pub fn doctor(selector: &str, backup_dir: &Path) -> Result<DoctorOutcome, JobError> {
    let _ = (selector, backup_dir);
    todo!()
}
