//! The card of a journal is at another address, or it is unknown which card that is.

use super::fake::{Kernel, SIBLING};
use super::presence::{aside, pull};
use crate::host::journal::{Journal, JournalRecord, Marks};
use crate::host::lease::{Lease, LeaseError, Mark};
use crate::host::tests::fake::{CARD, SERIAL, bdf};
use crate::host::{Bdf, Pending};
use std::rc::Rc;

const OTHER: &str = "0000:06:00.0";
const NEW: &str = "0000:07:00.0";

/// Two cards with serial numbers of their own, and the process of each.
fn two_cards() -> [Rc<Kernel>; 2] {
    let first = Kernel::new();
    let (names, rdma) = Kernel::ports(OTHER);
    first.files.ethernet_card_at(OTHER, 18, names, rdma);
    first.files.serial(OTHER, 2);
    let second = Kernel::shared(first.files.share(), OTHER, |_| false);
    [first, second]
}

/// A killed job leaves a card whose flash does not boot.
fn killed(kernel: &Rc<Kernel>) {
    let mut lease = kernel.take().unwrap();
    lease.mark(Mark::FlashTouched).unwrap();
    lease.note(Mark::Boots(false));
}

/// No driver binds the cards.
fn reboot(kernel: &Kernel) {
    kernel.reboot(None);
    if kernel.files.at(&kernel.files.device(OTHER)).exists() {
        kernel.files.driver(OTHER, None);
        kernel.set_override(OTHER, "(null)");
    }
}

/// The card leaves its address for another one.
fn renumber(kernel: &Kernel, to: &str, serial: u64) {
    pull(kernel);
    kernel.files.pci(to, 0x15b3, 0x1003, 0x02_00_00);
    kernel.files.serial(to, serial);
    kernel.files.group(23, &[to]);
}

fn pending(kernel: &Kernel) -> Vec<Pending> {
    Lease::pending(&kernel.host()).unwrap()
}

/// Addresses of journals, and of their cards.
fn places(kernel: &Kernel) -> Vec<(Bdf, Option<Bdf>)> {
    pending(kernel).iter().map(|pending| (pending.bdf, pending.moved_to)).collect()
}

#[test]
fn a_journal_follows_its_card_to_another_address_after_a_reboot() {
    for by in ["restore", "take"] {
        let kernel = Kernel::new();
        killed(&kernel);
        reboot(&kernel);
        renumber(&kernel, NEW, SERIAL);
        // Another card is at the old address.
        kernel.files.pci(CARD, 0x15b3, 0x1007, 0x02_00_00);
        let was = pending(&kernel).remove(0);
        assert_eq!(was.moved_to, Some(bdf(NEW)), "{was}");
        assert!(!was.gone && was.other_card.is_none(), "{was}");
        assert!(was.to_string().contains("the card is at 0000:07:00.0 now"), "{was}");
        let mut lease = match by {
            "restore" => kernel.adopt_from(&was.journal).unwrap().unwrap(),
            _ => Kernel::shared(kernel.files.share(), NEW, |_| false).take().unwrap(),
        };
        assert_eq!(lease.bdf(), bdf(NEW));
        assert_eq!(lease.marks().boots, Some(false), "{by}");
        assert!(lease.card_is_here(), "{by}");
        let warnings = lease.take_warnings().join("\n");
        assert!(warnings.contains("the card of 0000:05:00.0 is at 0000:07:00.0 now"), "{warnings}");
        if by == "restore" {
            assert!(pending(&kernel)[0].to_string().contains("from before the last boot"));
            assert!(lease.must_stay(), "what the journal knows of the flash still holds");
        }
        drop(lease);
        assert_eq!(places(&kernel), [(bdf(NEW), None)], "{by}");
        assert!(aside(&kernel).is_empty(), "{by}");
    }
}

