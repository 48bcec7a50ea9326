//! CR-space: one match for reads, one for writes; BAR0 with its posted writes; configuration
//! cycles.
//!
//! | register | behaviour |
//! |---|---|
//! | 0x1f064..0x1f073 | version of what runs, 0 in recovery mode; read only. Here and at 0x41270 firmware that fails differs ([`super::FirmwareDefect`]) |
//! | 0x41270 | another value below 0xfff00000 at each read, all ones in recovery mode; read only |
//! | 0x8069c | the kernel driver's semaphore; reading it is misuse, but for a network driver |
//! | 0xf0000 | boot address, plain, cleared by power only |
//! | 0xf0010 | reset; reading it is misuse |
//! | 0xf0014 | HW id and revision; writing it is misuse |
//! | 0xf0300..0xf03ff | semaphore bank |
//! | 0xf0400, 0xf0404, 0xf0410..0xf041f | flash gateway |
//! | 0x80780..0x8079b | the tools' command interface ([`super::tools_firmware`]) |
//! | 0xe0000..0xe011f | its mailbox; nothing there in recovery mode and with old firmware |
//! | all of them, while a boot goes on | [`super::booting`] |
//! | everything else | plain storage, 0 after reset: the GPIO registers (docs/hardware.md#chip-detection), 0xf3834, and the driver's command interface (HCR 0x80680), on which a posted command is never answered, unless the card is served ([`super::firmware`]) |

use super::state::{CardState, Posted, SemaphoreHolder};
use super::tools_firmware::{CONTROL, MAILBOX, MAILBOX_END};
use super::{Fault, Op, WrongRegister, config};
use crate::card::CrError;

/// Bytes of CR-space (docs/hardware.md#bar0).
const SIZE: u32 = 0x10_0000;
pub(super) const ALL_ONES: u32 = u32::MAX;
/// Simulated time of one non-posted bus access.
pub(super) const READ_NS: u64 = 1000;
/// Simulated time of one posted write.
const WRITE_NS: u64 = 150;
/// Age at which a delayed write has arrived in any case.
const ARRIVAL_NS: u64 = 20_000;
const LOCKED: u32 = 0xbad0_cafe;

pub(super) const VERSION: u32 = 0x1_f064;
pub(super) const VERSION_END: u32 = 0x1_f070;
pub(super) const RECOVERY_TEST: u32 = 0x4_1270;
pub(super) const DRIVER_SEMAPHORE: u32 = 0x8_069c;
const BOOT_ADDRESS: u32 = 0xf_0000;
pub(super) const RESET: u32 = 0xf_0010;
pub(super) const DEVICE_ID: u32 = 0xf_0014;
pub(super) const BANK: u32 = 0xf_0300;
pub(super) const BANK_END: u32 = 0xf_03fc;
const FLUSH: u32 = 0xf_0380;
pub(super) const COMMAND: u32 = 0xf_0400;
pub(super) const ADDRESS: u32 = 0xf_0404;
pub(super) const DATA: u32 = 0xf_0410;
pub(super) const DATA_END: u32 = 0xf_041c;

/// Semaphores that a card file keeps: what outlives a killed process matters to the next one.
pub(super) const KEPT_SEMAPHORES: [u8; 3] = [40, 47, 63];

fn check(at: u32) -> Result<(), CrError> {
    if at < SIZE && at.is_multiple_of(4) { Ok(()) } else { Err(CrError::BadOffset { at }) }
}

impl CardState {
    /// BAR0 answers.
    pub(super) fn bar_answers(&self) -> bool {
        !self.is_silent() && self.config.memory_enabled() && !self.is_silenced()
    }

    /// One read through BAR0.
    pub(super) fn bar_read(&mut self, at: u32) -> Result<u32, CrError> {
        let answer = self.bar_read_now(at);
        self.pause();
        answer
    }

