//! `trace show`, `trace replay`, `trace diff`.

use super::{Ctx, Ran};
use crate::cli::failure::Failure;
use crate::cli::page::Page;
use crate::cli::text;
use crate::escape;
use crate::flash::trace::{FULL, Trace, TraceHeader};
use crate::job::{self, Code, Exit, JobError, ReplayedResult, TraceLine, TraceShowOutcome};
use crate::words::counted;
use std::path::Path;

/// Bytes of text that are written together.
const TOGETHER: usize = 64 << 10;

pub(super) fn show(ctx: &mut Ctx<'_>, file: &Path, accesses: bool) -> Ran {
    let trace = job::trace_show(file, accesses, ctx.caught())?;
    ctx.done(&shown(&trace.outcome), &trace.outcome)?;
    if !ctx.out.mode.json {
        match accesses {
            true => write_lines(ctx, trace.lines()),
            false => write_lines(ctx, trace.marks()),
        }
    }
    if trace.stopped() {
        return Err(JobError::Interrupted.into());
    }
    let cut = trace.cut();
    ctx.listing = Some(trace);
    cut.map_or(Ok(Exit::Done), |error| Err(error.into()))
}

/// Writes lines as they are read.
fn write_lines(ctx: &mut Ctx<'_>, lines: impl Iterator<Item = TraceLine>) {
    let mut page = Page::default();
    for TraceLine { time, text } in lines {
        page.line(format_args!("{:>6}.{:06}  {text}", time / 1_000_000, time % 1_000_000));
        if page.as_str().len() >= TOGETHER {
            ctx.out.text(&std::mem::take(&mut page));
            if ctx.out.is_closed() {
                return;
            }
        }
    }
    ctx.out.text(&page);
}

/// A result is one of the whole command only where the trace is.
fn of_all(ran: Ran, file: &Path, trace: &Trace) -> Ran {
    match job::cut(file, trace) {
        None => ran,
        Some(error) => Err(error.into()),
    }
}

/// A trace that was not cut short; one that was full is run as far as it goes.
fn complete(ctx: &Ctx<'_>, file: &Path) -> Result<Trace, JobError> {
    let trace = job::read_trace(file, ctx.caught())?;
    match job::cut(file, &trace) {
        Some(error) if trace.cut.is_some() => Err(error),
        _ => Ok(trace),
    }
}

pub(super) fn replay(ctx: &mut Ctx<'_>, file: &Path) -> Ran {
    let trace = complete(ctx, file)?;
    let outcome = job::trace_replay(file, &trace, &mut ctx.progress())?;
    let mut page = Page::default();
    match &outcome.result {
        None => {}
        Some(ReplayedResult::Query(query)) => page.append(&text::query(query, false)),
        Some(ReplayedResult::Verify(verify)) => page.append(&text::verify(verify)),
        Some(ReplayedResult::Doctor(doctor)) => page.append(&text::checks(doctor)),
        Some(ReplayedResult::Selftest(outcome)) => page.append(&text::selftest(outcome)),
    }
    let ends = outcome.ends_full();
    if let Some(failure) = outcome.failure.as_ref().filter(|_| !ends) {
        page.line(format_args!("the command fails: {failure}"));
    }
    let progress = &outcome.progress;
    page.line(format_args!(
        "replayed {} of {} ({} fewer, {} more)",
        progress.replayed,
        counted(progress.recorded, "access"),
        counted(progress.skipped_polls, "poll"),
        progress.extra_polls
    ));
    if outcome.full {
        page.line(FULL);
    }
    let ran = ctx.done(&page, &outcome);
    let Some(divergence) = outcome.divergence().filter(|_| !ends) else {
        let Some(recorded) = outcome.other_exit() else { return of_all(ran, file, &trace) };
        let message = format!(
            "{}: the command ends with exit code {}, and ended with {recorded} when it was recorded",
            escape::path(file),
            outcome.exit.code()
        );
        return Err(Failure::new(Code::TraceDiverges, message).into());
    };
    let recorded = divergence.recorded.as_deref().unwrap_or("nothing: the trace ends");
    let message = format!(
        "{}: at access {} the program makes another access than the recorded one",
        escape::path(file),
        divergence.access
    );
    let mut failure = Failure::new(Code::TraceDiverges, message);
    failure.causes = vec![format!("now: {}", divergence.asked), format!("recorded: {recorded}")];
    Err(failure.into())
}

pub(super) fn diff(ctx: &mut Ctx<'_>, file: &Path) -> Ran {
    let trace = complete(ctx, file)?;
    let host = ctx.host.clone();
    let outcome = job::trace_diff(file, &trace, &host, &mut ctx.progress())?;
    let mut page = Page::default();
    let found = &outcome.comparison;
    for difference in &found.differences {
        page.line(format_args!("step {}, {} µs:", difference.step, difference.time));
        page.line(format_args!("  recorded:  {}", difference.recorded));
        page.line(format_args!("  simulated: {}", difference.other));
    }
    if let Some(failure) = &outcome.failure {
        page.line(format_args!("on the simulated card the command fails: {failure}"));
    }
    page.line(format_args!(
        "{}; {} recorded, {} simulated",
        counted(found.count, "difference"),
        counted(found.recorded_steps, "step"),
        found.other_steps
    ));
    if outcome.full {
        page.line(FULL);
    }
    let ran = ctx.done(&page, &outcome);
    // What a full trace lacks of the flash is blank on the simulated card, which may not boot from it.
    if found.count == 0 || outcome.full {
        return of_all(ran, file, &trace);
    }
    let message = format!(
        "{} and the simulated card differ in {}",
        escape::path(file),
        counted(found.count, "place")
    );
    Err(Failure::new(Code::TraceDiffers, message).into())
}

fn shown(shown: &TraceShowOutcome) -> Page {
    let header: &TraceHeader = &shown.header;
    let unknown = || "unknown".to_owned();
    let mut page = Page::default();
    let simulated = if header.simulated { " (simulated card)" } else { "" };
    page.line(format_args!("command:     {}{simulated}", header.command));
    page.line(format_args!(
        "program:     cx3flash {}, trace format {}",
        header.version, header.format
    ));
    page.line(format_args!("chip:        {}", header.chip.clone().unwrap_or_else(unknown)));
    page.line(format_args!("firmware:    {}", header.firmware.clone().unwrap_or_else(unknown)));
    let transport = header.transport.map_or_else(unknown, |by| by.to_string());
    page.line(format_args!("transport:   {transport}"));
    let kernel = header.kernel.clone().unwrap_or_else(unknown);
    page.line(format_args!("kernel:      {kernel} {}", header.machine));
    page.line(format_args!(
        "accesses:    {} in {}.{:06} s",
        shown.accesses,
        shown.duration / 1_000_000,
        shown.duration % 1_000_000
    ));
    if let Some(exit) = shown.command_exit {
        page.line(format_args!("exit code:   {exit}"));
    }
    for count in &shown.registers {
        page.line(format_args!(
            "  {:8} reads {:8} writes  {}",
            count.reads, count.writes, count.register
        ));
    }
    page
}
