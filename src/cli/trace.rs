//! `--trace FILE`: begins and ends the trace of a command. A bug report contains one too.

use super::args::{Cli, Command};
use super::failure::Failure;
use super::json::ReportFile;
use super::page::Page;
use super::terminal::Out;
use crate::escape;
use crate::host::Host;
use crate::job::{CardSelector, Code, HintContext, TraceFile};

/// A trace that has ended.
pub(super) struct RecordedTrace {
    /// For the document.
    pub(super) report: Option<ReportFile>,
    /// For a bug report: its bytes, or why there are none.
    pub(super) bytes: Result<Vec<u8>, String>,
}

/// Creates the file before the command runs.
pub(super) fn begin(cli: &Cli, host: &Host) -> Result<Option<TraceFile>, Failure> {
    let path = cli.trace.as_deref();
    let name = match cli.command {
        Command::Flint { .. } => "flint",
        _ => &cli.name,
    };
    if path.is_none() && cli.report.is_none() {
        return Ok(None);
    }
    // These open any number of cards, a trace is one card's.
    let many = cli.command.is_for_all()
        || matches!(cli.command, Command::Demo { .. } | Command::List { .. } | Command::Host(_));
    if !cli.command.opens_card() || many && path.is_some() {
        return Err(Failure::new(
            Code::Usage,
            format!("--trace needs a command that opens one card; this `{name}` does not"),
        ));
    }
    TraceFile::begin(path, name, cli.report.is_some(), host)
        .map(Some)
        .map_err(|error| Failure::of_job(&error, &HintContext::default()))
}

/// Ends it. The exit code does not depend on it.
pub(super) fn finish(
    trace: Option<TraceFile>,
    host: &Host,
    card: Option<&CardSelector>,
    exit: u8,
    out: &Out,
) -> RecordedTrace {
    let none = |why: &str| RecordedTrace { report: None, bytes: Err(why.to_owned()) };
    let Some(trace) = trace else {
        return none("no trace was recorded");
    };
    let named = trace.is_named();
    match trace.finish(host, card, exit) {
        Ok(None) => {
            if named {
                out.remark(format_args!("no trace: no card was opened"));
            }
            none("no card was opened")
        }
        Ok(Some(finished)) => {
            let report = finished.path.map(|path| {
                out.remark(format_args!("trace: {}", escape::path(&path)));
                ReportFile { path: Some(escape::file_name(&path)), error: None }
            });
            RecordedTrace { report, bytes: Ok(finished.bytes) }
        }
        Err(error) => {
            let failure = Failure::of_job(&error, &HintContext::default());
            let mut page = Page::default();
            page.part("warning: the trace is not complete: ");
            page.append(&failure.text());
            out.remarks(&page);
            let report = ReportFile { path: None, error: Some(failure.report()) };
            RecordedTrace { report: Some(report), bytes: Err(error.to_string()) }
        }
    }
}
