//! Faults waiting for their moment.

use super::{Fault, WrongRead};
use std::ops::Range;

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

    /// Forget those of which `gone` is true.
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

    /// Take one fault out for which `due` is true.
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

    /// What happens to mutating operation `op`, one after the other until none is left.
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
