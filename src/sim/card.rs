//! The handle on a card, and its two register accesses.

use super::config;
use super::state::{CardState, Cuts, SemaphoreHolder};
use super::{
    BootOutcome, BootOutcomes, BootRefusal, CardFileError, CardSpec, Counters, Fault, Misuse, Op,
};
use crate::card::{BarAccess, Clock, CrError, CrOffset, CrSpace};
use crate::image::FlashAddr;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Handle on one simulated card; clones are handles on the same card.
#[derive(Clone)]
pub struct SimCard {
    pub(super) state: Rc<RefCell<CardState>>,
}

impl SimCard {
    /// The key of every secure host.
    pub const SECURE_HOST_KEY: u64 = 0x0123_4567_89AB_CDEF;

    fn of(state: CardState) -> Self {
        Self { state: Rc::new(RefCell::new(state)) }
    }

    /// A card in memory, flash as given (chip-sized; shorter is filled with FF), powered on.
    pub fn new(spec: CardSpec, flash: &[u8]) -> Self {
        Self::of(CardState::new(spec, flash))
    }

    /// A card kept in a file; every change of its flash, semaphores and running version is in the
    /// file as soon as it happens, so a killed process leaves what a killed host leaves.
    pub fn open(path: &Path) -> Result<Self, CardFileError> {
        CardState::open_file(path).map(Self::of)
    }

    /// Makes a new card file. Never overwrites one.
    pub fn create(path: &Path, spec: CardSpec, flash: &[u8]) -> Result<Self, CardFileError> {
        CardState::new(spec, flash).create_file(path).map(Self::of)
    }

    /// A deep copy in memory (also of a card kept in a file), with a clock of its own: the cheap
    /// way to try the same thing many times.
    pub fn fork(&self) -> Self {
        Self::of(self.state.borrow().fork())
    }

    /// Register access through BAR0, with posted writes.
    pub fn bar0(&self) -> Box<dyn CrSpace> {
        Box::new(SimBar0(Rc::clone(&self.state)))
    }

    /// Register access by configuration cycles at 0x58/0x5c. A probe detects the variant
    /// (docs/hardware.md#configuration-cycle-gateway); 0x58 points at 0xf0014 when it is dropped.
    pub fn config_gateway(&self) -> Box<dyn CrSpace> {
        Box::new(SimConfigCycles::open(Rc::clone(&self.state)))
    }

    /// Raw read of one configuration dword at byte offset `at` (a multiple of 4). Reading 0x5c
    /// has the side effects of the register it points at. All ones when the card does not answer.
    pub fn config_read(&self, at: u16) -> u32 {
        self.state.borrow_mut().config_read(at)
    }

    /// Raw write of one configuration dword at byte offset `at` (a multiple of 4).
    pub fn config_write(&self, at: u16, value: u32) {
        self.state.borrow_mut().config_write(at, value);
    }

    /// Whether the host behind [`SimCard::bar0`] puts COMMAND and the BARs back after a reset, as
    /// the kernel does (docs/hardware.md#software-reset). True by default; false for a server of
    /// raw configuration space.
    pub fn set_host_restores_config(&self, yes: bool) {
        self.state.borrow_mut().host_restores_config = yes;
    }

    /// How long the card is silent after a software reset; 1 s by default.
    pub fn set_reset_time(&self, time: Duration) {
        self.state.borrow_mut().reset_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    }

    /// A poll of a busy register makes time pass: of a status register of the chip a third of what is
    /// left, of the gateway's command register all of it before it answers. Jobs need fewer accesses then
    /// (docs/lab.md#emulated-card).
    pub fn set_hurry(&self, yes: bool) {
        self.state.borrow_mut().hurry = yes;
    }

    /// How long the chip boots from the next reset or power-on on; 0 unless the card was made
    /// otherwise. Counted from the reset: a boot that is no longer than [`SimCard::set_reset_time`]
    /// is over when the card answers again. What registers read meanwhile is in
    /// `sim/booting.rs`.
    pub fn set_boot_time(&self, time: Duration) {
        let mut state = self.state.borrow_mut();
        state.spec.boot_ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        state.save();
    }

    /// A PCI reset, as VFIO does one when it opens and when it closes a device.
    pub fn pci_reset(&self) {
        self.state.borrow_mut().pci_reset();
    }

    /// A boot goes on.
    pub fn is_booting(&self) -> bool {
        self.state.borrow().boot_progress().is_some()
    }

    /// Serial number in the vital product data.
    pub const VPD_SERIAL: &str = "SIM0000000001";

    /// PCI device serial number, 16 hexadecimal digits: the node GUID of the image the card was
    /// made with; a card made without one has that of the image that runs.
    pub fn serial(&self) -> Option<String> {
        let state = self.state.borrow();
        state.serial.clone().or_else(|| state.running_serial())
    }

