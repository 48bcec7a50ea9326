//! Every operation of a lease fails once, and from there on for ever: those on the journal, on lock
//! files, writes to sysfs, modprobe, and readings of sysfs. After each the host is as found, or the
//! error reports that it is not and the journal restores it.

use super::fake::{Failing, GUARD, Kernel, differences};
use super::reenumerate::recovery;
use crate::host::lease::{Lease, LeaseError, Mark};
use crate::host::tests::fake::CARD;
use nix::libc;
use std::rc::Rc;

const ERRNOS: [i32; 4] = [libc::ENOSPC, libc::EIO, libc::EROFS, libc::EMFILE];

type GiveBack = fn(&mut Lease) -> Result<Vec<String>, LeaseError>;

/// A job: what `Borrowed` and the jobs do with a lease.
fn run(
    kernel: &Rc<Kernel>,
    give_back: GiveBack,
    failing: Failing,
) -> Result<Vec<String>, LeaseError> {
    let card = kernel.card();
    kernel.fail_at(failing);
    let mut lease = Lease::take_by(&kernel.host(), &card, true, kernel.clone())?;
    let marked = [Mark::SemaphoresHeld(true), Mark::FlashTouched]
        .into_iter()
        .try_for_each(|mark| lease.mark(mark));
    if let Err(error) = marked {
        return Err(lease.undo(error));
    }
    lease.note(Mark::Boots(true));
    lease.note(Mark::SemaphoresHeld(false));
    give_back(&mut lease)
}

/// A journal that is left is named, with the command.
fn check_journal(kernel: &Kernel, ran: &Result<Vec<String>, LeaseError>, context: &str) {
    let text = match ran {
        Ok(warnings) => warnings.join("\n"),
        Err(error) if error.host_changed() => return,
        Err(error) => error.to_string(),
    };
    let path = kernel.host().journal_dir().join(format!("{CARD}.json"));
    if kernel.journals() > 0 {
        let named = text.contains(path.to_str().unwrap()) && text.contains("cx3flash host restore");
        assert!(named, "{context}: {text}");
    }
}

/// Every failure; returns how many there were. The errnos of the actions take turns: `errnos` of the four
/// for each, beginning at another one.
fn every_failure(
    mut check: impl FnMut(Failing),
    errnos: usize,
    actions: usize,
    readings: usize,
) -> usize {
    let mut count = 0;
    for (reading, all) in [(false, actions), (true, readings)] {
        for at in 1..=all {
            for for_ever in [false, true] {
                // A reading needs no space and no writable disk.
                let (errnos, first) = match reading {
                    true => (1, at % 2 * 2 + 1),
                    false => (errnos, at + 2 * usize::from(for_ever)),
                };
                for errno in (0..errnos).map(|turn| ERRNOS[(first + turn) % 4]) {
                    check(Failing { reading, at, errno, for_ever });
                    count += 1;
                }
            }
        }
    }
    count
}

const NEVER: Failing = Failing { reading: false, at: 0, errno: 0, for_ever: false };

fn sweep(errnos: usize, new: fn() -> Rc<Kernel>) {
    let kernel = new();
    let was = kernel.sys();
    assert_eq!(run(&kernel, Lease::give_back, NEVER).unwrap(), [""; 0]);
    let (actions, readings) = kernel.operations();
    kernel.heal();
    assert!(actions > 60 && readings > 50, "the sweep is blind: {actions}, {readings}");
    let mut outcomes = [0; 3];
    let count = every_failure(
        |failing| {
            let kernel = new();
            let ran = run(&kernel, Lease::give_back, failing);
            kernel.heal();
            let context = format!("{failing:?}: {ran:?}\n{:#?}", kernel.log());
            let changed = ran.as_ref().is_err_and(LeaseError::host_changed);
            outcomes[if ran.is_ok() { 0 } else { 1 + usize::from(changed) }] += 1;
            let now = differences(&was, &kernel.sys());
            assert!(changed || now.is_empty(), "{context}\n{now:#?}");
            check_journal(&kernel, &ran, &context);
            let restored = kernel.restore().unwrap_or_else(|error| panic!("{context}\n{error}"));
            if restored.is_some() {
                let now = differences(&was, &kernel.sys());
                assert!(now.is_empty(), "after host restore: {context}\n{now:#?}");
            }
            assert_eq!(kernel.journals(), 0, "{context}");
        },
        errnos,
        actions,
        readings,
    );
    let [done, refused, changed] = outcomes;
    println!(
        "{count} failures of {actions} actions, {readings} readings: {done} done, {refused} refused and as found, {changed} not restored and reported"
    );
    assert!(done > 0 && refused > 0 && changed > 0);
}

#[test]
fn any_failed_operation_leaves_the_host_as_found_or_is_reported() {
    sweep(2, Kernel::new);
}

#[test]
fn any_failed_operation_with_a_sibling_and_a_virtual_function_leaves_the_host_as_found_or_is_reported()
 {
    sweep(1, Kernel::crowded);
}

#[test]
fn any_failed_operation_with_an_override_leaves_the_host_as_found_or_is_reported() {
    sweep(1, || {
        let kernel = Kernel::new();
        kernel.set_override(CARD, "mlx4_core");
        kernel
    });
}

#[test]
fn any_failed_operation_of_a_reenumeration_is_finished_by_host_restore() {
    let kernel = recovery();
    let was = kernel.sys();
    assert_eq!(run(&kernel, Lease::reenumerate, NEVER).unwrap(), [""; 0]);
    let (actions, readings) = kernel.operations();
    kernel.heal();
    let done = kernel.sys();
    let count = every_failure(
        |failing| {
            let kernel = recovery();
            let ran = run(&kernel, Lease::reenumerate, failing);
            kernel.heal();
            let context = format!("{failing:?}: {ran:?}\n{:#?}", kernel.log());
            match &ran {
                // Without its driver the card is still reenumerated.
                Ok(_) => assert_eq!(kernel.card().device_id, 0x1003, "{context}"),
                Err(error) if error.host_changed() => {}
                Err(_) => assert_eq!(differences(&was, &kernel.sys()), [""; 0], "{context}"),
            }
            check_journal(&kernel, &ran, &context);
            kernel.restore().unwrap_or_else(|error| panic!("{context}\n{error}"));
            let card = kernel.card();
            assert_ne!(card.driver.as_deref(), Some("vfio-pci"), "{context}");
            assert_eq!(card.driver_override, None, "{context}");
            assert_eq!(kernel.text(GUARD), "1\n", "{context}");
            assert_eq!(kernel.journals(), 0, "{context}");
        },
        1,
        actions,
        readings,
    );
    println!("{count} failures of {actions} actions, {readings} readings");
    assert!(count > 200 && !done.is_empty());
}