    fn bar_read_now(&mut self, at: u32) -> Result<u32, CrError> {
        self.check_offset(at)?;
        self.spend(READ_NS);
        self.counters.bar_reads += 1;
        self.count_access();
        if !self.bar_answers() {
            return self.answer(at, ALL_ONES);
        }
        if !self.outstanding.is_empty() {
            self.deliver_old();
        }
        // A locked card has no flush; `unlock` ends with one.
        let exempt = matches!(at, FLUSH | DEVICE_ID) || self.answers_locked(at);
        if self.posted != Posted::Clean && !exempt && !self.network_driver {
            self.note(format!(
                "read of {at:#07x} after writes that were not flushed through 0xf0380"
            ));
        }
        self.repeat_write();
        let value = self.faulty_read(at);
        if at == FLUSH && value == 0 {
            match self.posted {
                Posted::FlushStarted => self.posted = Posted::Clean,
                Posted::Dirty => self.note("0xf0380 read without writing 0 to it first"),
                Posted::Clean => {}
            }
        }
        if let Some((_, to, value)) = self.outstanding.pop_front() {
            self.cr_write(to, value);
        }
        self.answer(at, value)
    }

    /// One write through BAR0.
    pub(super) fn bar_write(&mut self, at: u32, value: u32) -> Result<(), CrError> {
        let answer = self.bar_write_now(at, value);
        self.pause();
        answer
    }

    fn bar_write_now(&mut self, at: u32, value: u32) -> Result<(), CrError> {
        self.check_offset(at)?;
        self.spend(WRITE_NS);
        self.counters.bar_writes += 1;
        self.count_access();
        if self.bar_answers() {
            self.posted =
                if at == FLUSH && value == 0 { Posted::FlushStarted } else { Posted::Dirty };
            self.repeat_write();
            if self.write_is_lost(at, value) {
                return self.answer(at, ());
            }
            if self.armed.delay == 0 {
                self.cr_write(at, value);
            } else {
                self.outstanding.push_back((self.time.now(), at, value));
                while self.outstanding.len() > self.armed.delay as usize {
                    self.deliver_first();
                }
            }
        }
        self.answer(at, ())
    }

    /// [`CrError::BadOffset`] for what is no register, recorded as misuse.
    pub(super) fn check_offset(&mut self, at: u32) -> Result<(), CrError> {
        check(at).inspect_err(|_| self.note(format!("there is no register at {at:#x}")))
    }

    /// The value, unless the card file can no longer be written.
    pub(super) fn answer<T>(&self, at: u32, value: T) -> Result<T, CrError> {
        match self.file_error {
            None => Ok(value),
            Some(errno) => {
                Err(CrError::Io { at, source: std::io::Error::from_raw_os_error(errno) })
            }
        }
    }

    fn deliver_first(&mut self) {
        if let Some((_, at, value)) = self.outstanding.pop_front() {
            self.cr_write(at, value);
        }
    }

    fn deliver_old(&mut self) {
        let now = self.time.now();
        while let Some(&(since, ..)) = self.outstanding.front()
            && now.saturating_sub(since) >= ARRIVAL_NS
        {
            self.deliver_first();
        }
    }

    /// [`CardState::cr_read`], unless a fault is due.
    fn faulty_read(&mut self, at: u32) -> u32 {
        let wrong = if self.accesses >= self.armed.read_trip {
            self.armed.spoils_register(self.accesses, at)
        } else {
            None
        };
        match wrong {
            None => self.cr_read(at),
            Some(WrongRegister::RequestLost) => ALL_ONES,
            Some(WrongRegister::Locked) => LOCKED,
            Some(WrongRegister::Filtered) => config::NOT_READABLE,
            Some(WrongRegister::AnswerLost) => {
                self.cr_read(at);
                ALL_ONES
            }
            Some(WrongRegister::Flipped { bit }) => self.cr_read(at) ^ 1 << (bit % 32),
        }
    }

    /// A fault is due that loses this write, or that lets it arrive once more.
    fn write_is_lost(&mut self, at: u32, value: u32) -> bool {
        if self.accesses < self.armed.write_trip {
            return false;
        }
        match self.armed.spoils_write(self.accesses, at) {
            Some(Fault::LostWrite { .. }) => return true,
            Some(_) => self.repeated = Some((at, value)),
            None => {}
        }
        false
    }

