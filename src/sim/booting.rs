//! What starts, the time of a boot, and what registers read meanwhile.
//!
//! No public source describes how a ConnectX-3 comes up, so this curve is hard on a driver that
//! trusts a first read: each register becomes right at another time, two of them are right before
//! they are wrong. `p` is the part of the boot that is over, in thousandths; it starts when the
//! silence that follows a software reset ends.
//!
//! | `p` | 0xf0014 | 0x41270 | version | PCI device id |
//! |---|---|---|---|---|
//! | 0.. | all ones | all ones | of the firmware before | recovery id |
//! | 50.. | right | | | |
//! | 100.. | | | 0 | |
//! | 300.. | | above the bound, changing | | |
//! | 500.. | | | without the last number | right |
//! | 600.. | | alive | | |
//! | 950.. | | | right | |
//!
//! The boot ROM owns flash, gateway and semaphores all that time. A driver may read; every write
//! and every semaphore read is misuse, has no lasting effect, and semaphores are free when the boot
//! ends. What a network driver does (bus mastering is on) is not judged: `mlx4_core` resets the
//! chip anyway.

use super::boot::RunningFirmware;
use super::bus::{
    ADDRESS, ALL_ONES, BANK, BANK_END, COMMAND, DATA, DATA_END, DEVICE_ID, DRIVER_SEMAPHORE,
    RECOVERY_TEST, RESET, VERSION, VERSION_END,
};
use super::state::{Booting, CardState, SemaphoreHolder};
use super::tools_firmware::{MAILBOX, MAILBOX_END};
use super::{BootOutcome, BootOutcomes, FirmwareDefect};
use crate::image::FlashAddr;

/// Values of 0x41270 above this mean that no firmware runs (mstflint mflash.c).
const BOUND: u32 = 0xfff0_0000;
/// What the boot ROM keeps in the gateway's command register: busy with a read of 16 bytes.
const ROM_READS: u32 = 0x4003_241d;
/// A multiplier that scatters bits.
const SCATTER: u32 = 0x9e37_79b9;

impl CardState {
    /// Starts the boot ROM; the card does not answer for `silent` ns. `before` are the version
    /// words so far.
    pub(super) fn begin_boot(&mut self, silent: u64, before: [u32; 4]) {
        let now = self.time.now();
        let from = now.saturating_add(silent);
        let until = now.saturating_add(u64::from(self.spec.boot_ms) * 1_000_000);
        self.booting = (from < until).then_some(Booting { from, until, before });
        self.dies_at = u64::MAX;
        match self.running.defect {
            Some(FirmwareDefect::Dies { ms, .. }) => {
                let life = ms.saturating_mul(1_000_000);
                self.dies_at = from.max(until).saturating_add(life);
            }
            // Memory of the chip is not cleared: what ran before seems to run.
            Some(FirmwareDefect::NeverStarts { .. }) => self.running.block = before,
            _ => {}
        }
    }

    /// The part of the boot that is over, in thousandths; `None` when none goes on.
    pub(super) fn boot_progress(&self) -> Option<u32> {
        let boot = self.booting?;
        let now = self.time.now();
        if now >= boot.until {
            return None;
        }
        let over = u128::from(now.saturating_sub(boot.from)) * 1000;
        Some((over / u128::from(boot.until - boot.from)) as u32)
    }

    /// Does what has become due: the end of a boot, and what firmware with a defect does later.
    pub(super) fn settle(&mut self) {
        if self.booting.is_some() && self.boot_progress().is_none() {
            self.booting = None;
            self.semaphores = [SemaphoreHolder::Free; 64];
            self.driver_semaphore = false;
            self.save();
        }
        if self.running.defect.is_some() && self.booting.is_none() {
            self.settle_defect();
        }
    }

    fn settle_defect(&mut self) {
        match self.running.defect {
            Some(FirmwareDefect::NeedsDriver) if self.config.masters() => {
                self.running.defect = None;
            }
            Some(FirmwareDefect::Dies { .. })
                if self.running.runs() && self.time.now() >= self.dies_at =>
            {
                self.running.hang();
                if self.semaphores[63] == SemaphoreHolder::Free {
                    self.semaphores[63] = SemaphoreHolder::Dead;
                }
            }
            _ => return,
        }
        self.save();
    }

    /// The firmware has died and no register answers; configuration space does.
    pub(super) fn is_silenced(&self) -> bool {
        let silent = matches!(self.running.defect, Some(FirmwareDefect::Dies { silent: true, .. }));
        silent && self.time.now() >= self.dies_at
    }

    fn never_started(&self) -> bool {
        matches!(self.running.defect, Some(FirmwareDefect::NeverStarts { .. }))
    }

    /// What configuration space is to show: what runs, or the boot ROM.
    pub(super) fn shown(&self) -> RunningFirmware {
        match self.boot_progress() {
            Some(p) if p < 500 && self.spec.boot_shows_recovery_id => {
                RunningFirmware::recovery(&self.spec)
            }
            _ => self.running.clone(),
        }
    }

