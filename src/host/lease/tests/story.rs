//! The order of the steps, and what is not changed.

use super::fake::{GUARD, Kernel, SIBLING, VF, differences};
use crate::host::lease::{Lease, LeaseError, Mark};
use crate::host::tests::fake::{CARD, bdf};
use crate::host::{Ending, give_back};

/// Position of the one entry that contains these words.
fn place(log: &[String], words: &str) -> usize {
    let found: Vec<usize> = (0..log.len()).filter(|i| log[*i].contains(words)).collect();
    assert_eq!(found.len(), 1, "{words}: {log:#?}");
    found[0]
}

#[test]
fn a_card_is_taken_and_given_back_as_it_was() {
    let kernel = Kernel::crowded();
    let was = kernel.sys();
    let mut lease = kernel.take().unwrap();
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("vfio-pci"));
    assert_eq!(kernel.driver_of(SIBLING), None);
    assert!(lease.changed_host());
    assert_eq!(lease.original().driver.as_deref(), Some("mlx4_core"));
    assert_eq!(lease.original().port_types, ["eth", "auto (eth)"]);
    assert_eq!(lease.give_back().unwrap(), [""; 0]);
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("mlx4_core"));
    let netdevs = kernel.card().netdevs.into_iter().map(|net| net.name);
    assert_eq!(netdevs.collect::<Vec<_>>(), ["enp5s0", "enp5s0d1"]);
    assert_eq!(kernel.driver_of(VF).as_deref(), Some("vfio-pci"));
    assert_eq!(kernel.journals(), 0);
    // Once more.
    let before = kernel.actions();
    assert_eq!(lease.give_back().unwrap(), [""; 0]);
    lease.mark(Mark::FlashTouched).unwrap();
    assert_eq!(kernel.actions(), before);
}

#[test]
fn each_change_is_in_the_journal_first_and_the_probe_is_guarded() {
    let kernel = Kernel::new();
    kernel.take().unwrap().give_back().unwrap();
    let log = kernel.log();
    let taken = [
        "record begin",
        "record override",
        "\"vfio-pci\\n\" >",
        "record unbind",
        "mlx4_core/unbind",
        "record bind",
        "vfio-pci/bind",
        "record borrowed",
        "record give_back",
        "\"mlx4_core\\n\" >",
        "vfio-pci/unbind",
        "\"0\\n\" >",
        "mlx4_core/bind",
        "\"1\\n\" >",
        "forget",
    ];
    let places: Vec<usize> = taken.iter().map(|words| place(&log, words)).collect();
    assert!(places.is_sorted(), "{log:#?}");
    let after = &log[places.last().unwrap() + 1..];
    assert_eq!(after, ["journal: sync its directory"], "the journal goes last");
    // The one port whose type was not what the driver chose.
    place(&log, "\"eth\\n\" >");
    assert!(!log.iter().any(|l| l.contains("mlx4_port2")));
}

#[test]
fn a_card_on_vfio_pci_is_left_there() {
    let kernel = Kernel::new();
    kernel.reboot(None);
    kernel.set_override(CARD, "vfio-pci");
    kernel.files.driver(CARD, Some("vfio-pci"));
    let was = kernel.sys();
    let mut lease = kernel.take().unwrap();
    assert!(!lease.changed_host());
    lease.mark(Mark::FlashTouched).unwrap();
    lease.note(Mark::Boots(false));
    lease.give_back().unwrap();
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    assert!(!kernel.log().iter().any(|l| l.contains("> /")), "{:?}", kernel.log());
    assert_eq!(kernel.journals(), 0);
}

#[test]
fn two_processes_cannot_hold_one_card() {
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    for second in [kernel.take().err(), kernel.adopt().err()] {
        match second {
            Some(LeaseError::Held { bdf: held, holder }) => {
                assert_eq!(held, bdf(CARD));
                let me = format!("pid {} (", std::process::id());
                assert!(holder.starts_with(&me), "{holder}");
            }
            other => panic!("{other:?}"),
        }
    }
    lease.leave();
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("vfio-pci"));
    assert_eq!(kernel.journals(), 1);
    let mut lease = kernel.adopt().unwrap().unwrap();
    lease.give_back().unwrap();
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("mlx4_core"));
}

#[test]
fn dead_firmware_is_not_bound_to_its_driver() {
    let kernel = Kernel::new();
    let was = kernel.sys();
    let mut lease = kernel.take().unwrap();
    lease.mark(Mark::FlashTouched).unwrap();
    assert_eq!(lease.marks().boots, None);
    lease.note(Mark::Boots(false));
    assert!(matches!(lease.give_back(), Err(LeaseError::NotBootable { .. })));
    drop(lease);
    assert!(matches!(kernel.restore(), Err(LeaseError::NotBootable { .. })));
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("vfio-pci"));
    let pending = Lease::pending(&kernel.host()).unwrap();
    assert_eq!(pending[0].marks.boots, Some(false));
    // After a repair.
    let mut lease = kernel.take().unwrap();
    lease.note(Mark::Boots(true));
    lease.give_back().unwrap();
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
}

