//! Time, so that a simulated card can hold it.

use std::time::{Duration, Instant};

/// What waits are measured on.
pub trait Clock {
    /// Time since some fixed start.
    fn now(&self) -> Duration;
    /// Let at least this much time pass.
    fn sleep(&self, time: Duration);
}

/// A sleeping thread wakes up late by about this much (50 µs timer slack of Linux and the way back
/// to a processor): for a page program of 0.8 ms that is a tenth, for a gateway operation of 5 µs
/// it is ten times the operation.
const WAKE_UP: Duration = Duration::from_micros(150);
/// From here on lateness does not matter.
const EXACT_BELOW: Duration = Duration::from_millis(5);

/// The machine's own monotonic clock. Short sleeps end on time: their last part is spun.
#[derive(Debug)]
pub struct WallClock(Instant);

impl Default for WallClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for WallClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        let end = self.0.elapsed().saturating_add(time);
        if time >= EXACT_BELOW {
            std::thread::sleep(time);
        } else if let Some(most) = time.checked_sub(WAKE_UP) {
            std::thread::sleep(most);
        }
        while self.0.elapsed() < end {
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_sleeps_are_never_too_short() {
        let clock = WallClock::default();
        for micros in [0, 3, 200, 800, 6_000] {
            let time = Duration::from_micros(micros);
            let start = clock.now();
            clock.sleep(time);
            assert!(clock.now() - start >= time, "{micros} µs");
        }
    }
}
