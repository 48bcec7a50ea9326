//! `Host::cards` and `Host::card`, also with malformed files in sysfs.

use super::fake::{CARD, FakeHost, SERIAL, bdf, config_space};
use crate::host::{Function, Host};
use std::os::unix::ffi::OsStrExt as _;

#[test]
fn every_field_of_a_card_is_read() {
    let fake = FakeHost::new();
    fake.ethernet_card();
    let card = fake.card();
    assert_eq!(card.device_id, 0x1003);
    assert_eq!(card.function, Function::Physical);
    assert_eq!(card.subsystem, (0x15b3, 0x0055));
    assert_eq!(card.serial, Some(SERIAL));
    assert_eq!(card.serial_number().as_deref(), Some("00-02-c9-03-00-ab-cd-ef"));
    assert_eq!(card.driver.as_deref(), Some("mlx4_core"));
    assert_eq!(card.driver_override, None);
    assert_eq!(card.iommu_group, Some(17));
    assert_eq!(card.siblings, []);
    assert_eq!(card.bar0, Some(0x10_0000));
    assert_eq!(card.reset_methods, ["flr", "bus"]);
    assert_eq!(card.rdma, ["mlx4_0"]);
    assert_eq!(card.port_types, ["eth", "auto (eth)"]);
    assert_eq!(card.board_id.as_deref(), Some("MT_1090120019"));
    assert_eq!(card.fw_version.as_deref(), Some("2.42.5000"));
    let ports: Vec<_> = card
        .netdevs
        .iter()
        .map(|n| (n.port, n.name.as_str(), n.mac.as_str(), n.state.as_str()))
        .collect();
    assert_eq!(
        ports,
        [(0, "enp5s0", "02:00:00:00:00:00", "up"), (1, "enp5s0d1", "02:00:00:00:00:01", "up")]
    );
}

#[test]
fn only_these_cards_are_listed_by_address() {
    let fake = FakeHost::new();
    for (at, vendor, device) in [
        ("0000:81:00.0", 0x15b3, 0x1007),
        ("0000:05:00.0", 0x15b3, 0x1003),
        ("0000:05:00.1", 0x15b3, 0x1004),
        ("0000:06:00.0", 0x15b3, 0x01f6),
        ("0001:01:00.0", 0x15b3, 0x1010),
        // ConnectX-2, ConnectX-4, an Intel NIC with one of our device ids, gaps in the table.
        ("0000:07:00.0", 0x15b3, 0x6750),
        ("0000:08:00.0", 0x15b3, 0x1013),
        ("0000:09:00.0", 0x8086, 0x1003),
        ("0000:0a:00.0", 0x15b3, 0x1011),
        ("0000:0b:00.0", 0x15b3, 0x01f7),
    ] {
        fake.pci(at, vendor, device, 0x02_00_00);
    }
    let seen: Vec<_> = fake.host().cards().unwrap();
    let seen: Vec<_> = seen.iter().map(|c| (c.bdf.to_string(), c.function)).collect();
    assert_eq!(
        seen,
        [
            ("0000:05:00.0".to_owned(), Function::Physical),
            ("0000:05:00.1".to_owned(), Function::Virtual),
            ("0000:06:00.0".to_owned(), Function::Recovery),
            ("0000:81:00.0".to_owned(), Function::Physical),
            ("0001:01:00.0".to_owned(), Function::Physical),
        ]
    );
}

