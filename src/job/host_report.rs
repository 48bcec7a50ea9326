//! What became of the host at the end of a borrowing.

use super::error_text::error_chain;
use crate::host::{Borrowed, Ending, PciCard};
use serde::Serialize;

/// How the host was put back, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostReport {
    pub bdf: String,
    /// The host is as it was found.
    pub restored: bool,
    /// Driver the card has now.
    pub driver: Option<String>,
    /// Its network devices now.
    pub netdevs: Vec<String>,
    /// What differs from before and cannot be restored.
    pub warnings: Vec<String>,
    /// Why it is not restored.
    pub failure: Option<String>,
    /// Semaphores that others had left taken and that were freed, by number.
    pub freed_semaphores: Vec<u8>,
}

impl HostReport {
    /// Of a borrowing that has ended.
    pub fn of(borrowed: &Borrowed) -> Self {
        let mut report = borrowed.with_ending(|ending| Self::new(borrowed.card(), ending));
        report.warnings.splice(0..0, borrowed.warnings());
        report.freed_semaphores = borrowed.freed_semaphores();
        report
    }

    pub(super) fn new(card: PciCard, ending: Option<&Ending>) -> Self {
        let mut report = Self {
            bdf: card.bdf.to_string(),
            restored: true,
            driver: card.driver,
            netdevs: card.netdevs.into_iter().map(|n| n.name).collect(),
            warnings: Vec::new(),
            failure: None,
            freed_semaphores: Vec::new(),
        };
        match ending {
            Some(Ending::Restored(warnings)) => report.warnings.clone_from(warnings),
            Some(Ending::Left) => report.fail(
                "no image that boots was read from the card's flash, so it stays on vfio-pci until it is repaired",
            ),
            Some(Ending::Failed(error)) => report.fail(error_chain(error)),
            None => report.fail("the card is still borrowed"),
        }
        report
    }

    fn fail(&mut self, why: impl Into<String>) {
        self.restored = false;
        self.failure = Some(why.into());
    }
}
