//! `Host::find`: one test for each kind of selector, and for each way to miss.

use super::fake::{CARD, FakeHost, bdf};
use crate::host::DiscoverError;

const NIC: &str = "0000:02:00.0";

/// The card, and an Intel NIC `eno1`.
fn two_nics() -> FakeHost {
    let fake = FakeHost::new();
    fake.ethernet_card();
    fake.pci(NIC, 0x8086, 0x1533, 0x02_00_00);
    fake.driver(NIC, Some("igb"));
    fake.port(NIC, "eno1", 0);
    fake
}

#[test]
fn a_card_is_selected_by_address_netdev_or_rdma_name() {
    let fake = two_nics();
    for selector in
        ["0000:05:00.0", "05:00.0", "00000:05:00.0", " 05:00.0\n", "enp5s0", "enp5s0d1", "mlx4_0"]
    {
        let card = fake.host().find(selector).unwrap();
        assert_eq!(card.bdf, bdf(CARD), "{selector:?}");
    }
}

#[test]
fn a_card_is_selected_by_the_names_of_other_tools_and_by_paths() {
    let fake = two_nics();
    for selector in [
        "pciconf-05:00.0",
        "pciconf-0000:05:00.0",
        "vfio-0000:05:00.0",
        "/proc/bus/pci/05/00.0",
        "/proc/bus/pci/0000:05/00.0",
        "/dev/mst/0000:05:00.0",
        "/dev/mst/mlx4_0",
        "/dev/0000:05:00.0_mstcr",
        "/dev/0000:05:00.0_mstconf",
        "/sys/bus/pci/devices/0000:05:00.0",
        "/sys/bus/pci/devices/0000:05:00.0/",
        "/sys/bus/pci/devices/0000:05:00.0/config",
        "/sys/bus/pci/devices/0000:05:00.0/resource2_wc",
        "/sys/bus/pci/drivers/mlx4_core/0000:05:00.0",
        "/sys/devices/pci0000:00/0000:00:03.0/0000:05:00.0/net/enp5s0/address",
        "/sys/class/net/enp5s0/device/config",
        "/sys/class/infiniband/mlx4_0",
    ] {
        let card = fake.host().find(selector);
        assert_eq!(card.unwrap().bdf, bdf(CARD), "{selector:?}");
    }
    for selector in [
        "/sys",
        "/sys/bus/pci",
        "/proc/bus/pci/05",
        "/proc/bus/pci/devices",
        "/dev/sda",
        "/dev/mst/",
        "/dev/mst/../mlx4_0",
        "pciconf-",
        "pciconf-mlx4_0",
        "pciconf-05:00",
    ] {
        assert!(fake.host().find(selector).is_err(), "{selector:?}");
    }
}

#[test]
fn an_address_without_a_domain_matches_one_card_in_any_domain() {
    let fake = FakeHost::new();
    fake.pci("10000:e1:00.0", 0x15b3, 0x1003, 0x02_00_00);
    assert_eq!(fake.host().find("e1:00.0").unwrap().bdf, bdf("10000:e1:00.0"));
    let error = fake.host().find("0000:e1:00.0").unwrap_err().to_string();
    assert!(error.starts_with("there is no PCI device at 0000:e1:00.0"));
    fake.pci("0001:e1:00.0", 0x15b3, 0x1007, 0x02_00_00);
    let error = fake.host().find("e1:00.0").unwrap_err();
    assert_eq!(error.to_string(), "\"e1:00.0\" matches several cards: 0001:e1:00.0, 10000:e1:00.0");
    assert_eq!(fake.host().find("0001:e1:00.0").unwrap().bdf, bdf("0001:e1:00.0"));
}

