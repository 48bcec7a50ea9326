//! A boot takes time, and a driver that does not wait is found out.

use super::driver::{ADDRESS, COMMAND, DATA, FLUSH, SEMAPHORE, TestDriver};
use crate::image::{Half, Recipe, Version, build, striped};
use crate::sim::file::{SLOT_LEN, SLOTS_AT, parse_record, record};
use crate::sim::{BootOutcome, CardSpec, Fault, SimCard};
use std::os::unix::fs::FileExt;
use std::time::Duration;

const BOUND: u32 = 0xfff0_0000;

fn image(subminor: u16) -> Vec<u8> {
    build(&Recipe {
        version: Version { major: 2, minor: 42, subminor },
        chunk_log2: None,
        size: 0x3_0000,
        ..Recipe::default()
    })
    .expect("valid recipe")
}

/// A card that runs 2.42.1, holds 2.42.2, and boots for a second without silence.
fn slow() -> SimCard {
    let card = SimCard::new(CardSpec::default(), &image(1));
    card.load_flash(0, &image(2));
    card.set_reset_time(Duration::ZERO);
    card.set_boot_time(Duration::from_secs(1));
    card
}

/// Just reset; semaphore 63 was ours and is lost.
fn reset(card: &SimCard) -> TestDriver {
    let mut driver = TestDriver::with(card);
    driver.write(0xf0010, 1);
    // Nothing is written any more, so nothing has to be flushed.
    TestDriver::idle(card)
}

fn version(driver: &mut TestDriver) -> [u32; 2] {
    [0x1f064, 0x1f068].map(|at| driver.raw_read(at))
}

#[test]
fn registers_become_valid_one_after_the_other() {
    let card = slow();
    let mut driver = reset(&card);
    let (old, new) = ([2 << 16, 42 << 16 | 1], [2 << 16, 42 << 16 | 2]);
    let good = 0x0001_01f5;
    // ms since the reset: device id, version, whether firmware seems to run, PCI device id.
    let curve = [
        (10, u32::MAX, old, false, 0x1f6),
        (60, good, old, false, 0x1f6),
        (110, good, [0; 2], false, 0x1f6),
        (400, good, [0; 2], false, 0x1f6),
        (520, good, [2 << 16, 42 << 16], false, 0x1003),
        (700, good, [2 << 16, 42 << 16], true, 0x1003),
        (960, good, new, true, 0x1003),
        (1010, good, new, true, 0x1003),
    ];
    let start = card.clock().now().as_micros() as u64;
    for (ms, id, block, runs, pci) in curve {
        let now = card.clock().now().as_micros() as u64;
        driver.sleep(start + ms * 1000 - now);
        assert_eq!(card.is_booting(), ms < 1000, "{ms} ms");
        assert_eq!(driver.raw_read(0xf0014), id, "{ms} ms");
        assert_eq!(version(&mut driver), block, "{ms} ms");
        assert_eq!(driver.raw_read(0x41270) < BOUND, runs, "{ms} ms");
        assert_eq!(card.pci_device_id(), pci, "{ms} ms");
        assert_eq!(card.config_read(0) >> 16, u32::from(pci), "{ms} ms");
        let mut space = card.bar0();
        assert_eq!(space.pci_device_id().expect("config"), pci, "{ms} ms");
    }
    // Reading is allowed all the time.
    driver.assert_clean();
}

#[test]
fn the_recovery_id_in_a_boot_can_be_switched_off() {
    let card = slow();
    card.state.borrow_mut().spec.boot_shows_recovery_id = false;
    reset(&card);
    assert!(card.is_booting());
    assert_eq!(card.pci_device_id(), 0x1003);
}

#[test]
fn firmware_that_runs_shows_a_live_value_below_the_bound() {
    let card = SimCard::new(CardSpec::default(), &image(1));
    let mut driver = TestDriver::idle(&card);
    let values: Vec<u32> = (0..70_000).map(|_| driver.raw_read(0x41270)).collect();
    assert!(values.iter().all(|v| *v < BOUND));
    assert!(values.windows(2).all(|w| w[0] != w[1]));
    driver.assert_clean();
}

#[test]
fn writes_in_a_boot_are_misuse_and_lost() {
    let card = slow();
    let mut driver = reset(&card);
    for at in [0xf3834, 0xf0000, 0x80798, 0x80680, 0xe0000, ADDRESS] {
        let before = card.misuse_count();
        driver.write(at, 0x1000_0000);
        assert_eq!(card.misuse_count(), before + 1, "{at:#x}");
    }
    driver.assert_misuse("while the chip boots");
    driver.sleep(1_000_000);
    for at in [0xf3834, 0xf0000, 0x80798, 0x80680] {
        assert_eq!(driver.read(at), 0, "{at:#x}");
    }
}

