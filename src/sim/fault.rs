//! Faults, seeded and listed (docs/hardware.md#requirements-for-an-emulator item 12).

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// One thing that goes wrong. Several can wait at a time; each is used up when it has happened,
/// and [`super::SimCard::power_cycle`] takes them all away.
///
/// Operation numbers count mutating flash operations (each sector erase, each page or byte
/// program, each status write) of this power-on, from 1. `after` counts from the moment the fault
/// is added, or from the opening of the card file it waits in; 0 = the very next one. Gateway data
/// reads are all commands that bring data in: flash contents, but also RDID and RDSR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// Power fails during operation `op`: the page or sector is left torn (a seeded part of the
    /// bits done), and nothing answers until [`super::SimCard::power_cycle`].
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
        /// Gateway data reads before it happens.
        after: u64,
    },
    /// One gateway read delivers something else than what came from the chip. Only the data
    /// registers are wrong; the flash is right, and the next read is.
    WrongRead {
        /// Gateway data reads before it happens.
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
    /// Semaphore `number` answers taken for `reads` reads (`None` = until 0 is written to
    /// it, and then taken once more at once when `owner_alive`).
    SemaphoreHeld {
        /// Index in the bank.
        number: u8,
        /// Reads until it is free.
        reads: Option<u64>,
        /// A live owner takes it back.
        owner_alive: bool,
    },
    /// Erases and programs in the range these bits protect do nothing, as the status register
    /// shows. The bits are non-volatile (but on SST): power does not clear them, a status write
    /// does.
    Protected {
        /// Value of the protection bits in status register 1.
        status: u8,
    },
    /// After so many more register accesses everything reads all ones, until power is cycled.
    Removed {
        /// Accesses before it happens.
        after: u64,
    },
    /// Another driver resets the chip after so many more register accesses.
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
    /// The configuration sectors hold what the running firmware calls corrupt
    /// (docs/hardware.md#settings-in-the-firmware). They are in the flash: power does not repair
    /// them, an erase does.
    CorruptConfiguration,
    /// Chained reads (CS_HOLD) return wrong bytes after the first 16 (each one inverted): silicon
    /// on which chaining does not work. Chained programs work.
    BrokenChainedRead,
    /// Writes arrive late: a read without the flush of docs/hardware.md#write-flush overtakes them.
    /// Each read lets one arrive behind it, and none is on its way for more than 20 µs.
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

/// The faults of one card. Most accesses only compare one number with [`ArmedFaults::trip`].
#[derive(Clone)]
pub(super) struct ArmedFaults {
    list: Vec<(Fault, u64)>,
    /// Number of the register access at which something happens.
    pub(super) trip: u64,
    /// [`Fault::DelayedWrites`], 0 = none.
    pub(super) delay: u32,
    /// [`Fault::BrokenChainedRead`].
    pub(super) broken_chain: bool,
    /// Some semaphore is held by a fault.
    pub(super) semaphores: bool,
}

/// What one count is at the moment a fault is armed; `after` counts from there.
#[derive(Clone, Copy)]
pub(super) struct FaultCounts {
    pub(super) accesses: u64,
    pub(super) commands: u64,
    pub(super) reads: u64,
}

/// What a fault makes of a mutating operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpFault {
    PowerCutBefore,
    PowerCut(u64),
    Flip(u32),
    Lie,
    StickWip,
}

impl Default for ArmedFaults {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            trip: u64::MAX,
            delay: 0,
            broken_chain: false,
            semaphores: false,
        }
    }
}

impl ArmedFaults {
    pub(super) fn add(&mut self, fault: Fault, now: FaultCounts) {
        let base = match fault {
            Fault::Removed { .. } | Fault::Reset { .. } | Fault::Away { .. } => now.accesses,
            Fault::StuckBusy { .. } => now.commands,
            Fault::ShortRead { .. } | Fault::WrongRead { .. } => now.reads,
            _ => 0,
        };
        self.list.push((fault, base));
        self.refresh();
    }

    pub(super) fn list(&self) -> Vec<Fault> {
        self.list.iter().map(|(fault, _)| fault.clone()).collect()
    }

    /// Removes those for which `gone` is true.
    pub(super) fn drop_where(&mut self, mut gone: impl FnMut(&Fault) -> bool) {
        self.list.retain(|(fault, _)| !gone(fault));
        self.refresh();
    }

