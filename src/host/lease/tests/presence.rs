//! The card is gone, or something else is at its address, or at that of a sibling.

use super::fake::{GUARD, Kernel, SIBLING, VF};
use crate::host::lease::{Lease, LeaseError, Mark};
use crate::host::tests::fake::{CARD, bdf};
use crate::host::{Ending, give_back};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::rc::Rc;

/// A host whose card and sibling were borrowed by a process that was killed.
fn killed() -> Rc<Kernel> {
    let kernel = Kernel::crowded();
    drop(kernel.take().unwrap());
    assert_eq!(kernel.driver_of(SIBLING), None);
    kernel
}

pub(super) fn pull(kernel: &Kernel) {
    let device = kernel.files.device(CARD);
    let real = fs::canonicalize(kernel.files.at(&device)).unwrap();
    kernel.files.remove(&device);
    fs::remove_dir_all(real).unwrap();
}

pub(super) fn aside(kernel: &Kernel) -> Vec<PathBuf> {
    Lease::kept_aside(&kernel.host()).unwrap()
}

/// What is there instead of the card.
const OTHERS: [(&str, &[(&str, &str)]); 4] = [
    ("vendor", &[("vendor", "0x8086\n"), ("device", "0x1533\n")]),
    ("device", &[("device", "0x1007\n")]),
    ("subsystem", &[("subsystem_device", "0x0099\n")]),
    ("virtual function", &[("device", "0x1004\n")]),
];

fn replace(kernel: &Kernel, files: &[(&str, &str)]) {
    for (file, text) in files {
        kernel.files.write(&format!("{}/{file}", kernel.files.device(CARD)), text);
    }
    kernel.files.serial(CARD, 7);
}

