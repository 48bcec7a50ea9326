//! The interface between this program and a card, real or simulated.

use super::{BarAccess, CrOffset};
use std::time::Duration;

/// 32-bit registers of one card. Values are numeric CR values, bit 31 most significant; byte
/// order on the bus is the implementor's business.
pub trait CrSpace {
    /// Read one register.
    ///
    /// # Errors
    /// When the transport fails. All ones is no error here: [`super::Card`] judges it.
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError>;

    /// Write one register.
    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError>;

    /// Whether reads after writes need the flush of [`super::Card::confirm_writes`]: true for memory access,
    /// false for configuration cycles.
    fn posts_writes(&self) -> bool;

    /// The transport of [`CrSpace::read`]; `None` where there is no choice.
    fn transport(&self) -> Option<BarAccess> {
        None
    }

    /// Reads one register that has no side effect by this transport; `None` where the card cannot be
    /// reached by it. For a comparison of the transports.
    fn read_by(&mut self, _by: BarAccess, _at: CrOffset) -> Option<Result<u32, CrError>> {
        None
    }

    /// The PCI device id that configuration space shows at this moment, not the one the kernel
    /// noted earlier. A chip without firmware shows its recovery id (0x1f6, 0x1f8).
    ///
    /// # Errors
    /// When configuration space cannot be read.
    fn pci_device_id(&mut self) -> Result<u16, CrError>;

    /// Whether the chip is back after a reset and its registers can be reached; called until it returns
    /// true. The reset empties COMMAND and the BARs (drivers/net/ethernet/mellanox/mlx4/reset.c), so a
    /// transport through memory restores them here, before the first access.
    fn back_after_reset(&mut self) -> Result<bool, CrError> {
        Ok(true)
    }

    /// Resets the PCI function as opening the transport does; `None` where there is no such reset.
    fn reset_function(&mut self) -> Option<Result<(), CrError>> {
        None
    }

    /// How long ago the reset was that opening the transport does: the chip may boot since then. Zero
    /// where opening resets nothing.
    fn since_reset(&self) -> Duration {
        Duration::ZERO
    }
}

/// The transport to the card failed.
#[derive(Debug, thiserror::Error)]
pub enum CrError {
    /// The operating system refused an access.
    #[error("access to CR-space at {at:#07x} failed")]
    Io {
        at: u32,
        #[source]
        source: std::io::Error,
    },
    /// The offset is outside of the 1 MiB space or not a multiple of 4.
    #[error("CR-space has no register at {at:#x}")]
    BadOffset { at: u32 },
}
