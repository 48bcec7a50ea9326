//! What was asked of the card: speed is counted, not guessed.

use serde::{Deserialize, Serialize};

/// Counters since the card was made (or last reset by [`super::SimCard::take_counters`]).
///
/// Two times are kept. `card_time_ns` is the model of design.md "Speed", the one to compare with
/// the rival's table: every bus access, every SPI byte and every typical erase and program time
/// added up, as if nothing overlapped. `time_ns` is what the simulated clock went on: waiting for
/// WIP overlaps with polling it, and sleeps count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Erases of another size (32 KiB, whole chip).
    pub erases_other: u64,
    /// Page programs (byte programs on SST).
    pub programs: u64,
    /// Writes of the status register.
    pub status_writes: u64,
    /// Status polls (RDSR commands).
    pub polls: u64,
    /// Typical times of the erases, programs and status writes done, in ns: the chip's floor.
    pub chip_time_ns: u64,
    /// Card time by the model of the design, in ns.
    pub card_time_ns: u64,
    /// Simulated time gone by, in ns.
    pub time_ns: u64,
}
