//! `list`, `doctor`, `query`, `verify`: commands that change nothing.

use super::{CommandResult, Ctx, backup_dir};
use crate::cli::args::{QueryArgs, VerifyArgs};
use crate::cli::failure::Failure;
use crate::cli::json::outcome as json;
use crate::cli::{json as documents, text};
use crate::host::{Function, Host};
use crate::job::{self, CardSelector, Code, HintContext, ListEntry, QueryOutcome, VerifyOutcome};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Extension of card files that `list` shows without `-d`.
const CARD_FILE: &str = "cx3";

/// Card files in the current directory.
pub(crate) fn cards_here() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(Path::new(".")) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_file()))
        .filter_map(|e| e.file_name().into_string().ok())
        .map(PathBuf::from)
        .filter(|path| path.extension().is_some_and(|x| x == CARD_FILE))
        .collect();
    paths.sort();
    paths
}

/// The only card there is, real or simulated.
pub(super) fn only_card(host: &Host) -> Result<CardSelector, Failure> {
    let mut cards: Vec<CardSelector> = host
        .cards()
        .unwrap_or_default()
        .into_iter()
        .filter(|card| card.function != Function::Virtual)
        .map(|card| CardSelector::Host(card.bdf.to_string()))
        .chain(cards_here().into_iter().map(CardSelector::Sim))
        .collect();
    let names: Vec<String> = cards.iter().map(ToString::to_string).collect();
    match (cards.pop(), cards.as_slice()) {
        (Some(only), []) => Ok(only),
        (None, _) => Err(Failure::new(
            Code::NoCardNamed,
            "no ConnectX-3 card found, and no card file (*.cx3) in the current directory",
        )),
        (Some(last), _) => Err(Failure::new(
            Code::Ambiguous,
            format!("several cards found: {}", names.join(", ")),
        )
        .with_hint(&HintContext {
            card: Some(&last),
            ..HintContext::default()
        })),
    }
}

