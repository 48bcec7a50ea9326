//! A borrowed card is pulled out of its slot at an access of a whole burn: its registers read all ones, and it
//! is gone from sysfs.

use super::bench::*;
use crate::card::{Card, CrError, CrOffset, CrSpace};
use crate::host::BorrowedBench;
use crate::image::Half;
use crate::job::*;
use crate::sim::{BootOutcome, Fault, SimCard};
use std::rc::Rc;

/// Registers that are there for so many accesses, and then `pull` is called.
struct Pulled {
    inner: Box<dyn CrSpace>,
    left: u64,
    pull: Option<Box<dyn FnOnce()>>,
}

impl Pulled {
    fn count(&mut self) {
        if self.left == 0
            && let Some(pull) = self.pull.take()
        {
            pull();
        }
        self.left = self.left.saturating_sub(1);
    }
}

impl CrSpace for Pulled {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        self.count();
        self.inner.read(at)
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        self.count();
        self.inner.write(at, value)
    }

    fn posts_writes(&self) -> bool {
        self.inner.posts_writes()
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        self.inner.pci_device_id()
    }
}

/// Accesses to try: the first and the last ones, and others evenly spread.
fn chosen(total: u64) -> Vec<u64> {
    let spread = (1..20).map(|n| n * total / 20);
    [0, 1, 5, 30]
        .into_iter()
        .chain(spread)
        .chain((total.saturating_sub(150)..total).step_by(11))
        .collect()
}

/// A burn of a borrowed card that is pulled at its access `after`; whether it was.
fn burn_pulled(
    bench: &Bench,
    image: &ImageFile,
    card: &SimCard,
    after: u64,
) -> (Result<(), JobError>, bool) {
    let host = BorrowedBench::new();
    let (sim, unplug) = (card.clone(), host.pull());
    let pull = move || {
        sim.inject(Fault::Removed { after: 0 });
        unplug();
    };
    let space = Pulled { inner: card.bar0(), left: after, pull: Some(Box::new(pull)) };
    let borrowed = host.borrow(Box::new(space));
    let clock = card.clock();
    let result = match Card::open(borrowed.space(), Rc::clone(&clock)) {
        Ok(opened) => {
            let mut device = Device::new(opened, clock, "0000:05:00.0");
            device.borrowed = Some(borrowed.clone());
            let result = bench.burn_and_activate(&mut device, image).map(|_| ());
            device.end();
            result
        }
        Err(error) => {
            borrowed.end(false);
            Err(error.into())
        }
    };
    let gone = card.is_silent();
    host.assert_restored(&borrowed, gone, &format!("access {after}: {result:?}"));
    (result, gone)
}

fn pulled_everywhere(original: &SimCard, recipe: &crate::image::Recipe, failsafe: bool) {
    let bench = Bench::new();
    let image = bench.image(recipe);
    let (undisturbed, before) = (original.fork(), original.flash());
    undisturbed.set_hurry(true);
    let start = undisturbed.accesses();
    let (done, gone) = burn_pulled(&bench, &image, &undisturbed, u64::MAX);
    assert!(done.is_ok() && !gone, "{done:?}");
    let total = undisturbed.accesses() - start;
    let mut ends = std::collections::BTreeMap::<String, u64>::new();
    for after in chosen(total) {
        let card = original.fork();
        card.set_hurry(true);
        let (result, gone) = burn_pulled(&bench, &image, &card, after);
        let changed = card.flash() != before;
        card.power_cycle();
        let runs = || match card.boot_outcome() {
            BootOutcome::Image { version, .. } => Some(version),
            BootOutcome::Hung { .. } | BootOutcome::Recovery => None,
        };
        let boots = runs().is_some();
        let what = format!("access {after} of {total}: {result:?}");
        assert!(gone, "{what}");
        assert!(boots || !failsafe, "{what}: P1");
        let exit = result.as_ref().map_or_else(|e| e.outcome().exit, |()| Exit::Done);
        let is_true = match exit {
            Exit::Done => boots && changed,
            Exit::Failed => !changed,
            Exit::StillBoots => boots && changed,
            Exit::NeedsRecover => !boots,
            Exit::OutcomeUnknown => true,
            _ => false,
        };
        assert!(is_true, "{what}: {exit:?}, boots: {boots}, changed: {changed}");
        *ends.entry(format!("{exit:?}")).or_default() += 1;
        if let Err(error) = &result {
            let codes = [Code::CardGone, Code::OutcomeUnknown, Code::ActivateFailed];
            assert!(codes.contains(&error.outcome().code), "{what}");
        }
        let next = if boots { bench.burn(&card, recipe) } else { bench.recover(&card, recipe) };
        assert!(next.is_ok(), "{what}, then {next:?}");
        assert_eq!(runs(), Some(recipe.version), "{what}");
    }
    println!("{total} accesses, {ends:?}");
    assert!(ends.len() > 1, "{ends:?}");
}

#[test]
fn a_borrowed_failsafe_card_that_is_pulled_in_a_burn_leaves_the_host_restored() {
    pulled_everywhere(&pro_card(Half::Even), &pro("2.42.5000"), true);
}

#[test]
fn a_borrowed_non_failsafe_card_that_is_pulled_in_a_burn_leaves_the_host_restored() {
    pulled_everywhere(&owner_card(), &cx3("2.42.5000"), false);
}
