//! The host checks of `doctor`.

use super::fake::{CARD, FakeHost};
use crate::host::{Host, HostFinding, Lockdown};

/// A host where all is well.
fn ready() -> FakeHost {
    let fake = FakeHost::new();
    fake.ethernet_card();
    fake.mkdir("/sys/bus/pci/drivers/vfio-pci");
    fake.mkdir("/sys/module/vfio_iommu_type1");
    fake.write("/dev/vfio/vfio", "");
    fake
}

fn finding(fake: &FakeHost, id: &str) -> HostFinding {
    let all = fake.host().findings(Some(&fake.card()));
    let mut one = all.into_iter().filter(|f| f.id == id);
    let found = one.next().unwrap_or_else(|| panic!("no {id}"));
    assert!(one.next().is_none(), "{id} twice");
    found
}

/// Detail and fix of a fault.
fn fault(fake: &FakeHost, id: &str) -> (String, String) {
    let finding = finding(fake, id);
    assert!(!finding.ok, "{finding:?}");
    (finding.detail, finding.fix.unwrap())
}

#[test]
fn a_ready_host_has_every_finding_and_no_fault() {
    let fake = ready();
    let all = fake.host().findings(Some(&fake.card()));
    let faults: Vec<_> = all.iter().filter(|f| !f.ok).collect();
    assert!(faults.is_empty(), "{faults:?}");
    let ids: Vec<_> = all.iter().map(|f| f.id).collect();
    assert_eq!(
        ids,
        [
            "iommu",
            "vfio_pci",
            "vfio_container",
            "lockdown",
            "secure_boot",
            "card_answers",
            "bar0",
            "group_viable",
            "driver",
            "holder",
            "managers",
            "reset_methods",
            "port_hotplug",
            "port_dpc",
            "firmware_first"
        ]
    );
    // Without a card: the first five.
    let host: Vec<_> = fake.host().findings(None).iter().map(|f| f.id).collect();
    assert_eq!(host, ids[..5]);
}

#[test]
fn every_fault_has_a_fix() {
    // An empty host has them all.
    let dir = tempfile::tempdir().unwrap();
    let card = ready().card();
    for finding in Host::at(dir.path()).findings(Some(&card)) {
        assert_eq!(finding.ok, finding.fix.is_none(), "{finding:?}");
    }
}

/// A host without IOMMU groups, with this CPU, this ACPI table and this command line.
fn no_iommu(cpu: &str, table: &str, cmdline: &str) -> FakeHost {
    let fake = ready();
    fake.remove(&format!("{}/iommu_group", fake.device(CARD)));
    fake.remove("/sys/kernel/iommu_groups");
    fake.write("/proc/cpuinfo", format!("vendor_id\t: {cpu}\n"));
    fake.write("/proc/cmdline", cmdline);
    if !table.is_empty() {
        fake.write(&format!("/sys/firmware/acpi/tables/{table}"), "");
    }
    fake
}

#[test]
fn the_fix_for_the_iommu_fits_the_cause() {
    for (cpu, table, cmdline, detail, fix) in [
        ("GenuineIntel", "DMAR", "quiet", "does not use it", "intel_iommu=on"),
        ("GenuineIntel", "", "quiet", "no ACPI table DMAR", "--firmware-setup"),
        ("GenuineIntel", "DMAR", "intel_iommu=on", "though", "journalctl"),
        (
            "GenuineIntel",
            "DMAR",
            "x intel_iommu=off",
            "started with intel_iommu=off",
            "intel_iommu=off",
        ),
        ("AuthenticAMD", "", "quiet", "no ACPI table IVRS", "--firmware-setup"),
        ("AuthenticAMD", "IVRS", "quiet", "has AMD-Vi", "AMD-Vi"),
        ("AuthenticAMD", "IVRS", "iommu=off", "started with iommu=off", "iommu=off"),
        ("ARM", "", "quiet", "no IOMMU group", "SMMU"),
    ] {
        let (reported, command) = fault(&no_iommu(cpu, table, cmdline), "iommu");
        assert!(reported.contains(detail), "{reported}");
        assert!(command.contains(fix), "{command}");
    }
    // In a guest the fix is another.
    let flags = "GenuineIntel\nflags\t: fpu vme hypervisor lahf_lm";
    assert!(fault(&no_iommu(flags, "", ""), "iommu").1.contains("intel-iommu"));
    assert!(fault(&no_iommu(flags, "DMAR", ""), "iommu").1.contains("intel_iommu=on"));
    let fake = no_iommu("GenuineIntel", "DMAR", "");
    assert!(!finding(&fake, "group_viable").ok);
}

