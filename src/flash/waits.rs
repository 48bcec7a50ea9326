//! The only places where this room waits: each named, each bounded, on a clock the simulator holds.
//!
//! Polls cost (a poll of the busy bit one non-posted read, a look at WIP a whole gateway
//! operation), and so does being late. Nobody knows the SPI clock of the gateway, and typical times
//! differ from chip to chip, so both are learned from the card at hand: the first look comes when
//! the work was done last time, a little earlier each time it was done by then, a little later when
//! it was not.

use super::FlashError;
use super::gateway::Gateway;
use crate::card::{Card, Clock, Reg};
use std::time::Duration;

/// A gateway operation takes microseconds; this is generous (flash-hardware §4.3).
const GATEWAY_LIMIT: Duration = Duration::from_millis(100);

/// Bits of status register 1 that every family has in this place (§5.3).
pub(super) const WIP: u8 = 1;
pub(super) const WEL: u8 = 1 << 1;

const BUSY: u32 = 1 << 30;

/// Learned time of one byte on the SPI wires, in picoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct WirePace(u64);

impl Default for WirePace {
    /// 25 MHz, the model of the design; the real clock is UNCONFIRMED (§5.4).
    fn default() -> Self {
        Self(320_000)
    }
}

impl WirePace {
    /// 400 MHz and 400 kHz: beyond what any part of the table takes, and slower than any gateway.
    const RANGE: (u64, u64) = (20_000, 20_000_000);

    fn time_of(self, bytes: u32) -> Duration {
        Duration::from_nanos(self.0 * u64::from(bytes) / 1000)
    }

    /// Being early costs a read, being late a 256th: the sum is smallest about there.
    fn learn(&mut self, was_early: bool) {
        let next = if was_early {
            self.0 + self.0 / 16
        } else {
            self.0 - self.0 / 256
        };
        self.0 = next.clamp(Self::RANGE.0, Self::RANGE.1);
    }
}

/// Wait for the gateway's busy bit to clear, `bytes` after their command was written.
pub(super) fn until_gateway_idle(
    card: &mut Card,
    clock: &dyn Clock,
    pace: &mut WirePace,
    bytes: u32,
) -> Result<(), FlashError> {
    let start = clock.now();
    let since = || clock.now().saturating_sub(start);
    card.confirm_writes()?;
    let rest = pace.time_of(bytes).saturating_sub(since());
    if !rest.is_zero() {
        clock.sleep(rest);
    }
    let mut polls = 0_u32;
    while card.read(Reg::GatewayCommand)? & BUSY != 0 {
        if since() > GATEWAY_LIMIT {
            // All ones would look like busy for ever; `read` has excluded that already, but the
            // card may have come back from a reset in between.
            card.check_present()?;
            return Err(FlashError::GatewayTimeout(GATEWAY_LIMIT.as_millis() as u64));
        }
        polls = polls.saturating_add(1);
    }
    if !rest.is_zero() || polls > 0 {
        pace.learn(polls > 0);
    }
    Ok(())
}

/// Learned time of one kind of work inside the flash chip.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChipPace {
    /// What it is, for errors.
    what: &'static str,
    expected: Duration,
    least: Duration,
    /// Covers every part of the table at its worst (§5.4, "safe driver limits").
    limit: Duration,
}

impl ChipPace {
    /// Distance of two polls as a part of the time gone by, within these bounds.
    const STEP: u32 = 32;
    const STEPS: (Duration, Duration) = (Duration::from_micros(2), Duration::from_millis(10));

    pub(super) fn new(what: &'static str, typical: Duration, limit: Duration) -> Self {
        Self {
            what,
            // Typical times are not guaranteed ones: the first piece of work is met early.
            expected: typical * 3 / 4,
            least: typical / 8,
            limit,
        }
    }

    fn step(asked: Duration) -> Duration {
        (asked / Self::STEP).clamp(Self::STEPS.0, Self::STEPS.1)
    }
}

/// Wait until the chip's work is done (WIP = 0).
pub(super) fn until_chip_idle(
    gateway: &mut Gateway<'_>,
    at: u32,
    pace: &mut ChipPace,
) -> Result<(), FlashError> {
    let clock = gateway.clock;
    let start = clock.now();
    clock.sleep(pace.expected);
    let mut early = false;
    loop {
        let asked = clock.now().saturating_sub(start);
        if gateway.read_status()? & WIP == 0 {
            break;
        }
        if asked > pace.limit {
            return Err(FlashError::FlashTimeout {
                what: pace.what,
                at,
                limit_ms: pace.limit.as_millis() as u64,
            });
        }
        // Learned from a look that found it busy, never from one that found it done: between two
        // looks this program may have lost the processor for any time.
        early = true;
        let step = ChipPace::step(asked);
        pace.expected = (asked + step / 2).min(pace.limit);
        clock.sleep(step);
    }
    if !early {
        pace.expected = (pace.expected - pace.expected / 64).max(pace.least);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_guess_of_the_wires_clock_is_corrected_and_stays_in_bounds() {
        let mut pace = WirePace::default();
        for _ in 0..100 {
            pace.learn(true);
        }
        assert_eq!(pace.0, WirePace::RANGE.1);
        for _ in 0..100_000 {
            pace.learn(false);
        }
        assert_eq!(pace.time_of(1000), Duration::from_micros(20));
    }

    #[test]
    fn polls_come_closer_together_for_short_work_only() {
        assert_eq!(ChipPace::step(Duration::ZERO), ChipPace::STEPS.0);
        assert_eq!(
            ChipPace::step(Duration::from_micros(640)),
            Duration::from_micros(20)
        );
        assert_eq!(ChipPace::step(Duration::from_secs(6)), ChipPace::STEPS.1);
    }
}
