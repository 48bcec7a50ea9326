//! Where the simulated firmware keeps its TLVs: a log in the card's configuration areas.
//!
//! Real firmware's format is not known to any public tool (docs/fs2.md#settings-on-flash); this one
//! is our own, and only the areas are where the real ones are (docs/fs2.md#flash-map,
//! docs/fs2.md#order-of-a-burn #13). Slots of 64 bytes: the first is the header (magic, generation,
//! CRC), each other one a TLV (type, port, dwords, data, CRC); a TLV of no dwords records that it was
//! invalidated. The area with a good header of the highest generation counts, and in it the last
//! good slot of each TLV. A slot is programmed once; a full area is copied to the other one, header
//! last. So a cut at any moment leaves the TLVs of before or after.

use crc::{CRC_32_ISO_HDLC, Crc};
use std::collections::BTreeMap;
use std::ops::Range;

const SLOT: u32 = 64;
/// Most dwords of a TLV in a slot.
pub(super) const MOST_DWORDS: usize = 13;
const MAGIC: [u8; 8] = *b"CX3NVSIM";
/// Most bytes of one area (docs/fs2.md#flash-map).
const MOST: u64 = 0x1_0000;

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// TLVs by type and port.
pub(super) type Tlvs = BTreeMap<(u16, u8), Vec<u32>>;

/// Something to do to the flash, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NvStep {
    /// Erase this range, aligned to the area's sectors.
    Erase(Range<u32>),
    /// Program inside of one page.
    Program(u32, Vec<u8>),
}

/// The areas of a card, by flash address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NvAreas([Range<u32>; 2]);

struct NewestArea {
    area: usize,
    generation: u32,
    next: u32,
    tlvs: Tlvs,
}

impl NvAreas {
    /// Where an image with this tag 19 has them on a flash of `size` bytes; `chunk` is `None` where it
    /// is not failsafe. `None` when they do not fit.
    pub(super) fn of(
        [sectors, pad, log2]: [u32; 3],
        chunk: Option<u32>,
        size: u32,
    ) -> Option<Self> {
        let sector = 1024_u32.checked_mul(1_u32.checked_shl(log2)?)?;
        let bytes = u64::from(sectors).checked_mul(sector.into())?;
        let len = u32::try_from(bytes.min(MOST)).ok()?;
        let pad = pad.checked_mul(sector)?;
        if len < 4 * SLOT || sector < SLOT {
            return None;
        }
        let areas = match chunk {
            None => {
                let end = size.checked_sub(pad)?;
                let second = end.checked_sub(len)?;
                [second.checked_sub(len)?..second, second..end]
            }
            Some(chunk) => {
                let from = (size / 2).checked_sub(pad)?.checked_sub(len)?;
                // Never across chunks: both are powers of two, the area the smaller one.
                if from % chunk + len > chunk {
                    return None;
                }
                let even = from & (chunk - 1) | (from << 1) & !(2 * chunk - 1);
                [even, even | chunk].map(|start| start..start + len)
            }
        };
        areas.iter().all(|a| a.end <= size && a.start % SLOT == 0).then_some(Self(areas))
    }

    /// What makes the log corrupt: zeros over both headers. No cut of this log's own writes leaves
    /// that, for one of the areas is always left alone.
    pub(super) fn spoiling(&self) -> Vec<(u32, Vec<u8>)> {
        let zeros = vec![0; SLOT as usize];
        self.0.iter().map(|a| (a.start, zeros.clone())).collect()
    }

    /// The TLVs stored; `None` when the log is corrupt.
    pub(super) fn read(&self, flash: &[u8]) -> Option<Tlvs> {
        let spoilt = |area: &Range<u32>| slot(flash, area.start).iter().all(|b| *b == 0);
        let good = !self.0.iter().all(spoilt);
        good.then(|| self.newest(flash).map(|f| f.tlvs).unwrap_or_default())
    }