#[test]
fn siblings_block_the_group_when_bound_to_an_ordinary_driver() {
    let fake = FakeHost::new();
    fake.ethernet_card();
    let members = [
        ("0000:00:1c.0", Some("pcieport"), false),
        ("0000:03:00.0", Some("ahci"), true),
        ("0000:03:00.1", None, false),
        ("0000:03:00.2", Some("vfio-pci"), false),
        ("0000:03:00.3", Some("mlx5_vfio_pci"), false),
        ("0000:03:00.4", Some("pci-stub"), false),
        ("0000:03:00.5", Some("igb"), true),
        // Registered with VFIO, whatever its driver is called.
        ("0000:03:00.6", Some("other_driver"), false),
    ];
    let mut group = vec![CARD];
    for (at, driver, _) in members {
        fake.pci(at, 0x8086, 0x1234, 0x01_06_01);
        fake.driver(at, driver);
        group.push(at);
    }
    fake.group(17, &group);
    fake.mkdir(&format!("{}/vfio-dev/vfio0", fake.device("0000:03:00.6")));
    let seen: Vec<_> =
        fake.card().siblings.into_iter().map(|s| (s.bdf, s.driver, s.blocks)).collect();
    let wanted: Vec<_> = members
        .iter()
        .map(|(at, driver, blocks)| (bdf(at), driver.map(str::to_owned), *blocks))
        .collect();
    assert_eq!(seen, wanted);
}

#[test]
fn a_bare_card_has_empty_fields() {
    let fake = FakeHost::new();
    fake.pci(CARD, 0x15b3, 0x01f6, 0x05_80_00);
    let dir = fake.device(CARD);
    for file in
        ["revision", "subsystem_vendor", "driver_override", "reset_method", "resource", "config"]
    {
        fake.remove(&format!("{dir}/{file}"));
    }
    let card = fake.card();
    assert_eq!(card.function, Function::Recovery);
    assert_eq!(card.driver, None);
    assert_eq!(card.iommu_group, None);
    assert_eq!(card.bar0, None);
    assert_eq!(card.serial, None);
    assert!(card.reset_methods.is_empty());
}

#[test]
fn an_unset_override_is_none() {
    let fake = FakeHost::new();
    fake.ethernet_card();
    let file = format!("{}/driver_override", fake.device(CARD));
    fake.write(&file, "vfio-pci\n");
    assert_eq!(fake.card().driver_override.as_deref(), Some("vfio-pci"));
    fake.write(&file, "\n");
    assert_eq!(fake.card().driver_override, None);
}

#[test]
fn bar0_is_what_the_kernel_reports() {
    let fake = FakeHost::new();
    fake.ethernet_card();
    let file = format!("{}/resource", fake.device(CARD));
    for (line, length) in [
        ("0x0 0x0 0x0", None),
        // Not placed yet: the size is there (IORESOURCE_UNSET).
        ("0x0000000000000000 0x00000000000fffff 0x0000000020140204", Some(0x10_0000)),
        // Ports, not memory.
        ("0x3000 0x30ff 0x0000000000040101", None),
        ("0x5000 0x4000 0x200", None),
        ("0x0 0xffffffffffffffff 0x200", None),
        ("garbage", None),
        ("", None),
        ("0x1 0x2", None),
    ] {
        fake.write(&file, line);
        assert_eq!(fake.card().bar0, length, "{line:?}");
    }
}

#[test]
fn the_serial_number_needs_all_of_configuration_space() {
    let fake = FakeHost::new();
    fake.ethernet_card();
    let file = format!("{}/config", fake.device(CARD));
    let full = config_space(0x15b3, 0x1003);
    // As users other than root read it.
    fake.write(&file, &full[..64]);
    assert_eq!(fake.card().serial, None);
    fake.write(&file, &full[..0x150]);
    assert_eq!(fake.card().serial, None);
    fake.write(&file, vec![0xff; 0x1000]);
    assert_eq!(fake.card().serial, None);
    // A list that runs in a circle, and one that points below itself.
    let mut circle = full.clone();
    circle[0x100..0x104].copy_from_slice(&(0x100u32 << 20 | 0x1000e).to_le_bytes());
    fake.write(&file, &circle);
    assert_eq!(fake.card().serial, None);
    circle[0x100..0x104].copy_from_slice(&(0x40u32 << 20 | 0x1000e).to_le_bytes());
    fake.write(&file, &circle);
    assert_eq!(fake.card().serial, None);
    // The last dword of the space.
    circle[0x100..0x104].copy_from_slice(&(0xffcu32 << 20 | 0x1000e).to_le_bytes());
    circle[0xffc..].copy_from_slice(&0x0001_0003_u32.to_le_bytes());
    fake.write(&file, &circle);
    assert_eq!(fake.card().serial, None);
    fake.write(&file, &full);
    assert_eq!(fake.card().serial, Some(SERIAL));
}

