//! What was asked of the card: speed is counted, not guessed.

use serde::{Deserialize, Serialize};

/// Counters since the card was made (or last reset by [`super::SimCard::take_counters`]).
/// Card time follows the design's model: 1 µs a BAR read, 0.15 µs a BAR write, SPI at 25 MHz,
/// the chip's typical erase and program times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Reads of BAR0 (or configuration data reads).
    pub bar_reads: u64,
    /// Writes of BAR0.
    pub bar_writes: u64,
    /// Gateway commands started.
    pub gateway_commands: u64,
    /// Bytes shifted on SPI, opcodes and addresses included.
    pub spi_bytes: u64,
    /// 4 KiB erases.
    pub erases_4k: u64,
    /// 64 KiB erases.
    pub erases_64k: u64,
    /// Page programs (byte programs on SST).
    pub programs: u64,
    /// Status polls (RDSR commands).
    pub polls: u64,
    /// Simulated time in ns.
    pub time_ns: u64,
}