#[test]
fn two_cards_that_have_changed_places_keep_their_journals() {
    for restored_first in [true, false] {
        let kernels = two_cards();
        kernels.iter().for_each(killed);
        reboot(&kernels[0]);
        kernels[0].files.serial(CARD, 2);
        kernels[0].files.serial(OTHER, SERIAL);
        let (first, second) = (bdf(CARD), bdf(OTHER));
        let were = pending(&kernels[0]);
        assert_eq!(places(&kernels[0]), [(first, Some(second)), (second, Some(first))]);
        if restored_first {
            for was in were {
                let lease = kernels[0].adopt_from(&was.journal).unwrap().unwrap();
                assert!(lease.must_stay());
            }
            assert_eq!(places(&kernels[0]), [(first, None), (second, None)]);
        }
        for (kernel, serial) in kernels.iter().zip([2, SERIAL]) {
            let lease = kernel.take().unwrap();
            assert_eq!(lease.marks().boots, Some(false));
            assert_eq!(lease.record.serial, Some(serial));
        }
        assert_eq!(places(&kernels[0]), [(first, None), (second, None)]);
        assert!(aside(&kernels[0]).is_empty());
    }
}

#[test]
fn a_job_takes_along_the_journal_of_its_own_card_only() {
    let kernels = two_cards();
    kernels.iter().for_each(killed);
    reboot(&kernels[0]);
    kernels[0].files.serial(CARD, 2);
    kernels[0].files.serial(OTHER, SERIAL);
    drop(kernels[0].take().unwrap());
    // The other's stays, although the name of this card's journal is not free.
    assert_eq!(places(&kernels[0]), [(bdf(CARD), None), (bdf(CARD), Some(bdf(OTHER)))]);
    let mut names = kernels[0].names_of_journals();
    names.sort();
    assert_eq!(names, ["0000:05:00.0.1.json", "0000:05:00.0.json"]);
}

#[test]
fn the_journal_of_a_card_that_is_gone_does_not_stop_the_one_that_moves_there() {
    let kernels = two_cards();
    killed(&kernels[0]);
    drop(kernels[1].take().unwrap());
    reboot(&kernels[0]);
    // The first card is at the address of the second one, which is gone.
    pull(&kernels[0]);
    kernels[0].files.serial(OTHER, SERIAL);
    for was in pending(&kernels[0]) {
        let mut lease = kernels[0].adopt_from(&was.journal).unwrap().unwrap();
        let _ = lease.give_back();
    }
    assert_eq!(places(&kernels[0]), [(bdf(OTHER), None)]);
    assert_eq!(aside(&kernels[0]).len(), 1);
}

#[test]
fn a_card_in_recovery_mode_is_known_by_its_slot_when_buses_are_renumbered() {
    let kernel = Kernel::new();
    // The same slot before and after: device 3 of the root bus.
    kernel.reboot(None);
    pull(&kernel);
    kernel.files.pci(CARD, 0x15b3, 0x1003, 0x02_00_00);
    kernel.files.port_above(CARD, "0000:00:03.0");
    kernel.files.group(17, &[CARD]);
    killed(&kernel);
    kernel.files.write("/proc/sys/kernel/random/boot_id", "third\n");
    pull(&kernel);
    kernel.files.pci(NEW, 0x15b3, 0x01f6, 0x02_00_00);
    kernel.files.serial(NEW, 0);
    kernel.files.port_above(NEW, "0000:00:03.0");
    assert_eq!(places(&kernel), [(bdf(CARD), Some(bdf(NEW)))]);
    // In another slot it may be any card.
    kernel.files.write("/proc/sys/kernel/random/boot_id", "fourth\n");
    let device = kernel.files.device(NEW);
    kernel.files.remove(&device);
    kernel.files.pci("0000:08:00.0", 0x15b3, 0x01f6, 0x02_00_00);
    kernel.files.serial("0000:08:00.0", 0);
    assert_eq!(pending(&kernel)[0].candidates, [bdf("0000:08:00.0")]);
    // Of the other device of the family it is none.
    kernel.files.write(&format!("{}/device", kernel.files.device("0000:08:00.0")), "0x01f8\n");
    assert!(pending(&kernel)[0].gone);
}

