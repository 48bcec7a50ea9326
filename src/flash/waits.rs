//! How long this module waits for the gateway and for the chip behind it, and how often it polls.
//!
//! A limit ends what would otherwise hang; it is no performance figure (see `card::wait_for`).

use super::FlashError;
use super::gateway::{FlashGateway, WIP};
use crate::card::{Patience, wait_for};
use std::time::Duration;

/// Limit of every wait for the chip, the one of Linux's SPI NOR layer
/// (drivers/mtd/spi-nor/core.c, `DEFAULT_READY_WAIT_JIFFIES`).
pub(super) const CHIP_LIMIT: Duration = Duration::from_secs(40);

/// One kind of work inside the chip.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChipWork {
    /// Its name, for errors.
    what: &'static str,
    /// Pause between two polls of the status register.
    pause: Duration,
    limit: Duration,
}

impl ChipWork {
    const fn new(what: &'static str, pause: Duration) -> Self {
        let limit = CHIP_LIMIT;
        Self { what, pause, limit }
    }

    pub(super) const PAGE_PROGRAM: Self = Self::new("page program", Duration::from_micros(50));
    /// 7 µs typical (SST25VF016B data sheet): no longer than one poll takes.
    pub(super) const BYTE_PROGRAM: Self = Self::new("byte program", Duration::ZERO);
    pub(super) const STATUS_WRITE: Self = Self::new("status write", Duration::from_micros(50));
    pub(super) const ERASE_4K: Self = Self::new("4K erase", Duration::from_millis(1));
    pub(super) const ERASE_64K: Self = Self::new("64K erase", Duration::from_millis(1));
    pub(super) const EARLIER: Self =
        Self::new("work of an earlier program", Duration::from_millis(1));
    pub(super) const INTERRUPTED: Self = Self::new("interrupted work", Duration::from_millis(1));
    /// A first wait for interrupted work, short enough to need no message.
    pub(super) const NEARLY_DONE: Self =
        Self { limit: Duration::from_secs(1), ..Self::INTERRUPTED };
    pub(super) const BEFORE_RESET: Self =
        Self::new("work before a reset", Duration::from_millis(1));
}

/// Waits until the chip's work is done (WIP = 0); the status then.
pub(super) fn until_chip_idle(
    gateway: &mut FlashGateway<'_>,
    at: u32,
    work: ChipWork,
) -> Result<u8, FlashError> {
    let clock = gateway.clock;
    let patience = Patience::every(work.limit, work.pause);
    let idle = wait_for(clock, patience, || {
        // WIP = 0 is confirmed: one wrong reading must not start the next command early.
        let mut status = gateway.read_status()?;
        if status & WIP == 0 {
            status = gateway.read_status()?;
            gateway.disturbed |= status & WIP != 0;
        }
        Ok::<_, FlashError>((status & WIP == 0).then_some(status))
    })?;
    idle.ok_or(FlashError::FlashTimeout {
        what: work.what,
        at,
        limit_ms: work.limit.as_millis() as u64,
    })
}
