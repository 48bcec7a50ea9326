//! In-use checks of the network: each use, and the case beside it that is none.

use super::fake::{CARD, FakeHost};
use crate::host::UseId;
use crate::host::in_use::use_id::NAMES;
use nix::libc;
use std::io;

/// The card with both ports up and nothing on them, and an Intel NIC that carries the host's
/// traffic.
pub(super) fn quiet() -> FakeHost {
    let fake = FakeHost::new();
    fake.ethernet_card();
    fake.pci("0000:02:00.0", 0x8086, 0x1533, 0x02_00_00);
    fake.driver("0000:02:00.0", Some("igb"));
    fake.port("0000:02:00.0", "eno1", 0);
    fake.address("192.168.1.2/24", "eno1");
    fake.route("0.0.0.0/0", "192.168.1.1", "eno1", 100);
    fake.virtual_netdev("lo", "");
    // What IPv6 does by itself on every link that is up.
    for dev in ["enp5s0", "enp5s0d1", "eno1"] {
        fake.address6("fe80::1", dev);
        fake.route6("fe80::/64", "::", dev, 0x1);
        fake.route6("ff00::/8", "::", dev, 0x1);
    }
    fake.route6("::/0", "::", "lo", 0x0020_0200);
    fake
}

/// Every use with its detail.
pub(super) fn uses(fake: &FakeHost) -> Vec<(UseId, String)> {
    let addresses = fake.addresses.borrow().clone();
    let uses = fake.host().in_use_with(&fake.card(), Ok(addresses), None);
    uses.into_iter().map(|u| (u.id, u.detail)).collect()
}

pub(super) fn ids(fake: &FakeHost) -> Vec<UseId> {
    let mut ids: Vec<_> = uses(fake).into_iter().map(|u| u.0).collect();
    ids.dedup();
    ids
}

/// The detail of one use; fails when it is missing.
pub(super) fn detail(fake: &FakeHost, id: UseId) -> String {
    let all = uses(fake);
    let one = all.iter().find(|u| u.0 == id);
    one.unwrap_or_else(|| panic!("no {id} in {all:?}")).1.clone()
}

#[test]
fn a_card_with_links_up_and_nothing_on_them_is_free() {
    assert_eq!(uses(&quiet()), []);
}

#[test]
fn a_card_without_driver_is_free() {
    let fake = FakeHost::new();
    fake.pci(CARD, 0x15b3, 0x01f6, 0x05_80_00);
    assert_eq!(uses(&fake), []);
}

#[test]
fn unknown_addresses_count_as_a_use_of_a_card_with_netdevs() {
    let uses = |fake: &FakeHost| {
        let refused = Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
        fake.host().in_use_with(&fake.card(), refused, None)
    };
    let found = uses(&quiet());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].id, UseId::Address);
    assert!(found[0].detail.contains("cannot be listed"), "{found:?}");
    let fake = FakeHost::new();
    fake.pci(CARD, 0x15b3, 0x01f6, 0x05_80_00);
    assert_eq!(uses(&fake), []);
}

#[test]
fn every_use_id_parses_from_its_name() {
    for id in NAMES.map(|(id, ..)| id) {
        assert_eq!(id.name().parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{}\"", id.name()));
    }
    let error = "default_route".parse::<UseId>().unwrap_err().to_string();
    assert!(error.contains("default-route"), "{error}");
    let never: Vec<_> = NAMES.map(|(id, ..)| id).into_iter().filter(|id| !id.waivable()).collect();
    assert_eq!(never, [UseId::SiblingDisk, UseId::HeldByVm, UseId::BootRoot]);
}

