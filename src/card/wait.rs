//! Bounded waiting: the one primitive behind every wait of this program.
//!
//! A limit ends what would otherwise hang. It is no performance figure, so it is generous: Linux's
//! SPI NOR layer waits 40 s for a chip (drivers/mtd/spi-nor/core.c, `DEFAULT_READY_WAIT_JIFFIES`).
//!
//! A process may lose the processor for any time between two instructions (scheduler, CPU quota,
//! SIGSTOP, a virtual machine that is not run). Such a pause must not fail a job, so
//!
//! * the time between two polls counts as at most the pause that was asked for plus [`SLICE`],
//! * at least [`LEAST_POLLS`] polls are made,
//! * the condition is polled once more after the limit was reached.

use super::Clock;
use std::convert::Infallible;
use std::time::Duration;

/// What one poll may add to the time waited, beside the pause before it.
const SLICE: Duration = Duration::from_millis(100);
/// Polls before a wait may fail, whatever the clock shows.
const LEAST_POLLS: u32 = 5;

/// How long to wait, and how often to poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    limit: Duration,
    pause: Duration,
    longest: Duration,
}

impl Patience {
    /// Polls without a pause.
    pub const fn back_to_back(limit: Duration) -> Self {
        Self::every(limit, Duration::ZERO)
    }

    /// Pauses for the same time between two polls.
    pub const fn every(limit: Duration, pause: Duration) -> Self {
        Self { limit, pause, longest: pause }
    }

    /// Doubles the pause after each poll, up to `longest`.
    pub const fn growing_to(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// The limit, for messages.
    pub const fn limit(self) -> Duration {
        self.limit
    }
}

/// Time between polls. A pause of the process counts as little of it.
pub(super) struct PolledTime {
    before: Duration,
    counted: Duration,
    polls: u32,
}

impl PolledTime {
    pub(super) fn start(clock: &dyn Clock) -> Self {
        Self { before: clock.now(), counted: Duration::ZERO, polls: 0 }
    }

    /// A poll was made; `pause` was asked for between it and the one before.
    pub(super) fn count(&mut self, clock: &dyn Clock, pause: Duration) {
        let now = clock.now();
        self.counted += now.saturating_sub(self.before).min(pause + SLICE);
        self.before = now;
        self.polls = self.polls.saturating_add(1);
    }

    /// Enough time was counted, over enough polls.
    pub(super) fn reached(&self, time: Duration) -> bool {
        self.counted >= time && self.polls >= LEAST_POLLS
    }
}

/// Polls until the condition holds; `Ok(None)` when it does not hold within the limit.
///
/// # Errors
/// The first error of `poll`.
pub fn wait_for<T, E>(
    clock: &dyn Clock,
    patience: Patience,
    mut poll: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    // Most conditions hold at the first poll.
    if let Some(found) = poll()? {
        return Ok(Some(found));
    }
    let mut pause = patience.pause;
    let mut time = PolledTime::start(clock);
    loop {
        if !pause.is_zero() {
            clock.sleep(pause);
        }
        if let Some(found) = poll()? {
            return Ok(Some(found));
        }
        time.count(clock, pause);
        if time.reached(patience.limit) {
            return poll();
        }
        pause = (pause * 2).min(patience.longest);
    }
}

/// [`wait_for`] with a poll that cannot fail.
pub fn wait_until<T>(
    clock: &dyn Clock,
    patience: Patience,
    mut poll: impl FnMut() -> Option<T>,
) -> Option<T> {
    let Ok(end) = wait_for(clock, patience, || Ok::<_, Infallible>(poll()));
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A clock that jumps by `jump` whenever it is read.
    struct Jumping {
        now: Cell<Duration>,
        jump: Duration,
    }

    impl Clock for Jumping {
        fn now(&self) -> Duration {
            self.now.set(self.now.get() + self.jump);
            self.now.get()
        }

        fn sleep(&self, time: Duration) {
            self.now.set(self.now.get() + time);
        }
    }

    fn jumping(jump: Duration) -> Jumping {
        Jumping { now: Cell::new(Duration::ZERO), jump }
    }

    fn polls_until_expiry(clock: &Jumping, patience: Patience) -> u32 {
        let mut polls = 0;
        let end = wait_for(clock, patience, || {
            polls += 1;
            Ok::<Option<()>, ()>(None)
        });
        assert_eq!(end, Ok(None));
        polls
    }

    #[test]
    fn a_process_that_loses_the_processor_at_every_poll_still_polls_often() {
        let clock = jumping(Duration::from_secs(3600));
        let patience = Patience::back_to_back(Duration::from_secs(10));
        assert!(polls_until_expiry(&clock, patience) > 100);
    }

    #[test]
    fn a_short_limit_still_gets_several_polls() {
        let clock = jumping(Duration::from_secs(1));
        let patience = Patience::every(Duration::from_millis(1), Duration::from_millis(1));
        assert!(polls_until_expiry(&clock, patience) > LEAST_POLLS);
    }

    #[test]
    fn the_condition_is_polled_after_the_limit() {
        let clock = jumping(Duration::ZERO);
        let patience = Patience::every(Duration::from_secs(1), Duration::from_millis(100));
        let mut polls = 0;
        let last = polls_until_expiry(&clock, patience);
        let found = wait_for(&jumping(Duration::ZERO), patience, || {
            polls += 1;
            Ok::<_, ()>((polls == last).then_some(polls))
        });
        assert_eq!(found, Ok(Some(last)));
    }

    #[test]
    fn a_condition_that_never_holds_ends_the_wait_at_its_limit() {
        let clock = jumping(Duration::ZERO);
        let patience = Patience::every(Duration::from_secs(1), Duration::from_millis(1))
            .growing_to(Duration::from_millis(64));
        polls_until_expiry(&clock, patience);
        assert!(clock.now.get() < Duration::from_millis(1200));
    }

    #[test]
    fn errors_of_the_poll_end_the_wait() {
        let clock = jumping(Duration::ZERO);
        let patience = Patience::back_to_back(Duration::from_secs(1));
        let end = wait_for(&clock, patience, || Err::<Option<()>, _>("gone"));
        assert_eq!(end, Err("gone"));
    }
}