    pub fn clock(&self) -> Rc<dyn Clock> {
        Rc::new(self.state.borrow().time.clone())
    }

    pub fn spec(&self) -> CardSpec {
        self.state.borrow().spec.clone()
    }

    /// PCI device id it shows: the running image's, or the recovery id.
    pub fn pci_device_id(&self) -> u16 {
        self.state.borrow().shown().device_id
    }

    /// Flash contents as they are.
    pub fn flash(&self) -> Vec<u8> {
        self.state.borrow().nor.mem().to_vec()
    }

    /// Reads the flash without copying it.
    pub fn with_flash<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        read(self.state.borrow().nor.mem())
    }

    /// Bytes with bits that read differently each time, and those bits.
    pub fn marginal_cells(&self) -> Vec<(u32, u8)> {
        let state = self.state.borrow();
        state.nor.marginal().iter().map(|(at, bits)| (*at, *bits)).collect()
    }

    /// Writes the flash from outside, as with a clip on the chip: no register is touched,
    /// nothing is counted. What lies beyond the chip is dropped.
    pub fn load_flash(&self, at: u32, bytes: &[u8]) {
        self.state.borrow_mut().load_flash(at as usize, bytes);
    }

    /// Which image would start at the next power-on, by the order of this card.
    pub fn boot_outcome(&self) -> BootOutcome {
        self.state.borrow().after_power_on().outcome
    }

    /// Which image would start at the next power-on under either order of search: which of two
    /// good images a real boot ROM takes is UNCONFIRMED (docs/fs2.md#flash-map).
    pub fn boot_outcomes(&self) -> BootOutcomes {
        self.state.borrow().boot_outcomes()
    }

    /// Where a signature is that the boot ROM does not start an image from, and why.
    pub fn boot_refusals(&self) -> Vec<(FlashAddr, BootRefusal)> {
        self.state.borrow().candidates().refused()
    }

    /// Which image would start at the next software reset, boot address register included.
    pub fn reset_outcome(&self) -> BootOutcome {
        self.state.borrow().after_reset().outcome
    }

    /// What runs now; in a boot, what is being started.
    pub fn running(&self) -> BootOutcome {
        let mut state = self.state.borrow_mut();
        state.settle();
        state.running.outcome.clone()
    }

    /// Power off and on: boots, semaphores free, faults gone but for those of firmware.
    pub fn power_cycle(&self) {
        self.state.borrow_mut().power_cycle();
    }

    pub fn inject(&self, fault: Fault) {
        self.state.borrow_mut().inject(fault);
    }

    /// From now on, keep a copy of the card as a power cut in each of the operations `ops` would
    /// leave it, torn as [`Fault::PowerCut`] with the seed `seed(op)` tears. The card itself goes
    /// on.
    pub fn record_cuts(&self, ops: BTreeSet<u64>, seed: fn(u64) -> u64) {
        self.state.borrow_mut().cuts = Some(Cuts { ops, seed, cards: Vec::new() });
    }

    /// The cards recorded, in the order of their operations. Ends the recording.
    pub fn take_cuts(&self) -> Vec<Self> {
        let cuts = self.state.borrow_mut().cuts.take();
        let cards = cuts.map(|c| c.cards).unwrap_or_default();
        cards.into_iter().map(Self::of).collect()
    }

    /// Faults that have not been used up.
    pub fn faults(&self) -> Vec<Fault> {
        self.state.borrow().armed.list()
    }

    /// Neither registers nor configuration space answer (power cut, pulled out, in reset).
    pub fn is_silent(&self) -> bool {
        self.state.borrow().is_silent()
    }

    /// Semaphores of the bank that are taken, by number, lowest first. Reads without taking. The
    /// flush slots 32 to 35 are left out: every session leaves its own taken, and that is harmless
    /// (docs/hardware.md#write-flush).
    pub fn semaphores_held(&self) -> Vec<u8> {
        let mut state = self.state.borrow_mut();
        state.settle();
        let by_fault = state.armed.list();
        (0..64)
            .filter(|n| !(32..36).contains(n))
            .filter(|n| {
                state.semaphores[usize::from(*n)] != SemaphoreHolder::Free
                    || by_fault
                        .iter()
                        .any(|f| matches!(f, Fault::SemaphoreHeld { number, .. } if number == n))
            })
            .collect()
    }

    pub fn counters(&self) -> Counters {
        self.state.borrow().counters()
    }

    /// Counters so far; they restart at zero.
    pub fn take_counters(&self) -> Counters {
        let mut state = self.state.borrow_mut();
        let counters = state.counters();
        state.counters = Counters::default();
        state.counted_from = state.time.now();
        state.words.clear();
        counters
    }

    /// Register accesses since the card was made or opened, in the numbers that
    /// [`Fault::Away`], [`Fault::Reset`] and [`Fault::Removed`] count in.
    pub fn accesses(&self) -> u64 {
        self.state.borrow().accesses
    }

    /// Gateway data reads since the card was made or opened, in the numbers that
    /// [`Fault::WrongRead`] and [`Fault::ShortRead`] count in: RDID and RDSR are among them.
    pub fn data_reads(&self) -> u64 {
        self.state.borrow().reads
    }

    /// Data reads that continued an earlier one under CS_HOLD. No misuse, but no known tool sends
    /// them: mstflint has the code and does not use it (mflash/mflash.c).
    pub fn chained_reads(&self) -> u64 {
        self.state.borrow().chained_reads
    }

    /// Every gateway command word that started a transfer since power-on or
    /// [`SimCard::take_counters`].
    pub fn gateway_words(&self) -> BTreeSet<u32> {
        self.state.borrow().words.clone()
    }

    /// Number of mutating flash operations since power-on.
    pub fn mutations(&self) -> u64 {
        self.state.borrow().mutations
    }

    /// Pages and sectors of the flash that the firmware has changed since the card was made, in order.
    pub fn firmware_changes(&self) -> Vec<Range<usize>> {
        self.state.borrow().nor.own.clone()
    }

    /// Recorded misuse; the first thousand entries.
    pub fn misuse(&self) -> Vec<Misuse> {
        self.state.borrow().misuse.clone()
    }

    /// Misuse in all.
    pub fn misuse_count(&self) -> u64 {
        self.state.borrow().misuse_count
    }

    /// Start recording what happens, from nothing.
    pub fn start_trace(&self) {
        self.state.borrow_mut().trace = Some(Vec::new());
    }

    /// What happened since [`SimCard::start_trace`]; empty when it was never called.
    pub fn trace(&self) -> Vec<Op> {
        self.state.borrow().trace.clone().unwrap_or_default()
    }
}

