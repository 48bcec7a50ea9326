//! Out of recovery mode: the kernel removes the card and enumerates another one at its address.

use super::fake::{Cut, Kernel, SIBLING};
use crate::host::Function;
use crate::host::lease::{Lease, LeaseError, Mark};
use crate::host::tests::fake::CARD;
use std::rc::Rc;

/// A card in recovery mode: no driver has it.
pub(super) fn recovery() -> Rc<Kernel> {
    let kernel = Kernel::new();
    kernel.reboot(None);
    let device = kernel.files.device(CARD);
    kernel.files.write(&format!("{device}/device"), "0x01f6\n");
    kernel.files.write("/sys/bus/pci/rescan", "");
    kernel
}

#[test]
fn a_card_out_of_recovery_mode_gets_its_driver() {
    let kernel = recovery();
    let mut lease = kernel.take().unwrap();
    lease.note(Mark::Boots(true));
    lease.reenumerate().unwrap();
    let card = kernel.card();
    assert_eq!(card.device_id, 0x1003);
    assert_eq!(card.function, Function::Physical);
    assert_eq!(card.driver.as_deref(), Some("mlx4_core"));
    assert_eq!(card.driver_override, None);
    assert_eq!(card.netdevs.len(), 2);
    assert_eq!(kernel.text(super::fake::GUARD), "1\n");
    assert_eq!(kernel.journals(), 0);
    let before = kernel.actions();
    lease.give_back().unwrap();
    assert_eq!(kernel.actions(), before, "nothing left to put back");
}

#[test]
fn an_override_of_the_administrator_is_restored() {
    let kernel = recovery();
    kernel.set_override(CARD, "mlx4_core");
    kernel.take().unwrap().reenumerate().unwrap();
    let card = kernel.card();
    assert_eq!(card.driver_override.as_deref(), Some("mlx4_core"));
    assert_eq!(card.driver.as_deref(), Some("mlx4_core"));
}

#[test]
fn siblings_go_back_after_a_reenumeration() {
    let kernel = recovery();
    kernel.files.pci(SIBLING, 0x8086, 0x2922, 0x01_06_01);
    kernel.files.driver(SIBLING, Some("ahci"));
    kernel.files.group(17, &[CARD, SIBLING]);
    let mut lease = kernel.take().unwrap();
    assert_eq!(kernel.driver_of(SIBLING), None);
    lease.reenumerate().unwrap();
    assert_eq!(kernel.driver_of(SIBLING).as_deref(), Some("ahci"));
}

#[test]
fn without_the_driver_the_card_is_still_reenumerated() {
    let kernel = recovery();
    let mut lease = kernel.take().unwrap();
    kernel.absent("mlx4_core");
    lease.reenumerate().unwrap();
    let card = kernel.card();
    assert_eq!((card.device_id, card.driver), (0x1003, None));
    assert_eq!(kernel.journals(), 0);
}

#[test]
fn a_card_that_stays_in_recovery_mode_is_an_error() {
    let kernel = recovery();
    kernel.rescanned_as(0x01f6);
    let mut lease = kernel.take().unwrap();
    match lease.reenumerate() {
        Err(error @ LeaseError::NotBack { .. }) => assert!(error.host_changed()),
        other => panic!("{other:?}"),
    }
    assert_eq!(kernel.journals(), 1);
}

#[test]
fn a_killed_reenumeration_is_finished_by_restore() {
    let all = {
        let kernel = recovery();
        let mut lease = kernel.take().unwrap();
        let before = kernel.actions();
        lease.reenumerate().unwrap();
        kernel.actions() - before
    };
    assert!(all > 5, "only {all} actions: the sweep is blind");
    for at in 1..=all {
        let kernel = recovery();
        let mut lease = kernel.take().unwrap();
        kernel.kill_at(kernel.actions() + at, Cut::Before);
        let _ = lease.reenumerate();
        assert!(kernel.is_dead(), "action {at} of {all} never came");
        drop(lease);
        kernel.restore().unwrap();
        let card = kernel.card();
        assert_ne!(card.driver.as_deref(), Some("vfio-pci"), "{at}");
        assert_eq!(card.driver_override, None, "{at}");
        assert_eq!(kernel.text(super::fake::GUARD), "1\n", "{at}");
        assert_eq!(kernel.journals(), 0, "{at}");
        assert!(Lease::pending(&kernel.host()).unwrap().is_empty());
    }
}

