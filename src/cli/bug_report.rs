//! `--report DIR`: begins and ends the archive of a command.

use super::args::{Cli, Command};
use super::failure::Failure;
use super::json::ReportFile;
use super::page::Page;
use super::terminal::Out;
use crate::escape;
use crate::host::Host;
use crate::job::{BugReport, Code, FinishedCommand, HintContext};

/// Reserves the archive's name before the command runs.
pub(super) fn begin(cli: &Cli) -> Result<Option<BugReport>, Failure> {
    let Some(dir) = &cli.report else {
        return Ok(None);
    };
    let name = &cli.name;
    if !cli.command.opens_card() || matches!(cli.command, Command::Demo { .. }) {
        return Err(Failure::new(
            Code::Usage,
            format!("--report needs a command that opens a card; this `{name}` opens none"),
        ));
    }
    BugReport::begin(dir, name)
        .map(Some)
        .map_err(|error| Failure::of_job(&error, &HintContext::of_process()))
}

/// Writes the archive and returns the document's `report`. The exit code does not depend on it.
pub(super) fn finish(
    report: Option<BugReport>,
    host: &Host,
    ended: &FinishedCommand<'_>,
    out: &Out,
) -> Option<ReportFile> {
    match report?.finish(host, ended) {
        Ok(path) => {
            out.remark(format_args!(
                "report: {} (addresses and serial numbers are masked; read it before you post it)",
                escape::path(&path)
            ));
            Some(ReportFile { path: Some(escape::file_name(&path)), error: None })
        }
        Err(error) => {
            let failure = Failure::of_job(&error, &HintContext::of_process());
            let text = failure.text();
            let mut page = Page::default();
            page.part("warning: no report: ");
            page.append(&text);
            out.remarks(&page);
            Some(ReportFile { path: None, error: Some(failure.report()) })
        }
    }
}