#[test]
fn a_card_with_unreadable_ids_is_an_error_and_left_out_of_the_list() {
    let fake = FakeHost::new();
    fake.ethernet_card();
    fake.pci("0000:06:00.0", 0x15b3, 0x1007, 0x02_00_00);
    let device = format!("{}/device", fake.device(CARD));
    for odd in [&b"\xff\xfe\n"[..], b"", b"1003", b"0x+1003", b"0xzz"] {
        fake.write(&device, odd);
        assert_eq!(fake.host().cards().unwrap().len(), 1, "{odd:?}");
        let error = fake.host().card(bdf(CARD)).unwrap_err();
        assert!(error.to_string().contains(": device reads "), "{error}");
    }
    fake.write(&device, "0x11003\n");
    let error = fake.host().card(bdf(CARD)).unwrap_err();
    assert!(error.to_string().contains(" is an Ethernet controller"), "{error}");
}

#[test]
fn a_removed_card_is_no_device() {
    let fake = FakeHost::new();
    fake.ethernet_card();
    // The device is removed and its entry on the bus still dangles.
    fake.remove("/sys/devices/pci0000:05/0000:05:00.0");
    assert!(fake.host().cards().unwrap().is_empty());
    let error = fake.host().card(bdf(CARD)).unwrap_err();
    assert!(error.to_string().starts_with("there is no PCI device at"), "{error}");
}

#[test]
fn other_entries_on_the_bus_are_ignored() {
    let fake = FakeHost::new();
    fake.ethernet_card();
    fake.mkdir("/sys/bus/pci/devices/not-an-address");
    fake.write("/sys/bus/pci/devices/0000:07:00.0", "a file");
    let bad = std::ffi::OsStr::from_bytes(b"\xff\xff");
    std::fs::create_dir(fake.at("/sys/bus/pci/devices").join(bad)).unwrap();
    // A netdev without a single file, a link in place of a directory, a group that is no number.
    fake.mkdir(&format!("{}/net/eth9", fake.device(CARD)));
    fake.mkdir("/sys/kernel/iommu_groups/x");
    fake.link(&format!("{}/iommu_group", fake.device(CARD)), "/sys/kernel/iommu_groups/x");
    let cards = fake.host().cards().unwrap();
    assert_eq!(cards.len(), 1);
    assert_eq!(cards[0].iommu_group, None);
    assert_eq!(cards[0].netdevs.len(), 3);
}

#[test]
fn without_pci_there_is_no_card_and_an_unreadable_sysfs_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    // No PCI at all: no cards. Something else in its place: an error with the path.
    assert_eq!(host.cards().unwrap(), []);
    std::fs::create_dir_all(host.path("sys/bus/pci")).unwrap();
    std::fs::write(host.path("sys/bus/pci/devices"), "").unwrap();
    let error = host.cards().unwrap_err();
    assert!(error.to_string().contains("sys/bus/pci/devices"), "{error}");
}

#[test]
fn findings_work_on_this_machine() {
    let host = Host::system();
    match host.cards() {
        // With and without a card: everything in the list can be read again.
        Ok(cards) => {
            for card in cards {
                assert_eq!(host.card(card.bdf).unwrap().device_id, card.device_id);
            }
        }
        Err(error) => assert!(!host.path("sys/bus/pci/devices").exists(), "{error}"),
    }
}