#[test]
fn a_card_is_known_by_the_serial_number_that_a_job_has_written() {
    for (to, at) in [(CARD, "its address"), (NEW, "another address")] {
        let kernel = Kernel::new();
        let mut lease = kernel.take().unwrap();
        lease.note(Mark::NewSerial(9));
        lease.mark(Mark::FlashTouched).unwrap();
        drop(lease);
        reboot(&kernel);
        renumber(&kernel, to, 9);
        let moved = (to != CARD).then(|| bdf(to));
        assert_eq!(places(&kernel), [(bdf(CARD), moved)], "{at}");
        assert_eq!(pending(&kernel)[0].other_card, None);
    }
}

#[test]
fn a_journal_is_applied_to_no_card_while_its_card_is_unknown() {
    let kernels = two_cards();
    let kernel = &kernels[0];
    killed(kernel);
    reboot(kernel);
    // Its own card is in recovery mode, and another one has a clone of its identity.
    kernel.files.write(&format!("{}/device", kernel.files.device(CARD)), "0x01f6\n");
    kernel.files.serial(CARD, 0);
    kernel.files.serial(OTHER, SERIAL);
    let was = pending(kernel).remove(0);
    assert_eq!(was.candidates, [bdf(CARD), bdf(OTHER)]);
    let text = was.to_string();
    assert!(text.contains("0000:05:00.0 or 0000:06:00.0"), "{text}");
    assert!(text.contains("cx3flash host forget 0000:05:00.0"), "{text}");
    let sys = kernel.sys();
    let error = kernel.restore().unwrap_err();
    assert!(matches!(error, LeaseError::Unclear { .. }) && error.host_changed(), "{error}");
    assert_eq!(super::fake::differences(&sys, &kernel.sys()), [""; 0]);
    // Jobs go on.
    for kernel in &kernels {
        let mut lease = kernel.take().unwrap();
        assert_eq!(lease.marks().boots, None);
        let warnings = lease.take_warnings().join("\n");
        assert!(warnings.contains("cx3flash host forget 0000:05:00.0"), "{warnings}");
        lease.give_back().unwrap();
    }
    assert_eq!((kernel.journals(), aside(kernel).len()), (1, 0));
    let dropped = Lease::forget_journals(&kernel.host(), bdf(CARD), &mut |_| true);
    assert_eq!(dropped.unwrap().unwrap().dropped.len(), 1);
}

#[test]
fn a_journal_follows_none_of_two_cards_with_its_serial_number() {
    let kernel = Kernel::new();
    killed(&kernel);
    reboot(&kernel);
    renumber(&kernel, NEW, SERIAL);
    kernel.files.pci("0000:08:00.0", 0x15b3, 0x1003, 0x02_00_00);
    assert_eq!(pending(&kernel)[0].candidates, [bdf(NEW), bdf("0000:08:00.0")]);
    assert!(matches!(kernel.restore(), Err(LeaseError::Unclear { .. })));
    assert_eq!((kernel.journals(), aside(&kernel).len()), (1, 0));
}

#[test]
fn a_serial_number_that_two_cards_share_shows_neither() {
    let [first, second] = two_cards();
    first.files.serial(OTHER, SERIAL);
    let lease = first.take().unwrap();
    assert_eq!(lease.record.serial, None);
    assert!(lease.card_is_here());
    drop(lease);
    // Its clone stays where it was.
    pull(&first);
    assert!(pending(&first)[0].gone);
    reboot(&first);
    assert_eq!(pending(&first)[0].candidates, [bdf(OTHER)]);
    drop(second.take().unwrap());
    assert_eq!(first.journals(), 2);
}

#[test]
fn a_card_that_is_plugged_into_another_slot_leaves_the_rest_restored() {
    let kernel = Kernel::crowded();
    drop(kernel.take().unwrap());
    renumber(&kernel, NEW, SERIAL);
    kernel.files.driver(NEW, Some("mlx4_core"));
    assert_eq!(places(&kernel), [(bdf(CARD), Some(bdf(NEW)))]);
    let warnings = kernel.restore().unwrap().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("is at 0000:07:00.0 now"), "{warnings:?}");
    assert_eq!(kernel.driver_of(SIBLING).as_deref(), Some("ahci"));
    assert_eq!(kernel.driver_of(NEW).as_deref(), Some("mlx4_core"));
    assert_eq!((kernel.journals(), aside(&kernel).len()), (0, 0));
}

