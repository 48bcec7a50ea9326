//! In-use checks of storage, cluster, RDMA, virtual functions and machines, siblings.

use super::fake::{CARD, FakeHost};
use super::in_use_net::{detail, ids, quiet, uses};
use crate::host::UseId;
use crate::host::in_use::kernel_rdma::tests::idle;
use nix::libc;

/// `10.0.0.5/24` on the card.
fn addressed() -> FakeHost {
    let fake = quiet();
    fake.address("10.0.0.5/24", "enp5s0");
    fake
}

fn mount(fake: &FakeHost, line: &str) {
    fake.append("/proc/mounts", line);
}

#[test]
fn kernel_users_of_rdma_are_found_without_an_open_file() {
    let fake = quiet();
    let card = fake.card();
    assert_eq!(fake.host().in_use_with(&card, Ok(Vec::new()), Some(&mut idle())), []);
    let mut rdma = idle();
    rdma.kernel_user("mlx4_0", "nvme_rdma");
    let uses = fake.host().in_use_with(&card, Ok(Vec::new()), Some(&mut rdma));
    assert_eq!(uses.len(), 1, "{uses:?}");
    assert_eq!(uses[0].id, UseId::RdmaKernel);
    assert!(uses[0].id.waivable());
    assert_eq!(uses[0].detail, "kernel module nvme_rdma uses mlx4_0: 1 CM id, 1 QP");
    // Of another card, and a kernel that does not list them.
    let mut rdma = idle();
    rdma.kernel_user("mlx5_0", "rpcrdma");
    assert_eq!(fake.host().in_use_with(&card, Ok(Vec::new()), Some(&mut rdma)), []);
    let mut rdma = idle();
    rdma.kernel_user("mlx4_0", "nvme_rdma");
    rdma.refuse(libc::EOPNOTSUPP);
    assert_eq!(fake.host().in_use_with(&card, Ok(Vec::new()), Some(&mut rdma)), []);
}

#[test]
fn mounted_storage_through_the_card_is_a_use() {
    let fake = addressed();
    mount(&fake, "nas:/data /mnt/my\\040data nfs4 rw,proto=tcp,addr=10.0.0.9 0 0");
    assert_eq!(ids(&fake), [UseId::Address, UseId::Storage]);
    assert_eq!(
        detail(&fake, UseId::Storage),
        "/mnt/my data (nfs4) is mounted from 10.0.0.9 through enp5s0"
    );
    // Its connection is not named a second time.
    fake.tcp("10.0.0.5:801", "10.0.0.9:2049", 1, 9);
    let storage = uses(&fake);
    let storage: Vec<_> = storage.iter().filter(|u| u.0 == UseId::Storage).collect();
    assert_eq!(storage.len(), 1, "{storage:?}");
}

#[test]
fn storage_on_other_routes_is_no_use() {
    let fake = addressed();
    // Behind the other NIC, on this host itself, and not over the network at all.
    mount(&fake, "nas:/d /mnt/a nfs4 rw,addr=192.168.1.9 0 0");
    mount(&fake, "me:/d /mnt/b nfs4 rw,addr=10.0.0.5 0 0");
    mount(&fake, "me:/d /mnt/c nfs4 rw,addr=127.0.0.1 0 0");
    mount(&fake, "share /mnt/d 9p rw,trans=virtio 0 0");
    mount(&fake, "far:/d /mnt/e nfs4 rw,addr=203.0.113.9 0 0");
    // A more special route wins over the card's network.
    fake.route("10.0.0.128/25", "192.168.1.1", "eno1", 0);
    mount(&fake, "nas:/d /mnt/f nfs4 rw,addr=10.0.0.200 0 0");
    assert_eq!(ids(&fake), [UseId::Address]);
    // And back again with a host route.
    fake.route("10.0.0.200/32", "0.0.0.0", "enp5s0", 0);
    assert!(detail(&fake, UseId::Storage).starts_with("/mnt/f (nfs4)"));
}

