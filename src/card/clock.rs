//! Time, so that a simulated card can hold it.

use std::time::{Duration, Instant};

/// What waits are measured on.
pub trait Clock {
    /// Time since some fixed start.
    fn now(&self) -> Duration;
    /// Let at least this much time pass.
    fn sleep(&self, time: Duration);
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
}
