//! An opened card: every access goes through here.

use super::chip::judge_device_id;
use super::logged::Logged;
use super::{CardError, Chip, Clock, CrSpace, Reg, RunningVersion, Semaphore};
use std::rc::Rc;
use std::time::Duration;

/// Bound of the write-flush spin; nobody else bounds it, and then a vanished card hangs the
/// program for ever (flash-hardware §2.3).
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Value a filtered or wrongly mapped register shows (flash-hardware §1.3, §2.6).
const BAD_ACCESS: u32 = 0xBADA_CCE5;

/// Above this the chip runs without firmware (flash-hardware §1.4).
const RECOVERY_ABOVE: u32 = 0xFFF0_0000;

/// The chip answers nothing for about a second after a reset and must be left alone
/// (flash-hardware §7.1: every driver waits 1000 ms first).
const RESET_SILENCE: Duration = Duration::from_millis(1000);
/// How much longer it may take (mlx4_core allows 2 s more, flash-hardware §7.1).
const RESET_LIMIT: Duration = Duration::from_secs(3);
/// Time between two looks.
const RESET_STEP: Duration = Duration::from_millis(10);

/// A card whose identity was read and found good.
pub struct Card {
    space: Box<dyn CrSpace>,
    clock: Rc<dyn Clock>,
    chip: Chip,
    recovery: bool,
    wrote: bool,
}

impl Card {
    /// Open: device id first (P7), flush, recovery test with the link-down fix
    /// (flash-hardware §1.3, §1.4, §2.3).
    ///
    /// # Errors
    /// [`CardError`] when the card is gone, locked or no ConnectX-3.
    pub fn open(space: Box<dyn CrSpace>, clock: Rc<dyn Clock>) -> Result<Self, CardError> {
        let mut card = Self {
            space,
            clock,
            chip: Chip {
                hw_id: 0,
                revision: 0,
            },
            recovery: false,
            wrote: false,
        };
        card.identify()?;
        Ok(card)
    }

    /// Read the device id and find out whether firmware runs. Done at open and after a reset.
    fn identify(&mut self) -> Result<(), CardError> {
        self.chip = judge_device_id(self.raw_read(Reg::DeviceId)?)?;
        // Take semaphore 32 before the first write: the flush proves something only when its read of
        // 0 can come from our own write of 0 alone. Found free, the first flush would be answered 0
        // while its write is still on the way, and so would every later one (found by the simulated
        // card's late writes; illumos reads it once at the start too, flash-hardware §2.3).
        if self.space.posts_writes() {
            self.raw_read(Reg::Semaphore(32))?;
        }
        // Another program may have written before us.
        self.wrote = true;
        let test = self.read(Reg::RecoveryTest)?;
        self.recovery = test > RECOVERY_ABOVE;
        if self.recovery {
            // Without firmware the link may drop, and the chip would reset itself in the middle of
            // an erase: bits 28:27 = binary 10 turn that off (flash-hardware §1.4 test 2).
            let value = self.read(Reg::LinkDownReset)?;
            self.write(Reg::LinkDownReset, value & !(3 << 27) | 2 << 27)?;
        }
        Ok(())
    }

    /// Which silicon.
    #[must_use]
    pub fn chip(&self) -> Chip {
        self.chip
    }

    /// No firmware runs: the card came up with its recovery id.
    #[must_use]
    pub fn in_recovery(&self) -> bool {
        self.recovery
    }

    /// The clock waits are measured on.
    #[must_use]
    pub fn clock(&self) -> Rc<dyn Clock> {
        Rc::clone(&self.clock)
    }

    fn raw_read(&mut self, reg: Reg) -> Result<u32, CardError> {
        let value = self.space.read(reg.offset())?;
        tracing::trace!(register = %reg, value = %Logged::new(reg, value), "read");
        Ok(value)
    }

    fn raw_write(&mut self, reg: Reg, value: u32) -> Result<(), CardError> {
        tracing::trace!(register = %reg, value = %Logged::new(reg, value), "write");
        Ok(self.space.write(reg.offset(), value)?)
    }

    /// Read one register, after the flush that earlier writes need.
    ///
    /// # Errors
    /// [`CardError::Gone`] when all ones cannot be meant, [`CardError::BadAccess`] for 0xbadacce5.
    pub fn read(&mut self, reg: Reg) -> Result<u32, CardError> {
        self.confirm_writes()?;
        match self.raw_read(reg)? {
            u32::MAX => self.judge_all_ones(reg),
            // Flash bytes may look like anything, so for data the command register decides.
            BAD_ACCESS
                if !matches!(reg, Reg::GatewayData(_))
                    || self.raw_read(Reg::GatewayCommand)? == BAD_ACCESS =>
            {
                Err(CardError::BadAccess {
                    register: reg.to_string(),
                })
            }
            value => Ok(value),
        }
    }

    /// All ones: the device id says whether the card is gone (P7). Flash data is blank most of the
    /// time, so who reads it asks [`Card::check_present`] once per transfer instead.
    fn judge_all_ones(&mut self, reg: Reg) -> Result<u32, CardError> {
        if matches!(reg, Reg::GatewayData(_)) {
            return Ok(u32::MAX);
        }
        let gone = || CardError::Gone {
            register: reg.to_string(),
        };
        match judge_device_id(self.raw_read(Reg::DeviceId)?) {
            Err(CardError::Gone { .. }) => Err(gone()),
            Err(other) => Err(other),
            Ok(_) if reg.never_all_ones() => Err(gone()),
            Ok(_) => Ok(u32::MAX),
        }
    }

