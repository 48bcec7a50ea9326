//! The semaphore bank: a read of 0 takes, a write of 0 frees (illumos hermon.c, `hermon_sw_reset`).

use super::device::is_doubtful;
use super::session::MOST_UNANSWERED;
use super::{
    Card, CardError, FirmwareSeen, FirmwareState, Patience, Reg, ResetSeen, Semaphore, wait_for,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// Outcome of one inspection, which takes a free semaphore and frees it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SemaphoreState {
    Free,
    /// Another program holds it.
    Held,
    /// Taken by another program, or by a read of this one that was not answered.
    Unknown,
}

/// When a semaphore that stays taken, and at whose gateway nothing moves, is taken to be this program's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reclaim {
    Never,
    /// When a read was not answered, which may have taken it.
    Unanswered,
    /// It was this program's before.
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

/// How long a taken semaphore is watched before it is stale: longer than the longest erase
/// (docs/hardware.md#chip-timings), during which a live owner may show nothing.
pub const WATCH: Duration = Duration::from_secs(7);

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

    fn held(self) -> CardError {
        CardError::SemaphoreHeld { number: self.number(), name: self.guards() }
    }
}

impl Card {
    /// Reads a semaphore, which takes it when it is free. `None`: the card answers, but this read was
    /// not answered, and may have taken it.
    fn take(&mut self, semaphore: Semaphore) -> Result<Option<SemaphoreState>, CardError> {
        self.confirm_writes()?;
        match self.raw_read(semaphore.reg())? {
            0 => Ok(Some(SemaphoreState::Free)),
            value if is_doubtful(value) => self.until_present(semaphore.reg()).map(|()| None),
            _ => Ok(Some(SemaphoreState::Held)),
        }
    }

    /// Takes a semaphore; waits as long as other tools do. That of the tools command interface is held for one
    /// command, so one that a read without an answer may have taken, and that stays taken, is ours.
    ///
    /// # Errors
    /// [`CardError::SemaphoreHeld`] when it stays taken.
    pub fn acquire(&mut self, semaphore: Semaphore) -> Result<(), CardError> {
        let reclaim = match semaphore {
            Semaphore::ToolsHcr => Reclaim::Unanswered,
            _ => Reclaim::Never,
        };
        self.acquire_or_reclaim(semaphore, reclaim)
    }

    fn acquire_or_reclaim(
        &mut self,
        semaphore: Semaphore,
        reclaim: Reclaim,
    ) -> Result<(), CardError> {
        let clock = self.clock();
        let mut unanswered = 0;
        let ours = wait_for(&*clock, semaphore.patience(), || match self.take(semaphore)? {
            None => {
                unanswered += 1;
                if unanswered > MOST_UNANSWERED {
                    return Err(CardError::Gone { register: semaphore.reg() });
                }
                Ok(None)
            }
            state => Ok((state == Some(SemaphoreState::Free)).then_some(())),
        })?;
        if ours.is_some() {
            return Ok(());
        }
        let may_be_ours = match reclaim {
            Reclaim::Never => false,
            Reclaim::Unanswered => unanswered > 0,
            Reclaim::Held => true,
        };
        if may_be_ours && matches!(self.watch(semaphore, WATCH)?, Staleness::Stale { .. }) {
            tracing::warn!(semaphore = semaphore.number(), "it was taken by this program");
            return Ok(());
        }
        Err(semaphore.held())
    }

    /// Frees a semaphore, even one that another program holds: it stores no owner.
    pub fn release(&mut self, semaphore: Semaphore) -> Result<(), CardError> {
        self.write(semaphore.reg(), 0)
    }

    /// Reads whether a semaphore is taken and leaves it as it was, unless the state is
    /// [`SemaphoreState::Unknown`].
    ///
    /// # Errors
    /// [`CardError::Gone`] when too many reads are not answered.
    pub fn probe_semaphore(&mut self, semaphore: Semaphore) -> Result<SemaphoreState, CardError> {
        for unanswered in 0..=MOST_UNANSWERED {
            match self.take(semaphore)? {
                None => {}
                Some(SemaphoreState::Free) => {
                    self.release(semaphore)?;
                    return Ok(SemaphoreState::Free);
                }
                Some(_) if unanswered > 0 => return Ok(SemaphoreState::Unknown),
                Some(state) => return Ok(state),
            }
        }
        Err(CardError::Gone { register: semaphore.reg() })
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
        self.acquire_flash(Reclaim::Never, Reclaim::Unanswered)?;
        Ok(FlashHold { card: self, held: true, lost: false })
    }

    /// Semaphore 40 is not reclaimed after a read that was not answered: a tool that waits for its user holds
    /// it and shows nothing. Once it is ours, no other tool has a right to 63.
    fn acquire_flash(&mut self, tools: Reclaim, gateway: Reclaim) -> Result<(), CardError> {
        self.acquire_or_reclaim(Semaphore::FlashProgramming, tools)?;
        self.acquire_or_reclaim(Semaphore::Flash, gateway).inspect_err(|_| {
            // Best effort: the first error is the one that matters.
            let _ = self.release(Semaphore::FlashProgramming).and_then(|()| self.confirm_writes());
        })
    }
}

/// Semaphores 40 and 63 are ours. Dropping frees them, unless our own reset has cleared the bank: they
/// may be another program's then.
pub struct FlashHold<'c> {
    card: &'c mut Card,
    held: bool,
    lost: bool,
}