    /// Lets a write arrive once more ([`Fault::DoubledWrite`]).
    pub(super) fn repeat_write(&mut self) {
        let Some((at, value)) = self.repeated else { return };
        // Behind its original, which may still be on its way.
        if self.outstanding.iter().any(|(_, to, late)| (*to, *late) == (at, value)) {
            return;
        }
        if at != COMMAND || !self.gateway.is_busy(self.time.now()) {
            self.repeated = None;
            self.cr_write(at, value);
        }
    }

    /// Reads a register, for every kind of access.
    pub(super) fn cr_read(&mut self, at: u32) -> u32 {
        if self.hides(at) {
            return LOCKED;
        }
        self.settle();
        if self.is_silenced() {
            return ALL_ONES;
        }
        if let Some(p) = self.boot_progress() {
            return self.read_in_boot(at, p);
        }
        match at {
            COMMAND => self.read_command(),
            DATA..=DATA_END => self.read_data(((at - DATA) / 4) as usize),
            BANK..=BANK_END => self.read_semaphore(((at - BANK) / 4) as u8),
            DEVICE_ID => self.device_id_register(),
            ADDRESS => self.read_address(),
            BOOT_ADDRESS => self.boot_address,
            VERSION..=VERSION_END => self.version_word(at),
            RECOVERY_TEST => self.read_recovery_test(),
            RESET => {
                self.note("the reset register was read");
                0
            }
            DRIVER_SEMAPHORE => {
                if !self.network_driver {
                    self.note("0x8069c was read, which takes the kernel driver's semaphore");
                }
                u32::from(std::mem::replace(&mut self.driver_semaphore, true))
            }
            CONTROL => self.read_tools_control(),
            MAILBOX..=MAILBOX_END if !self.has_mailbox() => 0,
            _ => self.plain.get(&at).copied().unwrap_or(0),
        }
    }

    /// Writes a register, for every kind of access.
    pub(super) fn cr_write(&mut self, at: u32, value: u32) {
        if self.hides(at) {
            return;
        }
        if self.trace.is_some() && at != FLUSH && !(COMMAND..=DATA_END).contains(&at) {
            self.log(|| Op::Register { at, value });
        }
        self.settle();
        if self.is_silenced() {
            return;
        }
        if self.boot_progress().is_some() {
            return self.write_in_boot(at, value);
        }
        match at {
            COMMAND => self.write_command(value),
            DATA..=DATA_END => self.write_data(((at - DATA) / 4) as usize, value),
            BANK..=BANK_END => self.write_semaphore(((at - BANK) / 4) as u8, value),
            ADDRESS => self.write_address(value),
            BOOT_ADDRESS => {
                self.boot_address = value;
                self.save();
            }
            RESET if value & 1 == 1 => self.driver_reset(),
            DRIVER_SEMAPHORE if value == 0 => self.driver_semaphore = false,
            DEVICE_ID | RESET | RECOVERY_TEST | VERSION..=VERSION_END | DRIVER_SEMAPHORE => {
                self.note(format!("{value:#010x} written to {at:#07x}"));
            }
            CONTROL => self.write_tools_control(value),
            MAILBOX..=MAILBOX_END if !self.has_mailbox() => {}
            _ => {
                self.plain.insert(at, value);
            }
        }
    }

    /// 0xf0014.
    pub(super) fn device_id_register(&self) -> u32 {
        u32::from(self.spec.revision) << 16 | u32::from(self.spec.hw_id)
    }

    /// Reset by the driver; its conditions are in docs/hardware.md#semaphore-63-and-the-reset and
    /// docs/hardware.md#software-reset.
    fn driver_reset(&mut self) {
        if self.semaphores[63] != SemaphoreHolder::Ours {
            self.note("software reset without holding semaphore 63");
        }
        if self.nor.is_busy(self.time.now()) {
            self.note("software reset while WIP is set");
        }
        self.reset();
    }

