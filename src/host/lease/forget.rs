//! Dropping the journals of an address, whatever is in them.

use super::presence::Presence;
use super::{Lease, LeaseError, lock};
use crate::host::journal::{self, Journal, JournalRecord};
use crate::host::{Bdf, Host, VFIO_PCI, sysfs};
use std::path::PathBuf;

/// The journals of an address, for `host forget`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgetChoice {
    pub dropped: Vec<Droppable>,
    /// Journals of the card that is there.
    pub kept: Vec<Droppable>,
}

/// A journal that `host forget` can drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Droppable {
    pub path: PathBuf,
    /// Where its card is, or what else is known of it.
    pub about: String,
}

impl Lease {
    /// Journals that were set aside because their card was gone, or another was in its place.
    pub fn kept_aside(host: &Host) -> Result<Vec<PathBuf>, LeaseError> {
        Ok(journal::kept_aside(host, None)?)
    }

    /// Addresses that journals have, also those that were set aside; none where this user may not list them.
    pub fn addresses(host: &Host) -> Vec<Bdf> {
        journal::addresses(host)
    }

    /// Removes what killed processes left of records that they were writing, as far as that is possible.
    pub fn remove_unfinished(host: &Host) {
        for journal in journal::unfinished(host) {
            // A process that has the card may be writing.
            let Ok(_lock) = lock::take(host, journal.bdf(), lock::acquire) else {
                continue;
            };
            if let Err(error) = journal.remove_unfinished() {
                tracing::warn!(%error, "an unfinished record stays");
            }
        }
    }

    /// Drops the journals of an address after `confirm`; `None` when it refused. The journal of the card that is
    /// there stays while others are dropped. One whose card waits to be given back is not dropped.
    pub fn forget_journals(
        host: &Host,
        bdf: Bdf,
        confirm: &mut dyn FnMut(&ForgetChoice) -> bool,
    ) -> Result<Option<ForgetChoice>, LeaseError> {
        let _lock = lock::take(host, bdf, lock::acquire)?;
        let journals = journal::all(host)?;
        let mut own = Vec::new();
        let mut others = Vec::new();
        for path in journal::all_of(host, bdf)? {
            let journal = journals.iter().find(|journal| journal.path() == path);
            let record = journal.map(Journal::read);
            let about = match &record {
                None => "kept aside, or of another version".to_owned(),
                Some(Ok(Some(record))) => match Presence::of(host, record) {
                    Ok(Presence::Card) => {
                        own.push((
                            Droppable { path, about: Presence::Card.to_string() },
                            record.clone(),
                        ));
                        continue;
                    }
                    Ok(presence) => presence.to_string(),
                    // It may be the card.
                    Err(error) => {
                        own.push((Droppable { path, about: error.to_string() }, record.clone()));
                        continue;
                    }
                },
                Some(_) => "it cannot be used".to_owned(),
            };
            let record = record.and_then(Result::ok).flatten();
            others.push((Droppable { path, about }, record));
        }
        let (own, kept) = if others.is_empty() { (own, Vec::new()) } else { (Vec::new(), own) };
        others.extend(own.into_iter().map(|(journal, record)| (journal, Some(record))));
        for record in others.iter().filter_map(|(_, record)| record.as_ref()) {
            if is_owed(host, record) {
                let driver = record.original.driver.clone();
                return Err(LeaseError::Owed { bdf, driver });
            }
        }
        let choice = ForgetChoice {
            dropped: others.into_iter().map(|(journal, _)| journal).collect(),
            kept: kept.into_iter().map(|(journal, _)| journal).collect(),
        };
        if choice.dropped.is_empty() {
            return Ok(Some(choice));
        }
        if !confirm(&choice) {
            return Ok(None);
        }
        let files = choice.dropped.iter().map(|journal| journal.path.clone());
        journal::drop_all(host, bdf, &files.collect::<Vec<_>>())?;
        Ok(Some(choice))
    }
}

/// Whether something of this journal waits to be given back: its card, or a sibling of it.
fn is_owed(host: &Host, record: &JournalRecord) -> bool {
    if record.boot_id != host.boot_id() || !record.changed_host() {
        return false;
    }
    let bdf = record.bdf;
    let now = host.driver_of(bdf);
    let ours = sysfs::driver_override(host.device(bdf)).as_deref() == Some(VFIO_PCI);
    let away = now.as_deref() == Some(VFIO_PCI) || now.is_none() && ours;
    let here = || matches!(Presence::of(host, record), Ok(Presence::Card) | Err(_));
    let mut siblings = record.original.siblings.iter();
    away && here()
        || siblings
            .any(|sibling| host.ids(sibling.bdf).is_some() && host.driver_of(sibling.bdf).is_none())
}
