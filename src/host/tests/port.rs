//! The port above the card: what it does when the link goes down.

use super::fake::{CARD, FakeHost, bdf};
use crate::host::hest::tests::aer_table;
use crate::host::{Function, PortReport};

const PORT: &str = "0000:00:01.0";
const LINK_CAPABILITIES: usize = 0x4c;
const SLOT_CAPABILITIES: usize = 0x54;
const SLOT_CONTROL: usize = 0x58;
const AER_MASK: usize = 0x108;
const DPC_CONTROL: usize = 0x14c;
const HEST: &str = "/sys/firmware/acpi/tables/HEST";

/// A card below a port without hot-plug, containment or reports.
fn below_a_port() -> FakeHost {
    let fake = FakeHost::new();
    fake.pci(CARD, 0x15b3, 0x1003, 0x02_00_00);
    fake.port_above(CARD, PORT);
    assert_eq!(fake.card().function, Function::Physical);
    fake
}

fn report(fake: &FakeHost) -> PortReport {
    fake.host().port_above(&fake.card()).unwrap()
}

fn finding(fake: &FakeHost, id: &str) -> String {
    let all = fake.host().findings(Some(&fake.card()));
    let one = all.into_iter().find(|f| f.id == id).unwrap();
    assert!(one.ok, "{one:?}");
    one.detail
}

/// A driver on a service of the port.
fn service(fake: &FakeHost, name: &str, driver: &str) {
    let dir = format!("/sys/bus/pci_express/drivers/{driver}");
    fake.mkdir(&dir);
    let service = format!("{}/{PORT}:{name}", fake.device(PORT));
    fake.link(&format!("{service}/driver"), &dir);
}

#[test]
fn a_port_without_features_does_not_prevent_a_reset() {
    let fake = below_a_port();
    let report = report(&fake);
    assert_eq!(report.bdf, bdf(PORT));
    assert_eq!(report.reset_objection(), None);
    assert_eq!(report.unknown, [""; 0]);
    for id in ["port_hotplug", "port_dpc", "firmware_first"] {
        assert!(!finding(&fake, id).contains("not reset"));
    }
}

#[test]
fn a_card_at_the_root_complex_has_no_port() {
    let fake = FakeHost::new();
    fake.pci(CARD, 0x15b3, 0x1003, 0x02_00_00);
    assert_eq!(fake.host().port_above(&fake.card()), None);
    assert!(finding(&fake, "port_hotplug").contains("root complex"));
}

#[test]
fn surprise_removal_prevents_a_reset() {
    // Slot capabilities, slot control, does it?
    for (capabilities, control, surprise) in [
        (0x40, 0, false),
        (0x20, 0, false),
        (0x60, 0, true),
        // Hot-plug without surprise, with link events enabled.
        (0x40, 0x1020, true),
        (0x40, 0x1000, false),
        (0x40, 0x20, false),
        (0, 0x1020, false),
    ] {
        let fake = below_a_port();
        fake.port_register(PORT, SLOT_CAPABILITIES, capabilities);
        fake.port_register(PORT, SLOT_CONTROL, control);
        let report = report(&fake);
        let case = format!("{capabilities:#x} {control:#x}");
        assert_eq!(report.hotplug_surprise, surprise, "{case}");
        assert_eq!(report.reset_objection().is_some(), surprise, "{case}");
        let detail = finding(&fake, "port_hotplug");
        assert_eq!(detail.contains("not reset"), surprise, "{case}");
        // A port without a slot has no such registers.
        fake.port_register(PORT, 0x40, 0x0042_0010);
        let report = fake.host().port_above(&fake.card()).unwrap();
        assert!(!report.hotplug_surprise, "{case}");
    }
}

#[test]
fn containment_that_triggers_prevents_a_reset() {
    for (control, on) in [(0u32, false), (8, false), (1, true), (2, true)] {
        let fake = below_a_port();
        fake.port_register(PORT, DPC_CONTROL, control << 16);
        let report = report(&fake);
        assert_eq!(report.dpc, on, "{control}");
        assert_eq!(report.reset_objection().is_some(), on, "{control}");
        assert_eq!(finding(&fake, "port_dpc").contains("not reset"), on);
    }
}