#[test]
fn storage_is_routed_by_metric_and_over_a_bridge() {
    let fake = quiet();
    fake.bridge("vmbr1", &["enp5s0d1"]);
    fake.route("10.5.0.0/16", "192.168.1.1", "eno1", 10);
    fake.route("10.5.0.0/16", "10.0.0.1", "vmbr1", 20);
    mount(&fake, "10.5.0.1:6789:/ /ceph ceph rw 0 0");
    assert_eq!(ids(&fake), [UseId::Bridge]);
    fake.route("10.5.0.0/16", "10.0.0.1", "vmbr1", 5);
    let text = detail(&fake, UseId::Storage);
    assert!(text.ends_with("10.5.0.1 through vmbr1 on enp5s0d1"), "{text}");
}

#[test]
fn storage_over_ipv6_is_a_use() {
    let fake = quiet();
    fake.route6("fd00:5::/64", "::", "enp5s0", 0x1);
    fake.route6("fd00:5:0:0:1::/80", "fe80::1", "eno1", 0x3);
    mount(&fake, "[fd00:5::9]:/d /mnt nfs4 rw,addr=fd00:5::9 0 0");
    assert_eq!(ids(&fake), [UseId::Storage]);
    let fake = quiet();
    fake.route6("fd00:5::/64", "::", "enp5s0", 0x1);
    fake.route6("fd00:5:0:0:1::/80", "fe80::1", "eno1", 0x3);
    mount(&fake, "[fd00:5::1:0:0:9]:/d /mnt nfs4 rw,addr=fd00:5::1:0:0:9 0 0");
    assert_eq!(uses(&fake), []);
    // A rejecting route on the card's netdev leads nowhere.
    let fake = quiet();
    fake.route6("fd00:5::/64", "::", "enp5s0", 0x201);
    mount(&fake, "[fd00:5::9]:/d /mnt nfs4 rw,addr=fd00:5::9 0 0");
    assert_eq!(uses(&fake), []);
}

#[test]
fn a_server_of_unknown_address_counts_when_the_card_carries_traffic() {
    let fake = quiet();
    mount(&fake, "gl1:/vol /gluster fuse.glusterfs rw 0 0");
    assert_eq!(uses(&fake), []);
    fake.address("10.0.0.5/24", "enp5s0");
    let text = detail(&fake, UseId::Storage);
    assert!(text.contains("server address unknown"), "{text}");
    // Its address is known after all: elsewhere.
    fake.write("/etc/hosts", "# x\n192.168.1.9 other GL1 # y\n");
    assert_eq!(ids(&fake), [UseId::Address]);
    fake.write("/etc/hosts", "10.0.0.9 gl1\n");
    assert_eq!(ids(&fake), [UseId::Address, UseId::Storage]);
}

