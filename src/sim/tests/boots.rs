//! Which image the boot ROM starts.

use super::driver::TestDriver;
use crate::image::{FlashAddr, Half, Recipe, Version, build, striped};
use crate::sim::{BootOutcome, CardSpec, SimCard};

const CHUNK: u32 = 0x8_0000;

fn version(subminor: u16) -> Version {
    Version { major: 2, minor: 42, subminor }
}

fn image(subminor: u16, chunk_log2: Option<u8>) -> Vec<u8> {
    let recipe = Recipe {
        version: version(subminor),
        chunk_log2,
        // More than one chunk, so that striping matters.
        size: if chunk_log2.is_some() { 0xA_0000 } else { 0x3_0000 },
        ..Recipe::default()
    };
    build(&recipe).expect("valid recipe")
}

/// Failsafe images in the even and the odd half of a 2 MiB flash.
fn halves(even: Option<u16>, odd: Option<u16>) -> Vec<u8> {
    let mut flash = vec![0xFF; 0x20_0000];
    for (subminor, half) in [(even, Half::Even), (odd, Half::Odd)] {
        let Some(subminor) = subminor else { continue };
        let one = striped(&image(subminor, Some(19)), half, 0x20_0000).expect("fits");
        flash.iter_mut().zip(one).for_each(|(a, b)| *a &= b);
    }
    flash
}

fn starts(start: u32, subminor: u16) -> BootOutcome {
    BootOutcome::Image { start: FlashAddr(start), version: version(subminor) }
}

fn card(flash: &[u8]) -> SimCard {
    SimCard::new(CardSpec::default(), flash)
}

#[test]
fn a_valid_image_runs_and_reports_its_version() {
    let card = card(&image(5000, None));
    assert_eq!(card.running(), starts(0, 5000));
    assert_eq!(card.pci_device_id(), 0x1003);
    assert_eq!(card.config_read(0), 0x1003_15b3);
    let mut driver = TestDriver::with(&card);
    assert!(driver.read(0x41270) < 0xfff0_0000);
    let block = [0, 4, 8, 12].map(|i| driver.read(0x1f064 + i));
    assert_eq!(block, [0x0002_0000, 0x002A_1388, 0, 0x2017_0905]);
    driver.assert_clean();
}

#[test]
fn without_an_image_the_card_shows_its_recovery_id() {
    for (name, id) in [("mcx311a", 0x1f6), ("mcx312b", 0x1f8)] {
        let spec = CardSpec::named(name).expect("known");
        let card = SimCard::new(spec, &[]);
        assert_eq!(card.running(), BootOutcome::Recovery);
        assert_eq!(card.pci_device_id(), id);
        let mut driver = TestDriver::with(&card);
        assert_eq!(driver.read(0x41270), u32::MAX);
        assert_eq!(driver.read(0x1f064), 0);
        driver.write(0xf3834, 0x1000_0000);
        assert_eq!(driver.read(0xf3834), 0x1000_0000);
    }
}

#[test]
fn an_image_for_other_silicon_does_not_start() {
    let image = image(5000, None);
    for (name, runs) in [("mcx311a", true), ("mcx311a-a0", false), ("mcx312b", false)] {
        let card = SimCard::new(CardSpec::named(name).expect("known"), &image);
        assert_eq!(card.running() != BootOutcome::Recovery, runs, "{name}");
    }
}

#[test]
fn one_wrong_bit_anywhere_keeps_an_image_from_starting() {
    let good = image(5000, None);
    let base = card(&good);
    for at in (0..good.len()).step_by(0x1_0001).chain([0, 4, 0x22, 0x28, 0x38, 0x100]) {
        let card = base.fork();
        card.load_flash(at as u32, &[good[at] ^ 0x10]);
        assert_eq!(card.boot_outcome(), BootOutcome::Recovery, "byte {at:#x}");
        card.power_cycle();
        assert_eq!(card.pci_device_id(), 0x1f6);
    }
}

