//! `selftest`: what this program assumes of a card, tested on the card at hand.

use super::{CommandError, Ctx, Ran, backup_dir, proven_backup_dir};
use crate::cli::args::SelftestArgs;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::text;
use crate::host::KernelLog;
use crate::job::{
    self, CardSelector, Code, DriverFacts, Expendable, SelftestOutcome, SelftestRequest, StageId,
};

pub(super) fn run(ctx: &mut Ctx<'_>, args: &SelftestArgs) -> Ran {
    let name = ctx.card()?;
    let driver = DriverFacts::read(&name, &ctx.host)?;
    if let Some(report) = &mut ctx.report {
        report.know_serials([&driver.vpd_serial, &driver.serial].into_iter().flatten().cloned());
    }
    let serial = args.expendable.as_deref();
    let dir = args.write.backup_dir.clone();
    let dir = if serial.is_some() { proven_backup_dir(dir)? } else { backup_dir(dir) };
    let expendable = serial.map(|serial| Expendable { serial, backup_dir: &dir });
    expendable.map_or(Ok(()), |expendable| expendable.check(&driver))?;
    ctx.out.text(&text::selftest_plan(args.reset, serial.is_some()));
    let runs = driver.fw_version.as_deref().map(|version| format!(", which runs {version}"));
    let runs = runs.unwrap_or_default();
    let question = match serial {
        None => format!("Test {name}{runs}?"),
        Some(serial) => {
            format!("Test {name} (serial number {serial}){runs}, and erase and program its flash?")
        }
    };
    if !ctx.confirm(args.write.confirm.yes, &question) {
        return Err(ctx.declined().into());
    }
    let log = KernelLog::open(&ctx.host);
    let mut device = match ctx.open() {
        Err(CommandError::Job(error)) => match job::selftest_unopened(driver, &error) {
            Some(outcome) => return show(ctx, &name, &outcome),
            None => return Err(error.into()),
        },
        opened => opened?,
    };
    let (tools_interface, reset) = (args.tools_interface, args.reset);
    let request = SelftestRequest { tools_interface, reset, expendable };
    let mut progress = ctx.progress();
    let mut known = None;
    let ended = job::selftest(&mut device, driver, request, log, &mut progress, &mut known);
    drop(progress);
    ctx.result = known.as_ref().map(json::result);
    if ended.is_err()
        && let Some(known) = &known
    {
        ctx.out.text(&text::selftest(known));
    }
    show(ctx, &name, &ended?)
}

/// Prints the results; a contradiction is a failure.
fn show(ctx: &mut Ctx<'_>, card: &CardSelector, outcome: &SelftestOutcome) -> Ran {
    let ran = ctx.done(&text::selftest(outcome), outcome);
    if !outcome.contradicted {
        return ran;
    }
    let lost = outcome.contradictions().any(|id| id == StageId::Restored);
    let code = if lost { Code::NotPutBack } else { Code::Contradicted };
    let ids: Vec<String> = outcome.contradictions().map(StageId::name).collect();
    let message = format!("{card} contradicts what is assumed of it: {}", ids.join(", "));
    Err(Failure::new(code, message).with_hint(&ctx.hint_context()).into())
}
