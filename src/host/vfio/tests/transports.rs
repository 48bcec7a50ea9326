//! Which transport is used, and what each does.

use super::super::space::maps_by_default;
use super::*;
use std::fs;
use std::path::Path;

/// The transport of a card whose BAR0 can be mapped.
fn default_access() -> BarAccess {
    if maps_by_default(std::env::consts::ARCH) { BarAccess::Mmap } else { BarAccess::Pread }
}

#[test]
fn bar0_is_mapped_by_default_on_x86_64_only() {
    assert!(maps_by_default("x86_64"));
    for arch in ["aarch64", "arm", "powerpc64", "riscv64", "x86"] {
        assert!(!maps_by_default(arch), "{arch}");
    }
}

#[test]
fn configuration_cycles_are_tried_only_after_a_booting_card_had_its_time() {
    let mut device = FakeDevice::live();
    device.boots_for = 200;
    let fake = FakeRegions::of(device);
    let card = open(&fake, USABLE, None).unwrap();
    assert_eq!(access(&card), default_access());
    assert_eq!(fake.0.borrow().config_writes, []);
}

#[test]
fn the_pci_id_is_the_live_one_of_sysfs_and_vfios_where_sysfs_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    let mut device = FakeDevice::live();
    device.config.insert(0, 0x01f6_15b3);
    let fake = FakeRegions::of(device);
    let space = |dir: &Path| {
        let io = Box::new(fake.clone());
        let mut open = Open::new(io, BDF, USABLE, None, &SteppedClock::default()).unwrap();
        open.sysfs = Some(dir.to_owned());
        VfioCard::from_open(open)
    };
    let card = space(directory.path());
    assert_eq!(card.space().pci_device_id().unwrap(), 0x1f6);
    fs::write(&config, [0xb3, 0x15, 0x03, 0x10]).unwrap();
    assert_eq!(card.space().pci_device_id().unwrap(), 0x1003);
    // Cut off before the id.
    fs::write(&config, [0xb3, 0x15, 0x03]).unwrap();
    assert_eq!(card.space().pci_device_id().unwrap(), 0x1f6);
    card.close().unwrap();
    assert!(card.space().pci_device_id().is_err());
}

#[test]
fn pread_is_used_where_it_is_requested() {
    let fake = FakeRegions::of(FakeDevice::live());
    let card = open(&fake, USABLE, None).unwrap();
    assert_eq!(access(&card), default_access());
    let maps = u32::from(default_access() == BarAccess::Mmap);
    assert_eq!(fake.0.borrow().maps, maps);
    assert!(card.space().posts_writes());
    // The gateway was not touched at all.
    assert_eq!(fake.0.borrow().config_writes, []);
    assert_eq!(read(&card, DEVICE_ID).unwrap(), GOOD);

    let card = open(&fake, USABLE, Some(BarAccess::Pread)).unwrap();
    assert_eq!(access(&card), BarAccess::Pread);
    assert_eq!(fake.0.borrow().maps, maps);
}

#[test]
fn pread_is_used_when_bar0_cannot_be_mapped() {
    let unmapped = Bar { mappable: false, ..USABLE };
    let fake = FakeRegions::of(FakeDevice::live());
    assert_eq!(access(&open(&fake, unmapped, None).unwrap()), BarAccess::Pread);
    let refused = open(&fake, unmapped, Some(BarAccess::Mmap)).err().unwrap();
    let fault = BarFault::NotMappable;
    assert!(matches!(refused, VfioError::Bar { fault: f, .. } if f == fault));

    fake.0.borrow_mut().map_fails = Some(libc::ENOMEM);
    assert_eq!(access(&open(&fake, USABLE, None).unwrap()), BarAccess::Pread);
    let refused = open(&fake, USABLE, Some(BarAccess::Mmap)).err().unwrap();
    assert!(matches!(refused, VfioError::Map { .. }), "{refused}");
}

#[test]
fn configuration_cycles_are_used_when_bar0_is_unusable() {
    for fault in [BarFault::Missing, BarFault::Small(0x1000)] {
        let fake = FakeRegions::of(FakeDevice::live());
        let bar = Bar { usable: Err(fault), mappable: true };
        let card = open(&fake, bar, None).unwrap();
        assert_eq!(access(&card), BarAccess::Config);
        assert_eq!(read(&card, DEVICE_ID).unwrap(), GOOD);
        assert!(!card.space().posts_writes());
        for request in [BarAccess::Mmap, BarAccess::Pread] {
            let refused = open(&fake, bar, Some(request)).err().unwrap();
            assert!(matches!(refused, VfioError::Bar { fault: f, .. } if f == fault));
        }
    }
}