    /// Write one register. Posted on a memory road: the next read flushes.
    ///
    /// # Errors
    /// When the road fails.
    pub fn write(&mut self, reg: Reg, value: u32) -> Result<(), CardError> {
        self.wrote = true;
        self.raw_write(reg, value)
    }

    /// Make sure that every write so far has arrived. Reads do that by themselves; waits do it
    /// before they start to count.
    ///
    /// The rule is that of flash-hardware §2.3: free semaphore 32, then read it until it is ours. A
    /// read of 0 proves that every earlier write has arrived.
    ///
    /// # Errors
    /// [`CardError::Gone`], [`CardError::FlushTimeout`].
    pub fn confirm_writes(&mut self) -> Result<(), CardError> {
        if !self.wrote || !self.space.posts_writes() {
            return Ok(());
        }
        let semaphore = Reg::Semaphore(32);
        self.raw_write(semaphore, 0)?;
        let start = self.clock.now();
        loop {
            match self.raw_read(semaphore)? {
                0 => break,
                u32::MAX => {
                    self.judge_all_ones(semaphore)?;
                }
                _ if self.clock.now().saturating_sub(start) > FLUSH_LIMIT => {
                    return Err(CardError::FlushTimeout(FLUSH_LIMIT.as_millis() as u64));
                }
                _ => {}
            }
        }
        self.wrote = false;
        Ok(())
    }

    /// Is the card still there? Asked after data that is all ones (P7).
    ///
    /// # Errors
    /// [`CardError::Gone`] and the other findings of the device id.
    pub fn check_present(&mut self) -> Result<(), CardError> {
        self.confirm_writes()?;
        judge_device_id(self.raw_read(Reg::DeviceId)?).map(|_| ())
    }

    /// Version of the running firmware; `None` in recovery mode and when the block holds none.
    ///
    /// # Errors
    /// When the card cannot be read.
    pub fn running_version(&mut self) -> Result<Option<RunningVersion>, CardError> {
        if self.recovery {
            return Ok(None);
        }
        let first = self.read(Reg::RunningVersion(0))?;
        let second = self.read(Reg::RunningVersion(1))?;
        Ok(RunningVersion::decode(first, second))
    }

    /// The boot address register: image start << 8 (flash-hardware §6.5).
    ///
    /// # Errors
    /// When the card cannot be read.
    pub fn boot_address(&mut self) -> Result<u32, CardError> {
        self.read(Reg::BootAddress)
    }

    /// Set the boot address register and read it back; the answer is what it holds now.
    ///
    /// # Errors
    /// When the card cannot be reached.
    pub fn set_boot_address(&mut self, value: u32) -> Result<u32, CardError> {
        self.write(Reg::BootAddress, value)?;
        self.read(Reg::BootAddress)
    }

    /// Software reset: takes semaphore 63 as the kernel driver does, writes the register, waits
    /// until the chip answers again and reads its identity anew.
    ///
    /// The caller makes sure that no erase or program runs (flash-hardware §7.1, end); who has a
    /// flash session open uses [`super::FlashHold::software_reset`].
    ///
    /// # Errors
    /// [`CardError::SemaphoreHeld`], [`CardError::ResetTimeout`], or what the card says afterwards.
    pub fn software_reset(&mut self) -> Result<(), CardError> {
        self.acquire(Semaphore::Flash)?;
        let back = self.reset_under_semaphore();
        // The reset frees every semaphore (INFERRED, flash-hardware §7.1). Should it not, ours
        // would keep every later session out, and nobody else had the card in between.
        if let Err(error) = self.release(Semaphore::Flash) {
            tracing::warn!(%error, "semaphore 63 not freed after the reset");
        }
        back
    }

    /// The reset itself; semaphore 63 is ours.
    pub(super) fn reset_under_semaphore(&mut self) -> Result<(), CardError> {
        self.write(Reg::SoftwareReset, 1)?;
        // This write is confirmed by time: a read now would touch a chip in reset.
        self.wrote = false;
        self.until_back()?;
        self.identify()
    }

    /// Wait for a good device id. While the chip comes up it may say anything else; what it says
    /// at the end of the wait is what is wrong with it.
    fn until_back(&mut self) -> Result<(), CardError> {
        self.clock.sleep(RESET_SILENCE);
        let start = self.clock.now();
        loop {
            let timeout = CardError::ResetTimeout((RESET_SILENCE + RESET_LIMIT).as_millis() as u64);
            let finding = if self.space.back_after_reset()? {
                match judge_device_id(self.raw_read(Reg::DeviceId)?) {
                    Ok(_) => return Ok(()),
                    Err(CardError::Gone { .. }) => timeout,
                    Err(other) => other,
                }
            } else {
                timeout
            };
            if self.clock.now().saturating_sub(start) > RESET_LIMIT {
                return Err(finding);
            }
            self.clock.sleep(RESET_STEP);
        }
    }
}