#[test]
fn a_kill_while_a_journal_follows_its_card_loses_nothing() {
    let start = || {
        let kernel = Kernel::new();
        killed(&kernel);
        reboot(&kernel);
        renumber(&kernel, NEW, SERIAL);
        kernel
    };
    let kernel = start();
    let before = kernel.actions();
    drop(kernel.adopt().unwrap());
    let all = kernel.actions() - before;
    assert!(all > 5, "only {all} actions: the sweep is blind");
    for at in 1..=all {
        let kernel = start();
        kernel.kill_at(kernel.actions() + at, super::fake::Cut::Before);
        drop(kernel.adopt());
        assert!(kernel.is_dead(), "{at}");
        let moved = Kernel::shared(kernel.files.share(), NEW, |_| false);
        assert_eq!(moved.take().unwrap().marks().boots, Some(false), "{at}");
        assert_eq!(places(&kernel), [(bdf(NEW), None)], "{at}");
    }
}

#[test]
fn a_card_that_is_on_vfio_pci_always_is_known_in_its_boot_whatever_its_serial_number() {
    let kernel = Kernel::new();
    kernel.files.driver(CARD, Some("vfio-pci"));
    let lease = kernel.take().unwrap();
    // A reset started another image.
    kernel.files.serial(CARD, 9);
    assert!(lease.card_is_here());
    drop(lease);
    assert_eq!(places(&kernel), [(bdf(CARD), None)]);
    assert_eq!(pending(&kernel)[0].other_card, None);
}

#[test]
fn an_image_that_was_on_the_flash_and_runs_after_a_reboot_does_not_make_another_card() {
    // Known from its flash; or written by a job that does not know every image.
    for (touched, shows, candidates) in [(false, 9, 0), (true, 5, 1)] {
        let kernel = Kernel::new();
        let mut lease = kernel.take().unwrap();
        lease.note(Mark::NewSerial(8));
        lease.note(Mark::NewSerial(9));
        if touched {
            lease.mark(Mark::FlashTouched).unwrap();
        }
        drop(lease);
        kernel.reboot(None);
        kernel.files.serial(CARD, shows);
        let was = pending(&kernel).remove(0);
        assert_eq!(was.other_card, None, "{was}");
        assert_eq!(was.candidates.len(), candidates, "{was}");
    }
}

#[test]
fn a_card_with_new_firmware_that_is_enumerated_within_a_boot_is_the_card() {
    let kernel = Kernel::new();
    let lease = kernel.take().unwrap();
    kernel.set_override(CARD, "(null)");
    kernel.files.write(&format!("{}/subsystem_device", kernel.files.device(CARD)), "0x0099\n");
    assert!(lease.card_is_here());
}

#[test]
fn the_serial_number_of_another_card_is_not_noted() {
    let [first, _second] = two_cards();
    let mut lease = first.take().unwrap();
    for serial in [2, 9, 9, SERIAL] {
        lease.note(Mark::NewSerial(serial));
    }
    assert_eq!(lease.record.new_serials, [9]);
}

#[test]
fn a_job_with_another_card_at_the_old_address_blocks_no_job_of_the_card() {
    let kernels = two_cards();
    killed(&kernels[0]);
    reboot(&kernels[0]);
    kernels[0].files.serial(CARD, 2);
    kernels[0].files.serial(OTHER, SERIAL);
    let long = kernels[0].take().unwrap();
    let mut lease = kernels[1].take().unwrap();
    assert_eq!(lease.marks().boots, Some(false));
    let warnings = lease.take_warnings().join("\n");
    assert!(warnings.contains("stays at its old address"), "{warnings}");
    drop((lease, long));
    // The next job removes the older one.
    drop(kernels[1].take().unwrap());
    assert_eq!(places(&kernels[0]), [(bdf(CARD), None), (bdf(OTHER), None)]);
}

