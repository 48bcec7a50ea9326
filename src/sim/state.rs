//! One card's state, and what power, reset and faults do to it.

use super::boot::{Candidates, RunningFirmware};
use super::config::ConfigRegisters;
use super::fault::{ArmedFaults, FaultCounts};
use super::file::CardFile;
use super::mutate::{MutationEffect, apply};
use super::nor::{Mutation, Nor, PAGE};
use super::records::SimTime;
use super::tools_defaults::ImageSettings;
use super::{CardSpec, Counters, Fault, Misuse, Op};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// More misuse than this is counted, not kept.
const MISUSE_KEPT: usize = 1000;

/// Who holds a semaphore. The bank itself stores no owner (docs/hardware.md#semaphore-bank); the
/// simulator does, to detect a driver that uses the gateway without its own semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SemaphoreHolder {
    Free,
    /// Taken by a read of a register access of this process.
    Ours,
    /// Left taken by a process that is gone.
    Dead,
    /// Taken by a program that lives ([`Fault::Usurped`]).
    Other,
}

/// Where a driver is in the flush rule of docs/hardware.md#write-flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// Nothing outstanding.
    Clean,
    /// Written since the last flush.
    Dirty,
    /// 0 was written to 0xf0380, its read of 0 is awaited.
    FlushStarted,
}

/// The operations to record, the seed of each tear, and the cards recorded.
pub(super) struct Cuts {
    pub(super) ops: BTreeSet<u64>,
    pub(super) seed: fn(u64) -> u64,
    pub(super) cards: Vec<CardState>,
}

/// Dwords of the mailbox of the tools command interface.
pub(super) const MAILBOX_DWORDS: usize = 72;

/// Registers and wires of the gateway.
#[derive(Clone, Default)]
pub(super) struct GatewayState {
    pub(super) command: u32,
    pub(super) address: u32,
    /// The four data registers, first wire byte first.
    pub(super) data: [u8; 16],
    /// What the data registers hold once the running command is done.
    pub(super) arriving: Option<[u8; 16]>,
    pub(super) busy_until: u64,
    pub(super) stuck: bool,
    /// Chip-select is kept low after the last command.
    pub(super) held: bool,
    /// Data bytes of this chip-select so far.
    pub(super) chain: u32,
}

impl GatewayState {
    pub(super) fn is_busy(&self, now: u64) -> bool {
        self.stuck || now < self.busy_until
    }
}

/// A boot that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Booting {
    /// Registers can be read from here on.
    pub(super) from: u64,
    /// The firmware runs.
    pub(super) until: u64,
    /// Version words of what ran before.
    pub(super) before: [u32; 4],
}

/// The state of the tools command interface ([`super::tools_firmware`]).
#[derive(Clone)]
pub(super) struct SimToolsInterface {
    pub(super) mailbox: [u32; MAILBOX_DWORDS],
    /// The running command's go bit stays until then.
    pub(super) done_at: u64,
    /// Of the running image; read at the first command.
    pub(super) facts: Option<Rc<ImageSettings>>,
}

impl Default for SimToolsInterface {
    fn default() -> Self {
        Self { mailbox: [0; MAILBOX_DWORDS], done_at: 0, facts: None }
    }
}

