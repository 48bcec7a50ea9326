//! Which first start a plan decides on, and why.

use super::bench::*;
use crate::image::Half;
use crate::plan::{CardHome, CardSnapshot, Plan, StartFacts, StartKind, StartReport, StartRequest};

fn facts() -> StartFacts {
    StartFacts {
        request: StartRequest::Trial,
        home: CardHome::Driver,
        no_firmware: false,
        no_reset: None,
        address_ignored: None,
        register_still: None,
    }
}

/// A failsafe card that runs its image.
fn running() -> CardSnapshot {
    let (card, _) = failsafe();
    CardSnapshot { running: Some(version("2.36.5150")), ..card }
}

fn started(card: &CardSnapshot, mut plan: Plan, facts: &StartFacts) -> Option<StartReport> {
    plan.starts(card, facts);
    let trial = plan.action.as_ref().is_some_and(|action| action.trial.is_some());
    let start = plan.report.start;
    assert_eq!(trial, start.as_ref().is_some_and(|start| start.kind == StartKind::Trial));
    start
}

#[track_caller]
fn is(card: &CardSnapshot, new: &str, facts: &StartFacts, kind: StartKind, why: &str) {
    let start = started(card, burn_with(card, &file(&pro(new)), &older()), facts).unwrap();
    assert_eq!(start.kind, kind, "{start:?}");
    assert!(start.detail.contains(why), "{start:?}");
}

fn older() -> crate::plan::BurnOptions {
    crate::plan::BurnOptions { allow_older: true, ..Default::default() }
}

#[test]
fn a_failsafe_card_whose_version_is_known_starts_new_firmware_on_trial() {
    for home in [CardHome::Driver, CardHome::Nowhere] {
        let facts = StartFacts { home, ..facts() };
        is(&running(), "2.42.5000", &facts, StartKind::Trial, "2.36.5150 comes back");
    }
}

#[test]
fn a_card_below_a_port_that_removes_it_or_of_a_guest_is_not_reset() {
    let port = StartFacts { no_reset: Some("port 0000:00:01.0 removes it".into()), ..facts() };
    is(&running(), "2.42.5000", &port, StartKind::None, "port 0000:00:01.0");
    let guest = StartFacts { home: CardHome::Vfio, ..facts() };
    is(&running(), "2.42.5000", &guest, StartKind::None, "vfio-pci");
    let untried = StartFacts { request: StartRequest::Untried, ..facts() };
    is(&running(), "2.42.5000", &untried, StartKind::None, "--no-trial");
}

#[test]
fn a_start_that_would_show_nothing_is_no_trial() {
    let (unread, _) = failsafe();
    is(&unread, "2.42.5000", &facts(), StartKind::Look, "does not report which version runs");
    let recovery = CardSnapshot { recovery: true, ..running() };
    is(&recovery, "2.42.5000", &facts(), StartKind::Look, "does not report which version runs");
    let hangs = StartFacts { no_firmware: true, ..facts() };
    is(&recovery, "2.42.5000", &hangs, StartKind::Trial, "comes back");
    let other = pro("2.36.5150");
    let other = crate::image::Recipe { seed: other.seed + 1, ..other };
    let plan = burn_with(&running(), &file(&other), &older());
    let start = started(&running(), plan, &facts()).unwrap();
    assert_eq!(start.kind, StartKind::Look);
    assert!(start.detail.contains("the same version"), "{start:?}");
    let ignored = StartFacts { address_ignored: Some("the register is ignored".into()), ..facts() };
    is(&running(), "2.42.5000", &ignored, StartKind::Look, "the register is ignored");
}

#[test]
fn a_card_with_one_image_is_inspected_before_a_driver_gets_it() {
    let (card, image) = owner();
    let card = CardSnapshot { running: Some(version("2.35.5100")), ..card };
    let start = started(&card, burn(&card, &image), &facts()).unwrap();
    assert_eq!(start.kind, StartKind::Look);
    assert!(start.detail.contains("no other image"), "{start:?}");
}

#[test]
fn a_job_that_leaves_what_runs_is_inspected_only_where_a_driver_resets_the_card() {
    let start = |request, home| {
        let facts = StartFacts { request, home, ..facts() };
        let plan = burn(&running(), &file(&pro("2.42.5000")));
        started(&running(), plan, &facts).map(|start| start.kind)
    };
    assert_eq!(start(StartRequest::Later, CardHome::Driver), None);
    assert_eq!(start(StartRequest::WithDriver, CardHome::Nowhere), None);
    let rom = crate::plan::plan_rom(&running(), None);
    let facts = StartFacts { request: StartRequest::WithDriver, ..facts() };
    assert_eq!(started(&running(), rom, &facts).unwrap().kind, StartKind::Look);
}

#[test]
fn two_complete_images_are_the_two_of_a_trial() {
    let (old, new) = (own(&pro("2.36.5150")), own(&pro("2.42.5000")));
    let card = snapshot(PRO, &[(&old, Half::Even), (&new, Half::Odd)]);
    for (runs, burns) in
        [("2.36.5150", "2.42.5000"), ("2.42.5000", "2.42.5000"), ("2.42.5000", "2.36.5150")]
    {
        let card = CardSnapshot { running: Some(version(runs)), ..card.clone() };
        is(&card, burns, &facts(), StartKind::Trial, "comes back");
    }
    let card = CardSnapshot { running: Some(version("2.30.1000")), ..card };
    is(&card, "2.42.5000", &facts(), StartKind::Look, "neither image");
}