#[test]
fn a_job_of_a_card_that_a_journal_cannot_belong_to_has_no_warning() {
    let kernel = Kernel::new();
    killed(&kernel);
    reboot(&kernel);
    renumber(&kernel, NEW, SERIAL);
    kernel.files.pci("0000:08:00.0", 0x15b3, 0x1003, 0x02_00_00);
    kernel.files.pci(OTHER, 0x15b3, 0x1003, 0x02_00_00);
    kernel.files.serial(OTHER, 3);
    kernel.files.group(24, &[OTHER]);
    let mut lease = Kernel::shared(kernel.files.share(), OTHER, |_| false).take().unwrap();
    assert_eq!(lease.take_warnings(), [""; 0]);
}

#[test]
fn a_card_that_was_moved_within_a_boot_is_reported_as_moved_and_not_as_rebooted() {
    let kernel = Kernel::new();
    killed(&kernel);
    renumber(&kernel, NEW, SERIAL);
    drop(kernel.adopt().unwrap().unwrap());
    let was = pending(&kernel).remove(0);
    assert!((was.bdf, was.followed, was.this_boot) == (bdf(NEW), true, false), "{was}");
    let text = was.to_string();
    assert!(text.contains("from before the card was moved here"), "{text}");
    assert!(!text.contains("last boot"), "{text}");
}

#[test]
fn the_journal_of_the_card_that_is_there_stays_while_one_of_another_is_forgotten() {
    for unreadable in [false, true] {
        let kernel = Kernel::new();
        killed(&kernel);
        // Of a card that was at this address before.
        let host = kernel.host();
        let record = kernel.adopt().unwrap().unwrap().record;
        let older = Journal::unused(&host, bdf(CARD));
        let older_record = JournalRecord {
            serial: Some(77),
            boot_id: "earlier".into(),
            marks: Marks::default(),
            ..record.clone()
        };
        older.write(&older_record, &|_| Ok(())).unwrap();
        let own = Journal::of(&host, bdf(CARD));
        if unreadable {
            std::fs::write(older.path(), "junk").unwrap();
        }
        let mut asked = Vec::new();
        let choice = Lease::forget_journals(&host, bdf(CARD), &mut |choice| {
            asked.push(choice.clone());
            true
        });
        let choice = choice.unwrap().unwrap();
        assert_eq!(asked, std::slice::from_ref(&choice));
        let about = if unreadable { "cannot be used" } else { "another card" };
        assert!(choice.dropped[0].about.contains(about), "{choice:?}");
        let path = |journal: &Journal| journal.path().to_owned();
        assert_eq!((choice.dropped.len(), &choice.dropped[0].path), (1, &path(&older)));
        assert_eq!((choice.kept.len(), &choice.kept[0].path), (1, &path(&own)));
        assert_eq!(own.read().unwrap().as_ref(), Some(&record));
        assert!(older.read().unwrap().is_none());
        // It waits to be given back, and is named alone now.
        let alone = Lease::forget_journals(&host, bdf(CARD), &mut |_| true);
        assert!(matches!(alone, Err(LeaseError::Owed { .. })), "{alone:?}");
        kernel.reboot(Some("mlx4_core"));
        let alone = Lease::forget_journals(&host, bdf(CARD), &mut |_| true).unwrap().unwrap();
        assert_eq!((alone.dropped.len(), alone.kept.len()), (1, 0));
    }
}

#[test]
fn of_two_journals_of_a_card_that_of_this_boot_is_restored_first() {
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    lease.mark(Mark::FlashTouched).unwrap();
    lease.note(Mark::Boots(true));
    let mut older = JournalRecord {
        bdf: bdf("0000:04:00.0"),
        boot_id: "earlier".into(),
        ..lease.record.clone()
    };
    older.marks.boots = Some(false);
    Journal::of(&kernel.host(), older.bdf).write(&older, &|_| Ok(())).unwrap();
    drop(lease);
    for was in pending(&kernel) {
        let mut lease = kernel.adopt_from(&was.journal).unwrap().unwrap();
        let given = lease.give_back();
        assert!(given.is_ok(), "{was}: {given:?}");
    }
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("mlx4_core"));
    assert_eq!((kernel.journals(), aside(&kernel).len()), (0, 0));
}
