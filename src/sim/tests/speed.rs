//! The simulator must be cheap: the crash sweep replays thousands of burns.

use super::driver::TestDriver;
use crate::image::{Half, Recipe, build, striped};
use crate::sim::{BootOutcome, CardSpec, SimCard, SimChip};
use std::time::{Duration, Instant};

#[test]
fn a_burn_at_register_level_takes_a_fraction_of_a_second() {
    let len = 800 * 1024;
    let image: Vec<u8> = (0..len).map(|i: usize| ((i * 31) >> 3) as u8).collect();
    let base = TestDriver::on(SimChip::M25px16, &vec![0x55; 0x20_0000]);
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let card = base.card.fork();
        card.power_cycle();
        let mut driver = TestDriver::with(&card);
        for at in (0..len).step_by(0x1_0000) {
            assert!(driver.erase(0xD8, at as u32));
        }
        for (i, page) in image.chunks(256).enumerate() {
            assert!(driver.program_page(i as u32 * 256, page));
        }
        for (i, want) in image.chunks(16).enumerate() {
            assert_eq!(driver.read16(i as u32 * 16), want);
        }
        driver.assert_clean();
        let counters = card.counters();
        assert_eq!(counters.erases_64k, 13);
        assert_eq!(counters.programs, 3200);
        assert_eq!(counters.chip_time_ns, 13 * 468_750_000 + 3200 * 800_000);
        assert!(counters.time_ns > counters.chip_time_ns, "{counters:?}");
        best = best.min(start.elapsed());
    }
    println!("burn of 800 KiB: {best:?}");
    // Measured: 20 ms on one core of the build machine. The bound only catches a collapse, machines
    // differ.
    assert!(best < Duration::from_millis(500), "{best:?}");
}

#[test]
fn a_card_file_is_fast_enough_for_a_demo() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let card = SimCard::create(&dir.path().join("card"), CardSpec::default(), &[]).expect("new");
    let mut driver = TestDriver::with(&card);
    let start = Instant::now();
    for i in 0..3200 {
        assert!(driver.program_page(i * 256, &[0x42; 256]));
    }
    let took = start.elapsed();
    println!("3200 programs into a card file: {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_boot_outcome_is_cheap() {
    let image = build(&Recipe::mcx312b_2_42_5000()).expect("valid recipe");
    let flash = striped(&image, Half::Odd, 0x20_0000).expect("fits");
    let card = SimCard::new(CardSpec::named("mcx312b").expect("known"), &flash);
    let start = Instant::now();
    for _ in 0..20 {
        card.load_flash(0x1F_0000, &[0]);
        assert_ne!(card.boot_outcome(), BootOutcome::Recovery);
    }
    let took = start.elapsed() / 20;
    let start = Instant::now();
    let forks: Vec<_> = (0..20).map(|_| card.fork()).collect();
    let fork = start.elapsed() / 20;
    println!("boot ROM over 800 KiB: {took:?}, fork: {fork:?}");
    assert_eq!(forks.len(), 20);
    assert!(took < Duration::from_millis(200), "{took:?}");
}