pub(super) struct CardState {
    pub(super) spec: CardSpec,
    pub(super) time: SimTime,
    pub(super) nor: Nor,
    pub(super) gateway: GatewayState,
    pub(super) semaphores: [SemaphoreHolder; 64],
    pub(super) driver_semaphore: bool,
    pub(super) boot_address: u32,
    /// Registers without behaviour, 0 until written.
    pub(super) plain: BTreeMap<u32, u32>,
    pub(super) config: ConfigRegisters,
    pub(super) running: RunningFirmware,
    /// The tools command interface.
    pub(super) tools: SimToolsInterface,
    /// Hardware access of a secure host was enabled with its key.
    pub(super) hw_access: bool,
    /// The last result of [`CardState::candidates`], and [`Nor::changes`] at that time.
    judged: RefCell<Option<(u64, Rc<Candidates>)>>,
    /// Power is off.
    pub(super) off: bool,
    /// Pulled out.
    pub(super) gone: bool,
    /// No answer before this time.
    pub(super) quiet_until: u64,
    pub(super) reset_ns: u64,
    pub(super) host_restores_config: bool,
    /// Polls of a busy register make time pass (docs/lab.md#emulated-card).
    pub(super) hurry: bool,
    /// A network driver uses the card (bus mastering is on). It does not flush through 0xf0380, and
    /// 0x8069c is its semaphore.
    pub(super) network_driver: bool,
    /// A boot goes on.
    pub(super) booting: Option<Booting>,
    /// When the firmware dies ([`super::FirmwareDefect::Dies`]).
    pub(super) dies_at: u64,
    /// Last value of 0x41270.
    pub(super) live: u32,
    /// [`super::SimCard::serial`]; `None` when the card had no identity when it was made.
    pub(super) serial: Option<String>,
    /// Times the boot ROM ran.
    pub(super) boots: u64,
    pub(super) posted: Posted,
    /// Writes on their way ([`Fault::DelayedWrites`]): when, where, what.
    pub(super) outstanding: VecDeque<(u64, u32, u32)>,
    pub(super) armed: ArmedFaults,
    pub(super) counters: Counters,
    pub(super) counted_from: u64,
    pub(super) accesses: u64,
    pub(super) commands: u64,
    pub(super) reads: u64,
    /// Data reads that went on under a held chip-select.
    pub(super) chained_reads: u64,
    /// Command words that started a transfer.
    pub(super) words: BTreeSet<u32>,
    /// ns the process is away once the running access is answered ([`Fault::Away`]).
    pub(super) away: u64,
    /// The sleep that begins once the running access is answered ([`Fault::Suspend`]).
    asleep: Option<Fault>,
    /// What the last operation changed, as it was before; kept while a sleep may tear it.
    before: Option<(Mutation, Vec<u8>, [u8; PAGE as usize])>,
    /// The write that arrives once more ([`Fault::DoubledWrite`]).
    pub(super) repeated: Option<(u32, u32)>,
    pub(super) mutations: u64,
    /// Cuts to record ([`super::SimCard::record_cuts`]).
    pub(super) cuts: Option<Cuts>,
    pub(super) misuse: Vec<Misuse>,
    pub(super) misuse_count: u64,
    pub(super) trace: Option<Vec<Op>>,
    pub(super) file: Option<CardFile>,
    /// errno of a write to the card file that failed; every access fails from then on.
    pub(super) file_error: Option<i32>,
}

impl CardState {
    /// A card switched on for the first time.
    pub(super) fn new(spec: CardSpec, flash: &[u8]) -> Self {
        let mut card = Self::with_running(spec.clone(), flash, RunningFirmware::recovery(&spec));
        card.running = card.after_power_on();
        card.serial = card.running_serial();
        card
    }

    /// A card on which this runs already.
    pub(super) fn with_running(spec: CardSpec, flash: &[u8], running: RunningFirmware) -> Self {
        let nor = Nor::new(spec.chip, flash);
        Self {
            spec,
            time: SimTime::default(),
            nor,
            gateway: GatewayState::default(),
            semaphores: [SemaphoreHolder::Free; 64],
            driver_semaphore: false,
            boot_address: 0,
            plain: BTreeMap::new(),
            config: ConfigRegisters::enumerated(),
            running,
            tools: SimToolsInterface::default(),
            hw_access: false,
            judged: RefCell::new(None),
            off: false,
            gone: false,
            quiet_until: 0,
            reset_ns: 1_000_000_000,
            host_restores_config: true,
            hurry: false,
            network_driver: false,
            booting: None,
            dies_at: u64::MAX,
            live: 0,
            serial: None,
            boots: 0,
            posted: Posted::Clean,
            outstanding: VecDeque::new(),
            armed: ArmedFaults::default(),
            counters: Counters::default(),
            counted_from: 0,
            accesses: 0,
            commands: 0,
            reads: 0,
            chained_reads: 0,
            words: BTreeSet::new(),
            away: 0,
            asleep: None,
            before: None,
            repeated: None,
            mutations: 0,
            cuts: None,
            misuse: Vec::new(),
            misuse_count: 0,
            trace: None,
            file: None,
            file_error: None,
        }
    }