#[test]
fn iscsi_nvme_rbd_and_srp_through_the_card_are_a_use() {
    let near = |fake: &FakeHost| {
        fake.write("/sys/class/iscsi_connection/connection1:0/address", "192.168.1.9\n");
        fake.write("/sys/class/iscsi_host/host3/netdev", "eno1\n");
        fake.write("/sys/class/nvme/nvme0/transport", "pcie\n");
        fake.write("/sys/class/nvme/nvme0/address", "0000:04:00.0\n");
        fake.write("/sys/class/nvme/nvme1/transport", "tcp\n");
        fake.write("/sys/class/nvme/nvme1/address", "traddr=192.168.1.9,trsvcid=4420\n");
        fake.write("/sys/bus/rbd/devices/0/client_addr", "192.168.1.2:0/77\n");
        fake.write("/sys/class/scsi_host/host4/local_ib_device", "mlx5_0\n");
    };
    let fake = addressed();
    near(&fake);
    assert_eq!(ids(&fake), [UseId::Address]);
    for (file, content, words) in [
        (
            "/sys/class/iscsi_connection/connection2:0/address",
            "10.0.0.9\n",
            "iSCSI connection2:0: disks from 10.0.0.9 through enp5s0",
        ),
        (
            "/sys/class/iscsi_connection/connection3:0/persistent_address",
            "10.0.0.9\n",
            "iSCSI connection3:0",
        ),
        ("/sys/class/iscsi_host/host5/netdev", "enp5s0d1\n", "iSCSI host host5 uses enp5s0d1"),
        ("/sys/bus/rbd/devices/1/client_addr", "10.0.0.5:0/1234\n", "RBD device 1"),
        (
            "/sys/class/scsi_host/host6/local_ib_device",
            "mlx4_0\n",
            "SCSI host6 reaches SRP disks through mlx4_0",
        ),
    ] {
        let fake = addressed();
        near(&fake);
        fake.write(file, content);
        let text = detail(&fake, UseId::Storage);
        assert!(text.starts_with(words), "{text}");
    }
    for transport in ["tcp", "rdma"] {
        let fake = addressed();
        fake.write("/sys/class/nvme/nvme2/transport", transport);
        fake.write(
            "/sys/class/nvme/nvme2/address",
            "traddr=10.0.0.9,trsvcid=4420,src_addr=10.0.0.5\n",
        );
        let text = detail(&fake, UseId::Storage);
        assert!(text.contains(&format!("NVMe over {transport} nvme2")), "{text}");
    }
}

#[test]
fn drbd_and_served_storage_are_a_use() {
    let fake = addressed();
    fake.write(
        "/etc/drbd.d/r0.res",
        "on a {\n  address 10.0.0.5:7789;\n}\non b { address ipv4 10.0.0.6:7789; }\n",
    );
    // Configured, not loaded.
    assert_eq!(ids(&fake), [UseId::Address]);
    fake.write("/proc/drbd", "version: 8.4.11\n");
    assert!(detail(&fake, UseId::Storage).contains("DRBD replicates from 10.0.0.5:7789"));

    let fake = addressed();
    fake.tcp("10.0.0.5:2049", "10.0.0.20:700", 1, 1);
    fake.tcp("10.0.0.5:2049", "10.0.0.21:700", 1, 2);
    assert_eq!(
        detail(&fake, UseId::Storage),
        "NFS connections through enp5s0: 2, the first between 10.0.0.5:2049 and 10.0.0.20:700"
    );
    // Over the other NIC, a web server, and a port that only listens.
    let fake = addressed();
    fake.tcp("192.168.1.2:2049", "192.168.1.20:700", 1, 1);
    fake.tcp("10.0.0.5:443", "10.0.0.20:50000", 1, 2);
    fake.tcp("10.0.0.5:2049", "0.0.0.0:0", 0x0a, 3);
    assert_eq!(ids(&fake), [UseId::Address]);
}

#[test]
fn cluster_heartbeat_on_the_card_is_a_use() {
    let conf = "nodelist {\n node {\n  ring0_addr: 192.168.1.2\n  ring1_addr: 10.0.0.5\n }\n}\n";
    let fake = addressed();
    fake.write("/etc/pve/corosync.conf", conf);
    // Configured, not running.
    assert_eq!(ids(&fake), [UseId::Address]);
    fake.process(600, "corosync", 1);
    assert_eq!(ids(&fake), [UseId::Address, UseId::Cluster]);
    assert_eq!(detail(&fake, UseId::Cluster), "corosync uses 10.0.0.5 on enp5s0");
    // Rings elsewhere only.
    fake.write("/etc/pve/corosync.conf", "ring0_addr: 192.168.1.2\n");
    assert_eq!(ids(&fake), [UseId::Address]);
    // A network, a peer, a name that cannot be placed, no configuration.
    for conf in [
        "totem { interface {\n bindnetaddr: 10.0.0.0\n}}",
        "ring0_addr: 10.0.0.6\n",
        "ring0_addr: pve2\n",
    ] {
        fake.write("/etc/pve/corosync.conf", conf);
        assert_eq!(ids(&fake), [UseId::Address, UseId::Cluster], "{conf}");
    }
    fake.remove("/etc/pve/corosync.conf");
    assert_eq!(ids(&fake), [UseId::Address, UseId::Cluster]);
    // Nothing of it matters to a card without traffic.
    let fake = quiet();
    fake.process(600, "corosync", 1);
    fake.write("/etc/corosync/corosync.conf", "ring0_addr: pve2\n");
    assert_eq!(uses(&fake), []);
}