#[test]
fn a_flush_in_a_boot_is_a_write() {
    let card = slow();
    let mut driver = reset(&card);
    driver.write(FLUSH, 0);
    driver.assert_misuse("0x00000000 written to 0xf0380 while the chip boots");
}

#[test]
fn the_boot_rom_owns_the_gateway() {
    let card = slow();
    let mut driver = reset(&card);
    driver.sleep(100_000);
    let flash = card.flash();
    let counted = (card.data_reads(), card.counters().gateway_commands);
    driver.write(ADDRESS, 0);
    driver.write(COMMAND, 0x4003_241D);
    assert_ne!(driver.raw_read(COMMAND) & 1 << 30, 0, "busy");
    driver.sleep(1000);
    assert_ne!(driver.raw_read(COMMAND) & 1 << 30, 0, "still busy");
    let garbage = [0, 4, 8, 12].map(|i| driver.raw_read(DATA + i));
    let real = u32::from_be_bytes(flash[..4].try_into().expect("4"));
    assert_ne!(garbage[0], real);
    assert_eq!(
        (card.data_reads(), card.counters().gateway_commands),
        counted,
        "nothing was transferred"
    );
    assert!(card.misuse_count() >= 6, "{:?}", card.misuse());
    driver.sleep(1_000_000);
    assert_eq!(driver.read(COMMAND) & 1 << 30, 0);
    assert!(card.flash() == flash);
}

#[test]
fn semaphores_taken_in_a_boot_are_lost_at_its_end() {
    let card = slow();
    let mut driver = reset(&card);
    assert_eq!(driver.raw_read(SEMAPHORE), 0);
    assert_eq!(driver.raw_read(SEMAPHORE), 1);
    driver.assert_misuse("semaphore 63 read while the chip boots");
    assert_eq!(card.semaphores_held(), [63]);
    driver.sleep(1_000_000);
    assert_eq!(card.semaphores_held(), [0_u8; 0]);
    let noted = card.misuse_count();
    driver.run(0x4006_2004);
    assert!(card.misuse_count() > noted, "the gateway is not ours");
}

#[test]
fn a_pause_lets_a_boot_go_on() {
    let card = slow();
    let mut driver = reset(&card);
    card.inject(Fault::Away { after: 0, ms: 5000 });
    assert_eq!(driver.raw_read(0xf0014), u32::MAX, "answered before");
    assert!(!card.is_booting());
    assert_eq!(driver.raw_read(0xf0014), 0x0001_01f5);
}

#[test]
fn the_silence_is_the_first_part_of_a_boot() {
    let card = slow();
    card.set_reset_time(Duration::from_millis(400));
    let mut driver = reset(&card);
    assert_eq!(driver.raw_read(0x1f064), u32::MAX);
    driver.sleep(399_990);
    assert_eq!(driver.raw_read(0xf0014), u32::MAX);
    driver.sleep(20);
    assert!(!card.is_silent() && card.is_booting());
    driver.sleep(100_000);
    assert_eq!(driver.raw_read(0xf0014), 0x0001_01f5);
    assert_eq!(driver.raw_read(0x1f064), 0, "100 of 600 ms are over");
    driver.sleep(500_000);
    assert!(!card.is_booting());

    card.set_reset_time(Duration::from_secs(1));
    let mut driver = reset(&card);
    driver.sleep(1_000_000);
    assert_eq!(version(&mut driver), [2 << 16, 42 << 16 | 2]);
    driver.assert_clean();
}

#[test]
fn a_power_cycle_boots_too() {
    let card = slow();
    card.power_cycle();
    let mut driver = TestDriver::idle(&card);
    assert_eq!(driver.raw_read(0xf0014), u32::MAX);
    assert_eq!(card.pci_device_id(), 0x1f6);
    driver.sleep(60_000);
    assert_eq!(version(&mut driver), [0; 2], "nothing ran before");
    driver.sleep(1_000_000);
    assert_eq!(version(&mut driver), [2 << 16, 42 << 16 | 2]);
}

