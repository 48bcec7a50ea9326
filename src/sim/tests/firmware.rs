//! Firmware that the boot ROM starts and that does not do what firmware does; boot ROMs that choose
//! otherwise.

use super::driver::{SEMAPHORE, TestDriver};
use crate::image::{FlashAddr, Half, Recipe, Version, build, striped};
use crate::sim::{BootOutcome, CardSpec, Fault, FirmwareDefect, SimCard};

const CHUNK: u32 = 0x1_0000;
const OLD: [u32; 2] = [2 << 16, 42 << 16 | 1];
const NEW: [u32; 2] = [2 << 16, 42 << 16 | 2];

fn version(subminor: u16) -> Version {
    Version { major: 2, minor: 42, subminor }
}

/// 2.42.1 in the even half, 2.42.2 in the odd one.
fn card(spec: CardSpec) -> SimCard {
    let mut flash = vec![0xFF; 0x20_0000];
    for (subminor, half) in [(1, Half::Even), (2, Half::Odd)] {
        let recipe = Recipe {
            version: version(subminor),
            chunk_log2: Some(16),
            size: 0x9000,
            ..Recipe::default()
        };
        let one = striped(&build(&recipe).expect("valid recipe"), half, 0x20_0000).expect("fits");
        flash.iter_mut().zip(one).for_each(|(byte, new)| *byte &= new);
    }
    SimCard::new(spec, &flash)
}

fn starts(start: u32, subminor: u16) -> BootOutcome {
    BootOutcome::Image { start: FlashAddr(start), version: version(subminor) }
}

fn hung(start: u32, subminor: u16) -> BootOutcome {
    BootOutcome::Hung { start: FlashAddr(start), version: version(subminor) }
}

fn defective(card: &SimCard, defect: FirmwareDefect) {
    card.inject(Fault::Firmware { fw_version: version(2), defect });
}

/// A software reset with this boot address, until the card answers.
fn reset_to(card: &SimCard, start: u32) -> TestDriver {
    let mut driver = TestDriver::idle(card);
    if driver.read(SEMAPHORE) != 0 {
        // Left taken by firmware that is dead.
        driver.write(SEMAPHORE, 0);
        assert_eq!(driver.read(SEMAPHORE), 0);
    }
    driver.write(0xf0000, start << 8);
    driver.write(0xf0010, 1);
    driver.sleep(1_000_000);
    TestDriver::idle(card)
}

fn shown(driver: &mut TestDriver) -> [u32; 2] {
    [0x1f064, 0x1f068].map(|at| driver.raw_read(at))
}

fn lives(driver: &mut TestDriver) -> bool {
    driver.raw_read(0x41270) != driver.raw_read(0x41270)
}

#[test]
fn the_boot_rom_takes_the_half_it_prefers_and_may_ignore_the_register() {
    let ends = [starts(0, 1), starts(CHUNK, 2)];
    for highest in [false, true] {
        for honours in [false, true] {
            let card = card(CardSpec {
                boots_highest_first: highest,
                honours_boot_address: honours,
                ..CardSpec::default()
            });
            let preferred = &ends[usize::from(highest)];
            assert_eq!(card.running(), *preferred);
            for (named, start) in ends.iter().zip([0, CHUNK]) {
                let expected = if honours { named } else { preferred };
                let mut driver = reset_to(&card, start);
                assert_eq!(driver.read(0xf0000), start << 8, "the register itself is plain");
                assert_eq!(card.reset_outcome(), *expected);
                assert_eq!(card.running(), *expected);
                assert_eq!(card.boot_outcome(), *preferred);
                driver.assert_clean();
            }
            card.power_cycle();
            assert_eq!(card.running(), *preferred);
        }
    }
}

