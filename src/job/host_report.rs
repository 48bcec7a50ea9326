//! What became of the host at the end of a borrowing.

use super::error_text::error_chain;
use crate::host::{Bdf, Borrowed, Ending, Host, HostError, LeaseError, PciCard};
use schemars::JsonSchema;
use serde::Serialize;

/// How the host was put back, or why not.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
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
    /// Nothing on its flash boots: it stays without its driver until `recover` or `restore`.
    pub needs_recover: bool,
    /// Semaphores that others had left taken and that were freed, by number.
    pub freed_semaphores: Vec<u8>,
}

impl HostReport {
    /// Of a borrowing that has ended.
    pub fn of(borrowed: &Borrowed) -> Self {
        let card = borrowed.card();
        let mut report =
            borrowed.with_ending(|ending| Self::new(card.bdf, Some(card.clone()), ending));
        report.warnings.splice(0..0, borrowed.warnings());
        report.freed_semaphores = borrowed.freed_semaphores();
        report
    }

    /// `card` is `None` when it is gone.
    pub(super) fn new(bdf: Bdf, card: Option<PciCard>, ending: Option<&Ending>) -> Self {
        let netdevs = card.iter().flat_map(|card| &card.netdevs).map(|net| net.name.clone());
        let mut report = Self {
            bdf: bdf.to_string(),
            restored: true,
            netdevs: netdevs.collect(),
            driver: card.and_then(|card| card.driver),
            warnings: Vec::new(),
            failure: None,
            needs_recover: false,
            freed_semaphores: Vec::new(),
        };
        match ending {
            Some(Ending::Restored(warnings)) => report.warnings.clone_from(warnings),
            Some(Ending::Left) => {
                report.needs_recover = true;
                report.fail(
                    "no image that boots was read from the card's flash, so its driver does not get it \
                     until it is repaired",
                );
            }
            Some(Ending::NoFirmware) => report.fail(
                "no firmware runs on the card, so its driver does not get it: power the machine off and on, then \
                 run: cx3flash host restore",
            ),
            Some(Ending::Failed(error)) => {
                report.needs_recover =
                    matches!(error, HostError::Lease(LeaseError::NotBootable { .. }));
                report.fail(error_chain(error));
            }
            None => report.fail("the card is still borrowed"),
        }
        report
    }

    /// Of a card that could not be given back at all.
    pub(super) fn unrestored(host: &Host, bdf: Bdf, needs_recover: bool, why: String) -> Self {
        let mut report = Self::new(bdf, host.card(bdf).ok(), None);
        report.needs_recover = needs_recover;
        report.fail(why);
        report
    }

    fn fail(&mut self, why: impl Into<String>) {
        self.restored = false;
        self.failure = Some(why.into());
    }
}