impl FlashHold<'_> {
    /// The semaphores are ours, as far as it is known.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// They were lost, and were not tried to be taken again since.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Checks that semaphore 63 is still taken: a reset frees it. Whose it is cannot be read.
    ///
    /// # Errors
    /// [`CardError::SemaphoreLost`]; neither semaphore is ours then.
    pub fn check_held(&mut self) -> Result<(), CardError> {
        let semaphore = Semaphore::Flash;
        let state = match self.card.take(semaphore)? {
            None => self.card.take(semaphore)?,
            state => state,
        };
        if state != Some(SemaphoreState::Free) {
            return Ok(());
        }
        self.give_up();
        self.card.release(semaphore)?;
        Err(CardError::SemaphoreLost { number: semaphore.number(), name: semaphore.guards() })
    }

    /// The card was reset: the semaphores are free, or another program's.
    pub fn give_up(&mut self) {
        self.held = false;
        self.lost = true;
    }

    /// Takes the semaphores again after they were lost. Where they are taken, they may be ours still.
    ///
    /// # Errors
    /// As [`Card::wait_until_ready`] and [`Card::hold_flash`].
    pub fn regain(&mut self) -> Result<(), CardError> {
        // Once: whatever comes of it.
        self.lost = false;
        self.card.wait_until_ready()?;
        self.card.acquire_flash(Reclaim::Held, Reclaim::Held)?;
        self.held = true;
        Ok(())
    }

    /// Takes the semaphores after a reset of our own. Semaphore 63 is freed first where nothing moves at its
    /// gateway: 40 is ours by then, so firmware that has stopped has left it.
    ///
    /// # Errors
    /// As [`Card::hold_flash`].
    pub fn take_after_reset(&mut self) -> Result<(), CardError> {
        if self.held {
            return Ok(());
        }
        self.lost = false;
        self.card.acquire(Semaphore::FlashProgramming)?;
        let taken = match self.card.watch(Semaphore::Flash, WATCH) {
            Ok(Staleness::Stale { .. }) => {
                tracing::warn!("semaphore 63 was left taken by firmware that has stopped");
                self.card.release(Semaphore::Flash)
            }
            other => other.map(drop),
        };
        if let Err(error) = taken.and_then(|()| self.card.acquire(Semaphore::Flash)) {
            // Best effort: the first error is the one that matters.
            let freed = self.card.release(Semaphore::FlashProgramming);
            let _ = freed.and_then(|()| self.card.confirm_writes());
            return Err(error);
        }
        self.held = true;
        Ok(())
    }

    /// Software reset under the semaphores already held, which it clears. The caller has seen WIP
    /// clear: a reset in the middle of an erase may end in a card without an image. Returns whether the
    /// reset was seen.
    ///
    /// # Errors
    /// [`CardError::ResetTimeout`], or what the card shows afterwards.
    pub fn software_reset(&mut self) -> Result<bool, CardError> {
        self.card.write_reset()?;
        self.held = false;
        self.card.ready_after_reset()?;
        self.was_reset()
    }

    /// Resets the PCI function as VFIO does when it opens the card. Returns whether that reset the chip; `None`
    /// where there is no such reset.
    ///
    /// The caller makes sure that no erase or program runs.
    ///
    /// # Errors
    /// What the card shows afterwards.
    pub fn function_reset(&mut self) -> Result<Option<bool>, CardError> {
        self.card.confirm_writes()?;
        let Some(reset) = self.card.space.reset_function() else {
            return Ok(None);
        };
        reset?;
        self.held = false;
        self.card.wait_until_ready()?;
        self.was_reset().map(Some)
    }

    /// Whether both semaphores are free, as a reset leaves them.
    fn was_reset(&mut self) -> Result<bool, CardError> {
        match self.card.watch(Semaphore::Flash, WATCH)? {
            Staleness::Free => return Ok(true),
            Staleness::Stale { .. } => {
                // The reset clears both, and firmware that stops takes the second one again.
                if self.card.probe_semaphore(Semaphore::FlashProgramming)? == SemaphoreState::Free {
                    return Ok(true);
                }
                // No other program has taken them since, so the write was lost: both are ours.
                self.held = true;
            }
            Staleness::InUse { .. } => {}
        }
        tracing::warn!("semaphore 63 is still taken: whether the card was reset is not known");
        Ok(false)
    }

    /// [`FlashHold::software_reset`], and what runs after it, watched for `time`.
    ///
    /// # Errors
    /// As [`FlashHold::software_reset`] and [`Card::watch_firmware`].
    pub fn reset_and_watch(&mut self, time: Duration) -> Result<ResetSeen, CardError> {
        let arrived = self.software_reset()?;
        let first = self.card.watch_firmware(time);
        let runs = |seen: &FirmwareSeen| {
            seen.state == FirmwareState::Runs && seen.version.is_some() && seen.lives
        };
        let firmware = match first {
            Ok(seen) if runs(&seen) => seen,
            // It may show its version late, or another program resets it.
            Ok(_) | Err(CardError::Gone { .. }) => {
                self.card.wait_until_ready()?;
                self.card.watch_firmware(time)?
            }
            Err(error) => return Err(error),
        };
        Ok(ResetSeen { arrived, firmware })
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
        // By one write each: a second one could free it for a tool that has taken it in between.
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
