//! `list`, `doctor`, `query`, `verify`: commands that change nothing.

use super::{Ctx, Ran, backup_dir};
use crate::cli::failure::Failure;
use crate::cli::json::{self, ImageDocument};
use crate::cli::text;
use crate::escape;
use crate::host::{BorrowOptions, Host, HostFinding};
use crate::image::Severity;
use crate::job::{
    self, CardSelector, Code, HintContext, ImageStore, Outcome, QueryOutcome, VerifyOutcome,
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

pub(super) fn list(ctx: &mut Ctx<'_>, full: bool) -> Ran {
    let here = cards_here();
    let named = ctx.device.as_ref().map(|named| named.or_simulated(&here, &ctx.host));
    let outcome = job::list(named.as_ref(), &here, &ctx.host, &ctx.options)?;
    if outcome.cards.is_empty() {
        ctx.out.remark("no ConnectX-3 card found, no card file (*.cx3) in the current directory");
        if let Some(hint) = Outcome::from(Code::NoCardNamed).hint(&ctx.hint_context()) {
            ctx.out.remark(format_args!("hint: {hint}"));
        }
    }
    ctx.done(&text::list(&outcome, full), &outcome)
}

pub(super) fn doctor(ctx: &mut Ctx<'_>) -> Ran {
    let cards = job::all_cards(&ctx.host, &cards_here());
    // A trace is one card's.
    let several = ctx.device.is_none() && cards.len() > 1 && !ctx.traced;
    let none = ctx.device.is_none() && cards.is_empty();
    let card = if several || none { None } else { Some(ctx.card()?) };
    ctx.catch_signals();
    let dir = backup_dir(None);
    let outcome = match several {
        true => {
            let options = BorrowOptions { trace: None, ..ctx.options.clone() };
            job::doctor_all(&cards, &dir, &ctx.host, &options)?
        }
        false => job::doctor(card.as_ref(), &dir, &ctx.host, &ctx.options)?,
    };
    if let (Some(report), Some(query)) = (&mut ctx.report, &outcome.query) {
        report.set_query(Ok(query_json(query)));
    }
    let ran = ctx.done(&text::checks(&outcome), &outcome);
    if outcome.ok {
        return ran;
    }
    let wrong = |name: String, checks: &[HostFinding]| {
        let ids: Vec<&str> = checks.iter().filter(|c| c.is_fault()).map(|c| c.id).collect();
        (!ids.is_empty()).then(|| format!("{name} is not ready: {}", ids.join(", ")))
    };
    let first = card.map_or_else(|| "this host".to_owned(), |card| card.to_string());
    let of_cards = outcome.cards.iter().map(|card| wrong(card.device.to_string(), &card.checks));
    let all: Vec<String> =
        std::iter::once(wrong(first, &outcome.checks)).chain(of_cards).flatten().collect();
    Err(Failure::new(Code::Unhealthy, all.join("; ")).into())
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
