//! A driver of a few lines, so that the simulator is tested without the code it will test.

use crate::card::{Clock, CrOffset, CrSpace};
use crate::sim::{CardSpec, SimCard, SimChip};
use std::rc::Rc;
use std::time::Duration;

pub(super) const COMMAND: u32 = 0xf_0400;
pub(super) const ADDRESS: u32 = 0xf_0404;
pub(super) const DATA: u32 = 0xf_0410;
pub(super) const FLUSH: u32 = 0xf_0380;
pub(super) const SEMAPHORE: u32 = 0xf_03fc;

pub(super) struct TestDriver {
    pub(super) card: SimCard,
    access: Box<dyn CrSpace>,
    clock: Rc<dyn Clock>,
    dirty: bool,
}

pub(super) fn spec(chip: SimChip) -> CardSpec {
    CardSpec { chip, ..CardSpec::default() }
}

impl TestDriver {
    /// On a card in memory with this flash, semaphore 63 taken.
    pub(super) fn on(chip: SimChip, flash: &[u8]) -> Self {
        Self::with(&SimCard::new(spec(chip), flash))
    }

    pub(super) fn with(card: &SimCard) -> Self {
        let mut driver = Self::idle(card);
        assert_eq!(driver.read(SEMAPHORE), 0, "semaphore 63 is free");
        driver
    }

    /// Without semaphore.
    pub(super) fn idle(card: &SimCard) -> Self {
        Self { access: card.bar0(), clock: card.clock(), card: card.clone(), dirty: false }
    }

    pub(super) fn over_config(card: &SimCard) -> Self {
        let mut driver = Self { access: card.config_gateway(), ..Self::idle(card) };
        assert_eq!(driver.read(SEMAPHORE), 0, "semaphore 63 is free");
        driver
    }

    pub(super) fn raw_read(&mut self, at: u32) -> u32 {
        self.access.read(CrOffset(at)).expect("memory cannot fail")
    }

    pub(super) fn read(&mut self, at: u32) -> u32 {
        if self.dirty {
            self.write(FLUSH, 0);
            let arrived = (0..100).any(|_| self.raw_read(FLUSH) == 0);
            assert!(arrived || self.card.is_silent(), "flush never ends");
            self.dirty = false;
        }
        self.raw_read(at)
    }

    pub(super) fn write(&mut self, at: u32, value: u32) {
        self.access.write(CrOffset(at), value).expect("memory cannot fail");
        self.dirty = self.access.posts_writes();
    }

    pub(super) fn sleep(&self, us: u64) {
        self.clock.sleep(Duration::from_micros(us));
    }

    /// One gateway command, waited for.
    pub(super) fn run(&mut self, word: u32) {
        self.write(COMMAND, word);
        let done = (0..100).any(|_| self.read(COMMAND) & 1 << 30 == 0);
        assert!(done || self.card.is_silent(), "gateway stays busy");
    }

    pub(super) fn at(&mut self, address: u32, word: u32) {
        self.write(ADDRESS, address);
        self.run(word);
    }

    pub(super) fn status(&mut self) -> u8 {
        self.run(0x4005_2215);
        self.read(DATA).to_be_bytes()[0]
    }

    /// False when the card died or never got ready.
    pub(super) fn wait(&mut self, step_us: u64) -> bool {
        for _ in 0..20_000 {
            self.sleep(step_us);
            if self.card.is_silent() {
                return false;
            }
            if self.status() & 1 == 0 {
                return true;
            }
        }
        false
    }

    pub(super) fn erase(&mut self, opcode: u32, at: u32) -> bool {
        self.run(0x4006_2004);
        self.at(at, 0x4000_200C | opcode << 16);
        self.wait(300)
    }

    fn load(&mut self, bytes: &[u8]) {
        for (i, word) in bytes.chunks(4).enumerate() {
            let word = u32::from_be_bytes(word.try_into().expect("4"));
            self.write(DATA + 4 * i as u32, word);
        }
    }

    /// 16 bytes in one operation.
    pub(super) fn program16(&mut self, at: u32, bytes: &[u8; 16]) -> bool {
        self.run(0x4006_2004);
        self.load(bytes);
        self.at(at, 0x4002_241C);
        self.wait(10)
    }

    /// One page in chained operations.
    pub(super) fn program_page(&mut self, at: u32, bytes: &[u8]) -> bool {
        self.run(0x4006_2004);
        let last = bytes.len() / 16 - 1;
        for (i, chunk) in bytes.chunks(16).enumerate() {
            self.load(chunk);
            let hold = if i == last { 0 } else { 0x20 };
            if i == 0 {
                self.at(at, 0x4002_241C | hold);
            } else {
                self.run(0x4000_2410 | hold);
            }
        }
        self.wait(50)
    }

    pub(super) fn take_data(&mut self, out: &mut [u8]) {
        for (i, word) in out.chunks_mut(4).enumerate() {
            word.copy_from_slice(&self.read(DATA + 4 * i as u32).to_be_bytes());
        }
    }

    pub(super) fn read16(&mut self, at: u32) -> [u8; 16] {
        let mut out = [0; 16];
        self.at(at, 0x4003_241D);
        self.take_data(&mut out);
        out
    }

    /// Chained read of a multiple of 16 bytes, at least 32.
    pub(super) fn read_chain(&mut self, at: u32, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        let last = len / 16 - 1;
        for (i, chunk) in out.chunks_mut(16).enumerate() {
            match i {
                0 => self.at(at, 0x4003_243D),
                i if i == last => self.run(0x4000_2411),
                _ => self.run(0x4000_2431),
            }
            self.take_data(chunk);
        }
        out
    }

    pub(super) fn assert_clean(&self) {
        assert_eq!(self.card.misuse(), [], "misuse by a clean driver");
    }

    /// The only misuse so far contains this.
    pub(super) fn assert_misuse(&self, part: &str) {
        let misuse = self.card.misuse();
        assert!(
            !misuse.is_empty() && misuse.iter().all(|m| m.what.contains(part)),
            "wanted only {part:?}, got {misuse:?}"
        );
    }
}
