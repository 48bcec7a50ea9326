//! `host status`, `host restore`, and the return of a card to its driver after a command.

use super::{CommandResult, Ctx, Ran};
use crate::cli::failure::Failure;
use crate::cli::json::outcome as json;
use crate::cli::page::Page;
use crate::cli::terminal::Out;
use crate::host::{BadBdf, Borrowed};
use crate::job::{self, Code, Exit, HostReport};
use serde_json::json as value;

pub(super) fn status(ctx: &mut Ctx<'_>) -> Ran {
    let pending = job::host_status(&ctx.host)?;
    let mut text: Page = pending.iter().collect();
    if pending.is_empty() {
        text.push_str("no card waits to be returned to its driver\n");
    }
    ctx.done(&text, &value!({ "pending": json(&pending) }))
}

pub(super) fn restore(ctx: &mut Ctx<'_>) -> Ran {
    // A journal outlives its card: the address alone counts.
    let named = ctx.device.as_ref().map(|named| named.to_string().parse());
    let only =
        named.transpose().map_err(|error: BadBdf| Failure::from_error(Code::Usage, &error))?;
    ctx.catch_signals();
    let reports = job::host_restore(&ctx.host, only, &mut ctx.progress())?;
    let mut text = Page::default();
    for report in &reports {
        lines(&mut text, report);
    }
    if reports.is_empty() {
        text.push_str("nothing to restore\n");
    }
    ctx.done(&text, &value!({ "cards": json(&reports) }))
}

fn lines(text: &mut Page, report: &HostReport) {
    text.line(format_args!(
        "{}  driver {}  {}",
        report.bdf,
        report.driver.as_deref().unwrap_or("none"),
        if report.netdevs.is_empty() {
            "no network devices".to_owned()
        } else {
            report.netdevs.join(", ")
        }
    ));
    for warning in &report.warnings {
        text.line(format_args!("  warning: {warning}"));
    }
}

/// Adds the host's state after a command that borrowed a card. A host that could not be restored is a
/// failure, also after a command that succeeded.
pub(in crate::cli) fn afterwards(
    ran: Result<CommandResult, Failure>,
    borrowed: Option<Borrowed>,
    out: &Out,
) -> Result<CommandResult, Failure> {
    let Some(borrowed) = borrowed else {
        return ran;
    };
    let report = HostReport::of(&borrowed);
    for warning in &report.warnings {
        out.remark(format_args!("warning: {warning}"));
    }
    let host = json(&report);
    let mut failure = match ran {
        Ok(mut answer) => {
            answer.result["host"] = host;
            let Some(problem) = report.failure else {
                return Ok(answer);
            };
            let mut failure = not_put_back(&report.bdf);
            failure.causes.push(problem);
            return Err(failure.with_result(answer.result));
        }
        Err(failure) => failure,
    };
    let result = failure.result.get_or_insert_with(|| Box::new(value!({})));
    result["host"] = host;
    if let Some(problem) = report.failure.filter(|_| failure.code != Code::NotPutBack) {
        let cause = format!("the host could not be restored: {problem}");
        failure.causes.push(cause);
        // A card that needs `recover` stays borrowed on purpose; every other failure must not
        // hide that the card's network is down.
        if !matches!(failure.exit, Exit::NeedsRecover | Exit::OutcomeUnknown) {
            failure.exit = Exit::HostNotRestored;
            failure.hint = not_put_back(&report.bdf).hint;
        }
    }
    Err(failure)
}

fn not_put_back(bdf: &str) -> Failure {
    Failure::new(Code::NotPutBack, format!("{bdf} could not be returned to its driver"))
}