#[test]
fn an_address_without_a_domain_matches_every_card_and_journal() {
    let fake = two_nics();
    let host = fake.host();
    let other = bdf("0001:05:00.0");
    assert_eq!(host.address("05:00.0", &[]).unwrap(), bdf(CARD));
    assert_eq!(host.address("05:00.0", &[bdf(CARD)]).unwrap(), bdf(CARD));
    let error = host.address("pciconf-05:00.0", &[other, bdf(CARD)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"05:00.0\" matches several cards: 0000:05:00.0 (enp5s0, enp5s0d1, mlx4_0), \
         0001:05:00.0 (a journal)"
    );
    assert_eq!(host.address("0001:05:00.0", &[]).unwrap(), other);
    assert_eq!(host.address("enp5s0", &[other]).unwrap(), bdf(CARD));
    // Of a card that is gone.
    let gone = bdf("0002:09:00.0");
    assert_eq!(host.address("09:00.0", &[gone]).unwrap(), gone);
    assert!(host.address("09:00.0", &[gone, bdf("0003:09:00.0")]).is_err());
    assert!(host.address("eth9", &[gone]).is_err());
}

#[test]
fn the_address_of_a_virtual_function_is_refused_unless_a_journal_has_it() {
    let fake = two_nics();
    fake.vf(CARD, 0, "0000:05:00.1", None);
    let vf = bdf("0000:05:00.1");
    for name in ["05:00.1", "0000:05:00.1"] {
        let error = fake.host().address(name, &[]).unwrap_err();
        assert!(matches!(error, DiscoverError::VirtualFunction { .. }), "{error}");
        assert_eq!(fake.host().address(name, &[vf]).unwrap(), vf);
    }
}

#[test]
fn a_link_to_another_function_means_that_function() {
    let fake = two_nics();
    fake.vf(CARD, 0, "0000:05:00.1", None);
    let card = fake.host().find("/sys/bus/pci/devices/0000:05:00.1/physfn/config");
    assert_eq!(card.unwrap().bdf, bdf(CARD));
    for path in
        ["/sys/bus/pci/devices/0000:05:00.0/virtfn0", "/sys/class/net/enp5s0/device/virtfn0"]
    {
        let error = fake.host().find(path).unwrap_err();
        assert!(matches!(error, DiscoverError::VirtualFunction { .. }), "{path}: {error}");
    }
    for path in ["/sys/bus/pci/devices/0000:05:00.0/virtfn7", "/sys/class/net/eno1/device/physfn"] {
        let error = fake.host().find(path).unwrap_err();
        assert!(matches!(error, DiscoverError::NoCard(_)), "{path}: {error}");
    }
}

#[test]
fn an_unknown_selector_lists_the_cards() {
    let fake = two_nics();
    for selector in ["07:00.0", "eth7", "mlx4_9"] {
        let text = fake.host().find(selector).unwrap_err().to_string();
        assert!(text.contains("0000:05:00.0 (enp5s0, enp5s0d1, mlx4_0)"), "{text}");
    }
    let text = FakeHost::new().host().find("07:00.0").unwrap_err();
    assert!(text.to_string().contains("no ConnectX-3"), "{text}");
}

#[test]
fn another_device_is_named_with_class_ids_and_driver() {
    let fake = two_nics();
    let error = fake.host().find("02:00.0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "0000:02:00.0 is an Ethernet controller [8086:1533], driver igb; \
         cards found: 0000:05:00.0 (enp5s0, enp5s0d1, mlx4_0)"
    );
}

#[test]
fn a_virtual_function_names_its_card() {
    let fake = two_nics();
    fake.vf(CARD, 0, "0000:05:00.1", Some("mlx4_core"));
    fake.port("0000:05:00.1", "enp5s0v0", 0);
    for selector in ["05:00.1", "0000:05:00.1", "enp5s0v0"] {
        let error = fake.host().find(selector).unwrap_err();
        assert!(
            matches!(error, DiscoverError::VirtualFunction { pf: Some(pf), .. } if pf == bdf(CARD)),
            "{selector}: {error}"
        );
    }
    // In a guest only the virtual function is seen.
    fake.remove(&format!("{}/physfn", fake.device("0000:05:00.1")));
    let error = fake.host().find("05:00.1").unwrap_err();
    assert!(matches!(error, DiscoverError::VirtualFunction { pf: None, .. }));
}

#[test]
fn netdevs_of_other_or_no_hardware_are_refused() {
    let fake = two_nics();
    let text = fake.host().find("eno1").unwrap_err().to_string();
    assert!(text.contains("eno1 belongs to 0000:02:00.0"), "{text}");

    fake.virtual_netdev("enp5s0.10", "vlan");
    fake.stack("enp5s0.10", "enp5s0");
    let text = fake.host().find("enp5s0.10").unwrap_err().to_string();
    assert!(text.contains("a VLAN") && text.contains("enp5s0 of card 0000:05:00.0"), "{text}");

    // Bridge over a bond over one of our ports and one of theirs.
    fake.bond("bond0", &["enp5s0d1", "eno1"]);
    fake.bridge("vmbr0", &["bond0"]);
    assert_eq!(
        fake.host().find("vmbr0").unwrap_err().to_string(),
        "vmbr0 is a bridge, not a port of a card; below it: enp5s0d1 of card 0000:05:00.0"
    );

    fake.virtual_netdev("dummy0", "");
    let text = fake.host().find("dummy0").unwrap_err().to_string();
    assert!(text.contains("no ConnectX-3 port is below it"), "{text}");
    // Two netdevs that claim to lie on each other.
    fake.virtual_netdev("a", "");
    fake.virtual_netdev("b", "");
    fake.stack("a", "b");
    fake.stack("b", "a");
    assert!(fake.host().find("a").is_err());
}

#[test]
fn rdma_devices_of_other_cards_are_no_use() {
    let fake = two_nics();
    fake.pci("0000:03:00.0", 0x15b3, 0x1013, 0x02_00_00);
    fake.rdma("0000:03:00.0", "mlx5_0");
    let text = fake.host().find("mlx5_0").unwrap_err().to_string();
    assert!(text.contains("mlx5_0 belongs to 0000:03:00.0"), "{text}");
    fake.mkdir("/sys/devices/virtual/infiniband/rxe0");
    fake.link("/sys/class/infiniband/rxe0", "/sys/devices/virtual/infiniband/rxe0");
    let text = fake.host().find("rxe0").unwrap_err().to_string();
    assert!(text.contains("software RDMA"), "{text}");
}

#[test]
fn a_name_of_two_cards_is_ambiguous() {
    let fake = two_nics();
    fake.pci("0000:06:00.0", 0x15b3, 0x1007, 0x02_00_00);
    // The netdev of the second card was renamed.
    fake.port("0000:06:00.0", "mlx4_0", 0);
    let error = fake.host().find("mlx4_0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"mlx4_0\" matches several cards: netdev of 0000:06:00.0, RDMA device of 0000:05:00.0"
    );

    let fake = two_nics();
    fake.port(CARD, "mlx4_0", 0);
    assert_eq!(fake.host().find("mlx4_0").unwrap().bdf, bdf(CARD));
    // A netdev of another device with the RDMA name of the card: the card is meant.
    let fake = two_nics();
    fake.port(NIC, "mlx4_0", 0);
    assert_eq!(fake.host().find("mlx4_0").unwrap().bdf, bdf(CARD));
}

#[test]
fn names_that_are_not_file_names_are_unknown() {
    let fake = two_nics();
    for selector in ["", ".", "..", "../net/enp5s0", "a\0b", "enp5s0/", "sim:x"] {
        let error = fake.host().find(selector).unwrap_err().to_string();
        let unknown = "there is no PCI device, netdev or RDMA device";
        assert!(error.starts_with(unknown), "{selector:?}: {error}");
    }
}
