//! What a change of a few bytes costs: sectors, and their order (docs/fs2.md#order-of-a-burn #4).

use super::bench::*;
use crate::image::{Half, MAGIC, Mac, Recipe};
use crate::job::*;
use crate::sim::{CardSpec, Op, SimCard};
use std::collections::BTreeSet;

const SECTOR: usize = 0x1000;

fn set(bench: &Bench, card: &SimCard, change: &IdentityChange) {
    let mut device = opened(card);
    let done = bench.write(&mut device, &WriteRequest::IdentitySet(change)).unwrap();
    assert!(!done.nothing_to_do);
    clean(card);
}

/// Sectors of 4 KiB in which two flashes differ.
fn differing(a: &[u8], b: &[u8]) -> BTreeSet<usize> {
    let pairs = a.chunks(SECTOR).zip(b.chunks(SECTOR)).enumerate();
    pairs.filter(|(_, (a, b))| a != b).map(|(n, _)| n).collect()
}

/// Sectors a run erased or programmed.
fn touched(trace: &[Op]) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let sectors = |at: u32, len: usize| {
        let first = at as usize / SECTOR;
        first..(at as usize + len).div_ceil(SECTOR)
    };
    let (mut erased, mut programmed) = (BTreeSet::new(), BTreeSet::new());
    for op in trace {
        match op {
            Op::Erase { at, len } => erased.extend(sectors(*at, *len as usize)),
            Op::Program { at, bytes } => programmed.extend(sectors(*at, bytes.len())),
            _ => {}
        }
    }
    (erased, programmed)
}

fn second_mac() -> IdentityChange {
    IdentityChange {
        macs: Some([identity().macs[0], Mac(0xE41D_2DDD_7859)]),
        ..IdentityChange::default()
    }
}

#[test]
fn one_mac_costs_a_non_failsafe_card_only_the_sectors_it_is_in() {
    // A real-sized image on an M25PX16: the GUID section lies far from the header.
    let image = own(&Recipe::mcx311a_2_42_5000());
    let card = card_of(CardSpec::default(), &[(&image, Half::Even)]);
    let bench = Bench::new();
    let before = card.flash();
    card.start_trace();
    set(&bench, &card, &second_mac());
    let trace = card.trace();
    let changed = differing(&before, &card.flash());
    assert!((2..=3).contains(&changed.len()), "{changed:x?}");
    let (erased, programmed) = touched(&trace);
    assert_eq!(erased, changed, "erased {erased:x?}");
    assert_eq!(programmed, changed, "programmed {programmed:x?}");
    // Crash-safe order: the old signature is invalidated before anything else, the new one comes last.
    let changes: Vec<&Op> =
        trace.iter().filter(|op| matches!(op, Op::Erase { .. } | Op::Program { .. })).collect();
    match changes.first() {
        Some(Op::Program { at: 0, bytes }) => {
            assert_eq!(bytes[..4], [0; 4]);
            assert!(bytes[4..].iter().all(|b| *b == 0xFF), "{bytes:x?}");
        }
        other => panic!("the first change is {other:?}"),
    }
    match changes.last() {
        Some(Op::Program { at: 0, bytes }) => assert_eq!(bytes[..4], MAGIC[..4]),
        other => panic!("the last change is {other:?}"),
    }
}

#[test]
fn going_back_to_an_identity_rewrites_only_what_differs() {
    // Failsafe: the first change fills the other half. The next finds there an image that differs
    // in the identity and the invalidated signature alone.
    let card = pro_card(Half::Even);
    let bench = Bench::new();
    set(&bench, &card, &second_mac());
    let before = card.flash();
    card.start_trace();
    let back = IdentityChange { macs: Some(identity().macs), ..IdentityChange::default() };
    set(&bench, &card, &back);
    let trace = card.trace();
    let changed = differing(&before, &card.flash());
    let (erased, programmed) = touched(&trace);
    // The header's sector, the identity's, and the old half's signature, which a program operation invalidates.
    assert!(changed.len() <= 4, "{changed:x?}");
    assert!(erased.is_subset(&changed), "erased {erased:x?} for {changed:x?}");
    assert_eq!(programmed, changed, "programmed {programmed:x?}");
}