#[test]
fn a_root_on_the_network_through_the_card_is_a_use() {
    let fake = addressed();
    fake.write("/proc/mounts", "10.0.0.9:/root / nfs rw,addr=10.0.0.9 0 0\n");
    assert!(ids(&fake).contains(&UseId::BootRoot));
    assert!(!UseId::BootRoot.waivable());
    for (cmdline, found) in [
        ("root=/dev/nfs nfsroot=10.0.0.9:/root ip=dhcp", true),
        ("root=/dev/nfs nfsroot=192.168.1.9:/root ip=dhcp", false),
        ("netroot=iscsi:@10.0.0.9::3260::iqn.2004-01.com:d rd.iscsi.initiator=x", true),
        ("rd.iscsi.initiator=x netroot=iscsi:me:pw@192.168.1.9::3260::d", false),
        ("root=nfs4:[fd00::9]:/root", false),
        // The server is unknown, and the card carries traffic.
        ("rd.iscsi.firmware=1", true),
        // Local root, network for unlocking it.
        ("root=/dev/mapper/root ip=10.0.0.5::10.0.0.1:255.255.255.0::enp5s0", false),
    ] {
        let fake = addressed();
        fake.write("/proc/cmdline", cmdline);
        let ids = ids(&fake);
        assert_eq!(ids.contains(&UseId::BootRoot), found, "{cmdline}: {ids:?}");
    }
    // No traffic, no root.
    let fake = quiet();
    fake.write("/proc/cmdline", "rd.iscsi.firmware=1");
    assert_eq!(uses(&fake), []);
}

#[test]
fn rdma_programs_with_the_card_open_are_a_use() {
    for node in [
        "/dev/infiniband/uverbs0",
        "/dev/infiniband/umad0",
        "/dev/infiniband/issm0",
        "/dev/infiniband/rdma_cm",
    ] {
        let fake = quiet();
        fake.process(500, "opensm", 1);
        fake.open_file(500, 3, node);
        fake.open_file(500, 4, node);
        assert_eq!(uses(&fake), [(UseId::Rdma, format!("opensm (pid 500) has {node} open"))]);
    }
    // The clock.
    let fake = quiet();
    fake.mkdir(&format!("{}/ptp/ptp3", fake.device(CARD)));
    fake.process(500, "ptp4l", 1);
    fake.open_file(500, 3, "/dev/ptp3");
    assert_eq!(ids(&fake), [UseId::Rdma]);
    // A process on another card, also with its connection manager; another clock; this process.
    let fake = quiet();
    fake.process(501, "app", 1);
    fake.open_file(501, 3, "/dev/infiniband/uverbs1");
    fake.open_file(501, 4, "/dev/infiniband/rdma_cm");
    fake.open_file(501, 5, "/dev/ptp0");
    fake.open_file(1000, 5, "/dev/infiniband/uverbs0");
    assert_eq!(uses(&fake), []);
}

#[test]
fn enabled_virtual_functions_are_a_use() {
    let fake = quiet();
    fake.vf(CARD, 0, "0000:05:00.1", Some("mlx4_core"));
    fake.vf(CARD, 1, "0000:05:00.2", None);
    assert_eq!(
        uses(&fake),
        [(
            UseId::Vfs,
            "2 virtual functions: 0000:05:00.1 (mlx4_core), 0000:05:00.2 (no driver)".to_owned()
        )]
    );
    // What the host does with one of them stops as well.
    fake.port("0000:05:00.1", "enp5s0v0", 0);
    fake.route("0.0.0.0/0", "10.0.0.1", "enp5s0v0", 0);
    assert_eq!(ids(&fake), [UseId::DefaultRoute, UseId::Vfs]);
}

