//! What costs is counted (docs/architecture.md).

use super::bench::*;
use crate::image::{Contents, Half, Recipe, build, striped};
use crate::job::proofs::ProofStore;
use crate::job::*;
use crate::sim::{CardSpec, Counters, SimCard};

/// mstflint 4.21: BAR reads of a query.
const MSTFLINT_QUERY_READS: u64 = 59_566;
/// mstflint 4.21: card time of a burn.
const MSTFLINT_BURN_NS: u64 = 10_300_000_000;

fn real(recipe: &Recipe) -> Contents {
    Contents::from_file(&build(recipe).unwrap()).unwrap().with_identity(&identity()).unwrap()
}

/// The 2 MiB MCX312B with 2.36.5150 in the even half; the other half blank, or used by an image of
/// real size.
fn card(used: bool) -> SimCard {
    let size = 2 << 20;
    let old = Recipe::mcx312b_2_36_5150();
    let mut flash = striped(real(&old).bytes(), Half::Even, size).unwrap();
    if used {
        let third =
            Recipe { version: version("2.30.3000"), seed: 99, ..Recipe::mcx312b_2_42_5000() };
        let other = striped(real(&third).bytes(), Half::Odd, size).unwrap();
        for (byte, more) in flash.iter_mut().zip(other) {
            *byte &= more;
        }
        flash[0x8_0000..0x8_0004].fill(0);
    }
    SimCard::new(pro_spec(), &flash)
}

fn burn_cost(used: bool) -> Counters {
    let bench = Bench::new();
    let card = card(used);
    let open = || {
        let mut device = opened(&card);
        device.proofs = Some(ProofStore::at(&bench.path("cards"), "00-02".into()));
        device
    };
    // The first contact, in which the card proves chained reads, is not the one that is judged.
    backup(&mut open(), &bench.backups(), &mut ()).unwrap();
    let image = bench.image(&Recipe::mcx312b_2_42_5000());
    let _ = card.take_counters();
    bench.burn_asked(&mut open(), &image, &mut |_| true, &mut ()).unwrap();
    clean(&card);
    card.take_counters()
}

#[test]
fn query_reads_at_most_a_twentieth_of_mstflint() {
    let owner = SimCard::new(CardSpec::default(), &build(&Recipe::mcx311a_2_35_5100()).unwrap());
    for (name, card) in
        [("failsafe", card(false)), ("other half used", card(true)), ("non-failsafe", owner)]
    {
        let _ = card.take_counters();
        let mut device = opened(&card);
        let query = query_card(&mut device).unwrap();
        assert!(query.active.is_some());
        drop(device);
        let counters = card.take_counters();
        println!("query, {name}: {} BAR reads", counters.bar_reads);
        assert!(counters.bar_reads <= MSTFLINT_QUERY_READS / 20, "{name}: {counters:?}");
        untouched(&counters);
    }
}

/// Which of two complete images starts depends on their CRCs.
#[test]
fn query_reads_two_complete_images_once() {
    let card = {
        let half = |recipe: &Recipe, half| striped(real(recipe).bytes(), half, 2 << 20).unwrap();
        let even = half(&Recipe::mcx312b_2_36_5150(), Half::Even);
        let odd = half(&Recipe::mcx312b_2_42_5000(), Half::Odd);
        let both: Vec<u8> = even.iter().zip(&odd).map(|(a, b)| a & b).collect();
        SimCard::new(pro_spec(), &both)
    };
    let _ = card.take_counters();
    let query = query_card(&mut opened(&card)).unwrap();
    assert!(query.images.len() == 2 && query.active.is_some());
    let counters = card.take_counters();
    assert!(counters.spi_bytes <= 2 << 20, "{counters:?}");
    untouched(&counters);
}

#[test]
fn burn_into_a_used_half_takes_at_most_1_3_times_mstflint() {
    let counters = burn_cost(true);
    println!("backup, burn, verify into a used half: {counters:?}");
    assert!(counters.card_time_ns * 10 <= MSTFLINT_BURN_NS * 13, "{counters:?}");
}

#[test]
fn burn_into_a_blank_half_takes_at_most_0_7_times_mstflint() {
    let counters = burn_cost(false);
    println!("backup, burn, verify into a blank half: {counters:?}");
    assert_eq!(counters.erases_4k + counters.erases_64k, 0);
    assert!(counters.card_time_ns * 10 <= MSTFLINT_BURN_NS * 7, "{counters:?}");
}

#[test]
fn same_image_is_read_once() {
    let bench = Bench::new();
    let card = card(false);
    bench.burn(&card, &Recipe::mcx312b_2_42_5000()).unwrap();
    let _ = card.take_counters();
    let again = bench.burn(&card, &Recipe::mcx312b_2_42_5000()).unwrap();
    assert!(again.nothing_to_do);
    let counters = card.take_counters();
    untouched(&counters);
    // The flash once, with opcodes and the session's start on top.
    assert!(counters.spi_bytes < (2 << 20) * 3 / 2, "{counters:?}");
}
