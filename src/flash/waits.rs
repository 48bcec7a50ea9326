//! The only places where this room waits: each named, each bounded, on a clock the simulator holds.

use super::FlashError;
use super::gateway::read_status;
use crate::card::{Card, Clock, Reg};
use std::time::Duration;

/// A gateway operation takes microseconds; this is generous (flash-hardware §4.3).
const GATEWAY_LIMIT: Duration = Duration::from_millis(100);

/// Bits of status register 1 that every family has in this place (§5.3).
pub(super) const WIP: u8 = 1;
pub(super) const WEL: u8 = 1 << 1;

const BUSY: u32 = 1 << 30;

/// Wait for the gateway's busy bit to clear. No sleep: one operation is as long as a few reads.
pub(super) fn until_gateway_idle(card: &mut Card, clock: &dyn Clock) -> Result<(), FlashError> {
    let mut start = None;
    while card.read(Reg::GatewayCommand)? & BUSY != 0 {
        let now = clock.now();
        if now.saturating_sub(*start.get_or_insert(now)) > GATEWAY_LIMIT {
            // All ones would look like busy for ever; `read` has excluded that already, but the
            // card may have come back from a reset in between.
            card.check_present()?;
            return Err(FlashError::GatewayTimeout(GATEWAY_LIMIT.as_millis() as u64));
        }
    }
    Ok(())
}

/// How long something inside the flash chip takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Typical time: polling starts a little before it is over.
    pub typical: Duration,
    /// Bound that covers every part of the table at its worst (§5.4, "safe driver limits").
    pub limit: Duration,
}

impl Patience {
    /// Polling starts at three quarters of the typical time and goes on in 64ths of it, so what
    /// is waited too long is about one percent and a long erase costs some twenty polls.
    fn first(self) -> Duration {
        self.typical * 3 / 4
    }

    fn step(self) -> Duration {
        (self.typical / 64).max(Duration::from_micros(5))
    }
}

/// Wait until the chip's work is done (WIP = 0).
pub(super) fn until_chip_idle(
    card: &mut Card,
    clock: &dyn Clock,
    what: &'static str,
    at: u32,
    patience: Patience,
) -> Result<(), FlashError> {
    let start = clock.now();
    clock.sleep(patience.first());
    loop {
        if read_status(card, clock)? & WIP == 0 {
            return Ok(());
        }
        if clock.now().saturating_sub(start) > patience.limit {
            return Err(FlashError::FlashTimeout {
                what,
                at,
                limit_ms: patience.limit.as_millis() as u64,
            });
        }
        clock.sleep(patience.step());
    }
}
