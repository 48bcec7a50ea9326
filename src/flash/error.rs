//! What can go wrong at the flash, and what is left when it did.

use super::Phase;
use crate::card::{CardError, ResetSeen};
use crate::image::FlashAddr;
use schemars::JsonSchema;
use serde::Serialize;

/// Errors of the flash module.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// The card failed.
    #[error(transparent)]
    Card(#[from] CardError),
    /// RDID reads 00 or FF.
    #[error("no flash chip answers (RDID {0:06x})")]
    NoChip(u32),
    /// A chip that is not in the table.
    #[error("flash chip with JEDEC id {0:06x} is not known")]
    UnknownChip(u32),
    /// Another chip answers than before the card was reset.
    #[error(
        "the flash chip is another one after the reset: JEDEC id {found:06x} instead of {wanted:06x}"
    )]
    OtherChip { found: u32, wanted: u32 },
    /// The gateway's busy bit stays set.
    #[error("the flash gateway is still busy after {0} ms")]
    GatewayTimeout(u64),
    /// WIP stays set.
    #[error("{what} at {at:#010x}: the flash chip is still busy after {limit_ms} ms")]
    FlashTimeout {
        what: &'static str,
        at: u32,
        /// Bound in ms.
        limit_ms: u64,
    },
    /// WREN did not set the latch.
    #[error("the flash does not accept write enable (status {0:#04x})")]
    WriteEnable(u8),
    /// Two readings of the same place differ, again and again.
    #[error("two readings of the flash at {at:#010x} differ; they never agree")]
    Unsteady {
        /// Block of 16 bytes.
        at: u32,
    },
    /// Two readings of a register of the chip differ, again and again.
    #[error("two readings of the flash chip's {what} differ; they never agree")]
    UnsteadyRegister { what: &'static str },
    /// The chip may be read and not written.
    #[error("flash chip with JEDEC id {jedec:06x} is not written: {why}")]
    ReadOnly { jedec: u32, why: &'static str },
    /// Block protection covers what must change.
    #[error("the flash is write protected (status {status:#04x}): {what}")]
    Protected {
        status: u8,
        /// Which bits or range.
        what: String,
    },
    /// The address range is outside of the chip.
    #[error("{len:#x} bytes at {at:#010x} are outside of the {size:#x} byte flash")]
    Outside { at: u32, len: u64, size: u32 },
    /// The plan contains a step that is not supported; nothing of it is done.
    #[error("the sector plan is not valid at {at:#010x}: {what}")]
    Plan { at: u32, what: &'static str },
    /// An erased sector is not blank.
    #[error("sector {at:#010x} is not blank after erase: {found:#04x} at {first:#010x}")]
    NotBlank {
        at: u32,
        /// First wrong byte.
        first: u32,
        found: u8,
    },
    /// Read-back differs from what was programmed, or from the first reading.
    #[error("read-back differs at {at:#010x}: {found:#04x} instead of {wanted:#04x}")]
    Differs {
        /// First wrong byte.
        at: u32,
        found: u8,
        wanted: u8,
    },
    /// The boot address register did not take the value.
    #[error("the boot address register reads {found:#010x} instead of {wanted:#010x}")]
    BootAddress { found: u32, wanted: u32 },
    /// The user asked to stop.
    #[error("stopped on request")]
    Interrupted,
}

/// What a boot ROM would start, computed from the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Boots {
    /// The image that was there before.
    OldImage,
    /// The new one.
    NewImage,
    /// One of the two: both are complete. Boot address register and boot ROM decide which.
    EitherImage,
    /// Nothing that is relied on to boot (docs/fs2.md#what-boots).
    Nothing,
    /// The flash could not be read to find out.
    Unknown,
}

impl Boots {
    /// An image boots, the old or the new one.
    pub fn is_image(self) -> bool {
        matches!(self, Self::OldImage | Self::NewImage | Self::EitherImage)
    }
}

/// A transition that failed.
#[derive(Debug, thiserror::Error)]
#[error("stopped {}", self.place())]
pub struct Stopped {
    /// Where in the job.
    pub phase: Phase,
    /// Where in the flash, if at a place.
    pub at: Option<FlashAddr>,
    /// What the flash holds now.
    pub boots: Boots,
    /// True when an erase or program had begun; false = the flash is untouched.
    pub touched: bool,
    /// What a trial has shown, where that was the new firmware.
    pub seen: Option<ResetSeen>,
    #[source]
    pub source: FlashError,
}

impl Stopped {
    /// Step and flash address.
    pub fn place(&self) -> String {
        let at = self.at.map(|at| format!(" at 0x{:06x}", at.0)).unwrap_or_default();
        format!("{}{at}", self.phase.step())
    }
}