    /// The same card once more, in memory, with a clock of its own.
    pub(super) fn fork(&self) -> Self {
        Self {
            spec: self.spec.clone(),
            time: self.time.fork(),
            nor: self.nor.clone(),
            gateway: self.gateway.clone(),
            semaphores: self.semaphores,
            driver_semaphore: self.driver_semaphore,
            boot_address: self.boot_address,
            plain: self.plain.clone(),
            config: self.config.clone(),
            running: self.running.clone(),
            serial: self.serial.clone(),
            tools: self.tools.clone(),
            judged: self.judged.clone(),
            outstanding: self.outstanding.clone(),
            armed: self.armed.clone(),
            words: self.words.clone(),
            asleep: self.asleep.clone(),
            before: self.before.clone(),
            cuts: None,
            misuse: self.misuse.clone(),
            trace: self.trace.clone(),
            file: None,
            file_error: None,
            ..*self
        }
    }

    /// The boot ROM's view of the flash as it is.
    pub(super) fn candidates(&self) -> Rc<Candidates> {
        let changes = self.nor.changes();
        let mut judged = self.judged.borrow_mut();
        match judged.as_ref() {
            Some((then, list)) if *then == changes => Rc::clone(list),
            _ => {
                let list = Candidates::judge(self.nor.mem(), self.nor.marginal(), &self.spec);
                let list = Rc::new(list);
                *judged = Some((changes, Rc::clone(&list)));
                list
            }
        }
    }

    pub(super) fn note(&mut self, what: impl Into<String>) {
        self.misuse_count += 1;
        if self.misuse.len() < MISUSE_KEPT {
            self.misuse.push(Misuse { access: self.accesses, what: what.into() });
        }
    }

    pub(super) fn log(&mut self, op: impl FnOnce() -> Op) {
        if let Some(trace) = &mut self.trace {
            trace.push(op());
        }
    }

    pub(super) fn spend(&mut self, ns: u64) {
        self.time.add(ns);
        self.counters.card_time_ns += ns;
    }

    /// Counts one register access and lets a removal, reset or pause that is due happen.
    pub(super) fn count_access(&mut self) {
        self.accesses += 1;
        while self.accesses >= self.armed.trip {
            match self.armed.at_access(self.accesses) {
                Some(Fault::Removed { .. }) => {
                    self.gone = true;
                    self.save();
                }
                Some(Fault::Reset { .. }) => self.reset(),
                Some(Fault::FirmwareWrites { .. }) => self.firmware_writes(),
                Some(Fault::Away { ms, .. }) => {
                    self.away = self.away.saturating_add(ms.saturating_mul(1_000_000));
                }
                Some(fault @ Fault::Suspend { .. }) => self.asleep = Some(fault),
                Some(Fault::Usurped { .. }) => {
                    self.restart(0);
                    for n in [40, 63] {
                        self.semaphores[n] = SemaphoreHolder::Other;
                    }
                }
                _ => break,
            }
        }
    }

    /// The access is answered: a pause or sleep that was due at it begins, and ends.
    pub(super) fn pause(&mut self) {
        if self.away == 0 && self.asleep.is_none() {
            return;
        }
        if self.away != 0 {
            self.time.add(std::mem::take(&mut self.away));
        }
        if let Some(Fault::Suspend { ms, seed, comes_back, .. }) = self.asleep.take() {
            if self.nor.is_busy(self.time.now()) {
                self.tear_last(seed);
            }
            self.time.add(ms.saturating_mul(1_000_000));
            self.gone = !comes_back;
            self.log(|| Op::PowerLost);
            self.power_up();
        }
    }

    /// The last operation was under way when power went.
    fn tear_last(&mut self, seed: u64) {
        let Some((mutation, bytes, page)) = self.before.take() else { return };
        let range = mutation.range(self.nor.size());
        self.nor.mem_mut()[range.clone()].copy_from_slice(&bytes);
        self.nor.fill_page(0, &page);
        apply(&mut self.nor, mutation, MutationEffect::Torn(seed));
        self.save_flash(range);
    }

    /// Nothing answers, neither registers nor configuration space.
    pub(super) fn is_silent(&self) -> bool {
        self.off || self.gone || self.time.now() < self.quiet_until
    }