#[test]
fn kernel_parameters_go_where_the_host_keeps_them() {
    for (files, with, without) in [
        (
            &["/etc/default/grub"][..],
            "update-grub",
            "sed -i 's/\\bintel_iommu=off\\b//' /etc/default/grub",
        ),
        (
            &["/etc/default/grub", "/usr/sbin/grubby"],
            "grubby --update-kernel=ALL --args=intel_iommu=on",
            "--remove-args=intel_iommu=off",
        ),
        (
            &["/etc/kernel/proxmox-boot-uuids", "/etc/kernel/cmdline"],
            "proxmox-boot-tool refresh",
            "proxmox-boot-tool refresh",
        ),
        (&[], "add intel_iommu=on", "remove intel_iommu=off"),
    ] {
        for (cmdline, wanted) in [("quiet", with), ("intel_iommu=off", without)] {
            let fake = no_iommu("GenuineIntel", "DMAR", cmdline);
            for file in files {
                fake.write(file, "");
            }
            let (_, fix) = fault(&fake, "iommu");
            assert!(fix.contains(wanted), "{fix}");
        }
    }
}

#[test]
fn vfio_pci_loadable_built_in_missing() {
    let fake = ready();
    fake.remove("/sys/bus/pci/drivers/vfio-pci");
    let dir = "/lib/modules/6.12.107-amd64";
    fake.write(&format!("{dir}/modules.builtin"), "kernel/fs/ext4/ext4.ko\n");
    // Similar names.
    fake.write(
        &format!("{dir}/modules.dep"),
        "kernel/drivers/vfio/pci/vfio-pci-core.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n\
         kernel/x/y.ko: kernel/drivers/vfio/pci/vfio-pci.ko\n",
    );
    let (detail, fix) = fault(&fake, "vfio_pci");
    assert!(detail.contains("6.12.107-amd64 has no vfio-pci"), "{detail}");
    assert!(fix.contains("CONFIG_VFIO_PCI"), "{fix}");
    fake.append(
        &format!("{dir}/modules.dep"),
        "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz",
    );
    assert!(finding(&fake, "vfio_pci").detail.contains("is a module"));
    fake.write("/proc/sys/kernel/osrelease", "6.12.107-cloud-amd64\n");
    assert!(fault(&fake, "vfio_pci").1.contains("linux-image-amd64"));
    // A name that leads elsewhere is no release.
    fake.write("/proc/sys/kernel/osrelease", "../modules/6.12.107-amd64\n");
    assert!(fault(&fake, "vfio_pci").0.contains("has no vfio-pci"));
}

#[test]
fn in_a_container_the_way_on_is_the_modules_of_its_host() {
    for mark in ["/run/systemd/container", "/.dockerenv", "/run/.containerenv", "/proc/1/environ"] {
        let fake = ready();
        fake.remove("/sys/bus/pci/drivers/vfio-pci");
        fake.remove("/sys/module/vfio_iommu_type1");
        assert!(fault(&fake, "vfio_pci").1.contains("reboot"), "{mark}");
        fake.write(mark, "PATH=/bin\0container=lxc\0");
        for (check, module) in [("vfio_pci", "vfio-pci"), ("vfio_container", "vfio_iommu_type1")] {
            let (_, fix) = fault(&fake, check);
            assert!(fix.starts_with(&format!("modprobe {module} ")), "{mark}: {fix}");
            assert!(fix.contains("host of this container") && !fix.contains("reboot"), "{fix}");
        }
        // The kernel is that of the host: with its modules the checks end.
        fake.mkdir("/sys/bus/pci/drivers/vfio-pci");
        fake.mkdir("/sys/module/vfio_iommu_type1");
        assert!(finding(&fake, "vfio_pci").ok && finding(&fake, "vfio_container").ok, "{mark}");
        fake.remove("/dev/vfio/vfio");
        assert!(fault(&fake, "vfio_container").1.contains("/dev/vfio"), "{mark}");
    }
}

