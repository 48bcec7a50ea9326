//! An opened card: every access goes through here.

use super::device::is_doubtful;
use super::logged::logged;
use super::{
    BAD_ACCESS, BarAccess, CardError, Chip, Clock, CrSpace, HwKey, Patience, Reg, RunningVersion,
    wait_for,
};
use serde::Serialize;
use std::rc::Rc;
use std::time::Duration;

/// A vanished card never confirms, and then nothing else would end the poll.
const FLUSH: Patience = Patience::back_to_back(Duration::from_secs(10));

/// Polls of the flush semaphore before its write is sent again, each of them a microsecond on the bus:
/// a write that has not arrived by then was lost.
const RESEND: u32 = 1000;

/// How long a card may answer nothing before it is gone. A reset by another program takes longer.
const HICCUP: Patience = Patience::every(Duration::from_millis(100), Duration::from_millis(1))
    .growing_to(Duration::from_millis(20));

/// Unanswered reads of one semaphore before the card is gone.
pub(super) const MOST_UNANSWERED: u32 = 8;

/// Readings of the running version before it is unknown.
const MOST_READINGS: u32 = 8;

/// How long firmware is watched after a reset before it is taken to run: one that fails may do so a moment
/// after its start.
pub const WATCHED: Duration = Duration::from_secs(2);

/// Time between two looks at firmware that is watched.
const LIFE_STEP: Duration = Duration::from_millis(100);

/// Looks in a row at which nothing moves, before firmware has stopped.
const MOST_STILL: u32 = 3;

/// Readings of 0x41270 without a pause; between the others there is [`STILL_STEP`].
const BACK_TO_BACK: u32 = 3;
const STILL_STEP: Duration = Duration::from_millis(1);

/// Above this at 0x41270 the chip runs without firmware (mstflint mflash.c,
/// `cntx_flash_init_direct_access`).
pub(super) const NO_FIRMWARE_ABOVE: u32 = 0xFFF0_0000;

/// A chip in reset must not be accessed for one second (drivers/net/ethernet/mellanox/mlx4/reset.c).
pub(super) const RESET_SILENCE: Duration = Duration::from_secs(1);

/// Whether firmware runs on the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FirmwareState {
    Runs,
    /// The chip shows its recovery PCI id: its boot ROM found no image to start.
    Recovery,
    /// No firmware runs, and the PCI id is not the recovery id.
    NotRunning,
}

/// The event after which the card becomes ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadyAfter {
    /// VFIO opened it, which resets it (drivers/vfio/pci/vfio_pci_core.c).
    Open,
    /// Our own software reset. COMMAND and the BARs are empty.
    SoftwareReset,
    /// A possible reset by another program.
    OtherReset,
}

/// What runs on a card, as it was watched for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareSeen {
    pub state: FirmwareState,
    /// `None` also when its version was not the same each time.
    pub version: Option<RunningVersion>,
    /// The register at 0x41270 did not stand still at several looks in a row ([`Card::shows_life`]).
    pub lives: bool,
    /// It changed at least once.
    pub moved: bool,
}

/// A software reset and what runs after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetSeen {
    /// The reset was seen to arrive.
    pub arrived: bool,
    pub firmware: FirmwareSeen,
}

/// A change of what a card showed while it was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootStep {
    /// Milliseconds since the reset, as far as it is known when that was.
    pub ms: u64,
    /// In words.
    pub seen: String,
}

/// A card of the family that was ready.
pub struct Card {
    pub(super) space: Box<dyn CrSpace>,
    clock: Rc<dyn Clock>,
    chip: Chip,
    firmware: FirmwareState,
    wrote: bool,
    /// The owner's key for a locked card.
    key: Option<HwKey>,
    /// It was used.
    unlocked: bool,
    pub(super) boot_curve: Vec<BootStep>,
}

impl Card {
    /// Opens a card: waits until it is ready, then takes the flush semaphore, and in recovery mode turns
    /// the reset on link-down off.
    ///
    /// # Errors
    /// [`CardError`] when the card is gone, locked, no ConnectX-3, or does not get ready.
    pub fn open(space: Box<dyn CrSpace>, clock: Rc<dyn Clock>) -> Result<Self, CardError> {
        Self::open_with_key(space, clock, None)
    }

    /// The same; hardware access of a locked card is enabled with its key, also after a reset.
    ///
    /// # Errors
    /// As [`Card::open`], and those of a key that does not open it: [`CardError::KeyRefused`],
    /// [`CardError::NoHwAccess`], [`CardError::HwAccess`].
    pub fn open_with_key(
        space: Box<dyn CrSpace>,
        clock: Rc<dyn Clock>,
        key: Option<HwKey>,
    ) -> Result<Self, CardError> {
        let mut card = Self {
            space,
            clock,
            chip: Chip { hw_id: 0, revision: 0 },
            firmware: FirmwareState::NotRunning,
            wrote: false,
            key,
            unlocked: false,
            boot_curve: Vec::new(),
        };
        card.get_ready(ReadyAfter::Open)?;
        Ok(card)
    }