#[test]
fn a_default_route_through_the_card_is_a_use() {
    let fake = quiet();
    fake.route("0.0.0.0/0", "10.0.0.1", "enp5s0", 50);
    assert_eq!(ids(&fake), [UseId::DefaultRoute]);
    assert_eq!(
        detail(&fake, UseId::DefaultRoute),
        "route to 0.0.0.0/0 by 10.0.0.1 leads through enp5s0 (metric 50)"
    );
    // Near: a network, a rejecting default, a default that is not up.
    let fake = quiet();
    fake.route("10.0.0.0/8", "10.0.0.1", "enp5s0", 0);
    fake.reject("0.0.0.0/0");
    fake.append("/proc/net/route", "enp5s0\t00000000\t0100000A\t0002\t0\t0\t0\t00000000\t0\t0\t0");
    assert_eq!(uses(&fake), []);
}

#[test]
fn a_default_route_of_ipv6_or_in_two_halves_is_a_use() {
    let fake = quiet();
    fake.route6("::/0", "fe80::99", "enp5s0d1", 0x3);
    assert!(detail(&fake, UseId::DefaultRoute).contains("fe80::99 leads through enp5s0d1"));
    let fake = quiet();
    fake.route("128.0.0.0/1", "0.0.0.0", "enp5s0", 0);
    assert_eq!(ids(&fake), [UseId::DefaultRoute]);
    // Not up.
    let fake = quiet();
    fake.route6("::/0", "fe80::99", "enp5s0d1", 0x2);
    assert_eq!(uses(&fake), []);
}

#[test]
fn a_default_route_through_bridge_bond_or_vlan_is_a_use() {
    let fake = quiet();
    fake.bond("bond0", &["enp5s0", "enp5s0d1"]);
    fake.virtual_netdev("bond0.7", "vlan");
    fake.stack("bond0.7", "bond0");
    fake.bridge("vmbr0", &["bond0.7"]);
    fake.route("0.0.0.0/0", "10.0.0.1", "vmbr0", 0);
    // Both members are ports of the card: the bond goes down.
    assert_eq!(ids(&fake), [UseId::DefaultRoute, UseId::LastSlave, UseId::Bridge, UseId::Uppers]);
    let text = detail(&fake, UseId::DefaultRoute);
    assert!(text.contains("vmbr0 on enp5s0"), "{text}");
}

#[test]
fn a_bond_with_another_member_up_keeps_the_netdevs_above_it() {
    let fake = quiet();
    fake.bond("bond0", &["enp5s0", "eno1"]);
    fake.bridge("vmbr0", &["bond0"]);
    fake.route("0.0.0.0/0", "10.0.0.1", "vmbr0", 0);
    fake.address("10.0.0.2/24", "vmbr0");
    assert_eq!(ids(&fake), [UseId::Bond]);
    assert_eq!(detail(&fake, UseId::Bond), "enp5s0 is in bond bond0, beside eno1");
    // The other member loses its link.
    fake.write("/sys/class/net/eno1/bonding_slave/mii_status", "down\n");
    assert_eq!(ids(&fake), [UseId::DefaultRoute, UseId::LastSlave, UseId::Bridge, UseId::Address]);
    assert_eq!(
        detail(&fake, UseId::LastSlave),
        "enp5s0 is in bond bond0, which has no other member up"
    );
}

#[test]
fn a_team_counts_as_a_bond() {
    let fake = quiet();
    // The kernel has no DEVTYPE for it.
    fake.virtual_netdev("team0", "");
    fake.enslave("team0", "enp5s0");
    fake.enslave("team0", "eno1");
    fake.route("0.0.0.0/0", "10.0.0.1", "team0", 0);
    assert_eq!(ids(&fake), [UseId::Bond]);
    fake.write("/sys/class/net/eno1/operstate", "down\n");
    assert_eq!(ids(&fake), [UseId::DefaultRoute, UseId::LastSlave]);
}

#[test]
fn a_bond_of_other_cards_is_no_use() {
    let fake = quiet();
    fake.bond("bond0", &["eno1"]);
    fake.bridge("vmbr0", &["bond0"]);
    fake.virtual_netdev("eno1.5", "vlan");
    fake.stack("eno1.5", "eno1");
    fake.address("10.9.0.1/24", "vmbr0");
    assert_eq!(uses(&fake), []);
}

