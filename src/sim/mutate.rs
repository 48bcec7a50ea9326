//! Applies the change of a command: complete, torn, wrong, or not at all.

use super::nor::{Mutation, Nor, PAGE};
use super::random::SplitMix64;
use super::status::StatusLayout;

/// How much of a mutation happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MutationEffect {
    Complete,
    /// Nothing, though the chip reports success.
    Nothing,
    /// All but one bit.
    FlippedBit(u32),
    /// What was done when power went.
    Torn(u64),
    /// The same, with cells left between two states.
    Marginal(u64),
    /// The supply sags: as before, or every cell that was to change is left between two states.
    Sagging(u64),
}

impl MutationEffect {
    /// The chip loses its supply.
    pub(super) fn is_interrupted(self) -> bool {
        matches!(self, Self::Torn(_) | Self::Marginal(_) | Self::Sagging(_))
    }
}

/// Most bytes with such cells that one operation leaves.
const MOST_MARGINAL: usize = 48;

/// Applies a mutation as far as `effect` allows.
pub(super) fn apply(nor: &mut Nor, mutation: Mutation, effect: MutationEffect) {
    match effect {
        MutationEffect::Nothing => return,
        MutationEffect::Marginal(seed) => return marginal(nor, mutation, seed),
        MutationEffect::Sagging(seed) => return sagging(nor, mutation, seed),
        _ => {}
    }
    nor.steady(mutation);
    match mutation {
        Mutation::Program { at, len } => program(nor, at, len, effect),
        Mutation::Erase { at, len, .. } => {
            let range = mutation.range(nor.size());
            let sector = &mut nor.mem_mut()[range];
            match effect {
                MutationEffect::Torn(seed) => tear_erase(sector, seed),
                _ => sector.fill(0xFF),
            }
            if let MutationEffect::FlippedBit(bit) = effect {
                let bit = bit % (len * 8);
                nor.mem_mut()[(at + bit / 8) as usize] ^= 1 << (bit % 8);
            }
        }
        Mutation::Status { first, second } => status(nor, first, second, effect),
    }
}

/// Tears a mutation and leaves some of the bits it changes between two states: a few of an erase that
/// otherwise reads complete, or some of what is torn.
fn marginal(nor: &mut Nor, mutation: Mutation, seed: u64) {
    let mut rng = SplitMix64::new(seed ^ 0x6d61_7267_696e_616c);
    let range = mutation.range(nor.size());
    let before = nor.mem()[range.clone()].to_vec();
    apply(nor, mutation, MutationEffect::Complete);
    let after = nor.mem()[range.clone()].to_vec();
    let changing: Vec<usize> = (0..range.len()).filter(|n| before[*n] != after[*n]).collect();
    if rng.below(2) == 0 {
        nor.mem_mut()[range.clone()].copy_from_slice(&before);
        apply(nor, mutation, MutationEffect::Torn(seed));
    }
    for _ in 0..rng.below(MOST_MARGINAL + 1).min(changing.len()) {
        let n = changing[rng.below(changing.len())];
        let bits = (before[n] ^ after[n]) & (rng.mask(4) | 1 << rng.below(8));
        nor.waver((range.start + n) as u32, bits);
    }
}

/// Leaves a few cells between two states, or all of a page or sector: it reads blank or complete but for some
/// cells, others at each reading, or untouched but for some, or torn and different each time.
fn sagging(nor: &mut Nor, mutation: Mutation, seed: u64) {
    let range = mutation.range(nor.size());
    let before = nor.mem()[range.clone()].to_vec();
    apply(nor, mutation, MutationEffect::Complete);
    let after = nor.mem()[range.clone()].to_vec();
    match SplitMix64::new(seed ^ 0x7361_6767_696e_6721).below(4) {
        0 => {
            nor.mem_mut()[range.clone()].copy_from_slice(&before);
            return marginal(nor, mutation, seed);
        }
        1 => {}
        2 => nor.mem_mut()[range.clone()].copy_from_slice(&before),
        _ => {
            nor.mem_mut()[range.clone()].copy_from_slice(&before);
            apply(nor, mutation, MutationEffect::Torn(seed));
        }
    }
    for (at, (old, new)) in (range.start as u32..).zip(before.into_iter().zip(after)) {
        nor.waver(at, old ^ new);
    }
}

fn program(nor: &mut Nor, at: u32, len: u32, effect: MutationEffect) {
    let page = *nor.page();
    let base = (at & !(PAGE - 1)) as usize;
    let places = (0..len).map(|i| ((at + i) % PAGE) as usize);
    let mem = &mut nor.mem_mut()[base..base + PAGE as usize];
    match effect {
        MutationEffect::Torn(seed) => {
            let mut rng = SplitMix64::new(seed);
            // Extremes first: a cut just before the first and just after the last pulse.
            let how = rng.below(8);
            let split = rng.below(len as usize + 1);
            let density = 1 + (rng.next() % 7) as u8;
            for (i, place) in places.enumerate() {
                let undone = match how {
                    0 => 0xFF,
                    1 => 0,
                    // Bytes go down one after the other on some chips, all together on others.
                    2 | 3 if i < split => 0,
                    2 | 3 => 0xFF,
                    _ => rng.mask(density),
                };
                mem[place] &= page[place] | undone;
            }
        }
        _ => {
            for place in places {
                mem[place] &= page[place];
            }
            if let MutationEffect::FlippedBit(bit) = effect {
                let bit = bit % (len * 8);
                let place = ((at + bit / 8) % PAGE) as usize;
                mem[place] ^= 1 << (bit % 8);
            }
        }
    }
}

/// An erase first programs everything to 0 on many chips, then raises the bits at their own pace:
/// ranges may be old, erased, half-risen or pulled down.
fn tear_erase(sector: &mut [u8], seed: u64) {
    let mut rng = SplitMix64::new(seed);
    match rng.below(8) {
        0 => {}
        1 => sector.fill(0xFF),
        2 => sector.fill(0),
        3 => {
            let split = rng.below(sector.len() + 1);
            sector[..split].fill(0xFF);
        }
        _ => {
            for page in sector.chunks_mut(PAGE as usize) {
                match rng.below(4) {
                    0 => {}
                    1 => page.fill(0xFF),
                    2 => page.iter_mut().for_each(|b| *b |= rng.mask(4)),
                    _ => page.iter_mut().for_each(|b| *b &= rng.mask(4)),
                }
            }
        }
    }
}

fn status(nor: &mut Nor, first: u8, second: Option<u8>, effect: MutationEffect) {
    if let MutationEffect::Torn(seed) = effect
        && SplitMix64::new(seed).below(2) == 0
    {
        return;
    }
    let layout = nor.layout();
    let keep = !layout.writable();
    nor.status = nor.status & keep | first & layout.writable();
    match (layout, second) {
        // One-time programmable: a set bit stays (docs/hardware.md#write-protection).
        (StatusLayout::Macronix, Some(value)) => nor.second |= value & layout.writable2(),
        (_, Some(value)) => nor.second = value & layout.writable2(),
        // A one-byte write clears SR2 on the W25QxxBV (data-sheet knowledge, UNCONFIRMED).
        (StatusLayout::Winbond, None) if !nor.chip().keeps_second => nor.second = 0,
        (_, None) => {}
    }
    if let MutationEffect::FlippedBit(bit) = effect {
        nor.status ^= (1_u8 << (bit % 8)) & layout.writable();
    }
}
