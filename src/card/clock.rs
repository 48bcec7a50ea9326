//! Time, so that a simulated card can hold it.

use std::time::{Duration, Instant};

/// What waits are measured on.
pub trait Clock {
    /// Time since some fixed start.
    fn now(&self) -> Duration;
    /// Let at least this much time pass.
    fn sleep(&self, time: Duration);
    /// Let a few microseconds pass without giving the processor away: a sleep costs ten times what
    /// one gateway operation takes, and asking the card meanwhile costs a bus read each time.
    fn pause(&self, time: Duration);
}

/// The machine's own monotonic clock.
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
        std::thread::sleep(time);
    }

    fn pause(&self, time: Duration) {
        let end = self.0.elapsed() + time;
        while self.0.elapsed() < end {
            std::hint::spin_loop();
        }
    }
}