#[test]
fn firmware_that_never_starts_leaves_what_the_reset_left() {
    for (recovery_id, id) in [(true, 0x1f6), (false, 0x1003)] {
        let card = card(CardSpec::default());
        defective(&card, FirmwareDefect::NeverStarts { recovery_id });
        assert_eq!(card.running(), starts(0, 1));
        let mut driver = reset_to(&card, CHUNK);
        assert_eq!(card.running(), hung(CHUNK, 2));
        assert_eq!(card.pci_device_id(), id);
        assert_eq!(driver.raw_read(0x41270), u32::MAX);
        assert_eq!(shown(&mut driver), OLD, "the reset clears no memory");
        driver.write(0x80798, 1 << 23 | 3);
        driver.sleep(1_000_000);
        assert_ne!(driver.read(0x80798) & 1 << 23, 0, "no command is answered");
        // The old image still starts: the defect is the new image's.
        let mut driver = reset_to(&card, 0);
        assert_eq!(card.running(), starts(0, 1));
        assert!(lives(&mut driver));
        // Behind a power cycle nothing ran before, and the defect is still there.
        card.load_flash(0, &[0; 4]);
        card.power_cycle();
        assert_eq!(card.boot_outcomes().highest_first, hung(CHUNK, 2));
        assert_eq!(card.running(), hung(CHUNK, 2));
        assert_eq!(shown(&mut TestDriver::idle(&card)), [0; 2]);
    }
}

#[test]
fn firmware_that_dies_shows_its_version_first() {
    let card = card(CardSpec::default());
    defective(&card, FirmwareDefect::Dies { ms: 500, silent: false });
    let mut driver = reset_to(&card, CHUNK);
    assert!(lives(&mut driver));
    assert_eq!(card.running(), starts(CHUNK, 2));
    driver.sleep(500_000);
    assert_eq!(card.running(), hung(CHUNK, 2));
    assert!(!lives(&mut driver), "frozen");
    assert_eq!((shown(&mut driver), card.pci_device_id()), (NEW, 0x1003));
    assert_eq!(card.semaphores_held(), [63]);
    reset_to(&card, 0);
    assert_eq!(card.running(), starts(0, 1));

    defective(&card, FirmwareDefect::Dies { ms: 500, silent: true });
    assert_eq!(card.faults().len(), 1, "one defect a version");
    let mut driver = reset_to(&card, CHUNK);
    assert_eq!(shown(&mut driver), NEW);
    driver.sleep(500_000);
    assert_eq!(driver.raw_read(0xf0014), u32::MAX);
    assert_eq!(card.pci_device_id(), 0x1003, "configuration space answers");
    driver.write(0xf0010, 1);
    driver.sleep(2_000_000);
    assert_eq!(driver.raw_read(0xf0014), u32::MAX, "the reset register is out of reach");
    card.power_cycle();
    assert_eq!(card.running(), starts(0, 1));
}

#[test]
fn firmware_that_needs_a_driver_starts_with_bus_mastering() {
    let card = card(CardSpec::default());
    defective(&card, FirmwareDefect::NeedsDriver);
    let mut driver = reset_to(&card, CHUNK);
    driver.sleep(60_000_000);
    assert_eq!(shown(&mut driver), [0; 2]);
    assert!(lives(&mut driver));
    card.config_write(4, 6);
    assert_eq!(shown(&mut driver), NEW);
    card.config_write(4, 2);
    assert_eq!(shown(&mut driver), NEW, "it stays started");
    let mut driver = reset_to(&card, CHUNK);
    assert_eq!(shown(&mut driver), [0; 2]);
    driver.assert_clean();
}

#[test]
fn a_card_file_keeps_boot_rom_and_defects() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("card");
    let spec =
        CardSpec { boots_highest_first: true, honours_boot_address: false, ..CardSpec::default() };
    let flash = card(CardSpec::default()).flash();
    let card = SimCard::create(&path, spec.clone(), &flash).expect("new file");
    defective(&card, FirmwareDefect::Dies { ms: 60_000, silent: false });
    card.power_cycle();
    assert_eq!(card.running(), starts(CHUNK, 2));
    drop(card);
    let card = SimCard::open(&path).expect("card file");
    assert_eq!(card.spec(), spec);
    assert_eq!(card.running(), hung(CHUNK, 2), "between two processes time passes");
    card.power_cycle();
    assert_eq!(card.running(), starts(CHUNK, 2));
    defective(&card, FirmwareDefect::NeverStarts { recovery_id: true });
    card.power_cycle();
    drop(card);
    let card = SimCard::open(&path).expect("card file");
    assert_eq!((card.running(), card.pci_device_id()), (hung(CHUNK, 2), 0x1f6));
}