#[test]
fn bridges_and_open_vswitch_are_a_use() {
    let fake = quiet();
    fake.virtual_netdev("tap100i0", "");
    fake.bridge("vmbr1", &["enp5s0", "tap100i0"]);
    assert_eq!(
        uses(&fake),
        [(UseId::Bridge, "enp5s0 is a port of bridge vmbr1, beside tap100i0".to_owned())]
    );
    let fake = quiet();
    // The bridge's own netdev is a member of the datapath, and carries the host's traffic.
    fake.virtual_netdev("ovs-system", "");
    fake.virtual_netdev("vmbr0", "");
    fake.enslave("ovs-system", "enp5s0");
    fake.enslave("ovs-system", "eno1");
    fake.enslave("ovs-system", "vmbr0");
    fake.route("0.0.0.0/0", "10.0.0.1", "vmbr0", 0);
    assert_eq!(ids(&fake), [UseId::DefaultRoute, UseId::Bridge]);
    assert!(detail(&fake, UseId::DefaultRoute).contains("vmbr0 on enp5s0 (metric 0)"));
    assert_eq!(
        detail(&fake, UseId::Bridge),
        "enp5s0 is a port of Open vSwitch ovs-system, beside eno1, vmbr0"
    );
    assert_eq!(uses(&fake).len(), 2);
    // The same switch without the card.
    let fake = quiet();
    fake.virtual_netdev("ovs-system", "");
    fake.virtual_netdev("vmbr0", "");
    fake.enslave("ovs-system", "eno1");
    fake.enslave("ovs-system", "vmbr0");
    fake.route("0.0.0.0/0", "10.0.0.1", "vmbr0", 0);
    assert_eq!(uses(&fake), []);
}

#[test]
fn uppers_of_uppers_are_a_use() {
    let fake = quiet();
    fake.virtual_netdev("enp5s0.10", "vlan");
    fake.stack("enp5s0.10", "enp5s0");
    fake.virtual_netdev("macvtap0", "");
    fake.mkdir("/sys/class/net/macvtap0/macvtap/tap7");
    fake.stack("macvtap0", "enp5s0.10");
    assert_eq!(
        uses(&fake),
        [
            (UseId::Uppers, "VLAN enp5s0.10 is above enp5s0".to_owned()),
            (UseId::Uppers, "macvtap macvtap0 is above enp5s0.10 on enp5s0".to_owned())
        ]
    );
}

#[test]
fn configured_addresses_count_automatic_ones_do_not() {
    let fake = quiet();
    fake.address("10.0.0.5/24", "enp5s0d1");
    assert_eq!(uses(&fake), [(UseId::Address, "10.0.0.5 is configured on enp5s0d1".to_owned())]);
    let fake = quiet();
    fake.address6("fd00::5", "enp5s0");
    assert_eq!(ids(&fake), [UseId::Address]);
    let fake = quiet();
    fake.address("10.0.0.5/24", "eno1");
    assert_eq!(uses(&fake), []);
}

#[test]
fn a_port_in_another_network_namespace_is_a_use() {
    let fake = quiet();
    fake.mkdir("/sys/module/mlx4_en");
    fake.mkdir(&format!("{}/mlx4_core.eth.0", fake.device(CARD)));
    assert_eq!(uses(&fake), []);
    fake.remove(&format!("{}/net/enp5s0d1", fake.device(CARD)));
    fake.remove("/sys/class/net/enp5s0d1");
    assert_eq!(ids(&fake), [UseId::Netns]);
    // The driver has not made (or has taken back) its Ethernet device.
    fake.remove(&format!("{}/mlx4_core.eth.0", fake.device(CARD)));
    assert_eq!(uses(&fake), []);
    fake.mkdir(&format!("{}/mlx4_core.eth.0", fake.device(CARD)));
    // An InfiniBand port has no netdev of mlx4_en.
    fake.write(&format!("{}/mlx4_port2", fake.device(CARD)), "ib\n");
    assert_eq!(uses(&fake), []);
    // Nor has an Ethernet port without mlx4_en.
    fake.write(&format!("{}/mlx4_port2", fake.device(CARD)), "eth\n");
    fake.remove("/sys/module/mlx4_en");
    assert_eq!(uses(&fake), []);
}

