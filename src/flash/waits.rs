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
    /// When the first look is worth it.
    pub first: Duration,
    /// Bound that covers every part of the table at its worst (§5.4, "safe driver limits").
    pub limit: Duration,
}

impl Patience {
    /// Before anything was measured: a little before the typical time is over.
    pub(super) fn typical(time: Duration, limit: Duration) -> Self {
        Self {
            first: time * 3 / 4,
            limit,
        }
    }

    /// The next operation of the kind takes about as long as this one did. Looking a little earlier
    /// each time the first look was late, and a little before the end otherwise, keeps the number
    /// of looks near two and what is waited too long near three percent, whatever the data sheet
    /// says.
    fn learn(&mut self, took: Duration, looks: u32) {
        self.first = if looks == 1 {
            took * 15 / 16
        } else {
            took * 31 / 32
        };
    }

    fn step(self) -> Duration {
        (self.first / 32).max(Duration::from_micros(5))
    }
}

/// Wait until the chip's work is done (WIP = 0).
pub(super) fn until_chip_idle(
    card: &mut Card,
    clock: &dyn Clock,
    what: &'static str,
    at: u32,
    patience: &mut Patience,
) -> Result<(), FlashError> {
    let start = clock.now();
    clock.sleep(patience.first);
    let mut looks = 0;
    loop {
        looks += 1;
        let busy = read_status(card, clock)? & WIP != 0;
        let took = clock.now().saturating_sub(start);
        if !busy {
            patience.learn(took, looks);
            return Ok(());
        }
        if took > patience.limit {
            return Err(FlashError::FlashTimeout {
                what,
                at,
                limit_ms: patience.limit.as_millis() as u64,
            });
        }
        clock.sleep(patience.step());
    }
}
