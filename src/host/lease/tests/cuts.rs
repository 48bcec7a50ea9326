//! Killed at every action of a borrowing: `host restore` restores the host from what is on the
//! disk, and may itself be killed at every action.

use super::fake::{Cut, Kernel, differences};
use crate::host::lease::{LeaseError, Mark};
use std::rc::Rc;

/// Takes a card and gives it back; a killed process sees errors.
pub(super) fn borrow(kernel: &Rc<Kernel>) -> Result<(), LeaseError> {
    let mut lease = kernel.take()?;
    lease.mark(Mark::SemaphoresHeld(true))?;
    lease.mark(Mark::FlashTouched)?;
    lease.note(Mark::Boots(true));
    lease.note(Mark::SemaphoresHeld(false));
    lease.give_back().map(drop)
}

/// Every place to be killed at.
fn cuts(new: fn() -> Rc<Kernel>) -> Vec<(usize, Cut)> {
    let kernel = new();
    borrow(&kernel).unwrap();
    let log = kernel.log();
    let places = places(log.len());
    assert!(places.len() > 50, "the sweep is blind: {log:?}");
    places
}

/// Killed after an action is killed before the next one.
fn places(actions: usize) -> Vec<(usize, Cut)> {
    let before = (1..=actions).map(|at| (at, Cut::Before));
    before.chain([(actions, Cut::After)]).collect()
}

fn cut_everywhere(new: fn() -> Rc<Kernel>) {
    let was = new().sys();
    for (at, cut) in cuts(new) {
        let kernel = new();
        kernel.kill_at(at, cut);
        let _ = borrow(&kernel);
        assert!(kernel.is_dead(), "action {at} never came");
        kernel.restore().unwrap();
        let log = kernel.log();
        let now = differences(&was, &kernel.sys());
        assert!(now.is_empty(), "{cut:?} {at}: {now:#?}\n{log:#?}");
        assert_eq!(kernel.journals(), 0, "{cut:?} {at}");
        assert_eq!(kernel.restore().unwrap(), None, "once more: nothing to do");
    }
}

#[test]
fn a_killed_borrowing_is_restored() {
    cut_everywhere(Kernel::new);
}

#[test]
fn a_killed_borrowing_with_a_sibling_and_a_virtual_function_is_restored() {
    cut_everywhere(Kernel::crowded);
}

#[test]
fn a_killed_borrowing_with_an_override_is_restored() {
    cut_everywhere(|| {
        let kernel = Kernel::new();
        kernel.set_override(crate::host::tests::fake::CARD, "mlx4_core");
        kernel
    });
}

#[test]
fn a_killed_borrowing_without_a_driver_is_restored() {
    cut_everywhere(|| {
        let kernel = Kernel::new();
        kernel.reboot(None);
        kernel
    });
}

#[test]
fn a_killed_restore_is_finished_by_the_next() {
    // Killed while borrowed; then every restore is killed, one action later each time.
    let all = {
        let kernel = Kernel::crowded();
        drop(kernel.take().unwrap());
        let before = kernel.actions();
        kernel.restore().unwrap();
        kernel.actions() - before
    };
    let was = Kernel::crowded().sys();
    for (at, cut) in places(all) {
        let kernel = Kernel::crowded();
        drop(kernel.take().unwrap());
        kernel.kill_at(kernel.actions() + at, cut);
        if let Ok(Some(mut lease)) = kernel.adopt() {
            let _ = lease.give_back();
        }
        assert!(kernel.is_dead(), "action {at} of {all} never came");
        kernel.restore().unwrap();
        let now = differences(&was, &kernel.sys());
        assert!(now.is_empty(), "{cut:?} {at}: {now:#?}");
        assert_eq!(kernel.journals(), 0, "{cut:?} {at}");
    }
}

#[test]
fn a_borrowing_after_a_kill_restores_the_original_state() {
    let was = Kernel::crowded().sys();
    for (at, cut) in cuts(Kernel::crowded) {
        let kernel = Kernel::crowded();
        kernel.kill_at(at, cut);
        let _ = borrow(&kernel);
        kernel.revive();
        borrow(&kernel).unwrap();
        let now = differences(&was, &kernel.sys());
        assert!(now.is_empty(), "{cut:?} {at}: {now:#?}");
        assert_eq!(kernel.names_of_journals(), [""; 0], "{cut:?} {at}");
    }
}
