//! A card that boots after a reset is only read until it is ready, and works then.

use cx3flash::card::{Card, FirmwareState};
use cx3flash::flash::{Flash, Phase};
use cx3flash::image::{Half, Recipe, build, striped};
use cx3flash::sim::{CardSpec, SimCard};
use std::time::Duration;

fn card_that_boots_for(time: Duration) -> SimCard {
    let image = build(&Recipe::mcx312b_2_42_5000()).unwrap();
    let flash = striped(&image, Half::Even, 0x20_0000).unwrap();
    let sim = SimCard::new(CardSpec::named("mcx312b").unwrap(), &flash);
    sim.set_boot_time(time);
    sim.pci_reset();
    sim
}

/// Reads all of the flash and compares it.
fn works(sim: &SimCard, card: &mut Card) {
    assert_eq!(card.firmware(), FirmwareState::Runs);
    let version = card.running_version().unwrap().unwrap();
    assert_eq!((version.minor, version.subminor), (42, 5000));
    let clock = sim.clock();
    let mut locked = Flash::lock(card, clock.as_ref()).unwrap();
    assert!(locked.source().read_all(Phase::Read, &mut ()).unwrap() == sim.flash());
    drop(locked);
    assert_eq!(sim.misuse(), []);
}

#[test]
fn a_card_that_boots_after_its_open_is_only_read_until_it_is_ready() {
    for ms in [0, 300, 900, 2000, 5000] {
        let sim = card_that_boots_for(Duration::from_millis(ms));
        let mut card = Card::open(sim.bar0(), sim.clock()).unwrap();
        works(&sim, &mut card);
    }
}

#[test]
fn configuration_cycles_wait_for_a_booting_card_too() {
    let sim = card_that_boots_for(Duration::from_millis(900));
    let mut card = Card::open(sim.config_gateway(), sim.clock()).unwrap();
    works(&sim, &mut card);
}

#[test]
fn a_card_that_boots_after_our_reset_is_only_read_until_it_is_ready() {
    for ms in [900, 2000, 5000] {
        let sim = card_that_boots_for(Duration::from_millis(ms));
        let mut card = Card::open(sim.bar0(), sim.clock()).unwrap();
        card.software_reset().unwrap();
        works(&sim, &mut card);
    }
}