#[test]
fn without_an_image_a_boot_ends_in_recovery_mode() {
    let card = slow();
    card.load_flash(0, &[0; 16]);
    let mut driver = reset(&card);
    for _ in 0..200 {
        driver.sleep(10_000);
        let value = driver.raw_read(0x41270);
        assert!(value > BOUND, "{value:#x}");
        assert_eq!(card.pci_device_id(), 0x1f6);
    }
    assert_eq!(card.running(), BootOutcome::Recovery);
    assert_eq!(driver.raw_read(0x41270), u32::MAX);
}

#[test]
fn a_pci_reset_restarts_a_chip_with_a_boot_time() {
    let card = slow();
    TestDriver::with(&card);
    card.pci_reset();
    assert!(card.is_booting() && !card.is_silent());
    assert_eq!(card.semaphores_held(), [0_u8; 0]);
    let mut driver = TestDriver::idle(&card);
    driver.sleep(1_000_000);
    assert_eq!(version(&mut driver), [2 << 16, 42 << 16 | 2]);
    TestDriver::with(&card).assert_clean();
}

#[test]
fn a_pci_reset_can_leave_firmware_and_semaphores_alone() {
    for (boot, boots) in [(0, true), (1000, false)] {
        let card = slow();
        card.set_boot_time(Duration::from_millis(boot));
        card.state.borrow_mut().spec.pci_reset_boots = boots;
        TestDriver::with(&card);
        card.pci_reset();
        assert!(!card.is_booting());
        assert_eq!(card.semaphores_held(), [63]);
        let mut driver = TestDriver::idle(&card);
        assert_eq!(version(&mut driver), [2 << 16, 42 << 16 | 1]);
        driver.assert_clean();
    }
}

#[test]
fn a_fork_boots_on_its_own_time() {
    let card = slow();
    reset(&card);
    let fork = card.fork();
    fork.clock().sleep(Duration::from_secs(2));
    assert!(card.is_booting() && !fork.is_booting());
}

#[test]
fn a_card_file_keeps_boot_time_and_serial() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("card");
    let spec = CardSpec { boot_ms: 900, pci_reset_boots: false, ..CardSpec::default() };
    let flash = striped(&image(1), Half::Even, 0x20_0000).expect("fits");
    let card = SimCard::create(&path, spec.clone(), &flash).expect("new file");
    let serial = card.serial().expect("it has a node GUID");
    assert_eq!(serial.len(), 16);
    card.set_reset_time(Duration::ZERO);
    card.pci_reset();
    reset(&card);
    assert!(card.is_booting());
    // Semaphores taken in a boot are lost; so are those of a process that ends in one.
    TestDriver::idle(&card).raw_read(SEMAPHORE);
    drop(card);

    let card = SimCard::open(&path).expect("card file");
    assert_eq!(card.spec(), spec);
    assert!(!card.is_booting(), "it is over by now");
    assert_eq!(card.semaphores_held(), [0_u8; 0]);
    card.load_flash(0, &[0; 16]);
    card.power_cycle();
    card.clock().sleep(Duration::from_secs(1));
    assert_eq!(card.running(), BootOutcome::Recovery);
    assert_eq!(card.serial(), Some(serial), "whatever runs");
}

#[test]
fn a_blank_card_has_no_serial_until_an_image_runs() {
    let card = SimCard::new(CardSpec::default(), &[]);
    assert_eq!(card.serial(), None);
    card.load_flash(0, &image(1));
    card.power_cycle();
    assert!(card.serial().is_some());
}

#[test]
fn card_files_of_earlier_versions_still_open() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("card");
    drop(SimCard::create(&path, CardSpec::default(), &image(1)).expect("new file"));
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).expect("open");
    for at in SLOTS_AT {
        let mut slot = vec![0; SLOT_LEN];
        file.read_exact_at(&mut slot, at).expect("slot");
        let Some((counter, json)) = parse_record(&slot) else {
            continue;
        };
        let mut value: serde_json::Value = serde_json::from_slice(json).expect("JSON");
        let fields = value.as_object_mut().expect("object");
        fields.remove("serial").expect("new since then");
        let spec = fields["spec"].as_object_mut().expect("object");
        for new in [
            "boot_ms",
            "boot_shows_recovery_id",
            "pci_reset_boots",
            "ignores_full_crc",
            "boots_highest_first",
            "honours_boot_address",
        ] {
            spec.remove(new).expect("new since then");
        }
        let old = serde_json::to_vec(&value).expect("JSON");
        let old = record(counter, &old).expect("fits");
        file.write_all_at(&old, at).expect("write");
    }
    let card = SimCard::open(&path).expect("card file");
    assert_eq!(card.spec(), CardSpec::default());
    assert!(card.serial().is_some(), "that of the running image");
}
