//! A card opened through `vfio-pci`: BAR0 and configuration space, and nothing else of it.
//!
//! Debian's kernels have no IOMMUFD, so the lab cannot run `cdev`. It was run by hand on
//! 2026-11-23: Linux 6.12.107 built with IOMMUFD and VFIO_DEVICE_CDEV and without VFIO_GROUP, the
//! simulated card served over vfio-user; `query` by mapping, `pread` and configuration cycles.
//!
//! Opening resets the card, and so does closing, also by being killed
//! (drivers/vfio/pci/vfio_pci_core.c), so it is never closed while the flash chip is busy. No DMA:
//! nothing is mapped for it, bus mastering stays off (P9), and the container's empty IOMMU domain
//! would stop it. Memory decode is the kernel's; only after a software reset, which the kernel does
//! not see, is it switched on again.
//!
//! Tried in a guest on Debian's 6.12.107, with the simulated card served to it and with another
//! device of a 1 MiB BAR0, also under both lockdown levels: all three transports, a software reset
//! through each, SIGBUS and EIO with memory decode off, group held, group not viable, no interrupt
//! remapping, no IOMMU, a user in the nodes' group, removal and SIGKILL with the card open. The
//! errno of RMRR and of a busy device lock were not seen.

#[cfg(feature = "cdev")]
mod cdev;
mod errno;
mod error;
mod gateway;
mod open;
mod regions;
mod session;
mod space;
mod sys;
#[cfg(test)]
mod tests;

pub use error::{BarFault, VfioError};
pub(super) use open::open_viable_group;
pub(super) use sys::{ethtool_driver_info, stdout_was_closed};

use super::{Host, PciCard};
use crate::card::{BarAccess, CrSpace};
use space::{SharedCard, Space};
use std::cell::RefCell;
use std::rc::Rc;

/// A card open through VFIO. Closed when dropped; [`VfioCard::close`] also returns the error.
pub struct VfioCard(SharedCard);

impl VfioCard {
    /// Opens a card that is bound to vfio-pci. This resets the card.
    ///
    /// `access` is the transport. `None`: BAR0, mapped on x86-64 and by `pread` elsewhere or where
    /// it cannot be mapped; configuration cycles if BAR0 is missing, smaller than CR-space, or does
    /// not answer while they do (recovery mode). The log has the reason.
    ///
    /// The group is used where it exists, else (feature `cdev`) the character device.
    pub fn open(host: &Host, card: &PciCard, access: Option<BarAccess>) -> Result<Self, VfioError> {
        open::open(host, card, access).map(Self::from_open)
    }

    fn from_open(open: space::Open) -> Self {
        Self(Rc::new(RefCell::new(Some(open))))
    }

    /// The card's registers. Any number of them share the device; after [`VfioCard::close`] every
    /// access is [`crate::card::CrError::Io`] with ENODEV.
    pub fn space(&self) -> Box<dyn CrSpace> {
        Box::new(Space(Rc::clone(&self.0)))
    }

    /// Unmaps, closes device and container, in this order, and waits (40 s at most) until the group
    /// can be opened again, so that an unbind that follows does not block. The card is reset.
    /// Again: nothing. Everything is closed, whatever the error.
    pub fn close(&self) -> Result<(), VfioError> {
        // Accesses borrow for their own time only, and none is under way here.
        let open = self.0.borrow_mut().take();
        open.map_or(Ok(()), space::Open::close)
    }
}

impl Drop for VfioCard {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "closing the card");
        }
    }
}
