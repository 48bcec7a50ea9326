//! Faults, seeded and listed (docs/hardware.md#requirements-for-an-emulator item 12).

use serde::{Deserialize, Serialize};

/// One thing that goes wrong. Several can wait at a time; each is used up when it has happened,
/// and [`super::SimCard::power_cycle`] takes them all away.
///
/// Operation numbers count mutating flash operations (each sector erase, each page or byte
/// program, each status write) of this power-on, from 1. `after` counts from the moment the fault
/// is added, or from the opening of the card file it waits in; 0 = the very next one. GatewayState data
/// reads are all commands that bring data in: flash contents, but also RDID and RDSR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// Power fails during operation `op`: the page or sector is left torn (a seeded part of the
    /// bits done), and nothing answers any more until [`super::SimCard::power_cycle`].
    PowerCut {
        /// Operation number. 0 = before the next one, whatever its number: nothing of it is done.
        op: u64,
        /// Seed of the tear. Some leave nothing done, some everything.
        seed: u64,
    },
    /// One bit of operation `op` stays wrong.
    FlippedBit {
        /// Operation number.
        op: u64,
        /// Bit number inside what is programmed or erased (modulo its length): byte `bit / 8`,
        /// counted from the least significant bit.
        bit: u32,
    },
    /// Operation `op` reports success and does nothing.
    LyingWrite {
        /// Operation number.
        op: u64,
    },
    /// One gateway read delivers only the first half of its bytes; the data registers keep what
    /// they held for the rest.
    ShortRead {
        /// GatewayState data reads before it happens.
        after: u64,
    },
    /// One gateway read delivers something else than what came from the chip. Only the data
    /// registers are wrong; the flash is right, and the next read is.
    WrongRead {
        /// GatewayState data reads before it happens.
        after: u64,
        /// What is delivered.
        kind: WrongRead,
        /// Only a read that covers this flash address: the first such one behind `after`.
        at: Option<u32>,
    },
    /// The gateway's busy bit stays set from one command on, which does nothing any more.
    StuckBusy {
        /// Commands before it happens.
        after: u64,
    },
    /// WIP stays set from operation `op` on.
    StuckWip {
        /// Operation number.
        op: u64,
    },
    /// Semaphore `number` answers taken for `reads` reads (`None` = for ever, until written 0 by
    /// somebody — and then taken again at once when `owner_alive`).
    SemaphoreHeld {
        /// Index in the bank.
        number: u8,
        /// Reads until it is free.
        reads: Option<u64>,
        /// A live owner takes it back.
        owner_alive: bool,
    },
    /// Erases and programs in the range these bits protect do nothing, the status register says
    /// so. The bits are non-volatile (but on SST): power does not clear them, a status write does.
    Protected {
        /// Value of the protection bits in status register 1.
        status: u8,
    },
    /// AfterAddress so many more register accesses everything reads all ones, until power is cycled.
    Removed {
        /// Accesses before it happens.
        after: u64,
    },
    /// Somebody else resets the chip after so many more register accesses.
    Reset {
        /// Accesses before it happens.
        after: u64,
    },
    /// The process that drives the card loses the processor for `ms` behind one register access:
    /// the access answers as it would have, then time goes on, and so do chip and boot.
    Away {
        /// Accesses before it happens.
        after: u64,
        /// Milliseconds.
        ms: u64,
    },
    /// The configuration sectors hold what the running firmware calls corrupt (docs/hardware.md#settings-in-the-firmware).
    /// They lie in the flash: power does not heal them, erasing them does.
    CorruptConfiguration,
    /// Chained reads (CS_HOLD) return wrong bytes after the first 16 (each one inverted): silicon
    /// on which chaining does not work. Chained programs work.
    BrokenChainedRead,
    /// Writes arrive late: a read without the flush of docs/hardware.md#write-flush overtakes them. Each read lets one
    /// arrive behind it, and none is on its way for more than 20 µs.
    DelayedWrites {
        /// How many register writes may be outstanding.
        depth: u32,
    },
}

/// What [`Fault::WrongRead`] delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongRead {
    /// Nothing arrives: the data registers keep all they held.
    Stale,
    /// Every byte is FF.
    AllOnes,
    /// One bit is wrong.
    Flipped {
        /// Bit number inside what is transferred (modulo its length): byte `bit / 8`, counted from
        /// the least significant bit.
        bit: u32,
    },
}