    /// Read-and-set (docs/hardware.md#semaphore-bank).
    pub(super) fn read_semaphore(&mut self, n: u8) -> u32 {
        if self.armed.semaphores && self.armed.holds_on_read(n) {
            return 1;
        }
        let hold = &mut self.semaphores[usize::from(n)];
        if *hold != SemaphoreHolder::Free {
            return 1;
        }
        *hold = SemaphoreHolder::Ours;
        if KEPT_SEMAPHORES.contains(&n) {
            self.log(|| Op::Acquire { number: n });
            self.save();
        }
        0
    }

    pub(super) fn write_semaphore(&mut self, n: u8, value: u32) {
        if value != 0 {
            self.note(format!("{value:#x} written to semaphore {n}"));
            return;
        }
        if self.armed.semaphores && self.armed.retakes(n) {
            return;
        }
        if self.armed.defects.sticks(n) {
            return;
        }
        if self.semaphores[usize::from(n)] == SemaphoreHolder::Other {
            self.note(format!("semaphore {n} of another program was freed"));
        }
        self.semaphores[usize::from(n)] = SemaphoreHolder::Free;
        if KEPT_SEMAPHORES.contains(&n) {
            self.save();
        }
    }

    /// One configuration read; `at` is a byte offset.
    pub(super) fn config_read(&mut self, at: u16) -> u32 {
        let answer = self.config_read_now(at);
        self.pause();
        answer
    }

    fn config_read_now(&mut self, at: u16) -> u32 {
        self.spend(READ_NS);
        self.counters.bar_reads += 1;
        self.count_access();
        if self.is_silent() {
            return ALL_ONES;
        }
        match at {
            config::ADDRESS if self.spec.write_only_address => config::NOT_READABLE,
            config::ADDRESS => self.config.gateway_address,
            config::DATA => self.gateway_window(),
            _ => self.config.read(at, &self.spec, &self.shown()),
        }
    }

    /// The register behind 0x5c. When the write-only variant fetches it is UNCONFIRMED; here it
    /// is when 0x5c is read.
    fn gateway_window(&mut self) -> u32 {
        let address = self.config.gateway_address;
        let at = if self.spec.write_only_address {
            if address & 1 == 0 {
                self.note("0x5c read without a read requested in 0x58");
                return config::NOT_READABLE;
            }
            address & !1
        } else {
            address
        };
        if self.check_offset(at).is_err() {
            return config::NOT_READABLE;
        }
        self.repeat_write();
        self.faulty_read(at)
    }

    /// One configuration write; not posted, so it costs what a read costs (INFERRED).
    pub(super) fn config_write(&mut self, at: u16, value: u32) {
        self.config_write_now(at, value);
        self.pause();
    }

    fn config_write_now(&mut self, at: u16, value: u32) {
        self.spend(READ_NS);
        self.counters.bar_writes += 1;
        self.count_access();
        if self.is_silent() {
            return;
        }
        match (at, self.spec.write_only_address) {
            (config::ADDRESS, false) => self.config.gateway_address = value,
            (config::ADDRESS, true) => {
                self.config.gateway_address = value;
                // The probe of docs/hardware.md#configuration-cycle-gateway writes the device id's
                // offset with bit 0 clear.
                if value & 1 == 0 && value != DEVICE_ID && self.check_offset(value).is_ok() {
                    self.config_cr_write(value, self.config.gateway_data);
                }
            }
            (config::DATA, true) => self.config.gateway_data = value,
            (config::DATA, false) => {
                let to = self.config.gateway_address;
                if self.check_offset(to).is_ok() {
                    self.config_cr_write(to, value);
                }
            }
            _ => self.config.write(at, value),
        }
    }

    fn config_cr_write(&mut self, at: u32, value: u32) {
        self.repeat_write();
        if !self.write_is_lost(at, value) {
            self.cr_write(at, value);
        }
    }
}