#[test]
fn the_own_session_is_found_by_the_sockets_of_an_ancestor() {
    let fake = quiet();
    fake.process(700, "sshd-session", 1);
    fake.process(900, "bash", 700);
    fake.address("10.0.0.5/24", "enp5s0");
    fake.tcp("10.0.0.5:22", "10.0.0.9:50000", 1, 4242);
    fake.open_file(700, 4, "socket:[4242]");
    assert_eq!(ids(&fake), [UseId::OwnSession, UseId::Address]);
    assert_eq!(
        detail(&fake, UseId::OwnSession),
        "sshd-session (pid 700), an ancestor of this process, is connected to 10.0.0.9:50000 through enp5s0"
    );
    // A closing connection is none.
    let fake = quiet();
    fake.address("10.0.0.5/24", "enp5s0");
    fake.tcp("10.0.0.5:22", "10.0.0.9:50000", 6, 4242);
    fake.open_file(900, 4, "socket:[4242]");
    assert_eq!(ids(&fake), [UseId::Address]);
}

#[test]
fn other_sessions_and_routes_are_not_the_own_session() {
    let fake = quiet();
    // Another sshd on the card; the own one over the other NIC.
    fake.process(701, "sshd", 1);
    fake.address("10.0.0.5/24", "enp5s0");
    fake.tcp("10.0.0.5:22", "10.0.0.9:50000", 1, 1);
    fake.open_file(701, 4, "socket:[1]");
    fake.tcp("192.168.1.2:22", "192.168.1.9:50000", 1, 2);
    fake.open_file(900, 4, "socket:[2]");
    // A listening socket of an ancestor, and one of pid 1.
    fake.tcp("10.0.0.5:22", "0.0.0.0:0", 0x0a, 3);
    fake.open_file(900, 5, "socket:[3]");
    fake.tcp("10.0.0.5:22", "10.0.0.7:1", 1, 4);
    fake.open_file(1, 5, "socket:[4]");
    assert_eq!(ids(&fake), [UseId::Address]);
}

#[test]
fn the_own_session_is_found_on_ipv6_and_over_a_bridge() {
    let fake = quiet();
    fake.bridge("vmbr0", &["enp5s0"]);
    fake.address6("fd00::5", "vmbr0");
    fake.tcp("[fd00::5]:22", "[fd00::9]:50000", 1, 77);
    fake.open_file(900, 3, "socket:[77]");
    let text = detail(&fake, UseId::OwnSession);
    assert!(text.ends_with("[fd00::9]:50000 through vmbr0 on enp5s0"), "{text}");
    // IPv4 on an IPv6 socket.
    let fake = quiet();
    fake.address("10.0.0.5/24", "enp5s0");
    fake.tcp("[::ffff:10.0.0.5]:22", "[::ffff:10.0.0.9]:50000", 1, 78);
    fake.open_file(900, 3, "socket:[78]");
    assert!(detail(&fake, UseId::OwnSession).contains("10.0.0.9:50000"));
}