#[test]
fn a_card_without_firmware_waits_for_its_power_and_not_for_a_repair() {
    let kernel = Kernel::new();
    let was = kernel.sys();
    let mut lease = kernel.take().unwrap();
    lease.mark(Mark::FlashTouched).unwrap();
    lease.note(Mark::Boots(true));
    lease.note(Mark::NoFirmware);
    assert!(matches!(give_back(&mut lease), Ok(Ending::NoFirmware)));
    drop(lease);
    assert!(matches!(kernel.restore(), Err(LeaseError::NoFirmware { .. })));
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("vfio-pci"));
    let pending = Lease::pending(&kernel.host()).unwrap();
    assert!(pending[0].to_string().contains("no firmware runs"), "{}", pending[0]);
    // Power was off: only the card shows what runs now.
    kernel.reboot(None);
    let lease = kernel.adopt().unwrap().unwrap();
    assert!(lease.is_unknown_since_reboot() && !lease.must_stay());
    drop(lease);
    let mut lease = kernel.take().unwrap();
    lease.note(Mark::Boots(true));
    lease.give_back().unwrap();
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
}

#[test]
fn after_a_reboot_the_bindings_are_the_boots_own() {
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    lease.mark(Mark::FlashTouched).unwrap();
    drop(lease);
    kernel.reboot(Some("mlx4_core"));
    let was = kernel.sys();
    assert!(!Lease::pending(&kernel.host()).unwrap()[0].this_boot);
    let back = kernel.restore().unwrap().unwrap();
    assert!(back[0].contains("rebooted"), "{back:?}");
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    assert_eq!(kernel.journals(), 0);
}

#[test]
fn a_reboot_since_is_reported_when_a_card_is_given_back() {
    let kernel = Kernel::new();
    drop(kernel.take().unwrap());
    kernel.reboot(Some("mlx4_core"));
    let mut lease = kernel.adopt().unwrap().unwrap();
    match give_back(&mut lease) {
        Ok(Ending::Restored(warnings)) => assert!(warnings[0].contains("rebooted")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flash_that_does_not_boot_is_remembered_after_a_reboot() {
    let kernel = Kernel::new();
    let was = kernel.sys();
    let mut lease = kernel.take().unwrap();
    lease.mark(Mark::FlashTouched).unwrap();
    lease.note(Mark::Boots(false));
    drop(lease);
    // The driver's probe fails at boot.
    kernel.reboot(None);
    assert!(matches!(kernel.restore(), Err(LeaseError::NotBootable { .. })));
    let mut lease = kernel.take().unwrap();
    assert_eq!(lease.marks().boots, Some(false));
    lease.note(Mark::Boots(true));
    lease.give_back().unwrap();
    let now = differences(&was, &kernel.sys());
    assert_eq!(now, [""; 0], "it goes to the driver it came from");
}

#[test]
fn siblings_are_moved_only_when_allowed() {
    let kernel = Kernel::crowded();
    let was = kernel.sys();
    let error = Lease::take_by(&kernel.host(), &kernel.card(), false, kernel.clone()).err();
    assert!(matches!(error, Some(LeaseError::Siblings(_))), "{error:?}");
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    assert_eq!(kernel.journals(), 0);
}

#[test]
fn a_driver_bound_by_others_in_between_stays() {
    // Found without a driver; an admin has given it to mlx4_core since.
    let kernel = Kernel::new();
    kernel.reboot(None);
    drop(kernel.take().unwrap());
    kernel.set_override(CARD, "(null)");
    kernel.files.driver(CARD, None);
    kernel.files.remove(&format!("/sys/bus/pci/drivers/vfio-pci/{CARD}"));
    kernel.files.driver(CARD, Some("mlx4_core"));
    kernel.restore().unwrap();
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("mlx4_core"));
    assert_eq!(kernel.text(GUARD), "1\n");
}

#[test]
fn the_card_is_read_again_after_the_lock() {
    let kernel = Kernel::new();
    let stale = kernel.card();
    kernel.reboot(None);
    kernel.set_override(CARD, "vfio-pci");
    kernel.files.driver(CARD, Some("vfio-pci"));
    let lease = Lease::take_by(&kernel.host(), &stale, false, kernel.clone()).unwrap();
    assert!(!lease.changed_host());
    assert_eq!(lease.original().driver.as_deref(), Some("vfio-pci"));
}