    /// 0x41270: alive while firmware runs, and always below the bound; frozen when it has died.
    pub(super) fn read_recovery_test(&mut self) -> u32 {
        match self.running.outcome {
            BootOutcome::Hung { .. } if !self.never_started() => return self.live,
            BootOutcome::Hung { .. } | BootOutcome::Recovery => return ALL_ONES,
            BootOutcome::Image { .. } if self.armed.defects.still_register => return self.live,
            BootOutcome::Image { .. } => {}
        }
        self.live = self.live.wrapping_add(0x0001_0405) % BOUND;
        self.live
    }

    fn note_in_boot(&mut self, what: impl FnOnce() -> String) {
        if !self.network_driver {
            let what = what();
            self.note(format!("{what} while the chip boots"));
        }
    }

    /// What a register answers while `p` thousandths of the boot are over.
    pub(super) fn read_in_boot(&mut self, at: u32, p: u32) -> u32 {
        let noise = (self.time.now() as u32).wrapping_mul(SCATTER) ^ at.rotate_left(13);
        match at {
            DEVICE_ID if p < 50 => ALL_ONES,
            DEVICE_ID => self.device_id_register(),
            RECOVERY_TEST if p < 300 => ALL_ONES,
            RECOVERY_TEST if p < 600 => BOUND + 1 + (noise & 0xffff),
            RECOVERY_TEST => self.read_recovery_test(),
            VERSION..=VERSION_END => self.version_in_boot(p)[((at - VERSION) / 4) as usize],
            BANK..=BANK_END => {
                let n = ((at - BANK) / 4) as u8;
                self.note_in_boot(|| format!("semaphore {n} read"));
                self.read_semaphore(n)
            }
            DRIVER_SEMAPHORE => {
                self.note_in_boot(|| "0x8069c read".into());
                u32::from(std::mem::replace(&mut self.driver_semaphore, true))
            }
            COMMAND => ROM_READS,
            ADDRESS => noise & 0x00ff_fff0,
            DATA..=DATA_END => {
                self.note_in_boot(|| "gateway data read".into());
                noise
            }
            RESET => {
                self.note("the reset register was read");
                0
            }
            MAILBOX..=MAILBOX_END => 0,
            _ => self.plain.get(&at).copied().unwrap_or(0),
        }
    }

    fn version_in_boot(&self, p: u32) -> [u32; 4] {
        let block = self.running.version_block();
        let [major, minors, ..] = block;
        match p {
            _ if self.never_started() => block,
            0..100 => self.booting.map_or([0; 4], |boot| boot.before),
            100..500 => [0; 4],
            500..950 => [major, minors & 0xffff_0000, 0, 0],
            _ => block,
        }
    }

    /// A write to a register in a boot. Only semaphores and the reset register take it.
    pub(super) fn write_in_boot(&mut self, at: u32, value: u32) {
        self.note_in_boot(|| format!("{value:#010x} written to {at:#07x}"));
        match at {
            BANK..=BANK_END => self.write_semaphore(((at - BANK) / 4) as u8, value),
            DRIVER_SEMAPHORE if value == 0 => self.driver_semaphore = false,
            RESET if value & 1 == 1 => self.reset(),
            _ => {}
        }
    }
}

impl CardState {
    /// What runs after power-on.
    pub(super) fn after_power_on(&self) -> RunningFirmware {
        self.started(self.candidates().first(self.spec.boots_highest_first))
    }

    /// What runs after a software reset. The low byte of the boot address register means nothing we know
    /// (docs/hardware.md#open-questions).
    pub(super) fn after_reset(&self) -> RunningFirmware {
        let wanted = FlashAddr(self.boot_address >> 8);
        match self.candidates().at(wanted).filter(|_| self.spec.honours_boot_address) {
            Some(chosen) => self.started(Some(chosen)),
            None => self.after_power_on(),
        }
    }

    /// Power-on under both orders.
    pub(super) fn boot_outcomes(&self) -> BootOutcomes {
        let [lowest_first, highest_first] =
            [false, true].map(|highest| self.started(self.candidates().first(highest)).outcome);
        BootOutcomes { lowest_first, highest_first }
    }

    /// What comes of the image that the boot ROM takes.
    fn started(&self, image: Option<RunningFirmware>) -> RunningFirmware {
        let Some(mut firmware) = image else {
            return RunningFirmware::recovery(&self.spec);
        };
        if let BootOutcome::Image { version, .. } = firmware.outcome {
            firmware.defect = self.armed.defect_of(version);
        }
        if let Some(FirmwareDefect::NeverStarts { recovery_id }) = firmware.defect {
            firmware.hang();
            firmware.block = [0; 4];
            if recovery_id {
                firmware.device_id = self.spec.recovery_id();
            }
        }
        firmware
    }
}
