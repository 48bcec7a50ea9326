//! The semaphore bank: a read of 0 takes, a write of 0 frees (flash-hardware §3).

use super::{Card, CardError, Reg};
use serde::Serialize;
use std::time::Duration;

/// Semaphores with a meaning for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Semaphore {
    /// 32: write flush of external tools; harmless when left taken.
    Flush,
    /// 40: exclusive right of flash programming between tools.
    FlashProgramming,
    /// 47: tools command interface.
    ToolsHcr,
    /// 63: flash gateway, GPIO and software reset.
    Flash,
}

/// Outcome of one look. Looking takes a free semaphore, so the looker frees it again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SemaphoreState {
    /// It was free.
    Free,
    /// Somebody holds it.
    Held,
}

/// What watching a taken semaphore showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "proof")]
pub enum Staleness {
    /// It is free.
    Free,
    /// Taken all the time, and nothing moved at the gateway.
    Stale {
        /// Milliseconds watched.
        watched_ms: u64,
    },
    /// Somebody works.
    InUse {
        /// What moved.
        why: String,
    },
}

/// Time between two looks while watching.
const WATCH_STEP: Duration = Duration::from_millis(20);

impl Semaphore {
    /// Index in the bank.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Flush => 32,
            Self::FlashProgramming => 40,
            Self::ToolsHcr => 47,
            Self::Flash => 63,
        }
    }

    /// What it guards, in words.
    #[must_use]
    pub fn guards(self) -> &'static str {
        match self {
            Self::Flush => "write flush",
            Self::FlashProgramming => "flash programming",
            Self::ToolsHcr => "tools command interface",
            Self::Flash => "flash gateway and reset",
        }
    }

    /// Tries and time between them: those of mstflint, which real drivers and tools are tuned to
    /// (flash-hardware §3.3): 40 x 500 ms for semaphore 40, 1024 x 1 ms for 63.
    fn patience(self) -> (u32, Duration) {
        match self {
            Self::FlashProgramming => (40, Duration::from_millis(500)),
            _ => (1024, Duration::from_millis(1)),
        }
    }

    fn reg(self) -> Reg {
        Reg::Semaphore(self.number())
    }
}

impl Card {
    /// Take a semaphore, waiting as long as it is usual to wait for it.
    ///
    /// # Errors
    /// [`CardError::SemaphoreHeld`] when it stays taken.
    pub fn acquire(&mut self, semaphore: Semaphore) -> Result<(), CardError> {
        let (tries, step) = semaphore.patience();
        for _ in 0..tries {
            if self.read(semaphore.reg())? == 0 {
                return Ok(());
            }
            self.clock().sleep(step);
        }
        Err(CardError::SemaphoreHeld {
            number: semaphore.number(),
            name: semaphore.guards(),
        })
    }

    /// Free a semaphore, whoever holds it: there is no owner in it (flash-hardware §3.1).
    ///
    /// # Errors
    /// When the road fails.
    pub fn release(&mut self, semaphore: Semaphore) -> Result<(), CardError> {
        self.write(semaphore.reg(), 0)
    }

    /// Look whether a semaphore is taken, leaving it as it was.
    ///
    /// # Errors
    /// When the card cannot be read.
    pub fn look_at(&mut self, semaphore: Semaphore) -> Result<SemaphoreState, CardError> {
        if self.read(semaphore.reg())? == 0 {
            self.release(semaphore)?;
            Ok(SemaphoreState::Free)
        } else {
            Ok(SemaphoreState::Held)
        }
    }

    /// Watch a taken semaphore for `time`: stale when it stays taken and the gateway's command word
    /// does not change. A tool that works frees it between operations (mstflint reading) or goes
    /// through different commands (write enable, program, status, read); while it waits for one
    /// erase it repeats a single command, so `time` must be longer than an erase (6 s at worst,
    /// flash-hardware §5.4). A program that died does none of this.
    ///
    /// # Errors
    /// When the card cannot be read.
    pub fn watch(&mut self, semaphore: Semaphore, time: Duration) -> Result<Staleness, CardError> {
        let clock = self.clock();
        let start = clock.now();
        let mut first = None;
        loop {
            if self.look_at(semaphore)? == SemaphoreState::Free {
                return Ok(match first {
                    None => Staleness::Free,
                    Some(_) => Staleness::InUse {
                        why: "it was freed while it was watched".into(),
                    },
                });
            }
            // The command register is the one gateway register that may be read without the
            // semaphore: its read changes nothing and takes nothing.
            let now = self.read(Reg::GatewayCommand)?;
            if now & 1 << 30 != 0 {
                return Ok(Staleness::InUse {
                    why: "the flash gateway is busy".into(),
                });
            }
            if *first.get_or_insert(now) != now {
                return Ok(Staleness::InUse {
                    why: format!("the flash gateway got another command ({now:#010x})"),
                });
            }
            let watched = clock.now().saturating_sub(start);
            if watched >= time {
                return Ok(Staleness::Stale {
                    watched_ms: watched.as_millis() as u64,
                });
            }
            clock.sleep(WATCH_STEP);
        }
    }

    /// Take the semaphores of flash work, 40 first, then 63 (flash-hardware §3.3), for as long as
    /// the answer lives.
    ///
    /// # Errors
    /// [`CardError::SemaphoreHeld`]; nothing stays taken then.
    pub fn hold_flash(&mut self) -> Result<FlashHold<'_>, CardError> {
        self.acquire(Semaphore::FlashProgramming)?;
        if let Err(error) = self.acquire(Semaphore::Flash) {
            // Best effort: the first error is the one that matters.
            let _ = self.release(Semaphore::FlashProgramming);
            return Err(error);
        }
        Ok(FlashHold { card: self })
    }
}

/// Semaphores 40 and 63 are ours. Dropping frees them, on every road out.
pub struct FlashHold<'c> {
    card: &'c mut Card,
}

impl FlashHold<'_> {
    /// Software reset under the semaphores already held. The caller has seen WIP clear: a reset in
    /// the middle of an erase may end in a card that finds no image (flash-hardware §7.1).
    ///
    /// # Errors
    /// [`CardError::ResetTimeout`], or what the card says afterwards.
    pub fn software_reset(&mut self) -> Result<(), CardError> {
        self.card.reset_under_semaphore()
    }
}

impl std::ops::Deref for FlashHold<'_> {
    type Target = Card;
    fn deref(&self) -> &Card {
        self.card
    }
}

impl std::ops::DerefMut for FlashHold<'_> {
    fn deref_mut(&mut self) -> &mut Card {
        self.card
    }
}

impl Drop for FlashHold<'_> {
    fn drop(&mut self) {
        for semaphore in [Semaphore::Flash, Semaphore::FlashProgramming] {
            if let Err(error) = self.card.release(semaphore) {
                tracing::warn!(%error, semaphore = semaphore.number(), "semaphore not freed");
            }
        }
        // Posted writes: make sure that they arrive before the road is closed (§10 "Release").
        if let Err(error) = self.card.check_present() {
            tracing::warn!(%error, "card not readable after the session");
        }
    }
}
