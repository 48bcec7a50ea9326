//! Why a real card cannot be worked with, or the host not be put back.

use super::{Bdf, DiscoverError, InUse, LeaseError, VfioError};

/// Errors of the host room.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The card cannot be found or is none.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// Something uses the card, and was not waived by name.
    #[error("{bdf} is in use: {}", said(.uses))]
    InUse {
        /// The card.
        bdf: Bdf,
        /// Every use that was not waived.
        uses: Vec<InUse>,
    },
    /// The card has no IOMMU group.
    #[error("{bdf} has no IOMMU group: the IOMMU is off in the firmware or the kernel")]
    NoIommu {
        /// The card.
        bdf: Bdf,
    },
    /// The card cannot be taken from its driver, or not be given back.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// VFIO refuses.
    #[error(transparent)]
    Vfio(#[from] VfioError),
}

fn said(uses: &[InUse]) -> String {
    let lines: Vec<String> = uses
        .iter()
        .map(|used| format!("{}: {}", used.id.name(), used.detail))
        .collect();
    lines.join("; ")
}
