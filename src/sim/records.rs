//! Time, counters, trace and misuse of a card: what tests read.

use crate::card::Clock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Largest time and largest count of a card: another one can be added to it.
pub(super) const LARGEST: u64 = u64::MAX / 2;

/// Simulated nanoseconds since the card was made; shared between a card and its clocks.
#[derive(Clone, Default)]
pub(super) struct SimTime(Rc<Cell<u64>>);

impl SimTime {
    pub(super) fn now(&self) -> u64 {
        self.0.get()
    }

    /// Time ends after 292 years, so that a moment ahead of now is a number, too.
    pub(super) fn add(&self, ns: u64) {
        self.0.set(self.0.get().saturating_add(ns).min(LARGEST));
    }

    /// An independent clock with the same time.
    pub(super) fn fork(&self) -> Self {
        Self(Rc::new(Cell::new(self.now())))
    }
}

/// A sleep moves the card's time.
impl Clock for SimTime {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.get())
    }

    fn sleep(&self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// Counters since the card was made (or last reset by [`super::SimCard::take_counters`]).
///
/// `card_time_ns` is the sum of every bus access (1 us a read, 0.15 us a write), every SPI byte (25
/// MHz) and every typical erase and program time, as if nothing overlapped: the figure to compare
/// with mstflint 4.21. `time_ns` is the advance of the simulated clock: polling overlaps with the
/// work of the chip, and sleeps count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Reads of BAR0, and of configuration space.
    pub bar_reads: u64,
    /// Writes of BAR0, and of configuration space.
    pub bar_writes: u64,
    /// Gateway commands started.
    pub gateway_commands: u64,
    /// Bytes shifted on SPI, opcodes and addresses included.
    pub spi_bytes: u64,
    /// 4 KiB erases.
    pub erases_4k: u64,
    /// 64 KiB erases.
    pub erases_64k: u64,
    /// Erases of another size (32 KiB, the chip).
    pub erases_other: u64,
    /// Page programs (byte programs on SST).
    pub programs: u64,
    /// Writes of the status register.
    pub status_writes: u64,
    /// Status polls (RDSR commands).
    pub polls: u64,
    /// Typical times of the erases, programs and status writes done, in ns: the chip's floor.
    pub chip_time_ns: u64,
    /// The sum described above, in ns.
    pub card_time_ns: u64,
    /// Simulated time gone by, in ns.
    pub time_ns: u64,
}

impl Counters {
    pub(super) fn largest(&self) -> u64 {
        let Self { bar_reads, bar_writes, gateway_commands, spi_bytes, .. } = *self;
        let Self { erases_4k, erases_64k, erases_other, programs, status_writes, .. } = *self;
        let Self { polls, chip_time_ns, card_time_ns, time_ns, .. } = *self;
        let accesses = bar_reads.max(bar_writes).max(gateway_commands).max(spi_bytes).max(polls);
        let erases = erases_4k.max(erases_64k).max(erases_other);
        let times = chip_time_ns.max(card_time_ns).max(time_ns);
        accesses.max(erases).max(programs).max(status_writes).max(times)
    }
}

/// One operation on the card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "op")]
pub enum Op {
    /// Flash bytes were read; consecutive reads of adjacent bytes are one.
    Read { at: u32, len: u32 },
    /// A sector (or the chip) was erased.
    Erase { at: u32, len: u32 },
    /// Bytes were programmed by one command, which sent these.
    Program { at: u32, bytes: Vec<u8> },
    /// The status register was written, and the second one if the command had two bytes.
    WriteStatus { first: u8, second: Option<u8> },
    /// A register other than the gateway's and the flush semaphore was written.
    Register { at: u32, value: u32 },
    /// A semaphore of the bank was taken.
    Acquire { number: u8 },
    /// The card was reset, by this driver or another one.
    Reset,
    /// Power went off (fault) or was switched off and on.
    PowerLost,
}

/// An access that a correct driver does not make.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Misuse {
    /// Number of the register access.
    pub access: u64,
    pub what: String,
}
