//! Locked cards (docs/hardware.md#locked-cards) that were opened unlocked: what a reset does to them.

use super::Device;
use super::first_start::start_facts;
use super::session::CardFacts;
use crate::image::Image;
use crate::plan::{StartFacts, StartRequest};

/// A reset locks this card again, and no key was given.
pub(super) const LOCKS_AGAIN: &str = "The firmware has a hardware access key: each reset locks it again, and what runs then can be read with the key \
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