pub(super) fn list(ctx: &mut Ctx<'_>) -> Result<CommandResult, Failure> {
    let outcome = job::list(ctx.device.as_ref(), &cards_here(), &ctx.host, &ctx.options)
        .map_err(|e| ctx.failure(&e, None))?;
    if outcome.cards.is_empty() {
        ctx.out
            .remark("no ConnectX-3 card found, no card file (*.cx3) in the current directory");
    }
    let mut table = String::new();
    for card in &outcome.cards {
        table.push_str(&list_line(card));
    }
    ctx.out.text(&table);
    Ok(CommandResult::done(json(&outcome)))
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
    words.extend(
        card.bdf
            .clone()
            .filter(|bdf| *bdf != card.device.to_string()),
    );
    words.extend(card.board.clone());
    words.push(card.chip_name.clone().unwrap_or_else(|| "-".into()));
    words.extend(card.psid.clone());
    if card.device.is_sim() {
        words.push("driver none (simulated)".into());
    } else {
        words.push(format!(
            "driver {}",
            card.driver.as_deref().unwrap_or("none")
        ));
        words.push(card.iommu_group.map_or_else(
            || "no IOMMU group".into(),
            |group| format!("IOMMU group {group}"),
        ));
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
    format!(
        "{}  {}  {running}  {state}\n",
        card.device,
        words.join("  ")
    )
}

pub(super) fn doctor(ctx: &mut Ctx<'_>) -> Result<CommandResult, Failure> {
    let card = match ctx.card() {
        Ok(card) => Some(card),
        // The host is checked without a card as well.
        Err(failure) if failure.code == Code::NoCardNamed => None,
        Err(failure) => return Err(failure),
    };
    ctx.catch_signals();
    let outcome = job::doctor(card.as_ref(), &backup_dir(&None), &ctx.host, &ctx.options)
        .map_err(|e| ctx.failure(&e, None))?;
    if let (Some(report), Some(query)) = (&mut ctx.report, &outcome.query) {
        report.set_query(Ok(query_json(query)));
    }
    let card = card.map_or_else(|| "this host".to_owned(), |card| card.to_string());
    let mut table = String::new();
    for check in &outcome.checks {
        let mark = if check.ok { "ok" } else { "NOT OK" };
        let _ = writeln!(table, "{mark:7} {:15} {}", check.id, check.detail);
        if let Some(fix) = check.fix.as_ref().filter(|_| !check.ok) {
            let _ = writeln!(table, "{:23} fix: {fix}", "");
        }
    }
    ctx.out.text(&table);
    let result = json(&outcome);
    if outcome.ok {
        return Ok(CommandResult::done(result));
    }
    let wrong: Vec<&str> = outcome
        .checks
        .iter()
        .filter(|c| !c.ok)
        .map(|c| c.id)
        .collect();
    Err(Failure::new(
        Code::Unhealthy,
        format!("{card} is not ready: {}", wrong.join(", ")),
    )
    .with_result(result))
}

pub(super) fn query(ctx: &mut Ctx<'_>, args: &QueryArgs) -> Result<CommandResult, Failure> {
    let outcome = match &args.image {
        Some(path) => job::query_image(&ctx.image(path)?),
        None => {
            let mut device = ctx.open()?;
            job::query_card(&mut device).map_err(|e| ctx.failure(&e, None))?
        }
    };
    ctx.out.text(&text::query(&outcome, args.full));
    Ok(CommandResult::done(query_json(&outcome)))
}

/// The outcome, with images as [`documents::image`] writes them.
pub(super) fn query_json(outcome: &QueryOutcome) -> Value {
    let mut value = json(outcome);
    for (number, report) in outcome.images.iter().enumerate() {
        value["images"][number]["image"] =
            report.image.as_ref().map_or(Value::Null, documents::image);
    }
    value
}

pub(super) fn verify(ctx: &mut Ctx<'_>, args: &VerifyArgs) -> Result<CommandResult, Failure> {
    if let Some(path) = &args.against {
        return verify_against(ctx, path);
    }
    let outcome = match &args.image {
        Some(path) => job::verify_image(&ctx.image(path)?),
        None => {
            let mut device = ctx.open()?;
            let mut progress = ctx.progress();
            job::verify_card(&mut device, &mut progress).map_err(|e| ctx.failure(&e, None))?
        }
    };
    ctx.out.text(&text::verify(&outcome));
    let mut result = json(&outcome);
    for (number, report) in outcome.images.iter().enumerate() {
        result["images"][number]["image"] = report
            .image
            .as_ref()
            .map_or(Value::Null, documents::verified_image);
    }
    if outcome.ok {
        return Ok(CommandResult::done(result));
    }
    Err(not_valid(ctx, &outcome).with_result(result))
}

/// The failure of a verify that found an error.
fn not_valid(ctx: &Ctx<'_>, outcome: &VerifyOutcome) -> Failure {
    let first = outcome
        .images
        .iter()
        .find_map(|r| match (&r.image, &r.error) {
            (None, Some(error)) => Some(error.clone()),
            (Some(image), _) => image
                .findings
                .iter()
                .find(|f| f.severity == crate::image::Severity::Error)
                .map(|f| f.detail.clone()),
            (None, None) => None,
        });
    match (&outcome.file, &ctx.device) {
        (Some(file), _) => {
            let mut failure =
                Failure::new(Code::Unsound, format!("{} is not valid", file.display()));
            failure.causes.extend(first);
            failure
        }
        (None, device) => {
            let name = device
                .as_ref()
                .map_or_else(|| "the card".to_owned(), ToString::to_string);
            let (code, what) = if outcome.images.is_empty() {
                (Code::NoImageOnCard, "holds no image")
            } else {
                (Code::UnsoundCard, "holds an image that is not valid")
            };
            let mut failure = Failure::new(code, format!("{name} {what}"));
            failure.causes.extend(first);
            failure.with_hint(&HintContext {
                card: device.as_ref(),
                ..HintContext::default()
            })
        }
    }
}

fn verify_against(ctx: &mut Ctx<'_>, path: &Path) -> Result<CommandResult, Failure> {
    let file = ctx.image(path)?;
    let mut device = ctx.open()?;
    let mut progress = ctx.progress();
    let outcome = job::verify_against(&mut device, &file, &mut progress)
        .map_err(|e| ctx.failure(&e, Some(path)))?;
    ctx.out.text(&text::against(&outcome));
    let result = json(&outcome);
    if outcome.equal {
        return Ok(CommandResult::done(result));
    }
    let message = format!("the card does not hold the image in {}", path.display());
    Err(Failure::new(Code::Differs, message).with_result(result))
}
