//! The semaphore bank: a read of 0 takes, a write of 0 frees (illumos hermon.c, `hermon_sw_reset`).

use super::{Card, CardError, Patience, Reg, Semaphore, wait_for};
use serde::Serialize;
use std::time::Duration;

/// Outcome of one inspection, which takes a free semaphore and frees it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SemaphoreState {
    Free,
    /// Another program holds it.
    Held,
}

/// Result of watching a taken semaphore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "proof")]
pub enum Staleness {
    Free,
    /// Taken all the time, and nothing moved at the gateway.
    Stale {
        watched_ms: u64,
    },
    /// Another program works.
    InUse {
        /// What moved.
        why: String,
    },
}

/// Time between two polls while watching.
const WATCH_STEP: Duration = Duration::from_millis(20);

impl Semaphore {
    /// mstflint waits 20 s for semaphore 40 (tools_res_mgmt.c); mlx4_core waits 10 s for 63
    /// (drivers/net/ethernet/mellanox/mlx4/reset.c).
    fn patience(self) -> Patience {
        let first = Duration::from_millis(1);
        let (limit, longest) = match self {
            Self::FlashProgramming => (Duration::from_secs(20), Duration::from_millis(100)),
            _ => (Duration::from_secs(10), Duration::from_millis(20)),
        };
        Patience::every(limit, first).growing_to(longest)
    }

    fn reg(self) -> Reg {
        Reg::Semaphore(self.number())
    }
}

impl Card {
    /// Takes a semaphore; waits as long as other tools do.
    ///
    /// # Errors
    /// [`CardError::SemaphoreHeld`] when it stays taken.
    pub fn acquire(&mut self, semaphore: Semaphore) -> Result<(), CardError> {
        let clock = self.clock();
        wait_for(&*clock, semaphore.patience(), || {
            let free = self.read(semaphore.reg())? == 0;
            Ok::<_, CardError>(free.then_some(()))
        })?
        .ok_or(CardError::SemaphoreHeld { number: semaphore.number(), name: semaphore.guards() })
    }

    /// Frees a semaphore, even one that another program holds: it stores no owner.
    pub fn release(&mut self, semaphore: Semaphore) -> Result<(), CardError> {
        self.write(semaphore.reg(), 0)
    }

    /// Reads whether a semaphore is taken and leaves it as it was.
    pub fn probe_semaphore(&mut self, semaphore: Semaphore) -> Result<SemaphoreState, CardError> {
        if self.read(semaphore.reg())? == 0 {
            self.release(semaphore)?;
            Ok(SemaphoreState::Free)
        } else {
            Ok(SemaphoreState::Held)
        }
    }

    /// Watches a taken semaphore for `time`: stale when it stays taken and the gateway's command word
    /// does not change. A tool that works frees it between operations (mstflint reading) or goes
    /// through different commands (write enable, program, status, read); while it waits for one
    /// erase it repeats a single command, so `time` must be longer than an erase. A program that died
    /// does none of this. A pause of this process does not shorten the watch: it counts as little time.
    pub fn watch(&mut self, semaphore: Semaphore, time: Duration) -> Result<Staleness, CardError> {
        let clock = self.clock();
        let mut first = None;
        let moved = wait_for(&*clock, Patience::every(time, WATCH_STEP), || {
            self.movement(semaphore, &mut first)
        })?;
        Ok(moved.unwrap_or(Staleness::Stale { watched_ms: time.as_millis() as u64 }))
    }

    /// One poll of [`Card::watch`]; `first` is the gateway's command word at the first one.
    fn movement(
        &mut self,
        semaphore: Semaphore,
        first: &mut Option<u32>,
    ) -> Result<Option<Staleness>, CardError> {
        let in_use = |why: String| Ok(Some(Staleness::InUse { why }));
        if self.probe_semaphore(semaphore)? == SemaphoreState::Free {
            return match first {
                None => Ok(Some(Staleness::Free)),
                Some(_) => in_use("it was freed while it was watched".into()),
            };
        }
        // The command register is the one gateway register that may be read without the
        // semaphore: its read changes nothing and takes nothing.
        let now = self.read(Reg::GatewayCommand)?;
        if now & 1 << 30 != 0 {
            return in_use("the flash gateway is busy".into());
        }
        if *first.get_or_insert(now) != now {
            return in_use(format!("the flash gateway got another command ({now:#010x})"));
        }
        Ok(None)
    }

    /// Takes the semaphores of flash work, 40 first, then 63, for as long as the result lives.
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
        Ok(FlashHold { card: self, held: true })
    }
}

/// Semaphores 40 and 63 are ours. Dropping frees them, unless our own reset has cleared the bank: they
/// may be another program's then.
pub struct FlashHold<'c> {
    card: &'c mut Card,
    held: bool,
}

impl FlashHold<'_> {
    /// Software reset under the semaphores already held, which it clears. The caller has seen WIP
    /// clear: a reset in the middle of an erase may end in a card without an image.
    ///
    /// # Errors
    /// [`CardError::ResetTimeout`], or what the card shows afterwards.
    pub fn software_reset(&mut self) -> Result<(), CardError> {
        self.card.write_reset()?;
        self.held = false;
        self.card.ready_after_reset()
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
        if !self.held {
            return;
        }
        for semaphore in [Semaphore::Flash, Semaphore::FlashProgramming] {
            if let Err(error) = self.card.release(semaphore) {
                tracing::warn!(%error, semaphore = semaphore.number(), "semaphore not freed");
            }
        }
        // Posted writes: make sure that they arrive before the transport is closed.
        if let Err(error) = self.card.check_present() {
            tracing::warn!(%error, "card not readable after the session");
        }
    }
}