    /// What the host reads at configuration offset 2: all ones when the card does not answer.
    pub(super) fn shown_device_id(&self) -> u16 {
        if self.is_silent() {
            return u16::MAX;
        }
        self.shown().device_id
    }

    pub(super) fn counters(&self) -> Counters {
        Counters { time_ns: self.time.now() - self.counted_from, ..self.counters }
    }

    pub(super) fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::Protected { status } => {
                let mask = self.nor.layout().writable();
                self.nor.status = self.nor.status & !mask | status & mask;
            }
            Fault::SemaphoreHeld { number, .. } => {
                if let Some(hold) = self.semaphores.get_mut(usize::from(number)) {
                    *hold = SemaphoreHolder::Free;
                }
            }
            Fault::Firmware { fw_version, .. } => self.armed.drop_where(
                |fault| matches!(fault, Fault::Firmware { fw_version: v, .. } if *v == fw_version),
            ),
            Fault::CorruptConfiguration => {
                for (at, bytes) in self.nv_areas().map(|a| a.spoiling()).unwrap_or_default() {
                    self.load_flash(at as usize, &bytes);
                }
                // It lies in the flash now; nothing waits.
                self.save();
                return;
            }
            _ => {}
        }
        self.arm(fault);
        self.save();
    }

    /// [`CardState::inject`] without touching anything else.
    pub(super) fn arm(&mut self, fault: Fault) {
        let now =
            FaultCounts { accesses: self.accesses, commands: self.commands, reads: self.reads };
        self.armed.add(fault, now);
    }

    /// Chip reset (docs/hardware.md#software-reset, docs/hardware.md#requirements-for-an-emulator
    /// item 10): registers, semaphores and gateway to their defaults, firmware loaded from flash.
    /// The flash chip is not reset: its operation goes on. That the boot address register survives
    /// is needed for its purpose (docs/hardware.md#write-order-in-mstflint).
    pub(super) fn reset(&mut self) {
        self.quiet_until = self.time.now().saturating_add(self.reset_ns);
        self.restart(self.reset_ns);
    }

    /// A PCI reset. Without a boot time, or with [`CardSpec::pci_reset_boots`] off, it frees no
    /// semaphore and does not load the firmware: what makes a killed tool's semaphores stay held.
    pub(super) fn pci_reset(&mut self) {
        if self.spec.boot_ms > 0 && self.spec.pci_reset_boots {
            self.restart(0);
        } else {
            self.reset_config();
        }
    }

    /// [`CardState::pci_reset`] by a kernel that restores configuration space.
    pub(super) fn function_reset(&mut self) {
        let before = self.config.clone();
        self.pci_reset();
        self.config = before;
    }

    /// Configuration registers to their defaults, or to those that the host restores.
    pub(super) fn reset_config(&mut self) {
        self.config = if self.host_restores_config {
            ConfigRegisters::enumerated()
        } else {
            ConfigRegisters::default()
        };
        // A configuration write does not overtake posted writes: what a driver wrote has arrived.
        self.posted = Posted::Clean;
    }

    fn restart(&mut self, silent: u64) {
        self.log(|| Op::Reset);
        self.set_defaults();
        let before = self.running.version_block();
        if !self.armed.defects.reset_keeps {
            self.running = self.after_reset();
            self.begin_boot(silent, before);
        }
        self.save();
    }

    fn set_defaults(&mut self) {
        self.boots += 1;
        self.semaphores = [SemaphoreHolder::Free; 64];
        self.driver_semaphore = false;
        self.armed.drop_where(|fault| matches!(fault, Fault::SemaphoreHeld { .. }));
        self.plain.clear();
        self.tools = SimToolsInterface::default();
        self.hw_access = false;
        self.gateway = GatewayState::default();
        self.nor.abandon();
        self.outstanding.clear();
        self.repeated = None;
        self.reset_config();
    }

    pub(super) fn power_cycle(&mut self) {
        self.log(|| Op::PowerLost);
        self.armed.drop_where(|fault| !matches!(fault, Fault::Firmware { .. }));
        self.off = false;
        self.gone = false;
        self.mutations = 0;
        self.words.clear();
        self.power_up();
    }

    /// Power is there again: the boot ROM runs.
    fn power_up(&mut self) {
        self.set_defaults();
        self.config = ConfigRegisters::enumerated();
        self.nor.without_supply = 0;
        self.nor.power_up();
        self.quiet_until = 0;
        self.boot_address = 0;
        self.running = self.after_power_on();
        self.begin_boot(0, [0; 4]);
        self.save();
    }

    /// A command that changes the flash, at the moment chip-select rose. The answer is what was changed.
    pub(super) fn mutate(&mut self, mutation: Mutation, now: u64) -> Option<Mutation> {
        let op = self.mutations + 1;
        self.record_cut(op, mutation, now);
        let mut effect = MutationEffect::Complete;
        let mut mutation = mutation;
        let mut without_supply = 0;
        let mut stuck = false;
        let mut longer = 0_u64;
        if self.armed.suspends || self.asleep.is_some() {
            let bytes = self.nor.mem()[mutation.range(self.nor.size())].to_vec();
            self.before = Some((mutation, bytes, *self.nor.page()));
        }
        while let Some(fault) = self.armed.at_op(op) {
            match fault {
                Fault::PowerCut { op: 0, .. } => {
                    self.cut_power();
                    return None;
                }
                Fault::PowerCut { seed, .. } => effect = MutationEffect::Torn(seed),
                Fault::MarginalCut { seed, .. } => effect = MutationEffect::Marginal(seed),
                Fault::BrownOut { seed, commands, .. } => {
                    effect = MutationEffect::Sagging(seed);
                    without_supply = commands.max(1);
                }
                Fault::Misdirected { to, .. } => mutation = mutation.moved(to, self.nor.size()),
                Fault::FlippedBit { bit, .. } => effect = MutationEffect::FlippedBit(bit),
                Fault::LyingWrite { .. } => effect = MutationEffect::Nothing,
                Fault::SlowOp { ms, .. } => longer = ms.saturating_mul(1_000_000),
                _ => stuck = true,
            }
            if effect.is_interrupted() {
                break;
            }
        }
        self.mutations = op;
        let ns = mutation.ns(&self.nor);
        self.count_mutation(mutation, ns);
        self.log_mutation(mutation);
        apply(&mut self.nor, mutation, effect);
        if without_supply > 0 {
            self.nor.without_supply = without_supply;
        } else {
            self.nor.start(now, ns.saturating_add(longer));
        }
        if stuck {
            self.nor.stick();
        }
        self.save_flash(mutation.range(self.nor.size()));
        if effect.is_interrupted() && without_supply == 0 {
            self.cut_power();
        } else {
            self.save();
        }
        Some(mutation)
    }

    fn record_cut(&mut self, op: u64, mutation: Mutation, now: u64) {
        let Some(cuts) = &self.cuts else { return };
        if !cuts.ops.contains(&op) {
            return;
        }
        let seed = (cuts.seed)(op);
        let mut cut = self.fork();
        cut.arm(Fault::PowerCut { op, seed });
        cut.mutate(mutation, now);
        if let Some(cuts) = &mut self.cuts {
            cuts.cards.push(cut);
        }
    }

    fn cut_power(&mut self) {
        self.off = true;
        self.log(|| Op::PowerLost);
        self.save();
    }

    fn count_mutation(&mut self, mutation: Mutation, ns: u64) {
        let counters = &mut self.counters;
        counters.chip_time_ns += ns;
        counters.card_time_ns += ns;
        *match mutation {
            Mutation::Program { .. } => &mut counters.programs,
            Mutation::Status { .. } => &mut counters.status_writes,
            Mutation::Erase { len: 0x1000, .. } => &mut counters.erases_4k,
            Mutation::Erase { len: 0x1_0000, .. } => &mut counters.erases_64k,
            Mutation::Erase { .. } => &mut counters.erases_other,
        } += 1;
    }

    fn log_mutation(&mut self, mutation: Mutation) {
        let Some(trace) = &mut self.trace else { return };
        trace.push(match mutation {
            Mutation::Program { at, len } => Op::Program {
                at,
                bytes: (0..len).map(|i| self.nor.page()[((at + i) % PAGE) as usize]).collect(),
            },
            Mutation::Erase { at, len, .. } => Op::Erase { at, len },
            Mutation::Status { first, second } => Op::WriteStatus { first, second },
        });
    }
}
