//! The chip answers RDID or RDSR wrongly once, or works longer than any data sheet allows.

use super::card::{CardLayout, Opened};
use crate::sweep::world::SweepSetup;
use cx3flash::sim::{Fault, SimCard};

const RDSR: u8 = 0x05;
const RDID: u8 = 0x9F;

/// Burns with one fault; the flash is what it is without.
fn burns_as_undisturbed(bench: &SweepSetup, wanted: &SimCard, fault: &Fault) {
    let card = bench.card.fork();
    card.inject(fault.clone());
    let backups = bench.scratch();
    let result = Opened::default().burn(bench, &card, backups.path());
    assert!(result.is_ok(), "{fault:?}: {}", result.unwrap_err());
    assert_eq!(card.faults(), [], "it never happened");
    assert_eq!(card.misuse(), [], "{fault:?}");
    assert!(card.flash() == wanted.flash(), "{fault:?}: another flash");
    assert!(card.semaphores_held().is_empty(), "{fault:?}");
}

fn undisturbed(bench: &SweepSetup) -> SimCard {
    let card = bench.card.fork();
    let backups = bench.scratch();
    Opened::default().burn(bench, &card, backups.path()).unwrap();
    card
}

#[test]
fn one_wrong_answer_of_the_chip_decides_nothing() {
    for layout in [CardLayout::Failsafe, CardLayout::NonFailsafe] {
        let bench = layout.bench();
        let wanted = undisturbed(&bench);
        let reads = wanted.data_reads() - bench.card.data_reads();
        // The first reads identify the chip; most status reads are among the last.
        let early = [0, 1, 2, 3, 4, 5];
        let late = |kind: u64| {
            let places = (1..=12).filter(move |n| n % 4 == kind).map(|n| reads - reads * n / 200);
            places.filter(|n| *n < reads - 20)
        };
        // Another chip, none, and one that answers zeros.
        for flip in [0x0000_0100, 0x8000_0000, !0xef40_1400, 0xef40_1400] {
            for after in [0, 1, 2] {
                let fault = Fault::WrongAnswer { opcode: RDID, after, flip };
                burns_as_undisturbed(&bench, &wanted, &fault);
            }
        }
        // WIP, WEL, both, protection bits; of the late reads each meets one of them.
        for (kind, flip) in (0..).zip([0x0101_0101, 0x0202_0202, 0x0303_0303, 0x1c1c_1c1c]) {
            for after in early.into_iter().chain(late(kind)) {
                let fault = Fault::WrongAnswer { opcode: RDSR, after, flip };
                burns_as_undisturbed(&bench, &wanted, &fault);
            }
        }
    }
}

#[test]
fn work_that_takes_longer_than_its_maximum_is_waited_for() {
    for layout in [CardLayout::Failsafe, CardLayout::NonFailsafe] {
        let bench = layout.bench();
        let wanted = undisturbed(&bench);
        let last = wanted.mutations() - bench.card.mutations();
        // The longest maximum in docs/hardware.md#chip-timings is 3 s, of a 64 KiB erase.
        for op in [1, 2, last / 2, last - 2, last - 1, last] {
            burns_as_undisturbed(&bench, &wanted, &Fault::SlowOp { op, ms: 30_000 });
        }
        for after in [0, 1, 2, 1000, 70_000] {
            burns_as_undisturbed(&bench, &wanted, &Fault::SlowGateway { after, ms: 3_000 });
        }
    }
}

#[test]
fn a_reset_that_was_lost_is_not_reported_as_activated() {
    let bench = CardLayout::Failsafe.bench();
    for lost in [false, true] {
        let card = bench.card.fork();
        if lost {
            card.inject(Fault::LostWrite { after: 0, at: Some(0xf_0010) });
        }
        let activation = Opened::default().activate(&card).unwrap();
        // The version that ran before runs afterwards, so it shows nothing.
        assert_eq!(activation.before, activation.after);
        assert_eq!(activation.confirmed, !lost);
        assert_eq!(activation.detail.is_some_and(|d| d.contains("not known")), lost);
        assert_eq!(card.semaphores_held(), [0_u8; 0]);
        // A lost write is read after without a flush.
        assert!(lost || card.misuse().is_empty());
    }
}