#[test]
fn a_non_failsafe_image_starts_at_0_only() {
    let mut flash = vec![0xFF; 0x20_0000];
    let image = image(5000, None);
    flash[0x10_0000..][..image.len()].copy_from_slice(&image);
    assert_eq!(card(&flash).running(), BootOutcome::Recovery);
}

#[test]
fn either_half_starts_alone() {
    let even = card(&halves(Some(1), None));
    assert_eq!(even.running(), starts(0, 1));
    let odd = card(&halves(None, Some(2)));
    assert_eq!(odd.running(), starts(CHUNK, 2));
    let outcomes = odd.boot_outcomes();
    assert_eq!(outcomes.lowest_first, outcomes.highest_first);
}

#[test]
fn the_order_chooses_between_two_valid_images() {
    let card = card(&halves(Some(1), Some(2)));
    assert_eq!(card.boot_outcome(), starts(0, 1));
    let outcomes = card.boot_outcomes();
    assert_eq!(outcomes.lowest_first, starts(0, 1));
    assert_eq!(outcomes.highest_first, starts(CHUNK, 2));
}

#[test]
fn a_damaged_image_is_skipped() {
    for (damage, left) in [(0x1000, starts(CHUNK, 2)), (CHUNK + 0x1000, starts(0, 1))] {
        let card = card(&halves(Some(1), Some(2)));
        card.load_flash(damage, &[0; 64]);
        let outcomes = card.boot_outcomes();
        assert_eq!(outcomes.lowest_first, left);
        assert_eq!(outcomes.highest_first, left);
        card.power_cycle();
        assert_eq!(card.running(), left);
    }
}

#[test]
fn a_reset_follows_the_boot_address_and_power_on_does_not() {
    let card = card(&halves(Some(1), Some(2)));
    let mut driver = TestDriver::with(&card);
    assert_eq!(card.reset_outcome(), starts(0, 1));
    driver.write(0xf0000, CHUNK << 8 | 6);
    assert_eq!(card.reset_outcome(), starts(CHUNK, 2));
    assert_eq!(card.running(), starts(0, 1), "not before the reset");
    driver.write(0xf0010, 1);
    driver.sleep(1_000_000);
    assert_eq!(driver.read(0x1f068), 42 << 16 | 2);
    assert_eq!(card.running(), starts(CHUNK, 2));
    card.power_cycle();
    assert_eq!(card.running(), starts(0, 1));
    driver.assert_clean();
}

#[test]
fn a_boot_address_without_a_valid_image_is_skipped() {
    let card = card(&halves(Some(1), None));
    let mut driver = TestDriver::with(&card);
    for wrong in [CHUNK, 0x1_0000, 0x1234, 0xFF_FFFF] {
        driver.write(0xf0000, wrong << 8);
        assert_eq!(card.reset_outcome(), starts(0, 1), "{wrong:#x}");
    }
}

#[test]
fn a_change_of_the_flash_does_not_change_what_runs() {
    let card = card(&image(1, None));
    card.load_flash(0, &image(2, None));
    assert_eq!(card.running(), starts(0, 1));
    assert_eq!(card.boot_outcome(), starts(0, 2));
    card.load_flash(0, &[0; 4]);
    card.power_cycle();
    assert_eq!(card.running(), BootOutcome::Recovery);
}

#[test]
fn a_torn_signature_does_not_start() {
    let good = image(1, None);
    for torn in 0..16 {
        let card = card(&good);
        card.load_flash(torn, &[0xFF]);
        let complete = good[torn as usize] == 0xFF;
        assert_eq!(card.boot_outcome() == starts(0, 1), complete, "byte {torn}");
    }
}

#[test]
fn an_empty_or_odd_sized_flash_ends_in_recovery_mode() {
    for len in [0, 1, 15, 16, 17, 0x37, 0x38, 0x39] {
        assert_eq!(card(&image(1, None)[..len]).running(), BootOutcome::Recovery);
    }
}
