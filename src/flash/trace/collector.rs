//! Takes the accesses of a read of 16 bytes together while a trace is recorded.

use super::access::{TraceAccess, TraceOp};
use super::blocks::{MOST, TraceBlock, WORDS};
use super::format::TraceRecord;
use crate::card::Reg;

/// Accesses that have a record each, before reads of blocks are taken together: a trace of a query shows each.
const SINGLE: u64 = 64 << 10;
/// Takes the accesses of reads together.
#[derive(Debug, Default)]
pub(super) struct BlockCollector {
    pending: Vec<TraceAccess>,
    /// All four words are there; the device id may follow.
    complete: bool,
    singles: u64,
}

impl BlockCollector {
    /// The next access; what is to be recorded now.
    pub(super) fn add(&mut self, access: TraceAccess) -> Vec<TraceRecord> {
        if self.singles < SINGLE {
            self.singles += 1;
            return vec![TraceRecord::Access(access)];
        }
        let is = |op, reg: Reg| access.op == op && access.at == reg.offset().0;
        if self.complete && is(TraceOp::Read, Reg::DeviceId) {
            self.pending.push(access);
            return self.flush();
        }
        let begins = is(TraceOp::Write, Reg::GatewayAddress)
            || is(TraceOp::Write, Reg::GatewayCommand)
                && self.pending.iter().any(|a| a.at != Reg::GatewayAddress.offset().0);
        let ended = self.complete || begins || self.pending.len() >= MOST;
        let mut records = if ended { self.flush() } else { Vec::new() };
        let alone =
            !is(TraceOp::Write, Reg::GatewayAddress) && !is(TraceOp::Write, Reg::GatewayCommand);
        if self.pending.is_empty() && alone {
            records.push(TraceRecord::Access(access));
            return records;
        }
        self.pending.push(access);
        self.complete = is(TraceOp::Read, Reg::GatewayData(WORDS as u8 - 1));
        records
    }

    /// What is held back.
    pub(super) fn flush(&mut self) -> Vec<TraceRecord> {
        self.complete = false;
        let pending = std::mem::take(&mut self.pending);
        match TraceBlock::of(&pending) {
            Some(block) => vec![TraceRecord::Block(block)],
            None => pending.into_iter().map(TraceRecord::Access).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::TraceValue;
    use super::super::blocks::BlockWords;
    use super::*;
    use crate::card::BarAccess;

    fn block() -> TraceBlock {
        let words = [TraceValue::Clear(u32::MAX), TraceValue::Masked(7), TraceValue::Masked(8)];
        let [a, b, c] = words;
        TraceBlock {
            time: 100,
            duration: 12,
            transport: Some(BarAccess::Mmap),
            address: Some(0x75a0),
            command: 0x4003_241d,
            flushed: true,
            polls: 5,
            words: BlockWords::of([a, b, c, TraceValue::Clear(0)]).unwrap(),
            id: Some(0x1f5),
        }
    }

    #[test]
    fn the_accesses_of_a_block_are_taken_together_and_are_the_same_again() {
        let chain = TraceBlock { address: None, command: 0x4000_2431, id: None, ..block() };
        let posted = TraceBlock { flushed: false, polls: 0, transport: None, ..block() };
        for block in [block(), chain, posted] {
            let accesses: Vec<_> = block.accesses().collect();
            assert_eq!(accesses.len(), block.count());
            assert_eq!(TraceBlock::of(&accesses), Some(block));
            let mut collector = BlockCollector { singles: SINGLE, ..BlockCollector::default() };
            let mut records = Vec::new();
            for access in accesses.iter().chain(&accesses) {
                records.extend(collector.add(*access));
            }
            records.extend(collector.flush());
            assert_eq!(records, [TraceRecord::Block(block), TraceRecord::Block(block)]);
        }
    }

    #[test]
    fn what_is_no_regular_read_keeps_a_record_an_access() {
        let whole: Vec<_> = block().accesses().collect();
        let mut slow = whole.clone();
        slow.last_mut().unwrap().time += 1000;
        let mut failed = whole.clone();
        failed[11].value = TraceValue::Failed;
        let mut other = whole.clone();
        other[5].value = TraceValue::Clear(1);
        let mut by = whole.clone();
        by[6].transport = Some(BarAccess::Config);
        for accesses in [slow, failed, other, by, whole[..9].to_vec(), whole[2..].to_vec()] {
            let mut collector = BlockCollector { singles: SINGLE, ..BlockCollector::default() };
            let mut records: Vec<_> =
                accesses.iter().flat_map(|access| collector.add(*access)).collect();
            records.extend(collector.flush());
            let single: Vec<_> = accesses.into_iter().map(TraceRecord::Access).collect();
            assert_eq!(records, single);
        }
    }
}
