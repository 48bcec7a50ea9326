//! `host status`, `host restore`, `host forget`, and the return of a card to its driver after a command.

use super::{Ctx, Ran};
use crate::cli::failure::Failure;
use crate::cli::page::Page;
use crate::cli::terminal::Out;
use crate::escape;
use crate::host::{Borrowed, Droppable};
use crate::job::{self, CardSelector, Code, Exit, HostReport, JobError};

pub(super) fn status(ctx: &mut Ctx<'_>) -> Ran {
    let status = job::host_status(&ctx.host)?;
    let mut text: Page = status.pending.iter().collect();
    if status.pending.is_empty() {
        text.push_str("no card waits to be returned to its driver\n");
    }
    for path in &status.aside {
        text.line(format_args!("kept aside: {}", escape::path(path)));
    }
    ctx.done(&text, &status)
}

pub(super) fn restore(ctx: &mut Ctx<'_>) -> Ran {
    let named = ctx.device.as_ref().map(|named| named.address(&ctx.host));
    let only = named.transpose().map_err(JobError::from)?;
    ctx.catch_signals();
    let outcome = job::host_restore(&ctx.host, only, &mut ctx.progress())?;
    let mut text = Page::default();
    for report in &outcome.cards {
        lines(&mut text, report);
    }
    if outcome.cards.is_empty() {
        text.push_str("nothing to restore\n");
    }
    let ran = ctx.done(&text, &outcome);
    match &outcome.failed {
        None => ran,
        Some(error) => Err(ctx.failure(error).into()),
    }
}

pub(super) fn forget(ctx: &mut Ctx<'_>, card: &CardSelector, yes: bool) -> Ran {
    ctx.catch_signals();
    let host = ctx.host.clone();
    let bdf = card.address(&host).map_err(JobError::from)?;
    let outcome = job::host_forget(&host, bdf, &mut |choice| {
        let mut question = format!(
            "Drop {}? The host cannot be restored from a journal that is dropped.",
            named(&choice.dropped)
        );
        if !choice.kept.is_empty() {
            question = format!("{} stays. {question}", named(&choice.kept));
        }
        ctx.confirm(yes, &question)
    })?;
    let mut text = Page::default();
    for path in &outcome.dropped {
        text.line(format_args!("dropped {}", escape::path(path)));
    }
    for path in &outcome.kept {
        text.line(format_args!("kept {}", escape::path(path)));
    }
    let nothing = outcome.dropped.is_empty();
    if nothing {
        text.line(format_args!("{bdf} has no journal"));
    }
    ctx.unless(nothing, &text, &outcome)
}

fn named(journals: &[Droppable]) -> String {
    let name = |journal: &Droppable| format!("{} ({})", escape::path(&journal.path), journal.about);
    journals.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn lines(text: &mut Page, report: &HostReport) {
    text.line(format_args!(
        "{}  {}  driver {}  {}",
        report.bdf,
        if report.restored { "restored" } else { "NOT restored" },
        report.driver.as_deref().unwrap_or("none"),
        if report.netdevs.is_empty() {
            "no network devices".to_owned()
        } else {
            report.netdevs.join(", ")
        }
    ));
    if let Some(failure) = &report.failure {
        text.line(format_args!("  reason: {failure}"));
    }
    for warning in &report.warnings {
        text.line(format_args!("  warning: {warning}"));
    }
}

/// The host's state after a command that borrowed a card. A host that could not be restored is a
/// failure, also after a command that succeeded.
pub(in crate::cli) fn afterwards(
    ran: Result<Exit, Failure>,
    borrowed: Option<Borrowed>,
    out: &Out,
) -> (Result<Exit, Failure>, Option<HostReport>) {
    let Some(borrowed) = borrowed else {
        return (ran, None);
    };
    let report = HostReport::of(&borrowed);
    for warning in &report.warnings {
        out.remark(format_args!("warning: {warning}"));
    }
    let ran = match (ran, &report.failure) {
        (Ok(_), Some(problem)) => {
            let mut failure = not_put_back(&report.bdf);
            failure.causes.push(problem.clone());
            Err(failure)
        }
        (Err(failure), Some(problem)) => Err(also_not_restored(failure, &report.bdf, problem)),
        (ran, None) => ran,
    };
    (ran, Some(report))
}

fn also_not_restored(mut failure: Failure, bdf: &str, problem: &str) -> Failure {
    if failure.code != Code::NotPutBack {
        let cause = format!("the host could not be restored: {problem}");
        failure.causes.push(cause);
        // A card that needs `recover` stays borrowed on purpose; every other failure must not
        // hide that the card's network is down.
        if !matches!(failure.exit, Exit::NeedsRecover | Exit::OutcomeUnknown) {
            failure.exit = Exit::HostNotRestored;
            failure.hint = not_put_back(bdf).hint;
        }
    }
    failure
}

fn not_put_back(bdf: &str) -> Failure {
    Failure::new(Code::NotPutBack, format!("{bdf} could not be returned to its driver"))
}
