//! `list`, `doctor`, `query`, `verify`: commands that change nothing.

use super::{Ctx, Ran, backup_dir};
use crate::cli::failure::Failure;
use crate::cli::json::{self, ImageDocument};
use crate::cli::page::Page;
use crate::cli::text;
use crate::escape;
use crate::host::{Host, OtherDevice};
use crate::image::Severity;
use crate::job::{
    self, CardSelector, Code, DoctorOutcome, HintContext, ImageStore, ListEntry, Outcome,
    QueryOutcome, VerifyOutcome,
};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Card files in the current directory.
pub(crate) fn cards_here() -> Vec<PathBuf> {
    job::card_files(Path::new("."))
}

/// The only card there is, real or simulated; `typed` is the command that needs one.
pub(super) fn only_card(host: &Host, typed: &str) -> Result<CardSelector, Failure> {
    let mut cards = job::all_cards(host, &cards_here());
    if cards.len() == 1 {
        return Ok(cards.remove(0));
    }
    let names: Vec<String> = cards.iter().map(ToString::to_string).collect();
    let failure = match cards.is_empty() {
        true => Failure::new(
            Code::NoCardNamed,
            format!("{}, and no card file (*.cx3) in the current directory", host.no_card()),
        ),
        false => {
            Failure::new(Code::Ambiguous, format!("several cards found: {}", names.join(", ")))
        }
    };
    let typed = Some(typed);
    Err(failure.with_hint(&HintContext { card: cards.first(), typed, ..HintContext::of_process() }))
}

pub(super) fn list(ctx: &mut Ctx<'_>) -> Ran {
    let here = cards_here();
    let named = ctx.device.as_ref().map(|named| named.or_simulated(&here, &ctx.host));
    let outcome = job::list(named.as_ref(), &here, &ctx.host, &ctx.options)?;
    if outcome.cards.is_empty() {
        ctx.out.remark("no ConnectX-3 card found, no card file (*.cx3) in the current directory");
    }
    let cards = outcome.cards.iter().map(list_line);
    let table = cards.chain(outcome.others.iter().map(other_line)).collect();
    ctx.done(&table, &outcome)
}

fn other_line(other: &OtherDevice) -> String {
    let name = other.name.unwrap_or("Mellanox device");
    let driver = other.driver.as_deref().unwrap_or("none");
    let instead = other.instead.map_or_else(String::new, |what| format!(": use {what}"));
    format!(
        "{}  {name} [15b3:{:04x}]  driver {driver}  not for cx3flash{instead}",
        other.bdf, other.device_id
    )
}

fn list_line(card: &ListEntry) -> String {
    let mut running = match (&card.running, card.recovery) {
        (_, true) => "recovery mode".to_owned(),
        (Some(version), false) => format!("running {version}"),
        (None, false) => "version unknown".to_owned(),
    };
    running.push_str(&match card.flashed {
        Some(version) => format!(", flashed {version}"),
        None => ", flashed unknown".to_owned(),
    });
    let state = match &card.problem {
        Some(problem) => format!("not ready: {problem}"),
        None if card.ready => "ready".into(),
        None => "not ready".into(),
    };
    let mut words = Vec::new();
    // A real card is named by its address already.
    words.extend(card.bdf.clone().filter(|bdf| *bdf != card.device.to_string()));
    words.extend(card.board.clone());
    words.push(card.chip_name.clone().unwrap_or_else(|| "-".into()));
    words.extend(card.psid.clone());
    if card.device.is_sim() {
        words.push("driver none (simulated)".into());
    } else {
        words.push(format!("driver {}", card.driver.as_deref().unwrap_or("none")));
        words.push(
            card.iommu_group
                .map_or_else(|| "no IOMMU group".into(), |group| format!("IOMMU group {group}")),
        );
        words.push(match (card.bar0, card.bar0_address) {
            (Some(len), Some(at)) => format!("BAR0 0x{at:x}, {} KiB", len / 1024),
            (Some(len), None) => format!("BAR0 {} KiB", len / 1024),
            (None, _) => "no BAR0".into(),
        });
        words.extend(card.mst_name.clone());
        words.extend(card.pci_revision.map(|r| format!("rev {r:02x}")));
        if !card.access.is_empty() {
            words.push(format!("access {}", card.access.join(", ")));
        }
        words.extend(card.netdevs.iter().chain(&card.rdma).cloned());
    }
    format!("{}  {}  {running}  {state}", card.device, words.join("  "))
}

