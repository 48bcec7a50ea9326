//! The log of TLVs, cut everywhere with many tears.

use crate::image::Layout;
use crate::sim::nv_log::{NvAreas, NvStep, Tlvs};
use crate::sim::random::SplitMix64;

const SIZE: u32 = 0x10_0000;

fn areas(layout: Layout) -> NvAreas {
    let chunk = match layout {
        Layout::NonFailsafe => None,
        Layout::Failsafe { chunk_log2 } => Some(1 << chunk_log2),
    };
    // One sector of 4 KiB.
    NvAreas::of([1, 0, 2], chunk, SIZE).unwrap()
}

/// Do a step; `tear` = power goes in the middle of it.
fn carry_out(flash: &mut [u8], step: &NvStep, tear: Option<&mut SplitMix64>) {
    match (step, tear) {
        (NvStep::Erase(range), None) => flash[range.start as usize..range.end as usize].fill(0xFF),
        (NvStep::Program(at, bytes), None) => {
            for (place, byte) in flash[*at as usize..].iter_mut().zip(bytes) {
                *place &= byte;
            }
        }
        (NvStep::Erase(range), Some(rng)) => {
            let how = rng.below(4);
            for place in &mut flash[range.start as usize..range.end as usize] {
                match how {
                    0 => *place = 0,
                    1 => *place |= rng.mask(4),
                    2 => *place &= rng.mask(4),
                    _ if rng.below(2) == 0 => *place = 0xFF,
                    _ => {}
                }
            }
        }
        (NvStep::Program(at, bytes), Some(rng)) => {
            let split = rng.below(bytes.len() + 1);
            let by_byte = rng.below(2) == 0;
            for (n, (place, byte)) in flash[*at as usize..].iter_mut().zip(bytes).enumerate() {
                let undone = match by_byte {
                    true if n < split => 0,
                    true => 0xFF,
                    false => rng.mask(4),
                };
                *place &= byte | undone;
            }
        }
    }
}

/// A thousand stores and invalidations, most of them cut first at some step.
fn history(layout: Layout, seed: u64) {
    let areas = areas(layout);
    let mut rng = SplitMix64::new(seed);
    let mut flash = vec![0xFF; SIZE as usize];
    let mut known = Tlvs::new();
    for n in 0..1000_u32 {
        let id = ([0x10, 0x11, 0x2021][rng.below(3)], rng.below(2) as u8);
        let data = (rng.below(5) != 0).then(|| vec![n; 1 + rng.below(8)]);
        let clear = rng.below(100) == 0;
        let mut after = known.clone();
        match (&data, clear) {
            (_, true) => after.clear(),
            (Some(data), _) => drop(after.insert(id, data.clone())),
            (None, _) => drop(after.remove(&id)),
        }
        let steps = |flash: &[u8]| match clear {
            true => areas.clear(flash),
            false => areas.store(flash, id, data.as_deref()),
        };
        let planned = steps(&flash);
        if rng.below(3) != 0 && !planned.is_empty() {
            let cut = rng.below(planned.len());
            for step in &planned[..cut] {
                carry_out(&mut flash, step, None);
            }
            carry_out(&mut flash, &planned[cut], Some(&mut rng));
            let found = areas.read(&flash).unwrap();
            assert!(
                found == known || found == after,
                "seed {seed}, store {n}: neither old nor new"
            );
        }
        for step in steps(&flash) {
            carry_out(&mut flash, &step, None);
        }
        assert_eq!(areas.read(&flash), Some(after.clone()), "seed {seed}, {n}");
        known = after;
    }
}

#[test]
fn a_cut_leaves_a_tlv_that_was_never_stored() {
    for seed in 0..12 {
        history(Layout::NonFailsafe, seed);
        history(Layout::Failsafe { chunk_log2: 16 }, seed);
    }
}

#[test]
fn the_areas_are_at_the_documented_addresses() {
    use crate::plan::NvGeometry;
    for layout in [
        Layout::NonFailsafe,
        Layout::Failsafe { chunk_log2: 16 },
        Layout::Failsafe { chunk_log2: 18 },
    ] {
        let erased =
            NvGeometry { sectors: 1, pad: 0, sector_size: 0x1000 }.areas(layout, SIZE).unwrap();
        let ours = areas(layout).spoiling();
        assert_eq!(ours.len(), 2);
        for (at, bytes) in ours {
            let end = at + bytes.len() as u32;
            assert!(
                erased.iter().any(|r| r.start <= at && end <= r.end),
                "{layout:?}: {at:#x} is not in {erased:x?}"
            );
        }
    }
}

#[test]
fn zeroed_areas_are_read_as_corrupt() {
    let areas = areas(Layout::NonFailsafe);
    let mut flash = vec![0xFF; SIZE as usize];
    assert_eq!(areas.read(&flash), Some(Tlvs::new()));
    for (at, bytes) in areas.spoiling() {
        flash[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
    }
    assert_eq!(areas.read(&flash), None);
}