#[test]
fn a_card_in_a_virtual_machine_is_a_use() {
    let fake = quiet();
    fake.driver(CARD, Some("vfio-pci"));
    fake.process(3000, "qemu-system-x86", 1);
    fake.arguments(3000, "qemu-system-x86_64 -name guest=web,debug-threads=on -m size=4G");
    fake.open_file(3000, 20, "/dev/vfio/vfio");
    // The container alone is of no card; nor is a group with a longer number.
    fake.open_file(3000, 22, "/dev/vfio/170");
    assert_eq!(uses(&fake), []);
    assert_eq!(fake.host().holder(&fake.card()), None);
    fake.open_file(3000, 21, "/dev/vfio/17");
    assert_eq!(ids(&fake), [UseId::HeldByVm]);
    let holder = fake.host().holder(&fake.card()).unwrap();
    assert_eq!((holder.pid, holder.vm.as_deref()), (3000, Some("web")));
    assert_eq!(holder.to_string(), "VM web: qemu-system-x86 (pid 3000) has /dev/vfio/17 open");
}

#[test]
fn a_holder_of_the_character_device_or_device_file_is_found() {
    let fake = quiet();
    fake.driver(CARD, Some("vfio-pci"));
    fake.mkdir(&format!("{}/vfio-dev/vfio3", fake.device(CARD)));
    fake.process(3000, "kvm", 1);
    fake.arguments(3000, "/usr/bin/kvm -id 100 -name db,debug-threads=on");
    fake.open_file(3000, 9, "/dev/vfio/devices/vfio3");
    let holder = fake.host().holder(&fake.card()).unwrap();
    assert_eq!(holder.vm.as_deref(), Some("100 (db)"));

    let fake = quiet();
    fake.process(3001, "kvm", 1);
    fake.open_file(3001, 9, "anon_inode:[vfio-device]");
    assert_eq!(fake.host().holder(&fake.card()), None);
    fake.write(
        "/proc/3001/fdinfo/9",
        "pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:00/0000:07:00.0\n",
    );
    assert_eq!(fake.host().holder(&fake.card()), None);
    fake.write(
        "/proc/3001/fdinfo/9",
        "pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:00/0000:05:00.0\n",
    );
    assert_eq!(fake.host().holder(&fake.card()).unwrap().node, CARD);
}

#[test]
fn the_own_process_is_no_use() {
    let fake = quiet();
    fake.driver(CARD, Some("vfio-pci"));
    fake.open_file(1000, 9, "/dev/vfio/17");
    assert_eq!(fake.host().holder(&fake.card()), None);
    assert_eq!(uses(&fake), []);
}

#[test]
fn a_virtual_function_in_a_virtual_machine_is_a_use() {
    let fake = quiet();
    fake.vf(CARD, 0, "0000:05:00.1", Some("vfio-pci"));
    fake.group(18, &["0000:05:00.1"]);
    assert_eq!(ids(&fake), [UseId::Vfs]);
    fake.process(3000, "kvm", 1);
    fake.open_file(3000, 9, "/dev/vfio/18");
    assert_eq!(ids(&fake), [UseId::Vfs, UseId::HeldByVm]);
    assert!(detail(&fake, UseId::HeldByVm).starts_with("0000:05:00.1: kvm"));
}

#[test]
fn a_reservation_by_proxmox_is_a_use() {
    let fake = quiet();
    let file = "/run/qemu-server/pci-id-reservations";
    fake.write(file, "0000:06:00.0 101 pid:1\n0000:05:00.0 100 pid:3000\n");
    // The machine has gone and left its line.
    assert_eq!(uses(&fake), []);
    fake.process(3000, "kvm", 1);
    assert_eq!(
        uses(&fake),
        [(UseId::HeldByVm, "0000:05:00.0: Proxmox VM 100 (pid 3000) has reserved it".to_owned())]
    );
    // While a machine starts there is no process yet; an old line of that kind is stale.
    fake.write(file, "0000:05:00.0 100 time:1700000000\n");
    assert_eq!(uses(&fake), []);
    fake.write(file, "0000:05:00.0 100 time:99999999999\n");
    assert!(detail(&fake, UseId::HeldByVm).contains("VM 100 is being started"));
}

