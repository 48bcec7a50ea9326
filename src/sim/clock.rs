//! Simulated time.

use crate::card::Clock;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Nanoseconds since the card was made; shared between a card and its clocks.
#[derive(Clone, Default)]
pub(super) struct SimTime(Rc<Cell<u64>>);

impl SimTime {
    pub(super) fn now(&self) -> u64 {
        self.0.get()
    }

    pub(super) fn add(&self, ns: u64) {
        self.0.set(self.0.get().saturating_add(ns));
    }

    /// A clock of its own that starts at the same time.
    pub(super) fn fork(&self) -> Self {
        Self(Rc::new(Cell::new(self.now())))
    }
}

/// Nobody waits: sleeping moves the card's time.
impl Clock for SimTime {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.get())
    }

    fn sleep(&self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn pause(&self, time: Duration) {
        self.sleep(time);
    }
}