#[test]
fn the_own_session_is_found_in_the_environment() {
    let set = |fake: &FakeHost, pid: u32, value: &str| {
        fake.write(&format!("/proc/{pid}/environ"), format!("A=1\0SSH_CONNECTION={value}\0B=2\0"));
    };
    // sudo removed it from this process; the shell above still has it.
    let fake = quiet();
    fake.address("10.0.0.5/24", "enp5s0");
    set(&fake, 900, "10.0.0.9 50000 10.0.0.5 22");
    assert!(detail(&fake, UseId::OwnSession).contains("comes from 10.0.0.9:50000 through enp5s0"));
    // Our address is behind a NAT; the way back leads through the card.
    let fake = quiet();
    fake.route("10.7.0.0/16", "10.0.0.1", "enp5s0", 0);
    set(&fake, 1000, "10.7.0.9 50000 203.0.113.5 22");
    assert_eq!(ids(&fake), [UseId::OwnSession]);
    // Link-local, with its netdev.
    let fake = quiet();
    set(&fake, 1000, "fe80::9%enp5s0 50000 fe80::1%enp5s0 22");
    assert_eq!(ids(&fake), [UseId::OwnSession]);
    // From the machine to its own address on the card: does not leave it.
    let fake = quiet();
    fake.address("10.0.0.5/24", "enp5s0");
    set(&fake, 1000, "10.0.0.5 50000 10.0.0.5 22");
    assert_eq!(ids(&fake), [UseId::Address]);
    // Over the other NIC, from the machine itself, and garbage.
    for value in [
        "192.168.1.9 50000 192.168.1.2 22",
        "127.0.0.1 50000 127.0.0.1 22",
        "::1 50000 ::1 22",
        "fe80::9%eno1 50000 fe80::1%eno1 22",
        "x y z 22",
        "",
    ] {
        let fake = quiet();
        set(&fake, 1000, value);
        assert_eq!(uses(&fake), [], "{value:?}");
    }
}

#[test]
fn netdevs_of_a_blocking_sibling_count() {
    let fake = quiet();
    fake.group(17, &[CARD, "0000:02:00.0"]);
    let ids = ids(&fake);
    assert_eq!(ids, [UseId::DefaultRoute, UseId::Address, UseId::Siblings]);
    // On a driver that leaves the group viable it stays.
    fake.driver("0000:02:00.0", Some("vfio-pci"));
    assert_eq!(uses(&fake), []);
}

/// Text of a real kernel (6.18, x86-64), with our netdev's name in it: the other tests write these
/// files themselves and could share a mistake with the reader.
#[test]
#[cfg(target_endian = "little")]
fn procfs_of_a_real_kernel_is_understood() {
    let fake = FakeHost::new();
    fake.ethernet_card();
    fake.write(
        "/proc/net/route",
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
         enp5s0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0   \n\
         enp5s0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0   \n",
    );
    fake.write(
        "/proc/net/ipv6_route",
        "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001   enp5s0\n\
         00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003   enp5s0\n\
         fd000000000000000000000000000002 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000004 00000000 80200001   enp5s0\n\
         ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000003 00000000 00000001   enp5s0\n\
         00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n",
    );
    for ip in ["127.0.0.1", "::1"] {
        fake.own_address(ip.parse().unwrap(), "lo");
    }
    for ip in ["192.0.2.2", "fd00::2", "fe80::fc:ff:fe00:1"] {
        fake.own_address(ip.parse().unwrap(), "enp5s0");
    }
    fake.write(
        "/proc/net/tcp6",
        "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
         2: 000000FD000000000000000002000000:0016 000000FD000000000000000009000000:9CB0 01 00000000:00000000 00:00000000 00000000     0        0 519222 2 000000006927fd46 20 0 0 10 -1\n",
    );
    fake.write(
        "/proc/net/tcp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
         1: 00000000:0801 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1161 1 00000000f590f0a0 100 0 0 10 0\n   \
         2: 020200C0:0801 090200C0:9923 01 00000000:00000000 00:00000000 00000000     0        0 519227 2 0000000035d69781 20 0 0 10 -1\n",
    );
    fake.open_file(900, 3, "socket:[519222]");
    let words: Vec<_> = uses(&fake).into_iter().map(|u| u.1).collect();
    assert_eq!(
        words,
        [
            "route to 0.0.0.0/0 by 192.0.2.1 leads through enp5s0 (metric 0)",
            "route to ::/0 by fd00::1 leads through enp5s0 (metric 1024)",
            "bash (pid 900), an ancestor of this process, is connected to [fd00::9]:40112 through enp5s0",
            "192.0.2.2 is configured on enp5s0",
            "fd00::2 is configured on enp5s0",
            "NFS connections through enp5s0: 1, the first between 192.0.2.2:2049 and 192.0.2.9:39203",
        ]
    );
}