#[test]
fn configuration_cycles_are_used_when_only_they_answer() {
    let silences: [fn(&mut FakeDevice); 3] = [
        |d| d.bar_shows = Some(u32::MAX),
        |d| d.bar_shows = Some(BAD_ACCESS),
        |d| d.bar_fails = Some(libc::EIO),
    ];
    for silence in silences {
        let mut device = FakeDevice::live();
        silence(&mut device);
        let fake = FakeRegions::of(device);
        let card = open(&fake, USABLE, None).unwrap();
        assert_eq!(access(&card), BarAccess::Config);
        assert_eq!(read(&card, DEVICE_ID).unwrap(), GOOD);
        assert_eq!(fake.0.borrow().maps, 0);
    }
}

#[test]
fn bar0_is_used_when_nothing_answers_or_the_card_is_locked() {
    // All ones through both: the card module decides what that is (P7).
    let mut gone = FakeDevice::live();
    gone.bar_shows = Some(u32::MAX);
    gone.silent = true;
    let card = open(&FakeRegions::of(gone), USABLE, None).unwrap();
    assert_eq!(access(&card), default_access());
    assert_eq!(read(&card, DEVICE_ID).unwrap(), u32::MAX);

    let mut locked = FakeDevice::live();
    locked.bar_shows = Some(0xbad0_cafe);
    let fake = FakeRegions::of(locked);
    let card = open(&fake, USABLE, None).unwrap();
    assert_eq!(access(&card), default_access());
    assert_eq!(fake.0.borrow().config_writes, []);
}

#[test]
fn the_gateway_reads_and_writes_in_both_variants() {
    for write_only in [false, true] {
        let mut device = FakeDevice::live();
        device.write_only = write_only;
        let fake = FakeRegions::of(device);
        let card = open(&fake, USABLE, Some(BarAccess::Config)).unwrap();
        let mut space = card.space();
        assert_eq!(space.read(CrOffset(DEVICE_ID)).unwrap(), GOOD);
        space.write(CrOffset(0xf_0400), 0x1234_5678).unwrap();
        assert_eq!(space.read(CrOffset(0xf_0400)).unwrap(), 0x1234_5678);
        let device = fake.0.borrow();
        assert_eq!(device.registers[&0xf_0400], 0x1234_5678);
        // Data first where the address starts the write, address first where data does.
        let probe = (ADDRESS, HARMLESS);
        let writes: Vec<_> = device.config_writes[1..].to_vec();
        let order = if write_only {
            vec![
                (ADDRESS, DEVICE_ID | 1),
                (DATA, 0x1234_5678),
                (ADDRESS, 0xf_0400),
                (ADDRESS, 0xf_0401),
            ]
        } else {
            vec![
                (ADDRESS, DEVICE_ID),
                (ADDRESS, 0xf_0400),
                (DATA, 0x1234_5678),
                (ADDRESS, 0xf_0400),
            ]
        };
        assert_eq!(device.config_writes[0], probe);
        assert_eq!(writes, order, "write-only: {write_only}");
    }
}

#[test]
fn the_address_register_is_restored_or_left_harmless() {
    for (write_only, before, after) in
        [(false, 0x1_f064, 0x1_f064), (true, 0x1_f064, HARMLESS | 1), (false, u32::MAX, HARMLESS)]
    {
        let mut device = FakeDevice::live();
        device.write_only = write_only;
        device.config.insert(ADDRESS, before);
        let fake = FakeRegions::of(device);
        let card = open(&fake, USABLE, Some(BarAccess::Config)).unwrap();
        read(&card, 0xf_0000).unwrap();
        card.close().unwrap();
        assert_eq!(fake.0.borrow().config[&ADDRESS], after);
    }
    // Also where it was only tried.
    let mut device = FakeDevice::live();
    device.bar_shows = Some(u32::MAX);
    device.registers.clear();
    device.config.insert(ADDRESS, 0x1_f064);
    let fake = FakeRegions::of(device);
    let card = open(&fake, USABLE, None).unwrap();
    assert_eq!(access(&card), default_access());
    assert_eq!(fake.0.borrow().config[&ADDRESS], 0x1_f064);
}

