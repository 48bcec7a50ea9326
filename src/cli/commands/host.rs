//! `host status`, `host restore`, and the return of a card to its driver after a command.

use super::{CommandResult, Ctx};
use crate::cli::args::HostWriteArgs;
use crate::cli::failure::Failure;
use crate::cli::json::outcome as json;
use crate::host::{self, Borrowed};
use crate::job::{self, Code, Exit, HostReport};
use serde_json::json as value;
use std::fmt::Write as _;

pub(super) fn status(ctx: &mut Ctx<'_>) -> Result<CommandResult, Failure> {
    let pending = job::host_status(&ctx.host).map_err(|e| ctx.failure(&e, None))?;
    let mut text = String::new();
    for card in &pending {
        let _ = writeln!(text, "{card}");
    }
    if pending.is_empty() {
        text.push_str("no card waits to be returned to its driver\n");
    }
    ctx.out.text(&text);
    Ok(CommandResult::done(value!({ "pending": json(&pending) })))
}

pub(super) fn restore(ctx: &mut Ctx<'_>) -> Result<CommandResult, Failure> {
    let only = match &ctx.device {
        None => None,
        Some(named) => Some(
            // A journal outlives its card: the address alone counts.
            named
                .to_string()
                .parse()
                .map_err(|error: host::BadBdf| Failure::from_error(Code::Usage, &error))?,
        ),
    };
    ctx.catch_signals();
    let mut progress = ctx.progress();
    let reports =
        job::host_restore(&ctx.host, only, &mut progress).map_err(|e| ctx.failure(&e, None))?;
    drop(progress);
    let mut text = String::new();
    for report in &reports {
        text.push_str(&line(report));
    }
    if reports.is_empty() {
        text.push_str("nothing to restore\n");
    }
    ctx.out.text(&text);
    Ok(CommandResult::unless(
        false,
        value!({ "cards": json(&reports) }),
    ))
}

fn line(report: &HostReport) -> String {
    let mut text = format!(
        "{}  driver {}  {}\n",
        report.bdf,
        report.driver.as_deref().unwrap_or("none"),
        if report.netdevs.is_empty() {
            "no network devices".to_owned()
        } else {
            report.netdevs.join(", ")
        }
    );
    for warning in &report.warnings {
        let _ = writeln!(text, "  warning: {warning}");
    }
    text
}

/// The helper process of the lease: one sysfs write that cannot be cancelled.
pub(super) fn write(args: &HostWriteArgs) -> Result<CommandResult, Failure> {
    std::process::exit(host::write_attribute(&args.attribute));
}

/// Adds the host's state after a command that borrowed a card. A host that could not be restored is a
/// failure, also after a command that succeeded.
pub(in crate::cli) fn afterwards(
    ran: Result<CommandResult, Failure>,
    borrowed: Option<Borrowed>,
    out: &mut crate::cli::terminal::Out,
) -> Result<CommandResult, Failure> {
    let Some(borrowed) = borrowed else {
        return ran;
    };
    let report = HostReport::of(&borrowed);
    for warning in &report.warnings {
        out.remark(&format!("warning: {warning}"));
    }
    let host = json(&report);
    let problem = report.failure.clone();
    match (ran, problem) {
        (Ok(mut answer), None) => {
            answer.result["host"] = host;
            Ok(answer)
        }
        (Ok(mut answer), Some(problem)) => {
            answer.result["host"] = host;
            let mut failure = not_put_back(&report.bdf);
            failure.causes.push(problem);
            Err(failure.with_result(answer.result))
        }
        (Err(mut failure), problem) => {
            let mut result = failure.result.take().map_or_else(|| value!({}), |r| *r);
            result["host"] = host;
            failure.result = Some(Box::new(result));
            if let Some(problem) = problem.filter(|_| failure.code != Code::NotPutBack) {
                failure
                    .causes
                    .push(format!("the host could not be restored: {problem}"));
                // A card that needs `recover` stays borrowed on purpose; every other failure must not
                // hide that the card's network is down.
                if !matches!(failure.exit, Exit::NeedsRecover | Exit::OutcomeUnknown) {
                    failure.exit = Exit::HostNotRestored;
                    failure.hint = not_put_back(&report.bdf).hint;
                }
            }
            Err(failure)
        }
    }
}

fn not_put_back(bdf: &str) -> Failure {
    Failure::new(
        Code::NotPutBack,
        format!("{bdf} could not be returned to its driver"),
    )
}
