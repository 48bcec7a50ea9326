//! `--report DIR`: when an archive is begun and ended, and what the user is told of it.

use super::args::{Cli, Command};
use super::commands;
use super::failure::Failure;
use super::out::Out;
use crate::host::Host;
use crate::job::{BugReport, Code, Ended, HintContext};
use serde_json::{Value, json};

/// Take the archive's name, before anything is done.
pub(crate) fn begin(cli: &Cli) -> Result<Option<BugReport>, Failure> {
    let Some(dir) = &cli.report else {
        return Ok(None);
    };
    let name = commands::name(&cli.command);
    if !commands::touches_card(&cli.command) || matches!(cli.command, Command::Demo(_)) {
        return Err(Failure::new(
            Code::Usage,
            format!("--report is about a card, and `{name}` as typed works on none"),
        ));
    }
    BugReport::begin(dir, name)
        .map(Some)
        .map_err(|error| Failure::of_job(&error, &HintContext::default()))
}

/// Write the archive; the document says where it is. What became of the card counts more than what
/// became of the report: the exit code stays.
pub(crate) fn finish(
    report: Option<BugReport>,
    host: &Host,
    ended: &Ended<'_>,
    out: &Out,
) -> Option<Value> {
    match report?.finish(host, ended) {
        Ok(path) => {
            out.remark(&format!(
                "report: {} (addresses and serial numbers are masked; look through it before you post it)",
                path.display()
            ));
            Some(json!({ "path": path }))
        }
        Err(error) => {
            let failure = Failure::of_job(&error, &HintContext::default());
            out.remark(&format!(
                "warning: no report: {}",
                failure.text().trim_end()
            ));
            Some(json!({ "path": null, "problem": failure.json() }))
        }
    }
}