    fn refresh(&mut self) {
        self.trip = u64::MAX;
        self.delay = 0;
        self.broken_chain = false;
        self.semaphores = false;
        for (fault, base) in &self.list {
            match fault {
                Fault::Removed { after } | Fault::Reset { after } | Fault::Away { after, .. } => {
                    self.trip = self.trip.min(base.saturating_add(*after).saturating_add(1));
                }
                Fault::DelayedWrites { depth } => self.delay = *depth,
                Fault::BrokenChainedRead => self.broken_chain = true,
                Fault::SemaphoreHeld { .. } => self.semaphores = true,
                _ => {}
            }
        }
    }

    /// Takes one fault out for which `due` is true.
    fn take(&mut self, due: impl Fn(&Fault, u64) -> bool) -> Option<Fault> {
        let at = self
            .list
            .iter()
            .position(|(fault, base)| due(fault, *base))?;
        let (fault, _) = self.list.remove(at);
        self.refresh();
        Some(fault)
    }

    /// The removal, reset or pause due at this access.
    pub(super) fn at_access(&mut self, access: u64) -> Option<Fault> {
        self.take(|fault, base| match fault {
            Fault::Removed { after } | Fault::Reset { after } | Fault::Away { after, .. } => {
                access > base.saturating_add(*after)
            }
            _ => false,
        })
    }

    /// The gateway sticks at this command.
    pub(super) fn sticks_at_command(&mut self, command: u64) -> bool {
        !self.list.is_empty()
            && self
                .take(|fault, base| {
                    matches!(fault, Fault::StuckBusy { after } if command > base.saturating_add(*after))
                })
                .is_some()
    }

    /// This gateway read delivers only its first bytes.
    pub(super) fn shortens_read(&mut self, read: u64) -> bool {
        !self.list.is_empty()
            && self
                .take(|fault, base| {
                    matches!(fault, Fault::ShortRead { after } if read > base.saturating_add(*after))
                })
                .is_some()
    }

    /// This gateway read delivers something wrong; `covers` are the flash addresses it reads.
    pub(super) fn spoils_read(&mut self, read: u64, covers: &Range<u32>) -> Option<WrongRead> {
        if self.list.is_empty() {
            return None;
        }
        let fault = self.take(|fault, base| match fault {
            Fault::WrongRead { after, at, .. } => {
                read > base.saturating_add(*after) && at.is_none_or(|at| covers.contains(&at))
            }
            _ => false,
        })?;
        match fault {
            Fault::WrongRead { kind, .. } => Some(kind),
            _ => None,
        }
    }

    /// Takes the next fault of mutating operation `op`.
    pub(super) fn at_op(&mut self, now: u64) -> Option<OpFault> {
        if self.list.is_empty() {
            return None;
        }
        let fault = self.take(|fault, _| match fault {
            Fault::PowerCut { op, .. } => *op == now || *op == 0,
            Fault::FlippedBit { op, .. } | Fault::LyingWrite { op } => *op == now,
            Fault::StuckWip { op } => now >= *op,
            _ => false,
        })?;
        match fault {
            Fault::PowerCut { op: 0, .. } => Some(OpFault::PowerCutBefore),
            Fault::PowerCut { seed, .. } => Some(OpFault::PowerCut(seed)),
            Fault::FlippedBit { bit, .. } => Some(OpFault::Flip(bit)),
            Fault::LyingWrite { .. } => Some(OpFault::Lie),
            Fault::StuckWip { .. } => Some(OpFault::StickWip),
            _ => None,
        }
    }

    /// A read of semaphore `n`: true = it answers taken. Counts down.
    pub(super) fn holds_on_read(&mut self, n: u8) -> bool {
        for (fault, _) in &mut self.list {
            if let Fault::SemaphoreHeld { number, reads, .. } = fault
                && *number == n
            {
                match reads {
                    None => return true,
                    Some(left) if *left > 0 => {
                        *left -= 1;
                        return true;
                    }
                    Some(_) => {}
                }
            }
        }
        self.drop_where(|fault| {
            matches!(fault, Fault::SemaphoreHeld { number, reads: Some(0), .. } if *number == n)
        });
        false
    }

    /// A write of 0 to semaphore `n`: true = a live owner has it back at once.
    pub(super) fn retakes(&mut self, n: u8) -> bool {
        let alive = self.list.iter().any(|(fault, _)| {
            matches!(fault, Fault::SemaphoreHeld { number, owner_alive: true, .. } if *number == n)
        });
        if !alive {
            self.drop_where(
                |fault| matches!(fault, Fault::SemaphoreHeld { number, .. } if *number == n),
            );
        }
        alive
    }
}
