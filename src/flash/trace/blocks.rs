//! Reads of 16 bytes through the gateway, one record each.
//!
//! A self-test reads the whole flash several times, 12 accesses for 16 bytes. The accesses of such a read are
//! always the same ones, so a long trace holds one record for them: its values are exact, its first and its
//! last time too, and the times between are spread evenly.

use super::access::{TraceAccess, TraceOp, TraceValue};
use crate::card::{BarAccess, Reg};
use crate::flash::gateway::CommandBits;

/// Microseconds of the longest read that is taken together: a slow one shows each of its accesses.
pub(super) const LONGEST: u64 = 500;
/// Accesses of the longest one: its polls are back to back.
pub(super) const MOST: usize = 256;
/// The register that flushes writes (docs/hardware.md#write-flush).
const FLUSH: Reg = Reg::Semaphore(32);
/// Data registers of one read.
pub(super) const WORDS: usize = 4;

/// A read of 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceBlock {
    /// Time of its first access.
    pub time: u64,
    /// Microseconds to its last access.
    pub duration: u16,
    pub transport: Option<BarAccess>,
    /// What was written to the address register first; `None` inside a chain of reads.
    pub address: Option<u32>,
    /// What was written to the command register.
    pub command: u32,
    /// The write was flushed.
    pub flushed: bool,
    /// Reads of the command register that showed it busy; one more showed it idle.
    pub polls: u16,
    pub words: BlockWords,
    /// What the device id read behind it.
    pub id: Option<u32>,
}

/// Four values, each a word or the number of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockWords {
    values: [u32; WORDS],
    masked: [bool; WORDS],
}

impl BlockWords {
    /// `None` where a value is neither.
    pub(super) fn of(values: [TraceValue; WORDS]) -> Option<Self> {
        let mut words = Self { values: [0; WORDS], masked: [false; WORDS] };
        let places = words.values.iter_mut().zip(&mut words.masked);
        for ((place, masked), value) in places.zip(values) {
            (*place, *masked) = match value {
                TraceValue::Clear(word) => (word, false),
                TraceValue::Masked(number) => (number, true),
                TraceValue::Failed | TraceValue::Absent => return None,
            };
        }
        Some(words)
    }

    pub(super) fn values(&self) -> [TraceValue; WORDS] {
        let [a, b, c, d] = self.values;
        let [e, f, g, h] = self.masked;
        let value = |word, masked| match masked {
            true => TraceValue::Masked(word),
            false => TraceValue::Clear(word),
        };
        [value(a, e), value(b, f), value(c, g), value(d, h)]
    }
}

impl TraceBlock {
    /// Time of its last access.
    pub fn end(&self) -> u64 {
        self.time.saturating_add(self.duration.into())
    }

    /// Its accesses.
    pub fn accesses(self) -> impl Iterator<Item = TraceAccess> {
        (0..self.count()).map_while(move |n| self.access(n))
    }

    /// Number of its accesses.
    pub fn count(&self) -> usize {
        let address = usize::from(self.address.is_some());
        let flush = if self.flushed { 2 } else { 0 };
        address + 1 + flush + usize::from(self.polls) + 1 + WORDS + usize::from(self.id.is_some())
    }

    /// The access with this number.
    pub fn access(&self, n: usize) -> Option<TraceAccess> {
        use TraceOp::{Read, Write};
        let idle = self.command & !CommandBits::BUSY.bits();
        let clear = TraceValue::Clear;
        let mut left = n;
        // How many accesses, what they are.
        let mut nth = |count: usize, op, reg: Reg, value| {
            let here = left < count;
            left = left.wrapping_sub(count);
            here.then_some((op, reg, value))
        };
        let address = usize::from(self.address.is_some());
        let flush = usize::from(self.flushed);
        let (op, reg, value) =
            nth(address, Write, Reg::GatewayAddress, clear(self.address.unwrap_or_default()))
                .or_else(|| nth(1, Write, Reg::GatewayCommand, clear(self.command)))
                .or_else(|| nth(flush, Write, FLUSH, clear(0)))
                .or_else(|| nth(flush, Read, FLUSH, clear(0)))
                .or_else(|| nth(self.polls.into(), Read, Reg::GatewayCommand, clear(self.command)))
                .or_else(|| nth(1, Read, Reg::GatewayCommand, clear(idle)))
                .or_else(|| {
                    let words = (0..).zip(self.words.values());
                    words.into_iter().find_map(|(n, v)| nth(1, Read, Reg::GatewayData(n), v))
                })
                .or_else(|| self.id.and_then(|id| nth(1, Read, Reg::DeviceId, clear(id))))?;
        let last = self.count().saturating_sub(1).max(1) as u64;
        let time = self.time.saturating_add(u64::from(self.duration) * n as u64 / last);
        Some(TraceAccess { time, transport: self.transport, op, at: reg.offset().0, value })
    }

    /// The block that these accesses are; `None` when they are anything else.
    pub(super) fn of(accesses: &[TraceAccess]) -> Option<Self> {
        let (first, last) = (accesses.first()?, accesses.last()?);
        let clear = |access: &TraceAccess| match access.value {
            TraceValue::Clear(word) => Some(word),
            _ => None,
        };
        let is = |access: &&TraceAccess, reg: Reg| access.at == reg.offset().0;
        let address = Some(first).filter(|a| is(a, Reg::GatewayAddress)).and_then(clear);
        let rest = accesses.get(usize::from(address.is_some())..)?;
        let command = clear(rest.first()?)?;
        let flushed = rest.get(1).is_some_and(|a| is(&a, FLUSH));
        let id = Some(last).filter(|a| is(a, Reg::DeviceId)).and_then(clear);
        let data = accesses.len().checked_sub(WORDS + usize::from(id.is_some()))?;
        let words = accesses.get(data..)?.first_chunk::<WORDS>()?;
        let mut block = Self {
            time: first.time,
            duration: u16::try_from(last.time.checked_sub(first.time)?).ok()?,
            transport: first.transport,
            address,
            command,
            flushed,
            polls: 0,
            words: BlockWords::of(words.map(|access| access.value))?,
            id,
        };
        block.polls = u16::try_from(accesses.len().checked_sub(block.count())?).ok()?;
        let same = |(n, access): (usize, &TraceAccess)| {
            block.access(n).map(|a| TraceAccess { time: access.time, ..a }) == Some(*access)
        };
        let starts = CommandBits::from_bits_truncate(command).contains(CommandBits::BUSY);
        let fits = u64::from(block.duration) <= LONGEST && accesses.len() <= MOST && starts;
        (fits && accesses.iter().enumerate().all(same)).then_some(block)
    }
}

impl std::fmt::Display for TraceBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address {
            Some(at) => write!(f, "gateway read {:08x} at {at:#x}", self.command)?,
            None => write!(f, "gateway read {:08x}, the next in its chain", self.command)?,
        }
        write!(f, " in {} µs, {} polls:", self.duration, self.polls)?;
        self.words.values().iter().try_for_each(|value| write!(f, " {value}"))?;
        self.id.map_or(Ok(()), |id| write!(f, "; device id {id:08x}"))
    }
}
