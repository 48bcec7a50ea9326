//! Dropping the journals of a card, whatever is in them.

use super::presence::Presence;
use super::{Lease, LeaseError, lock};
use crate::host::journal;
use crate::host::{Bdf, Host, VFIO_PCI, sysfs};
use std::path::PathBuf;

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

    /// Drops every journal of a card after `confirm`, which is given the files. Returns them; `None`
    /// when `confirm` refused. A card that waits to be given back is not dropped.
    pub fn forget_journals(
        host: &Host,
        bdf: Bdf,
        confirm: &mut dyn FnMut(&[PathBuf]) -> bool,
    ) -> Result<Option<Vec<PathBuf>>, LeaseError> {
        let _lock = lock::take(host, bdf, lock::acquire)?;
        let files = journal::all_of(host, bdf)?;
        for journal in journal::all(host)?.iter().filter(|journal| journal.bdf() == bdf) {
            let Ok(Some(record)) = journal.read() else {
                continue;
            };
            let borrowed = record.boot_id == host.boot_id() && record.changed_host();
            let here = matches!(Presence::of(host, &record), Ok(Presence::Card));
            let now = host.driver_of(bdf);
            let ours = sysfs::driver_override(host.device(bdf)).as_deref() == Some(VFIO_PCI);
            let away = now.as_deref() == Some(VFIO_PCI) || now.is_none() && ours;
            let mut siblings = record.original.siblings.iter();
            let unbound = siblings.any(|sibling| {
                host.ids(sibling.bdf).is_some() && host.driver_of(sibling.bdf).is_none()
            });
            if borrowed && (here && away || unbound) {
                let driver = record.original.driver;
                return Err(LeaseError::Owed { bdf, driver });
            }
        }
        if files.is_empty() {
            return Ok(Some(files));
        }
        if !confirm(&files) {
            return Ok(None);
        }
        journal::drop_all(host, bdf, &files)?;
        Ok(Some(files))
    }
}
