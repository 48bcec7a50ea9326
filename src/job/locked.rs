//! Locked cards (docs/hardware.md#locked-cards) that were opened unlocked: what a reset does to them.

use super::activate::{ActivatedBy, Activation, activate_as};
use super::first_start::start_facts;
use super::session::CardFacts;
use super::{Device, JobError};
use crate::card::CardError;
use crate::escape;
use crate::flash::Events;
use crate::image::{Image, Version};
use crate::plan::{StartFacts, StartRequest};

/// A reset locks this card again, and no key was given.
pub(super) const LOCKS_AGAIN: &str = "This card has a hardware access key: each reset locks it again, and what runs then can be read with the key \
     only. Give it to this command too: `--key-file FILE`.";

impl Device {
    /// One of these images has a hardware access key, and none was given.
    pub(super) fn locks_again<'i>(&self, images: impl IntoIterator<Item = &'i Image>) -> bool {
        let keyed =
            |image: &Image| image.info.as_ref().is_some_and(|i| i.hw_access_key == Some(true));
        !self.card.has_key() && images.into_iter().any(keyed)
    }
}

/// What the plan of a start has to know. After a reset that locks the card nothing is read: no trial, no look.
pub(super) fn start_facts_of(
    device: &Device,
    facts: &CardFacts,
    request: StartRequest,
    locks: bool,
) -> StartFacts {
    let mut start = start_facts(device, facts, request);
    if locks {
        start.no_reset = Some("a reset locks this card, and its key was not given".to_owned());
    }
    start
}

/// Activates; a card that the reset has locked is one whose firmware runs.
pub(super) fn activate_locked(
    device: &mut Device,
    facts: &CardFacts,
    wanted: Version,
    events: &mut dyn Events,
) -> Result<Activation, JobError> {
    match activate_as(device, facts, wanted, events) {
        Err(JobError::Card(CardError::Locked)) => Ok(Activation {
            by: ActivatedBy::SoftwareReset,
            before: facts.running,
            after: None,
            flashed: Some(wanted),
            confirmed: false,
            detail: Some(format!(
                "the reset has locked the card again, as firmware that runs does; which version runs is read with its \
                 key: cx3flash -d {} query --key-file FILE",
                escape::shell_word(&device.name)
            )),
        }),
        ended => ended,
    }
}