pub(super) fn doctor(ctx: &mut Ctx<'_>) -> Ran {
    let card = match ctx.card() {
        Ok(card) => Some(card),
        // The host is checked without a card as well.
        Err(failure) if failure.code == Code::NoCardNamed => None,
        Err(failure) => return Err(failure.into()),
    };
    ctx.catch_signals();
    let outcome = job::doctor(card.as_ref(), &backup_dir(None), &ctx.host, &ctx.options)?;
    if let (Some(report), Some(query)) = (&mut ctx.report, &outcome.query) {
        report.set_query(Ok(query_json(query)));
    }
    let ran = ctx.done(&checks(&outcome), &outcome);
    if outcome.ok {
        return ran;
    }
    let card = card.map_or_else(|| "this host".to_owned(), |card| card.to_string());
    let wrong = outcome.checks.iter().filter(|c| !c.ok).map(|c| c.id);
    let wrong = wrong.collect::<Vec<_>>().join(", ");
    let failure = Failure::new(Code::Unhealthy, format!("{card} is not ready: {wrong}"));
    Err(failure.into())
}

/// The checks of `doctor`, a line each.
pub(super) fn checks(outcome: &DoctorOutcome) -> Page {
    let mut table = Page::default();
    for check in &outcome.checks {
        let mark = if check.ok { "ok" } else { "NOT OK" };
        table.line(format_args!("{mark:7} {:15} {}", check.id, check.detail));
        if let Some(fix) = check.fix.as_ref().filter(|_| !check.ok) {
            table.line(format_args!("{:23} fix: {fix}", ""));
        }
    }
    table
}

pub(super) fn images(ctx: &mut Ctx<'_>, store: &[PathBuf]) -> Ran {
    let outcome = ImageStore::read(store, &ctx.reading())?;
    ctx.done(&text::images(&outcome), &outcome)
}

pub(super) fn query(ctx: &mut Ctx<'_>, image: Option<&Path>, full: bool) -> Ran {
    let outcome = match image {
        Some(path) => job::query_image(&ctx.image(path)?),
        None => job::query_card(&mut ctx.open()?)?,
    };
    ctx.done(&text::query(&outcome, full), &outcome.map(ImageDocument::quick))
}

/// The result of `query`, for a bug report.
pub(super) fn query_json(outcome: &QueryOutcome) -> Value {
    json::result(&outcome.map(ImageDocument::quick))
}

pub(super) fn verify(ctx: &mut Ctx<'_>, image: Option<&Path>) -> Ran {
    let outcome = match image {
        Some(path) => job::verify_image(&ctx.image(path)?),
        None => job::verify_card(&mut ctx.open()?, &mut ctx.progress())?,
    };
    let ran = ctx.done(&text::verify(&outcome), &outcome.map(ImageDocument::full));
    if outcome.ok {
        return ran;
    }
    Err(not_valid(ctx, &outcome).into())
}

/// The failure of a verify that found an error.
fn not_valid(ctx: &Ctx<'_>, outcome: &VerifyOutcome) -> Failure {
    let (code, message) = match (&outcome.file, &ctx.device) {
        (Some(file), _) => (Code::ImageNotValid, format!("{} is not valid", escape::path(file))),
        (None, device) => {
            let name = device.as_ref().map_or_else(|| "the card".to_owned(), ToString::to_string);
            if outcome.images.is_empty() {
                (Code::NoImageOnCard, format!("{name} holds no image"))
            } else if outcome.images.iter().all(|report| report.wrong_silicon.is_some()) {
                (Code::NoImageOnCard, format!("{name} holds no image that starts on it"))
            } else {
                let message = format!("{name} holds an image that is not valid");
                (Code::CardImageNotValid, message)
            }
        }
    };
    let first = outcome.images.iter().find_map(|report| match &report.image {
        _ if report.wrong_silicon.is_some() => report.wrong_silicon.clone(),
        None => report.error.clone(),
        Some(image) => {
            let mut findings = image.findings.iter();
            let error = findings.find(|f| f.severity == Severity::Error)?;
            Some(error.detail.clone())
        }
    });
    let mut failure = Failure::new(code, message);
    // What leads on depends on what boots beside the damaged image.
    let boots = outcome.images.iter().find(|report| report.boots);
    let version = boots.and_then(|report| report.image.as_ref()?.fw_version());
    let running = outcome.card.as_ref().and_then(|card| card.running);
    let advised = match (code, boots) {
        (Code::CardImageNotValid, None) => Code::NoImageOnCard,
        (Code::CardImageNotValid, Some(_)) if running.is_some_and(|r| Some(r) != version) => {
            Code::RunningImageDamaged
        }
        _ => code,
    };
    failure.hint = Outcome::from(advised).hint(&ctx.hint_context());
    failure.causes.extend(first);
    failure
}

pub(super) fn verify_against(ctx: &mut Ctx<'_>, path: &Path) -> Ran {
    let file = ctx.image(path)?;
    let outcome = job::verify_against(&mut ctx.open()?, &file, &mut ctx.progress())?;
    let text = outcome.against.as_ref().map(|found| text::against(&outcome, found));
    let ran = ctx.done(&text.unwrap_or_default(), &outcome.map(ImageDocument::full));
    if outcome.ok {
        return ran;
    }
    let message = format!("the card does not hold the image in {}", escape::path(path));
    let failure = Failure::new(Code::Differs, message);
    Err(failure.with_hint(&ctx.hint_context()).into())
}
