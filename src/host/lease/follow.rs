//! A journal follows its card to the address that the card has since a reboot.

use super::presence::moved_to;
use super::{Lease, LeaseError, lock};
use crate::host::journal::{self, Journal, JournalRecord};
use crate::host::{Bdf, Host};

/// A journal that followed its card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowedCard {
    pub from: Bdf,
    pub to: Bdf,
}

impl Lease {
    /// Gives every journal from before a reboot the address that its card has now. A journal that cannot
    /// follow stays where it is.
    pub fn follow_cards(host: &Host) -> Vec<FollowedCard> {
        let follow = |from| match follow(host, from) {
            Ok(to) => to.map(|to| FollowedCard { from, to }),
            Err(error) => {
                tracing::warn!(%from, %error, "the journal does not follow its card");
                None
            }
        };
        // The address that one leaves may be where another belongs.
        let mut followed = Vec::new();
        loop {
            let cards = journal::cards(host).unwrap_or_default();
            let before = followed.len();
            followed.extend(cards.into_iter().filter_map(follow));
            if followed.len() == before {
                return followed;
            }
        }
    }
}

fn follow(host: &Host, from: Bdf) -> Result<Option<Bdf>, LeaseError> {
    let old = Journal::of(host, from);
    let where_now = || -> Result<_, LeaseError> {
        let record = old.read()?;
        Ok(record.and_then(|record| Some((moved_to(host, &record)?, record))))
    };
    if where_now()?.is_none() {
        return Ok(None);
    }
    // What is read under the locks counts.
    let _old_lock = lock::take(host, from, lock::acquire)?;
    let Some((to, record)) = where_now()? else {
        return Ok(None);
    };
    let _new_lock = lock::take(host, to, lock::acquire)?;
    let new = Journal::of(host, to);
    if new.read()?.is_some() {
        tracing::warn!(%from, %to, "the card has a journal at its new address");
        return Ok(None);
    }
    let record = JournalRecord { bdf: to, slot: host.slot(to), bridge: None, ..record };
    new.write(&record, &|_| Ok(()))?;
    old.remove(&|_| Ok(()))?;
    tracing::info!(%from, %to, "the journal follows its card");
    Ok(Some(to))
}