#[test]
fn the_container_needs_node_and_backend() {
    let fake = ready();
    fake.remove("/sys/module/vfio_iommu_type1");
    assert!(fault(&fake, "vfio_container").0.contains("has no vfio_iommu_type1"));
    fake.write(
        "/lib/modules/6.12.107-amd64/modules.dep",
        "kernel/drivers/vfio/vfio_iommu_type1.ko.zst:\n",
    );
    assert_eq!(fault(&fake, "vfio_container").1, "modprobe vfio_iommu_type1");
    // Before vfio-pci is loaded that is how it should be.
    fake.remove("/sys/bus/pci/drivers/vfio-pci");
    assert!(finding(&fake, "vfio_container").ok);
    fake.mkdir("/sys/bus/pci/drivers/vfio-pci");
    fake.write(
        "/lib/modules/6.12.107-amd64/modules.builtin",
        "kernel/drivers/vfio/vfio_iommu_type1.ko\n",
    );
    assert!(finding(&fake, "vfio_container").ok);
    fake.remove("/dev/vfio/vfio");
    assert_eq!(fault(&fake, "vfio_container").1, "modprobe vfio");
    fake.mkdir("/sys/module/vfio");
    fake.write("/dev/iommu", "");
    assert!(fault(&fake, "vfio_container").0.contains("iommufd only"));
}

#[test]
fn lockdown_is_the_word_in_brackets() {
    let fake = ready();
    let file = "/sys/kernel/security/lockdown";
    assert_eq!(fake.host().lockdown(), Lockdown::Absent);
    for (text, level) in [
        ("[none] integrity confidentiality\n", Lockdown::None),
        ("none [integrity] confidentiality\n", Lockdown::Integrity),
        ("none integrity [confidentiality]\n", Lockdown::Confidentiality),
        ("none integrity\n", Lockdown::Absent),
        ("][", Lockdown::Absent),
    ] {
        fake.write(file, text);
        assert_eq!(fake.host().lockdown(), level, "{text}");
        let finding = finding(&fake, "lockdown");
        assert!(finding.ok, "VFIO is open at every level");
        let closes = matches!(level, Lockdown::Integrity | Lockdown::Confidentiality);
        assert_eq!(finding.detail.contains("/dev/mem"), closes);
    }
}

#[test]
fn secure_boot_is_a_variable_of_the_firmware() {
    let fake = ready();
    let file = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    assert_eq!(fake.host().secure_boot(), Some(false));
    fake.mkdir("/sys/firmware/efi/efivars");
    assert_eq!(fake.host().secure_boot(), None);
    for (bytes, on) in [
        (&[6, 0, 0, 0, 1][..], Some(true)),
        (&[6, 0, 0, 0, 0], Some(false)),
        (&[6, 0, 0, 0], None),
        (&[], None),
    ] {
        fake.write(file, bytes);
        assert_eq!(fake.host().secure_boot(), on, "{bytes:?}");
    }
}

#[test]
fn a_card_that_does_not_answer_is_a_fault() {
    let fake = ready();
    let config = format!("{}/config", fake.device(CARD));
    let mut bytes = super::fake::config_space(0x15b3, 0x1003);
    // The ids may come from the kernel; the class cannot.
    bytes[8..12].fill(0xff);
    fake.write(&config, &bytes);
    let (detail, fix) = fault(&fake, "card_answers");
    assert!(detail.contains("all ones"), "{detail}");
    assert!(fix.contains("0000:05:00.0/remove"), "{fix}");
    fake.write(&config, &bytes[..10]);
    assert!(fault(&fake, "card_answers").0.contains("cannot be read"));
}

#[test]
fn bar0_may_be_missing_only_in_recovery_mode() {
    let fake = ready();
    fake.write(&format!("{}/resource", fake.device(CARD)), "0x0 0x0 0x0\n");
    assert!(fault(&fake, "bar0").1.contains("rescan"));
    fake.write(&format!("{}/device", fake.device(CARD)), "0x01f6\n");
    assert!(finding(&fake, "bar0").ok);
    fake.write(&format!("{}/resource", fake.device(CARD)), "0x0 0xffff 0x200\n");
    assert!(!finding(&fake, "bar0").ok);
}

#[test]
fn a_group_with_a_blocking_sibling_is_a_fault() {
    let fake = ready();
    fake.pci("0000:03:00.0", 0x8086, 0x1533, 0x02_00_00);
    fake.group(17, &[CARD, "0000:03:00.0"]);
    assert!(finding(&fake, "group_viable").detail.contains("1 other"));
    fake.driver("0000:03:00.0", Some("igb"));
    let (detail, fix) = fault(&fake, "group_viable");
    assert!(detail.contains("an Ethernet controller [8086:1533]"), "{detail}");
    assert!(
        fix.starts_with("echo 0000:03:00.0 > /sys/bus/pci/devices/0000:03:00.0/driver/unbind"),
        "{fix}"
    );
}