#[test]
fn blocking_siblings_and_their_disks_are_a_use() {
    const SATA: &str = "0000:00:17.0";
    let fake = quiet();
    fake.pci(SATA, 0x8086, 0xa352, 0x01_06_01);
    fake.driver(SATA, Some("ahci"));
    fake.group(17, &[CARD, SATA]);
    let disk = format!("{}/ata1/host0/block/sda", fake.device(SATA));
    for (dir, name) in [(disk.clone(), "sda"), (format!("{disk}/sda1"), "sda1")] {
        fake.mkdir(&dir);
        fake.link(&format!("/sys/class/block/{name}"), &dir);
    }
    fake.write("/proc/mounts", "/dev/sdb1 / ext4 rw 0 0\n");
    assert_eq!(
        uses(&fake),
        [(
            UseId::Siblings,
            "0000:00:17.0 is in the same IOMMU group 17: a SATA controller [8086:a352], driver ahci"
                .to_owned()
        )]
    );
    // Mounted, swapped to, part of a volume, of a pool.
    fake.write("/proc/mounts", "/dev/sda1 /srv ext4 rw 0 0\n");
    assert!(detail(&fake, UseId::SiblingDisk).starts_with("sda1 (/srv) in use behind"));
    fake.write("/proc/mounts", "");
    fake.write("/proc/swaps", "Filename Type\n/dev/sda1 partition 1 0 -2\n");
    assert!(detail(&fake, UseId::SiblingDisk).contains("sda1 (swap)"));
    fake.write("/proc/swaps", "");
    fake.mkdir(&format!("{disk}/sda1/holders/dm-0"));
    assert!(detail(&fake, UseId::SiblingDisk).contains("part of dm-0"));
    fake.remove(&format!("{disk}/sda1/holders/dm-0"));
    fake.mkdir("/sys/fs/btrfs/uuid/devices/sda1");
    assert!(detail(&fake, UseId::SiblingDisk).contains("btrfs"));
    fake.remove("/sys/fs/btrfs/uuid/devices/sda1");
    fake.write(&format!("{disk}/sda1/dev"), "8:1\n");
    fake.write("/run/udev/data/b8:1", "E:ID_FS_TYPE=zfs_member\n");
    assert_eq!(ids(&fake), [UseId::Siblings]);
    fake.mkdir("/sys/module/zfs");
    fake.write("/run/udev/data/b8:1", "E:ID_FS_TYPE=ext4\n");
    assert_eq!(ids(&fake), [UseId::Siblings]);
    fake.write("/run/udev/data/b8:1", "E:ID_FS_TYPE=zfs_member\n");
    assert!(detail(&fake, UseId::SiblingDisk).contains("ZFS"));
    // Without a driver it is no hindrance and keeps no disk.
    fake.driver(SATA, None);
    assert_eq!(uses(&fake), []);
}

#[test]
fn malformed_procfs_is_no_use_and_no_panic() {
    let fake = quiet();
    for file in [
        "net/route",
        "net/ipv6_route",
        "net/tcp",
        "net/tcp6",
        "mounts",
        "cmdline",
        "1000/stat",
        "900/environ",
        "drbd",
    ] {
        for junk in [
            &b"\xff\xfe\x00"[..],
            b"a b c d e f g h i j k",
            b"enp5s0 0000000\xc3\xa9 zz 1 0 0 0 0 0 0 0",
            b"0: \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9:0016 00000000:0000 01 x x x x x 5",
            b")",
            b"",
        ] {
            fake.write(&format!("/proc/{file}"), junk);
            assert_eq!(uses(&fake), [], "{file}: {junk:?}");
        }
    }
}