/// Register access through BAR0: writes are posted.
struct SimBar0(Rc<RefCell<CardState>>);

impl CrSpace for SimBar0 {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        self.0.borrow_mut().read_through(BarAccess::Mmap, at.0)
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        self.0.borrow_mut().write_through(at.0, value)
    }

    fn transport(&self) -> Option<BarAccess> {
        Some(BarAccess::Mmap)
    }

    fn read_by(&mut self, by: BarAccess, at: CrOffset) -> Option<Result<u32, CrError>> {
        Some(match by {
            BarAccess::Config => SimConfigCycles::open(Rc::clone(&self.0)).read(at),
            BarAccess::Mmap | BarAccess::Pread => self.0.borrow_mut().read_through(by, at.0),
        })
    }

    fn posts_writes(&self) -> bool {
        true
    }

    fn reset_function(&mut self) -> Option<Result<(), CrError>> {
        self.0.borrow_mut().function_reset();
        Some(Ok(()))
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        Ok(self.0.borrow().shown_device_id())
    }
}

/// Register access by configuration cycles through 0x58/0x5c, in the variant that its probe
/// detects (docs/hardware.md#configuration-cycle-gateway).
struct SimConfigCycles {
    card: Rc<RefCell<CardState>>,
    write_only: bool,
}

/// The register that 0x58 points at afterwards: a read of the device id has no side effect.
const DEVICE_ID: u32 = 0xf_0014;

impl SimConfigCycles {
    fn open(card: Rc<RefCell<CardState>>) -> Self {
        let write_only = {
            let mut state = card.borrow_mut();
            state.config_write(config::ADDRESS, DEVICE_ID);
            state.config_read(config::ADDRESS) == config::NOT_READABLE
        };
        Self { card, write_only }
    }
}

impl CrSpace for SimConfigCycles {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        let mut card = self.card.borrow_mut();
        card.check_offset(at.0)?;
        card.config_write(config::ADDRESS, at.0 | u32::from(self.write_only));
        let value = card.config_read(config::DATA);
        let value = card.config_answer(at.0, value);
        card.answer(at.0, value)
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        let mut card = self.card.borrow_mut();
        card.check_offset(at.0)?;
        if self.write_only {
            card.config_write(config::DATA, value);
            card.config_write(config::ADDRESS, at.0);
        } else {
            card.config_write(config::ADDRESS, at.0);
            card.config_write(config::DATA, value);
        }
        card.answer(at.0, ())
    }

    fn posts_writes(&self) -> bool {
        false
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        Ok(self.card.borrow().shown_device_id())
    }
}

impl Drop for SimConfigCycles {
    fn drop(&mut self) {
        if let Ok(mut card) = self.card.try_borrow_mut() {
            card.config_write(config::ADDRESS, DEVICE_ID | u32::from(self.write_only));
        }
    }
}
