//! Faults, seeded and listed (flash-hardware §11 item 12).

use serde::{Deserialize, Serialize};

/// One thing that goes wrong. Operation numbers count mutating flash operations (each sector
/// erase, each page or byte program, each status write) of this power-on, from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// Power fails during operation `op`: the page or sector is left torn (a seeded part of the
    /// bits done), and nothing answers any more until [`super::SimCard::power_cycle`].
    PowerCut {
        /// Operation number. 0 = before the first.
        op: u64,
        /// Seed of the tear.
        seed: u64,
    },
    /// One bit of operation `op` stays wrong.
    FlippedBit {
        /// Operation number.
        op: u64,
        /// Bit number inside what is programmed.
        bit: u32,
    },
    /// Operation `op` reports success and does nothing.
    LyingWrite {
        /// Operation number.
        op: u64,
    },
    /// From the `after`th gateway read on, one read delivers only its first bytes.
    ShortRead {
        /// Gateway data reads before it happens.
        after: u64,
    },
    /// The gateway's busy bit stays set from the `after`th command on.
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
    /// Erases and programs in this range do nothing, status bits say so.
    Protected {
        /// Value of the protection bits in status register 1.
        status: u8,
    },
    /// From the `after`th register access on, everything reads all ones.
    Removed {
        /// Accesses before it happens.
        after: u64,
    },
    /// Somebody resets the chip at the `after`th register access.
    Reset {
        /// Accesses before it happens.
        after: u64,
    },
    /// Chained reads (CS_HOLD) return wrong bytes after the first 16: silicon on which chaining
    /// does not work.
    BrokenChainedRead,
    /// Writes arrive late: a read without the flush of §2.3 may overtake them.
    DelayedWrites {
        /// How many register writes may be outstanding.
        depth: u32,
    },
}