#[test]
fn a_card_that_is_gone_leaves_the_rest_restored_and_its_journal_aside() {
    let kernel = killed();
    let journal = fs::read(kernel.host().journal_dir().join(format!("{CARD}.json"))).unwrap();
    pull(&kernel);
    // Killed in a probe, too.
    kernel.files.write(GUARD, "0\n");
    assert!(Lease::pending(&kernel.host()).unwrap()[0].gone);
    let warnings = kernel.restore().unwrap().unwrap();
    assert!(warnings[0].contains("gone") && warnings[0].contains("host forget"), "{warnings:?}");
    assert_eq!(kernel.driver_of(SIBLING).as_deref(), Some("ahci"));
    assert_eq!(kernel.text(GUARD), "1\n");
    assert_eq!(kernel.journals(), 0);
    let kept = aside(&kernel);
    assert_eq!(kept.len(), 1);
    assert!(warnings[0].contains(kept[0].to_str().unwrap()), "{warnings:?}");
    assert_eq!(fs::read(&kept[0]).unwrap(), journal);
    assert_eq!(fs::metadata(&kept[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(kernel.restore().unwrap(), None, "the second time there is nothing to do");
}

#[test]
fn a_card_that_is_gone_and_did_not_boot_is_no_error() {
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    lease.mark(Mark::FlashTouched).unwrap();
    lease.note(Mark::Boots(false));
    pull(&kernel);
    match give_back(&mut lease) {
        Ok(Ending::Restored(warnings)) => assert!(warnings[0].contains("gone"), "{warnings:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(kernel.journals(), 0);
}

#[test]
fn a_card_pulled_in_mid_job_or_while_it_is_given_back_is_reported_as_gone() {
    for step in ["", "journal: write it", "vfio-pci/unbind", "lock internal_err_reset.lock"] {
        let kernel = Kernel::crowded();
        let mut lease = kernel.take().unwrap();
        if step.is_empty() {
            pull(&kernel);
        } else {
            let files = kernel.files.share();
            kernel.at_step(step, move || {
                let device = files.device(CARD);
                let real = fs::canonicalize(files.at(&device)).unwrap();
                files.remove(&device);
                fs::remove_dir_all(real).unwrap();
            });
        }
        let warnings = lease.give_back().unwrap();
        assert!(warnings.iter().any(|w| w.contains("gone")), "{step}: {warnings:?}");
        assert_eq!(kernel.driver_of(SIBLING).as_deref(), Some("ahci"), "{step}");
        assert_eq!(kernel.text(GUARD), "1\n", "{step}");
        assert_eq!((kernel.journals(), aside(&kernel).len()), (0, 1), "{step}");
    }
}

#[test]
fn another_card_at_the_address_is_not_touched_and_the_journal_is_kept_aside() {
    for (what, files) in OTHERS {
        let kernel = killed();
        replace(&kernel, files);
        let pending = Lease::pending(&kernel.host()).unwrap();
        let text = pending[0].to_string();
        assert!(text.contains("another card is there now"), "{what}: {text}");
        assert!(text.contains(&format!("cx3flash host forget {CARD}")), "{what}: {text}");
        let warnings = kernel.restore().unwrap().unwrap();
        assert!(warnings[0].contains("another card"), "{what}: {warnings:?}");
        assert_eq!(kernel.driver_of(CARD).as_deref(), Some("vfio-pci"), "{what}: untouched");
        assert_eq!(kernel.driver_of(SIBLING).as_deref(), Some("ahci"), "{what}");
        assert_eq!((kernel.journals(), aside(&kernel).len()), (0, 1), "{what}");
    }
}

#[test]
fn a_card_is_known_by_serial_number_and_slot_too() {
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    assert!(lease.card_is_here());
    // A device that was made anew has no override.
    kernel.set_override(CARD, "(null)");
    assert!(lease.card_is_here());
    lease.record.slot = Some("pci0000:00/0000:00:03.0/0000:05:00.0".into());
    assert!(!lease.card_is_here(), "another slot");
    let kernel = Kernel::new();
    let lease = kernel.take().unwrap();
    kernel.set_override(CARD, "(null)");
    kernel.files.serial(CARD, 1);
    assert!(!lease.card_is_here(), "another serial number");
}

#[test]
fn after_a_reboot_the_card_is_known_by_serial_number_and_device_alone() {
    for change in ["slot", "subsystem"] {
        let kernel = Kernel::new();
        let mut lease = kernel.take().unwrap();
        match change {
            "slot" => lease.record.slot = Some("pci0000:00/0000:00:03.0/0000:05:00.0".into()),
            _ => kernel
                .files
                .write(&format!("{}/subsystem_device", kernel.files.device(CARD)), "0x0099\n"),
        }
        lease.note(Mark::SemaphoresHeld(false));
        drop(lease);
        kernel.reboot(Some("mlx4_core"));
        assert_eq!(Lease::pending(&kernel.host()).unwrap()[0].other_card, None, "{change}");
        let warnings = kernel.restore().unwrap().unwrap();
        assert!(warnings.iter().any(|text| text.contains("rebooted")), "{change}: {warnings:?}");
        assert_eq!((kernel.journals(), aside(&kernel).len()), (0, 0), "{change}");
    }
    // Another serial number is another card.
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    lease.record.serial = Some(1);
    lease.note(Mark::SemaphoresHeld(false));
    drop(lease);
    kernel.reboot(Some("mlx4_core"));
    kernel.restore().unwrap();
    assert_eq!((kernel.journals(), aside(&kernel).len()), (0, 1));
}

#[test]
fn a_card_whose_serial_number_a_job_has_changed_goes_back() {
    let kernel = Kernel::new();
    let was = kernel.sys();
    let mut lease = kernel.take().unwrap();
    // The node GUID of the image that runs now.
    lease.record.serial = Some(1);
    assert!(lease.card_is_here());
    lease.give_back().unwrap();
    assert_eq!(super::fake::differences(&was, &kernel.sys()), [""; 0]);
    assert!(aside(&kernel).is_empty());
}

#[test]
fn taking_another_card_keeps_the_foreign_journal_aside_and_goes_on() {
    let kernel = killed();
    for kept in 1..=2 {
        replace(&kernel, &[("subsystem_device", ["0x0099\n", "0x0098\n"][kept - 1])]);
        kernel.files.serial(CARD, kept as u64);
        let mut lease = kernel.take().unwrap();
        let warnings = lease.take_warnings();
        let text = warnings.join("\n");
        assert!(text.contains(&format!("cx3flash host forget {CARD}")), "{text}");
        assert_eq!(aside(&kernel).len(), kept, "none is overwritten");
        let named = |path: &PathBuf| text.contains(path.to_str().unwrap());
        assert!(aside(&kernel).iter().any(named), "{text}");
        assert_eq!(kernel.driver_of(CARD).as_deref(), Some("vfio-pci"));
        // Killed again.
        drop(lease);
    }
}

#[test]
fn another_device_at_a_siblings_address_keeps_off_its_driver() {
    let kernel = killed();
    kernel.files.write(&format!("{}/device", kernel.files.device(SIBLING)), "0x2829\n");
    let warnings = kernel.restore().unwrap().unwrap();
    assert!(warnings.iter().any(|w| w.contains("another device")), "{warnings:?}");
    assert_eq!(kernel.driver_of(SIBLING), None);
    assert!(!kernel.log().iter().any(|line| line.contains("ahci/bind")), "{:?}", kernel.log());
}

#[test]
fn another_virtual_function_keeps_off_the_old_ones_driver() {
    let kernel = Kernel::crowded();
    let mut lease = kernel.take().unwrap();
    let ids = &mut lease.record.original.vfs[0].ids;
    ids.as_mut().unwrap().subsystem_device = 0x77;
    let warnings = lease.give_back().unwrap();
    assert!(warnings.iter().any(|w| w.contains("another device")), "{warnings:?}");
    assert_ne!(kernel.driver_of(VF).as_deref(), Some("vfio-pci"));
}

#[test]
fn a_driver_that_bound_the_card_shows_that_it_boots() {
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    lease.mark(Mark::FlashTouched).unwrap();
    lease.note(Mark::Boots(false));
    drop(lease);
    kernel.reboot(Some("mlx4_core"));
    kernel.restore().unwrap();
    assert_eq!(kernel.journals(), 0);
}

#[test]
fn a_flash_that_was_not_checked_before_a_reboot_is_unknown_until_its_driver_has_it() {
    for (driver, unknown) in [(None, true), (Some("mlx4_core"), false)] {
        let kernel = Kernel::new();
        let mut lease = kernel.take().unwrap();
        lease.mark(Mark::FlashTouched).unwrap();
        drop(lease);
        kernel.reboot(driver);
        let lease = kernel.adopt().unwrap().unwrap();
        assert_eq!(lease.is_unknown_since_reboot(), unknown, "{driver:?}");
    }
}

/// Answers the question of `forget_journals` with yes.
fn forget(kernel: &Kernel) -> Result<usize, LeaseError> {
    let dropped = Lease::forget_journals(&kernel.host(), bdf(CARD), &mut |_| true)?;
    Ok(dropped.unwrap().dropped.len())
}

#[test]
fn forget_drops_a_foreign_journal_a_damaged_one_and_those_kept_aside() {
    let kernel = killed();
    replace(&kernel, OTHERS[2].1);
    kernel.restore().unwrap();
    assert_eq!(aside(&kernel).len(), 1);
    let path = kernel.host().journal_dir().join(format!("{CARD}.json"));
    fs::write(&path, "junk").unwrap();
    assert!(kernel.take().is_err(), "a damaged journal blocks its card");
    let asked =
        Lease::forget_journals(&kernel.host(), bdf(CARD), &mut |choice| choice.dropped.len() > 5);
    assert_eq!(asked.unwrap(), None, "not confirmed");
    assert_eq!(forget(&kernel).unwrap(), 2);
    assert_eq!((kernel.journals(), aside(&kernel).len()), (0, 0));
    assert_eq!(forget(&kernel).unwrap(), 0, "there is none");
    kernel.take().unwrap();
}

#[test]
fn forget_drops_whatever_is_in_the_place_of_a_journal_but_a_directory() {
    let kernel = Kernel::new();
    let dir = kernel.host().journal_dir();
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(format!("{CARD}.json"));
    let target = dir.join("target");
    fs::write(&target, "kept").unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert_eq!(forget(&kernel).unwrap(), 1);
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(forget(&kernel).unwrap(), 1);
    fs::write(dir.join(format!("{CARD}.a")), "of version 1").unwrap();
    assert_eq!(forget(&kernel).unwrap(), 1);
    fs::create_dir(&path).unwrap();
    fs::write(path.join("content"), "").unwrap();
    assert!(matches!(forget(&kernel), Err(LeaseError::Journal(_))));
    assert!(path.join("content").exists());
    assert_eq!(fs::read(&target).unwrap(), b"kept");
}

#[test]
fn forget_refuses_a_card_that_is_held_or_owed() {
    let kernel = Kernel::new();
    let lease = kernel.take().unwrap();
    assert!(matches!(forget(&kernel), Err(LeaseError::Held { .. })));
    drop(lease);
    assert!(matches!(forget(&kernel), Err(LeaseError::Owed { .. })));
    assert_eq!(kernel.journals(), 1);
    // Killed between unbind and bind.
    replace(&kernel, &[("driver_override", "vfio-pci\n")]);
    fs::remove_file(kernel.host().device(bdf(CARD)).join("driver")).unwrap();
    assert!(matches!(forget(&kernel), Err(LeaseError::Owed { .. })));
    // An administrator has bound it.
    kernel.reboot(Some("mlx4_core"));
    assert_eq!(forget(&kernel).unwrap(), 1);
}

#[test]
fn a_damaged_journal_blocks_its_own_card_only() {
    let kernel = Kernel::new();
    let dir = kernel.host().journal_dir();
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("0000:07:00.0.json"), "junk").unwrap();
    let was = kernel.sys();
    let mut lease = kernel.take().unwrap();
    lease.give_back().unwrap();
    assert_eq!(super::fake::differences(&was, &kernel.sys()), [""; 0]);
}
