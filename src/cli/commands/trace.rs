//! `trace show`, `trace replay`, `trace diff`.

use super::{Ctx, Ran};
use crate::cli::page::Page;
use crate::job::{self, TraceLine, TraceShowOutcome};
use std::path::Path;

pub(super) fn show(ctx: &mut Ctx<'_>, file: &Path, accesses: bool) -> Ran {
    let trace = job::read_trace(file, &ctx.reading())?;
    let outcome = job::trace_show(file, &trace, accesses);
    let ran = ctx.done(&text(&outcome), &outcome);
    match job::cut(file, &trace) {
        None => ran,
        Some(error) => Err(error.into()),
    }
}

fn text(shown: &TraceShowOutcome) -> Page {
    let header = &shown.header;
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
    page.line(format_args!("transport:   {}", header.transport.clone().unwrap_or_else(unknown)));
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
    for line in shown.lines.as_ref().unwrap_or(&shown.marks) {
        let TraceLine { time, text } = line;
        page.line(format_args!("{:>6}.{:06}  {text}", time / 1_000_000, time % 1_000_000));
    }
    page
}
