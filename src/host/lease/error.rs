//! Errors of taking and giving back a card.

use crate::escape;
use crate::host::journal::JournalError;
use crate::host::{Bdf, DiscoverError};
use std::error::Error;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process of this program has the card.
    #[error("{bdf} is held by {holder}")]
    Held { bdf: Bdf, holder: String },
    #[error("lock file {}", escape::path(path))]
    Lock { path: PathBuf, source: io::Error },
    /// The journal cannot be read or written. The host is as it was before.
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{bdf} is on {}: only root may take it from there", driver.as_deref().unwrap_or("no driver"))]
    NotRoot { bdf: Bdf, driver: Option<String> },
    /// `host forget` of a card that is borrowed still.
    #[error("{bdf} waits to be given back, and its journal names where it belongs: {}", driver.as_deref().unwrap_or("without a driver"))]
    Owed { bdf: Bdf, driver: Option<String> },
    /// A driver that is needed is not there and cannot be loaded; `source` is modprobe's message.
    #[error("the driver {driver} is missing and cannot be loaded")]
    NoDriver { driver: String, source: io::Error },
    /// Functions of the IOMMU group have drivers and may not be unbound.
    #[error("IOMMU group is not viable: {0}")]
    Siblings(String),
    /// The kernel has been busy with a step for too long. The step continues; it cannot be stopped.
    #[error("{bdf}: {doing} has not ended after {seconds} s")]
    Stuck { bdf: Bdf, doing: String, seconds: u64 },
    /// The kernel refused a step of taking the card; the host was restored.
    #[error("{bdf}: {doing} failed")]
    Refused { bdf: Bdf, doing: String, source: io::Error },
    /// A step of giving back failed.
    #[error("{bdf} could not be given back: {doing}")]
    NotBack { bdf: Bdf, doing: String, source: io::Error },
    /// Several steps of giving back failed.
    #[error("{}", failures.iter().map(|failure| in_full(failure)).collect::<Vec<_>>().join("; "))]
    Several { failures: Vec<LeaseError> },
    /// Taking failed, and the host was restored but for what the warnings name.
    #[error("{first}; then the host was restored, but: {}", warnings.join("; "))]
    Undone { first: String, warnings: Vec<String> },
    /// Taking failed, and then restoring the host failed too; the journal is kept.
    #[error("{first}; then restoring the host failed: {}", in_full(&**back))]
    NotUndone { first: String, back: Box<LeaseError> },
    /// Nothing on the flash boots, so its driver must not bind it.
    #[error("nothing on the flash of {bdf} boots, so its driver must not bind it")]
    NotBootable { bdf: Bdf },
    /// No firmware was seen running, whatever the flash holds.
    #[error(
        "no firmware runs on {bdf}, so its driver must not bind it until it was powered off and on"
    )]
    NoFirmware { bdf: Bdf },
    /// A journal that belongs to one of several cards.
    #[error("the journal of {bdf} is applied to no card: it may belong to {}", one_of(cards))]
    Unclear { bdf: Bdf, cards: Vec<Bdf> },
    #[error(transparent)]
    Discover(#[from] DiscoverError),
}

impl LeaseError {
    /// Whether the host differs from its original state, so that `host restore` is needed.
    pub fn host_changed(&self) -> bool {
        matches!(
            self,
            Self::Stuck { .. }
                | Self::NotBack { .. }
                | Self::Several { .. }
                | Self::NotUndone { .. }
                | Self::NotBootable { .. }
                | Self::NoFirmware { .. }
                | Self::Unclear { .. }
        )
    }

    /// While giving back, whatever fails leaves the host changed.
    pub(super) fn not_back(self, bdf: Bdf) -> Self {
        match self {
            Self::Refused { bdf, doing, source } => Self::NotBack { bdf, doing, source },
            Self::NoDriver { driver, source } => {
                Self::NotBack { bdf, doing: format!("loading the driver {driver}"), source }
            }
            Self::Discover(error) => {
                let doing = "identifying the card".to_owned();
                Self::NotBack { bdf, doing, source: io::Error::other(error.to_string()) }
            }
            other => other,
        }
    }
}

/// An error with its causes, on one line.
pub(in crate::host) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// `0000:05:00.0 or 0000:06:00.0`.
pub(super) fn one_of(cards: &[Bdf]) -> String {
    let cards: Vec<String> = cards.iter().map(Bdf::to_string).collect();
    cards.join(" or ")
}