#[test]
fn bus_mastering_is_switched_off_and_nothing_else() {
    let mut device = FakeDevice::live();
    device.config.insert(COMMAND, 0x0010_0146);
    let fake = FakeRegions::of(device);
    open(&fake, USABLE, None).unwrap();
    assert_eq!(fake.0.borrow().config_writes, [(COMMAND, 0x0142)]);
}

#[test]
fn after_a_reset_memory_decode_is_on_before_the_first_access() {
    for request in [BarAccess::Mmap, BarAccess::Pread] {
        let fake = FakeRegions::of(FakeDevice::live());
        let card = open(&fake, USABLE, Some(request)).unwrap();
        let mut space = card.space();
        let maps = fake.0.borrow().maps;

        fake.0.borrow_mut().silent = true;
        assert!(!space.back_after_reset().unwrap());
        assert_eq!(fake.0.borrow().config_writes, []);

        fake.0.borrow_mut().silent = false;
        // Also a master bit that a reset should not have left.
        fake.0.borrow_mut().config.insert(COMMAND, 0x0010_0004);
        assert!(space.back_after_reset().unwrap());
        assert_eq!(fake.0.borrow().config_writes, [(COMMAND, 0x0002)]);
        let fresh = u32::from(request == BarAccess::Mmap);
        assert_eq!(fake.0.borrow().maps, maps + fresh);

        assert!(space.back_after_reset().unwrap());
        assert_eq!(fake.0.borrow().config_writes.len(), 1);
    }
}

#[test]
fn after_a_reset_the_gateway_is_probed_again() {
    let fake = FakeRegions::of(FakeDevice::live());
    let card = open(&fake, USABLE, Some(BarAccess::Config)).unwrap();
    {
        let mut device = fake.0.borrow_mut();
        device.config.insert(COMMAND, 0);
        device.write_only = true;
    }
    assert!(card.space().back_after_reset().unwrap());
    assert_eq!(read(&card, DEVICE_ID).unwrap(), GOOD);
    let commands = |fake: &FakeRegions| {
        let device = fake.0.borrow();
        device.config_writes.iter().filter(|w| w.0 == COMMAND).count()
    };
    assert_eq!(commands(&fake), 0);
}

#[test]
fn every_access_to_a_closed_card_is_an_error() {
    let fake = FakeRegions::of(FakeDevice::live());
    let card = open(&fake, USABLE, None).unwrap();
    let mut space = card.space();
    let mut other = card.space();
    card.close().unwrap();
    card.close().unwrap();
    let enodev = |result: Result<(), CrError>| match result {
        Err(CrError::Io { at, source }) => (at, source.raw_os_error()),
        other => panic!("{other:?}"),
    };
    let gone = Some(libc::ENODEV);
    assert_eq!(enodev(space.read(CrOffset(DEVICE_ID)).map(drop)), (DEVICE_ID, gone));
    assert_eq!(enodev(other.write(CrOffset(4), 1)), (4, gone));
    assert_eq!(enodev(other.back_after_reset().map(drop)), (0xf_0010, gone));
    assert!(!space.posts_writes());
    // Everything that was behind it has been let go of: only our own handle is left.
    assert_eq!(Rc::strong_count(&fake.0), 1);
}

#[test]
fn dropping_the_card_closes_it_for_its_spaces() {
    let fake = FakeRegions::of(FakeDevice::live());
    let mut space = open(&fake, USABLE, None).unwrap().space();
    assert!(space.read(CrOffset(DEVICE_ID)).is_err());
    assert_eq!(Rc::strong_count(&fake.0), 1);
}

#[test]
fn an_error_of_an_access_names_its_register() {
    let fake = FakeRegions::of(FakeDevice::live());
    let card = open(&fake, USABLE, None).unwrap();
    fake.0.borrow_mut().bar_fails = Some(libc::EIO);
    match read(&card, 0xf_0400) {
        Err(CrError::Io { at, source }) => {
            assert_eq!((at, source.raw_os_error()), (0xf_0400, Some(libc::EIO)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_aligned_offsets_inside_of_cr_space_are_accessed() {
    let card = open(&FakeRegions::of(FakeDevice::live()), USABLE, None).unwrap();
    for at in [1, 2, 0xf_0015, 0x10_0000, u32::MAX - 3] {
        assert!(matches!(read(&card, at), Err(CrError::BadOffset { at: a }) if a == at), "{at:#x}");
    }
    assert_eq!(read(&card, 0xf_fffc).unwrap(), 0);
}