/// A card in recovery mode on a host that gives it to machines.
fn recovery_on_vfio(forced: bool) -> Rc<Kernel> {
    let kernel = recovery();
    if forced {
        kernel.set_override(CARD, "vfio-pci");
    }
    kernel.files.driver(CARD, Some("vfio-pci"));
    kernel
}

#[test]
fn a_card_that_was_on_vfio_pci_goes_back_there_after_a_reenumeration() {
    // The kernel may bind mlx4_core when it finds the card.
    for rescanned in [None, Some("mlx4_core")] {
        for forced in [false, true] {
            let kernel = recovery_on_vfio(forced);
            kernel.rescan_binds(rescanned);
            let mut lease = kernel.take().unwrap();
            lease.note(Mark::Boots(true));
            lease.reenumerate().unwrap();
            let card = kernel.card();
            assert_eq!(card.device_id, 0x1003);
            assert_eq!(card.driver.as_deref(), Some("vfio-pci"), "{rescanned:?} {forced}");
            assert_eq!(card.driver_override.is_some(), forced, "{rescanned:?}");
            assert_eq!(kernel.text(super::fake::GUARD), "1\n");
            assert_eq!(kernel.journals(), 0);
        }
    }
}

#[test]
fn a_killed_reenumeration_of_a_card_on_vfio_pci_is_finished_by_restore() {
    let start = || {
        let kernel = recovery_on_vfio(false);
        kernel.rescan_binds(Some("mlx4_core"));
        let lease = kernel.take().unwrap();
        (kernel, lease)
    };
    let (kernel, mut lease) = start();
    let before = kernel.actions();
    lease.reenumerate().unwrap();
    let all = kernel.actions() - before;
    assert!(all > 5, "only {all} actions: the sweep is blind");
    for at in 1..=all {
        let (kernel, mut lease) = start();
        kernel.kill_at(kernel.actions() + at, Cut::Before);
        let _ = lease.reenumerate();
        drop(lease);
        // And the restore is killed once, at the same distance.
        kernel.revive();
        kernel.kill_at(kernel.actions() + at, Cut::Before);
        let _ = kernel.adopt().map(|lease| lease.map(|mut lease| lease.give_back()));
        kernel.restore().unwrap();
        let card = kernel.card();
        assert_eq!(card.driver.as_deref(), Some("vfio-pci"), "{at}");
        assert_eq!(card.driver_override, None, "{at}");
        assert_eq!(kernel.text(super::fake::GUARD), "1\n", "{at}");
        assert_eq!(kernel.journals(), 0, "{at}");
    }
}

#[test]
fn a_job_after_a_killed_reenumeration_keeps_what_is_owed() {
    let kernel = recovery_on_vfio(false);
    kernel.rescan_binds(Some("mlx4_core"));
    let mut lease = kernel.take().unwrap();
    kernel.fail("sys/bus/pci/drivers/mlx4_core/unbind", nix::libc::EBUSY);
    lease.reenumerate().unwrap_err();
    drop(lease);
    kernel.heal();
    assert_eq!(kernel.card().driver.as_deref(), Some("mlx4_core"));
    // The next job is killed, too.
    drop(kernel.take().unwrap());
    kernel.restore().unwrap();
    let card = kernel.card();
    assert_eq!(card.driver.as_deref(), Some("vfio-pci"));
    assert_eq!(card.driver_override, None);
    assert_eq!(kernel.journals(), 0);
}