    /// Steps that store one TLV, or invalidate it.
    pub(super) fn store(&self, flash: &[u8], id: (u16, u8), data: Option<&[u32]>) -> Vec<NvStep> {
        let Some(newest) = self.newest(flash) else {
            let tlvs = data.map(|d| (id, d.to_vec())).into_iter().collect();
            return self.fresh(flash, 0, 1, &tlvs);
        };
        let fits = self.0.get(newest.area).is_some_and(|a| newest.next < a.end);
        if fits {
            return vec![NvStep::Program(newest.next, record(id, data.unwrap_or(&[])))];
        }
        let mut tlvs = newest.tlvs;
        match data {
            Some(data) => tlvs.insert(id, data.to_vec()),
            None => tlvs.remove(&id),
        };
        self.fresh(flash, 1 - newest.area, newest.generation + 1, &tlvs)
    }

    /// Steps that invalidate everything.
    pub(super) fn clear(&self, flash: &[u8]) -> Vec<NvStep> {
        match self.newest(flash) {
            None => Vec::new(),
            Some(newest) => self.fresh(flash, 1 - newest.area, newest.generation + 1, &Tlvs::new()),
        }
    }

    /// Steps that write an area, its header last.
    fn fresh(&self, flash: &[u8], area: usize, generation: u32, tlvs: &Tlvs) -> Vec<NvStep> {
        let Some(range) = self.0.get(area) else {
            return Vec::new();
        };
        let mut steps = Vec::new();
        let old = flash.get(range.start as usize..range.end as usize);
        if !old.unwrap_or_default().iter().all(|b| *b == 0xFF) {
            steps.push(NvStep::Erase(range.clone()));
        }
        let mut at = range.start;
        for (id, data) in tlvs {
            at += SLOT;
            steps.push(NvStep::Program(at, record(*id, data)));
        }
        let mut header = MAGIC.to_vec();
        header.extend(generation.to_be_bytes());
        steps.push(NvStep::Program(range.start, sealed(header)));
        steps
    }

    fn newest(&self, flash: &[u8]) -> Option<NewestArea> {
        let generation = |area: &Range<u32>| {
            let head = opened(slot(flash, area.start))?.strip_prefix(&MAGIC)?;
            Some(u32::from_be_bytes(head.first_chunk().copied()?))
        };
        let (area, range, generation) = self
            .0
            .iter()
            .enumerate()
            .filter_map(|(n, range)| Some((n, range, generation(range)?)))
            .max_by_key(|(.., generation)| *generation)?;
        let mut newest =
            NewestArea { area, generation, next: range.start + SLOT, tlvs: Tlvs::new() };
        for at in (range.start + SLOT..range.end).step_by(SLOT as usize) {
            let bytes = slot(flash, at);
            if bytes.iter().all(|b| *b == 0xFF) {
                continue;
            }
            // Behind whatever was torn, too.
            newest.next = at + SLOT;
            if let Some((id, data)) = opened(bytes).and_then(parse) {
                if data.is_empty() {
                    newest.tlvs.remove(&id);
                } else {
                    newest.tlvs.insert(id, data);
                }
            }
        }
        Some(newest)
    }
}

fn slot(flash: &[u8], at: u32) -> &[u8] {
    flash.get(at as usize..(at + SLOT) as usize).unwrap_or_default()
}

fn record((kind, port): (u16, u8), data: &[u32]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend([port, data.len() as u8]);
    bytes.extend(data.iter().flat_map(|word| word.to_be_bytes()));
    sealed(bytes)
}

fn parse(bytes: &[u8]) -> Option<((u16, u8), Vec<u32>)> {
    let (&[high, low, port, dwords], rest) = bytes.split_first_chunk()?;
    let (words, _) = rest.get(..usize::from(dwords) * 4)?.as_chunks();
    let data = words.iter().map(|word| u32::from_be_bytes(*word)).collect();
    Some(((u16::from_be_bytes([high, low]), port), data))
}

/// A slot: filled up, with its CRC at the end.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(SLOT as usize - 4, 0xFF);
    bytes.extend(CRC.checksum(&bytes).to_be_bytes());
    bytes
}

fn opened(slot: &[u8]) -> Option<&[u8]> {
    let (bytes, crc) = slot.split_last_chunk::<4>()?;
    (CRC.checksum(bytes) == u32::from_be_bytes(*crc)).then_some(bytes)
}