#[test]
fn firmware_first_prevents_a_reset_where_a_lost_link_is_an_error() {
    for (first, capable, masked, objects) in [
        (true, true, false, true),
        (true, true, true, false),
        (true, false, false, false),
        (false, true, false, false),
    ] {
        let fake = below_a_port();
        fake.write(HEST, aer_table(first));
        fake.port_register(PORT, LINK_CAPABILITIES, u32::from(capable) << 19);
        fake.port_register(PORT, AER_MASK, u32::from(masked) << 5);
        let report = report(&fake);
        let case = format!("{first} {capable} {masked}");
        assert_eq!(report.firmware_first, first, "{case}");
        assert_eq!(report.reset_objection().is_some(), objects, "{case}");
        let detail = finding(&fake, "firmware_first");
        assert_eq!(detail.contains("not reset"), objects, "{case}");
    }
}

#[test]
fn error_reporting_kept_from_the_kernel_is_firmware_first() {
    let kept = || {
        let fake = below_a_port();
        fake.mkdir("/sys/bus/pci_express/drivers/aer");
        fake.write(&format!("{}/aer_dev_fatal", fake.device(PORT)), "0\n");
        fake
    };
    assert!(report(&kept()).firmware_first);
    let fake = kept();
    service(&fake, "pcie002", "aer");
    assert!(!report(&fake).firmware_first, "the kernel's driver is there");
    let fake = kept();
    fake.write("/proc/cmdline", "ro pci=nomsi,noaer\n");
    assert!(!report(&fake).firmware_first, "switched off by hand");
}

#[test]
fn registers_that_only_root_may_read_are_unknown_and_no_objection() {
    let fake = below_a_port();
    fake.port_register(PORT, SLOT_CAPABILITIES, 0x60);
    let config = format!("{}/config", fake.device(PORT));
    let full = std::fs::read(fake.at(&config)).unwrap();
    fake.write(&config, &full[..64]);
    let unread = report(&fake);
    assert_eq!(unread.unknown.len(), 3, "{unread:?}");
    assert_eq!(unread.reset_objection(), None);
    assert!(finding(&fake, "port_hotplug").contains("only root"));
    // The kernel's drivers on the port are for all to see.
    service(&fake, "pcie004", "pciehp");
    assert!(report(&fake).hotplug_surprise);
    service(&fake, "pcie008", "dpc");
    let seen = report(&fake);
    assert!(seen.dpc);
    assert_eq!(seen.unknown, [PortReport::LINK_ERRORS]);
    // A port that has fallen off the bus.
    fake.write(&config, vec![0xff; 0x1000]);
    assert_eq!(report(&fake).unknown, [PortReport::LINK_ERRORS]);
}

#[test]
fn the_port_of_a_virtual_machine_is_reported_as_emulated() {
    let surprise = |fake: &FakeHost| fake.port_register(PORT, SLOT_CAPABILITIES, 0x60);
    let guest = below_a_port();
    surprise(&guest);
    guest.write("/proc/cpuinfo", "flags\t\t: fpu hypervisor sse2\n");
    let qemu = below_a_port();
    surprise(&qemu);
    qemu.write(&format!("{}/vendor", qemu.device(PORT)), "0x1b36\n");
    for fake in [guest, qemu] {
        let report = report(&fake);
        assert!(report.emulated);
        assert_eq!(report.reset_objection(), None);
        assert!(finding(&fake, "port_hotplug").contains("virtual machine"));
    }
}

#[test]
fn a_circle_of_capabilities_ends() {
    let fake = below_a_port();
    fake.port_register(PORT, 0x40, 0x0142_4005);
    fake.port_register(PORT, 0x100, 0x100 << 20 | 0x000e);
    let report = report(&fake);
    assert_eq!(report.reset_objection(), None);
}
