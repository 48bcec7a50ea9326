//! The card with everything around it that a virtual machine sees: accesses of every width, time,
//! resets, interrupts, guest memory, firmware.

use super::irq::Irqs;
use super::pci::{ServedConfigSpace, words_of};
use crate::card::{CrError, CrOffset, CrSpace};
use crate::sim::SimCard;
use crate::sim::dma::{DeviceBus, GuestMemory};
use crate::sim::firmware::NetworkFirmware;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Bytes of BAR0.
pub(super) const BAR0_SIZE: u64 = 1 << 20;
/// Bytes of BAR2.
pub(super) const BAR2_SIZE: u64 = 8 << 20;

/// How a served card's time runs. What the guest sleeps through is wall time in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServePace {
    /// Erases and programs cost no waiting: each poll of the status register finds a third of what
    /// is left gone. A reset takes 0.3 s.
    #[default]
    Fast,
    /// Erases and programs take their typical times; a reset takes 0.9 s.
    Wall,
}

impl ServePace {
    /// Silence after a reset. `mlx4_core` and this tool wait 1 s; how long a real
    /// card is silent is UNCONFIRMED.
    fn reset_time(self) -> Duration {
        Duration::from_millis(match self {
            Self::Fast => 300,
            Self::Wall => 900,
        })
    }
}

pub(super) struct ServedDevice {
    pub(super) card: SimCard,
    bar0: Box<dyn CrSpace>,
    pub(super) config: ServedConfigSpace,
    /// BAR2, doorbells: memory without behaviour, mapped by the client.
    pub(super) bar2: Rc<File>,
    pub(super) irqs: Irqs,
    pub(super) memory: GuestMemory,
    pub(super) firmware: NetworkFirmware,
    /// Connections closed because there was a client.
    pub(super) clients_refused: u64,
    boots: u64,
    last: Instant,
    /// Reads and writes of words of BAR0, by address: shows where a tool spins.
    touched: HashMap<u32, [u64; 2]>,
}

impl ServedDevice {
    pub(super) fn new(card: SimCard, pace: ServePace) -> io::Result<Self> {
        card.set_host_restores_config(false);
        card.set_reset_time(pace.reset_time());
        card.state.borrow_mut().hurry = pace == ServePace::Fast;
        card.state.borrow_mut().reset_config();
        let bar2 = memfd_create("cx3flash-bar2", MFdFlags::MFD_CLOEXEC)?;
        let bar2 = Rc::new(File::from(bar2));
        bar2.set_len(BAR2_SIZE)?;
        let boots = card.state.borrow().boots;
        Ok(Self {
            bar0: card.bar0(),
            config: ServedConfigSpace::new(&card),
            bar2,
            irqs: Irqs::default(),
            memory: GuestMemory::default(),
            firmware: NetworkFirmware::new(&card),
            clients_refused: 0,
            boots,
            last: Instant::now(),
            touched: HashMap::new(),
            card,
        })
    }

    /// Advances the card's time to the wall clock.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        let gone = now.duration_since(self.last);
        self.last = now;
        self.card.clock().sleep(gone);
    }

    /// After anything that may have reset the chip.
    pub(super) fn settle(&mut self) {
        let boots = self.card.state.borrow().boots;
        if self.boots != boots {
            self.boots = boots;
            self.config.chip_reset();
            self.firmware.boot(&self.card);
            tracing::info!(runs = ?self.card.running(), "the chip has restarted");
        }
        // The accesses that follow are a network driver's.
        self.card.state.borrow_mut().network_driver = self.config.masters();
    }

    /// Function-level reset, or `DEVICE_RESET`.
    pub(super) fn pci_reset(&mut self) {
        if self.card.is_silent() {
            return;
        }
        self.card.pci_reset();
        self.config.reset();
        self.firmware.forget_host();
        self.settle();
    }

    /// Drops the memory and interrupts of the client.
    pub(super) fn disconnect(&mut self) {
        self.irqs = Irqs::default();
        self.memory = GuestMemory::default();
        self.pci_reset();
    }

    pub(super) fn config_read(&mut self, at: u64, bytes: &mut [u8]) {
        self.config.read(at, bytes);
        // Reading 0x5c reads registers, and the semaphores among them are taken by it.
        self.settle();
    }

    pub(super) fn config_write(&mut self, at: u64, bytes: &[u8]) {
        if self.config.write(at, bytes) {
            self.pci_reset();
        } else {
            self.settle();
        }
    }

    /// Registers are big-endian words. Wider accesses are taken apart; narrower ones are answered
    /// out of the word around them and recorded, since what a real card does is unknown.
    pub(super) fn bar0_read(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), CrError> {
        self.check_width(at, bytes.len());
        for (word, inside, part) in words_of(at, bytes.len()) {
            let from = CrOffset(word as u32);
            self.count(from, 0);
            let value = self.bar0.read(from)?.to_be_bytes();
            bytes[part.clone()].copy_from_slice(&value[inside..inside + part.len()]);
        }
        // A fault may reset the chip at any access.
        if self.boots != self.card.state.borrow().boots {
            self.settle();
        }
        Ok(())
    }

    pub(super) fn bar0_write(&mut self, at: u64, bytes: &[u8]) -> Result<(), CrError> {
        self.check_width(at, bytes.len());
        for (word, inside, part) in words_of(at, bytes.len()) {
            let to = CrOffset(word as u32);
            let mut value = self.card.peek(to.0).to_be_bytes();
            value[inside..inside + part.len()].copy_from_slice(&bytes[part]);
            self.count(to, 1);
            self.bar0.write(to, u32::from_be_bytes(value))?;
            self.settle();
            self.post(to);
        }
        Ok(())
    }

    /// Passes a write on to the firmware.
    fn post(&mut self, at: CrOffset) {
        if !self.card.answers() {
            return;
        }
        let mut bus =
            DeviceBus { masters: self.config.masters(), memory: &self.memory, raised: Vec::new() };
        self.firmware.written(&self.card, at, &mut bus);
        for vector in bus.raised {
            self.irqs.send(super::irq::MSIX, vector);
        }
    }

    fn count(&mut self, at: CrOffset, way: usize) {
        self.touched.entry(at.0).or_default()[way] += 1;
    }

    /// The registers touched most: address, reads, writes.
    pub(super) fn busiest(&self, most: usize) -> Vec<(u32, u64, u64)> {
        let all = self.touched.iter();
        let mut all: Vec<_> = all.map(|(at, [r, w])| (*at, *r, *w)).collect();
        all.sort_by_key(|(at, r, w)| (std::cmp::Reverse(r + w), *at));
        all.truncate(most);
        all
    }

    /// Sets the counts and the misuse to zero.
    pub(super) fn forget_counts(&mut self) {
        self.touched.clear();
        let mut state = self.card.state.borrow_mut();
        state.misuse.clear();
        state.misuse_count = 0;
    }

    fn check_width(&mut self, at: u64, len: usize) {
        if !matches!(len, 4 | 8) || !at.is_multiple_of(4) {
            self.card.note(format!("an access of {len} bytes to BAR0 at {at:#x}"));
        }
    }
}