#[test]
fn driver_override_and_reset_methods_are_reported() {
    let fake = ready();
    let dir = fake.device(CARD);
    assert!(finding(&fake, "driver").detail.starts_with("mlx4_core"));
    fake.driver(CARD, Some("vfio-pci"));
    fake.write(&format!("{dir}/driver_override"), "vfio-pci\n");
    assert_eq!(
        finding(&fake, "driver").detail,
        "vfio-pci: stays there; driver_override is vfio-pci"
    );
    assert_eq!(finding(&fake, "reset_methods").detail, "flr, bus");
    fake.write(&format!("{dir}/reset_method"), "\n");
    assert!(finding(&fake, "reset_methods").detail.starts_with("none"));
}

#[test]
fn the_holder_is_ended_by_its_manager() {
    for (arguments, fix) in [
        ("kvm -id 100 -name db", "qm shutdown 100"),
        ("qemu -name guest=web,x=y", "virsh shutdown web"),
        ("qemu -name guest=$(id);x,y=z", "virsh shutdown '$(id);x'"),
        ("dpdk-testpmd -a 05:00.0", "kill 3000"),
    ] {
        let fake = ready();
        fake.driver(CARD, Some("vfio-pci"));
        fake.process(3000, "x", 1);
        fake.arguments(3000, arguments);
        fake.open_file(3000, 5, "/dev/vfio/17");
        assert_eq!(fault(&fake, "holder").1, fix);
    }
}

#[test]
fn configuration_that_cannot_be_read_is_named() {
    let fake = FakeHost::new();
    fake.ethernet_card();
    // Reading it fails for root too.
    fake.write("/etc/libvirt/qemu", "no directory");
    fake.mkdir("/etc/modprobe.d/bad.conf");
    let found = finding(&fake, "managers").detail;
    for path in ["/etc/libvirt/qemu", "/etc/libvirt/qemu/networks", "/etc/modprobe.d/bad.conf"] {
        assert!(found.contains(&format!("{path} cannot be read (")), "{found}");
    }
    assert!(!found.contains("no entry"), "{found}");
}