    /// Waits until the card is ready and prepares the first write.
    fn get_ready(&mut self, after: ReadyAfter) -> Result<(), CardError> {
        (self.chip, self.firmware) = match (self.until_ready(after), self.key) {
            (Err(CardError::Locked), Some(key)) => {
                self.enable_access(key)?;
                self.unlocked = true;
                // The first flush takes the semaphore, the second one proves.
                for _ in 0..2 {
                    self.wrote = true;
                    self.confirm_writes()?;
                }
                self.until_ready(after)?
            }
            (ready, _) => ready?,
        };
        // Take semaphore 32 before the first write: the flush proves something only when its read of
        // 0 can come from our own write of 0 alone. With a free semaphore the first flush would be
        // answered 0 while its write is still on the way, and so would every later one. illumos reads
        // it once at the start too (hermon_ioctl.c).
        if self.space.posts_writes() && is_doubtful(self.raw_read(Reg::Semaphore(32))?) {
            self.raw_read(Reg::Semaphore(32))?;
        }
        // Another program may have written before us.
        self.wrote = true;
        // Without firmware the link may drop, and the chip would reset itself in the middle of an
        // erase: bits 28:27 = binary 10 turn that off (mstflint mflash.c,
        // `cntx_flash_init_direct_access`).
        if !self.in_recovery() {
            return Ok(());
        }
        match self.recovery_test() {
            Ok(value) if value > NO_FIRMWARE_ABOVE => {
                let value = self.read(Reg::LinkDownReset)?;
                self.write(Reg::LinkDownReset, value & !(3 << 27) | 2 << 27)
            }
            // A filtered register is below the bound for mstflint too, which does not write then.
            Ok(_) | Err(CardError::BadAccess { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A key is at hand for when it is locked.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// It was locked, and its key was used.
    pub fn was_unlocked(&self) -> bool {
        self.unlocked
    }

    /// Which silicon.
    pub fn chip(&self) -> Chip {
        self.chip
    }

    /// Whether firmware runs, as seen at open or after the last software reset.
    pub fn firmware(&self) -> FirmwareState {
        self.firmware
    }

    /// What the card showed until it was ready the last time, each change once.
    pub fn boot_curve(&self) -> &[BootStep] {
        &self.boot_curve
    }

    /// The transport of every access; `None` where there is no choice.
    pub fn transport(&self) -> Option<BarAccess> {
        self.space.transport()
    }

    /// Reads a register that has no side effect by this transport; `None` where the card cannot be reached by
    /// it. What it answers is not judged.
    ///
    /// # Errors
    /// [`CardError::Transport`], and those of [`Card::confirm_writes`].
    pub fn read_by(&mut self, by: BarAccess, reg: Reg) -> Result<Option<u32>, CardError> {
        self.confirm_writes()?;
        Ok(self.space.read_by(by, reg.offset()).transpose()?)
    }

    /// The card shows its recovery id: its boot ROM found no image to start.
    pub fn in_recovery(&self) -> bool {
        self.firmware == FirmwareState::Recovery
    }

    /// The register at 0x41270, which is above 0xfff00000 while no firmware runs.
    pub fn recovery_test(&mut self) -> Result<u32, CardError> {
        self.read(Reg::RecoveryTest)
    }

    /// The register at 0x41270 changes from read to read, as it does while firmware runs
    /// (docs/hardware.md#recovery-mode), or cannot be read.
    pub fn shows_life(&mut self) -> Result<bool, CardError> {
        let mut before = None;
        for n in 0..MOST_READINGS {
            if n > BACK_TO_BACK {
                // How fast it changes is not documented.
                self.clock.sleep(STILL_STEP);
            }
            match self.recovery_test() {
                Ok(value) if before.is_none_or(|b| b == value) => before = Some(value),
                Ok(_) | Err(CardError::BadAccess { .. }) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// The clock waits are measured on.
    pub fn clock(&self) -> Rc<dyn Clock> {
        Rc::clone(&self.clock)
    }

    pub(super) fn raw_read(&mut self, reg: Reg) -> Result<u32, CardError> {
        let value = self.space.read(reg.offset())?;
        tracing::trace!(register = %reg, value = %logged(reg, value), "read");
        Ok(value)
    }

    pub(super) fn raw_write(&mut self, reg: Reg, value: u32) -> Result<(), CardError> {
        tracing::trace!(register = %reg, value = %logged(reg, value), "write");
        Ok(self.space.write(reg.offset(), value)?)
    }

    /// Read one register that has no side effect, after the flush that earlier writes need.
    ///
    /// # Errors
    /// [`CardError::Gone`] when all ones cannot be meant, [`CardError::BadAccess`] for 0xbadacce5.
    pub fn read(&mut self, reg: Reg) -> Result<u32, CardError> {
        self.confirm_writes()?;
        match self.raw_read(reg)? {
            // Flash data is blank most of the time, so its readers call [`Card::check_present`] once per
            // transfer.
            u32::MAX if matches!(reg, Reg::GatewayData(_)) => Ok(u32::MAX),
            value if is_doubtful(value) => self.second_look(reg, value),
            value => Ok(value),
        }
    }

    /// Reads on after a value that a failed read returns. One failed read is no finding: the device id
    /// decides whether the card answers, and what the register holds counts (P7, P10).
    fn second_look(&mut self, reg: Reg, first: u32) -> Result<u32, CardError> {
        tracing::warn!(register = %reg, value = format_args!("{first:#010x}"), "a doubtful answer: read again");
        let clock = self.clock();
        let data = matches!(reg, Reg::GatewayData(_));
        let mut before = first;
        let mut finding = CardError::Gone { register: reg };
        let found = wait_for(&*clock, HICCUP, || {
            let chip = Chip::decode(self.raw_read(Reg::DeviceId)?);
            let value = self.raw_read(reg)?;
            let steady = value == std::mem::replace(&mut before, value);
            finding = match (chip, value) {
                (Err(CardError::Gone { .. }), _) => CardError::Gone { register: reg },
                (Err(error), _) => error,
                (_, u32::MAX) if reg.never_all_ones() => CardError::Gone { register: reg },
                // Flash bytes may look like anything, so for data the command register decides.
                (_, BAD_ACCESS) if !data || self.raw_read(Reg::GatewayCommand)? == BAD_ACCESS => {
                    CardError::BadAccess { register: reg }
                }
                (Ok(_), value) if !is_doubtful(value) || steady => return Ok(Some(value)),
                _ => return Ok::<_, CardError>(None),
            };
            Ok(None)
        })?;
        found.ok_or(finding)
    }

    /// The device id can be read, at once or soon.
    pub(super) fn until_present(&mut self, register: Reg) -> Result<(), CardError> {
        let clock = self.clock();
        let mut finding = CardError::Gone { register };
        let found = wait_for(&*clock, HICCUP, || {
            match Chip::decode(self.raw_read(Reg::DeviceId)?) {
                Ok(_) => return Ok(Some(())),
                Err(CardError::Gone { .. }) => finding = CardError::Gone { register },
                Err(error) => finding = error,
            }
            Ok::<_, CardError>(None)
        })?;
        found.ok_or(finding)
    }

    /// Write one register. Posted where the transport is memory: the next read flushes.
    pub fn write(&mut self, reg: Reg, value: u32) -> Result<(), CardError> {
        self.wrote = true;
        self.raw_write(reg, value)
    }

    /// Makes sure that every write so far has arrived. Reads do that by themselves; waits do it
    /// before they start to count.
    ///
    /// The rule of mstflint (mtcr_ul_com.c, `mtcr_connectx_flush`): free semaphore 32,
    /// then read it until it is ours. A read of 0 proves that every earlier write has arrived.
    ///
    /// # Errors
    /// [`CardError::Gone`], [`CardError::FlushTimeout`].
    pub fn confirm_writes(&mut self) -> Result<(), CardError> {
        if !self.wrote || !self.space.posts_writes() {
            return Ok(());
        }
        let semaphore = Reg::Semaphore(32);
        self.raw_write(semaphore, 0)?;
        let clock = self.clock();
        let (mut unanswered, mut polls, mut resent) = (0, 0_u32, false);
        wait_for(&*clock, FLUSH, || {
            match self.raw_read(semaphore)? {
                0 => return Ok(Some(())),
                // The read that was not answered may have taken it.
                value if is_doubtful(value) => {
                    unanswered += 1;
                    if unanswered > MOST_UNANSWERED {
                        return Err(CardError::Gone { register: semaphore });
                    }
                    self.until_present(semaphore)?;
                }
                _ => {
                    polls += 1;
                    if !polls.is_multiple_of(RESEND) {
                        return Ok(None);
                    }
                }
            }
            resent = true;
            self.raw_write(semaphore, 0)?;
            Ok::<_, CardError>(None)
        })?
        .ok_or(CardError::FlushTimeout(FLUSH.limit().as_millis() as u64))?;
        if resent {
            // A write that is still on its way would free it, and the next flush would prove nothing. Each
            // read takes it again; what has not arrived by then was lost.
            for _ in 0..RESEND {
                self.raw_read(semaphore)?;
            }
        }
        self.wrote = false;
        Ok(())
    }

    /// Checks that the card is still there, after data that is all ones (P7).
    ///
    /// # Errors
    /// [`CardError::Gone`] and the other findings of the device id.
    pub fn check_present(&mut self) -> Result<(), CardError> {
        self.confirm_writes()?;
        self.until_present(Reg::DeviceId)
    }

    /// Version of the running firmware; `None` when none runs and when the registers hold none.
    pub fn running_version(&mut self) -> Result<Option<RunningVersion>, CardError> {
        if self.firmware != FirmwareState::Runs {
            return Ok(None);
        }
        let mut before = None;
        for _ in 0..MOST_READINGS {
            let words = [self.read(Reg::RunningVersion(0))?, self.read(Reg::RunningVersion(1))?];
            if before.replace(words) == Some(words) {
                return Ok(RunningVersion::decode(words[0], words[1]));
            }
        }
        Ok(None)
    }

    /// What runs. It is watched for `time`: firmware may start and stop again. The watch ends early when the
    /// version changes, and when nothing moves at several looks in a row; one look decides nothing.
    ///
    /// # Errors
    /// [`CardError::Gone`] when it has fallen silent.
    pub fn watch_firmware(&mut self, time: Duration) -> Result<FirmwareSeen, CardError> {
        let (state, version) = (self.firmware, self.running_version()?);
        let mut seen = FirmwareSeen { state, version, lives: true, moved: false };
        let clock = self.clock();
        let end = clock.now() + time;
        let mut still = 0;
        loop {
            if self.shows_life()? {
                (still, seen.moved) = (0, true);
            } else {
                still += 1;
                seen.lives = still < MOST_STILL;
            }
            if self.running_version()? != version {
                seen.version = None;
            }
            let over = clock.now() >= end && still == 0;
            if over || !seen.lives || seen.version != version {
                return Ok(seen);
            }
            clock.sleep(LIFE_STEP);
        }
    }

    /// The boot address register: image start << 8.
    pub fn boot_address(&mut self) -> Result<u32, CardError> {
        self.read(Reg::BootAddress)
    }

    /// Sets the boot address register; the answer is what it holds now.
    pub fn set_boot_address(&mut self, value: u32) -> Result<u32, CardError> {
        self.write_shown(Reg::BootAddress, value)
    }

    /// Writes a register and reads it back; a lost write is sent again. The answer is what it holds now: not
    /// every card shows what was written.
    pub fn write_shown(&mut self, reg: Reg, value: u32) -> Result<u32, CardError> {
        let mut found = 0;
        for _ in 0..3 {
            self.write(reg, value)?;
            found = self.read(reg)?;
            if found == value {
                break;
            }
        }
        Ok(found)
    }

    /// Software reset under semaphores 40 and 63, which it clears: mlx4_core takes 63 before each of its
    /// resets and never frees it (drivers/net/ethernet/mellanox/mlx4/reset.c). Returns whether the reset was
    /// seen.
    ///
    /// The caller makes sure that no erase or program runs.
    ///
    /// # Errors
    /// [`CardError::SemaphoreHeld`], [`CardError::ResetTimeout`], or what the card shows afterwards.
    pub fn software_reset(&mut self) -> Result<bool, CardError> {
        self.hold_flash()?.software_reset()
    }

    /// [`Card::software_reset`], and what runs after it, watched for `time`.
    ///
    /// # Errors
    /// As [`Card::software_reset`] and [`Card::watch_firmware`].
    pub fn reset_and_watch(&mut self, time: Duration) -> Result<ResetSeen, CardError> {
        self.hold_flash()?.reset_and_watch(time)
    }

    /// Waits until the card is ready; another program may have reset it.
    ///
    /// # Errors
    /// As [`Card::open`].
    pub fn wait_until_ready(&mut self) -> Result<(), CardError> {
        // What is read now must not pass our own writes. A card that cannot confirm them is waited for.
        if let Err(error) = self.confirm_writes() {
            tracing::debug!(%error, "writes before the wait are not confirmed");
        }
        self.get_ready(ReadyAfter::OtherReset)
    }

    /// Starts the reset.
    pub(super) fn write_reset(&mut self) -> Result<(), CardError> {
        self.write(Reg::SoftwareReset, 1)?;
        // This write is confirmed by time: a read now would touch a chip in reset.
        self.wrote = false;
        Ok(())
    }

    pub(super) fn ready_after_reset(&mut self) -> Result<(), CardError> {
        self.clock.sleep(RESET_SILENCE);
        self.get_ready(ReadyAfter::SoftwareReset)
    }
}
