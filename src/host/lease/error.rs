//! Why a card cannot be borrowed, or not be given back.

use crate::host::journal::JournalError;
use crate::host::{Bdf, DiscoverError};
use std::io;
use std::path::PathBuf;

/// Errors of the lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process of this program has the card.
    #[error("{bdf} is held by {holder}")]
    Held {
        /// The card.
        bdf: Bdf,
        /// Who.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("lock file {}", path.display())]
    Lock {
        /// Path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal cannot be read or written. Nothing was changed after it failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Only root may take a card from its driver.
    #[error("{bdf} is on {}: only root may take it from there", driver.as_deref().unwrap_or("no driver"))]
    NotRoot {
        /// The card.
        bdf: Bdf,
        /// Its driver.
        driver: Option<String>,
    },
    /// The journal is of another card than the one at that address now.
    #[error("the journal of {bdf} is of another card ({was}; there is {is} now)")]
    OtherCard {
        /// The address.
        bdf: Bdf,
        /// Ids in the journal.
        was: String,
        /// Ids now.
        is: String,
    },
    /// A driver that is needed is not there and cannot be loaded.
    #[error("the driver {driver} is not there and cannot be loaded")]
    NoDriver {
        /// Its name.
        driver: String,
        /// What modprobe said.
        source: io::Error,
    },
    /// Functions of the IOMMU group are in use and may not be moved.
    #[error("IOMMU group is not viable: {0}")]
    Siblings(String),
    /// The kernel has been busy with a step for too long. It goes on; nobody can stop it.
    #[error("{bdf}: {doing} has not ended after {seconds} s")]
    Stuck {
        /// The card.
        bdf: Bdf,
        /// Which step.
        doing: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The kernel refused a step of taking the card; the host was put back.
    #[error("{bdf}: {doing} failed")]
    Refused {
        /// The card.
        bdf: Bdf,
        /// Which step.
        doing: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A step of giving back failed, or one of taking and then the way back.
    #[error("{bdf} could not be given back: {doing}")]
    NotBack {
        /// The card.
        bdf: Bdf,
        /// What failed, and what it means.
        doing: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Taking failed, and so did the way back; the journal is kept.
    #[error("{first}; and then, on the way back: {back}")]
    NotUndone {
        /// Why the card could not be taken.
        first: Box<LeaseError>,
        /// Why it could not be given back.
        back: Box<LeaseError>,
    },
    /// Nothing on the flash boots, so its driver must not get it.
    #[error("nothing on the flash of {bdf} boots, so its driver must not get it")]
    NotBootable {
        /// The card.
        bdf: Bdf,
    },
    /// The card cannot be looked at.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
}

impl LeaseError {
    /// The host is not as it was found: `host restore` is due.
    #[must_use]
    pub fn host_changed(&self) -> bool {
        matches!(
            self,
            Self::Stuck { .. }
                | Self::NotBack { .. }
                | Self::NotUndone { .. }
                | Self::NotBootable { .. }
        )
    }
}