#[test]
fn entries_of_managers_about_the_card_are_reported() {
    let managers = |fake: &FakeHost| {
        let finding = finding(fake, "managers");
        assert!(finding.ok, "{finding:?}");
        finding.detail
    };
    let fake = ready();
    // All of them know other cards.
    fake.write("/etc/driverctl.d/pci-0000:06:00.0", "vfio-pci\n");
    fake.write(
        "/etc/modprobe.d/vfio.conf",
        "#options vfio-pci ids=15b3:1003\noptions vfio-pci ids=15b3:1007,10de:1003\noptions kvm ids=15b3:1003\n\
         options vfio-pci ids=15b3:1003:15b3:0099 ids=15b3\nblacklist nouveau\n\
         softdep mlx4_core post: vfio-pci\nsoftdep nvidia pre: vfio-pci\n",
    );
    fake.write(
        "/proc/cmdline",
        "vfio-pci.ids=15b3:1007 kvm.ids=15b3:1003 module_blacklist=nouveau -- vfio-pci.ids=15b3:1003\n",
    );
    fake.write("/boot/config/vfio-pci.cfg", "BIND=0000:06:00.0|15b3:1003 05:00.0|15b3:1007\n");
    fake.write("/etc/modprobe.d/vfio.conf.bak", "options vfio-pci ids=15b3:1003\n");
    fake.write(
        "/etc/pve/qemu-server/101.conf",
        "hostpci0: 0000:06:00.0,pcie=1\nhostpci1: mapping=other\n[snap]\nhostpci0: 0000:05:00.0\n",
    );
    fake.write(
        "/etc/pve/mapping/pci.cfg",
        "other\n\tmap id=15b3:1003,node=a,path=0000:06:00.0\nours\n\tmap id=15b3:1003,node=a,path=0000:05:00.0\n",
    );
    let xml = |source: &str, own: &str| {
        format!(
            "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='{source}' slot='0x00' function='0x0'/></source><address type='pci' domain='0x0000' bus='{own}' slot='0x00' function='0x0'/></hostdev>"
        )
    };
    fake.write("/etc/libvirt/qemu/other.xml", xml("0x06", "0x05"));
    assert!(managers(&fake).contains("no entry"), "{}", managers(&fake));

    fake.write("/etc/driverctl.d/pci-0000:05:00.0", "vfio-pci\n");
    assert_eq!(managers(&fake), "driverctl binds it to vfio-pci at every boot");
    fake.remove("/etc/driverctl.d/pci-0000:05:00.0");
    fake.write(
        "/etc/modprobe.d/vfio.conf",
        "options vfio_pci disable_idle_d3=1 ids=10de:1234,15B3:1003:15b3:0055\n",
    );
    assert_eq!(managers(&fake), "vfio.conf gives every 15b3:1003 to vfio-pci at boot");
    for (line, note) in [
        (
            "options vfio-pci \\\n ids=15b3:1003",
            "vfio.conf gives every 15b3:1003 to vfio-pci at boot",
        ),
        (
            "options pci-stub ids=\"15b3:1003\"",
            "vfio.conf gives every 15b3:1003 to pci-stub at boot",
        ),
        (
            "options vfio-pci ids=10de:1b80,15b3:1003:ffffffff:55:0",
            "vfio.conf gives every 15b3:1003 to vfio-pci at boot",
        ),
        ("softdep mlx4_core pre: vfio vfio-pci", "vfio.conf loads vfio-pci before mlx4_core"),
        ("blacklist mlx4_core", "vfio.conf keeps mlx4_core from loading at boot"),
        ("install mlx4_core /bin/false", "vfio.conf replaces the loading of mlx4_core"),
    ] {
        fake.write("/etc/modprobe.d/vfio.conf", line);
        assert_eq!(managers(&fake), note);
    }
    fake.remove("/etc/modprobe.d/vfio.conf");
    for (line, note) in [
        ("root=/dev/sda1 vfio-pci.ids=15b3:1003", "gives every 15b3:1003 to vfio-pci at boot"),
        ("vfio_pci.ids=10de:1b80,15B3:1003 quiet", "gives every 15b3:1003 to vfio-pci at boot"),
        ("\"vfio-pci.ids=0x15b3:0x1003\"", "gives every 15b3:1003 to vfio-pci at boot"),
        ("pci-stub.ids=15b3:1003", "gives every 15b3:1003 to pci-stub at boot"),
        ("modprobe.blacklist=nouveau,mlx4_core", "keeps mlx4_core from loading"),
    ] {
        fake.write("/proc/cmdline", line);
        assert_eq!(managers(&fake), format!("the kernel command line {note}"), "{line}");
    }
    fake.write("/proc/cmdline", "");
    for line in [
        "BIND=0000:05:00.0|15b3:1003",
        "# ours\nBIND=0000:06:00.0|15b3:1003 0000:05:00.0|15b3:1003\n",
        "BIND=05:00.0",
        "BIND=\"15b3:1003|0000:05:00.0\"",
    ] {
        fake.write("/boot/config/vfio-pci.cfg", line);
        let note = "Unraid (vfio-pci.cfg) binds it to vfio-pci at boot";
        assert_eq!(managers(&fake), note, "{line}");
    }
    fake.remove("/boot/config/vfio-pci.cfg");
    for line in [
        "hostpci0: 0000:05:00.0,pcie=1",
        "hostpci0: 05:00",
        "hostpci1: host=05:00.0,rombar=0",
        "hostpci1: 06:00.0;05:00.0",
        "hostpci2: mapping=ours,pcie=1",
    ] {
        fake.write("/etc/pve/qemu-server/101.conf", line);
        assert_eq!(managers(&fake), "Proxmox VM 101 takes it when it starts", "{line}");
    }
    fake.remove("/etc/pve/qemu-server/101.conf");
    fake.write("/etc/libvirt/qemu/web.xml", xml("0x05", "0x06"));
    assert_eq!(managers(&fake), "libvirt machine web takes it when it starts");
}

#[test]
fn in_use_works_on_this_machine() {
    let host = Host::system();
    let general = host.findings(None);
    assert_eq!(general.len(), 5);
    for finding in &general {
        assert_eq!(finding.ok, finding.fix.is_none(), "{finding:?}");
        assert!(!finding.detail.is_empty());
    }
    // A card that is not there: every check runs, none panics.
    let mut card = ready().card();
    (card.iommu_group, card.rdma) = (None, Vec::new());
    let all = host.findings(Some(&card));
    assert_eq!(all.last().map(|f| f.id), Some("rights"));
    let _ = host.holder(&card);
    // Nothing here lies on that card, whatever this host's network is.
    let uses = host.in_use(&card);
    assert!(host.device(card.bdf).exists() || uses.is_empty(), "{uses:?}");
}
