//! Arguments in, text and JSON out, exit codes. Decides nothing.
//!
//! [`main`] parses, runs one command through [`crate::job`], draws what came of it and ends with a
//! number of [`Exit`]. stdout carries results, stderr people's text and progress; [`json`] is the
//! contract for scripts.

mod args;
mod args_parts;
mod args_sim;
mod ask;
mod commands;
mod failure;
mod files;
mod flint;
pub mod json;
mod log;
pub(crate) mod names;
mod out;
mod progress;
mod report;
mod sector_map;
mod settings;
pub(crate) mod text;
pub(crate) mod units;
mod unknown;

pub use args::Cli;
pub use failure::Failure;

use crate::host::{BorrowOptions, Host};
use crate::job::{Code, Exit, quote};
use clap::Parser;
use commands::Ctx;
use out::{Manner, Out};
use progress::StopFlag;
use serde_json::Value;
use std::ffi::OsString;
use std::process::ExitCode;

/// Run the program.
#[must_use]
pub fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = flint::called(&argv) {
        return code.into();
    }
    let stop = StopFlag::default();
    let ended = execute(argv, None, &stop);
    let mut out = Out::new(ended.manner);
    if ended.manner.json && !ended.help {
        out.json(&ended.document);
    } else if let Some(failure) = &ended.failure {
        out.error(&failure.text());
    }
    let problem = ended.stdout_problem.or_else(|| out.take_problem());
    match problem {
        None => ended.exit.into(),
        Some(error) => {
            let (exit, text) = unwritten(ended.exit, &error);
            out.error(&text);
            exit.into()
        }
    }
}

/// What the program ends with when stdout could not be written, and the message. The outcome of the
/// job counts more than that of its text: an exit code that reports a failure stays.
fn unwritten(exit: Exit, error: &std::io::Error) -> (Exit, String) {
    let ended = match exit {
        Exit::Done | Exit::NothingToDo => Exit::Stdout,
        other => other,
    };
    let failure = Failure::from_error(Code::Stdout, error).about(format!(
        "the results cannot be written to stdout; the command itself ended with {} ({})",
        exit.code(),
        exit.meaning()
    ));
    (ended, failure.text())
}

/// How one command line ended. Its text is on the streams already, its document is not.
struct Ended {
    exit: Exit,
    manner: Manner,
    document: Value,
    failure: Option<Failure>,
    /// Only help or the version was asked for.
    help: bool,
    stdout_problem: Option<std::io::Error>,
}

impl Ended {
    /// Not even understood.
    fn with(mut self, failure: Failure) -> Self {
        self.document = json::document(None, None, Some(&failure), Exit::Usage);
        self.failure = Some(failure);
        self
    }
}

/// Parse and run one command line. `manner` overrides `--json` and `-q` (the demo's steps talk as
/// the demo does).
fn execute(argv: Vec<OsString>, manner: Option<Manner>, stop: &StopFlag) -> Ended {
    let json_wanted = argv
        .iter()
        .take_while(|a| *a != "--")
        .any(|a| a == "--json");
    let typed = typed(&argv);
    let cli = match Cli::try_parse_from(&argv) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error, json_wanted, &argv),
    };
    let manner = manner.unwrap_or(Manner {
        json: cli.json,
        quiet: cli.quiet,
    });
    let name = commands::name(&cli.command);
    let job = commands::touches_card(&cli.command).then(|| name.replace(' ', "-"));
    let log = log::start(job.as_deref(), cli.verbose);
    tracing::info!(command = %typed, version = env!("CARGO_PKG_VERSION"), "started");
    let mut out = Out::new(manner);
    if let Some(path) = log
        .as_ref()
        .and_then(log::Log::path)
        .filter(|_| cli.verbose > 0)
    {
        out.remark(&format!("log: {}", path.display()));
    }
    let report = match report::begin(&cli) {
        Ok(report) => report,
        Err(failure) => return not_begun(name, manner, failure),
    };
    let mut ctx = Ctx {
        out: &mut out,
        device: cli.device.clone(),
        stop,
        typed: typed.clone(),
        host: host(),
        options: BorrowOptions {
            allow: cli.allow.clone(),
            access: cli.bar_access,
        },
        borrowed: None,
        report,
    };
    let ran = commands::run(cli, &mut ctx);
    let borrowed = ctx.borrowed.take();
    let (host, card, report) = (ctx.host.clone(), ctx.device.take(), ctx.report.take());
    let ran = commands::afterwards(ran, borrowed, &mut out);
    let (exit, result, failure) = match ran {
        Ok(answer) => (answer.exit, Some(answer.result), None),
        Err(mut failure) => (
            failure.exit,
            failure.result.take().map(|r| *r),
            Some(failure),
        ),
    };
    if let Some(log) = &log {
        log.flush();
    }
    tracing::info!(exit = exit.code(), "ended");
    let log = log.and_then(|log| log.path());
    let mut document = json::document(Some(name), result.as_ref(), failure.as_ref(), exit);
    let ended = crate::job::Ended {
        card: card.as_deref(),
        typed: &typed,
        document: &document,
        exit: exit.code(),
        log: log.as_deref(),
    };
    if let Some(report) = report::finish(report, &host, &ended, &out) {
        document["report"] = report;
    }
    Ended {
        exit,
        manner,
        document,
        failure,
        help: false,
        stdout_problem: out.take_problem(),
    }
}

/// Understood, and nothing of it done.
fn not_begun(command: &str, manner: Manner, failure: Failure) -> Ended {
    Ended {
        exit: failure.exit,
        manner,
        document: json::document(Some(command), None, Some(&failure), failure.exit),
        failure: Some(failure),
        help: false,
        stdout_problem: None,
    }
}

/// The host. Tests name another root, so that no test meets a real card of the machine it runs on.
fn host() -> Host {
    std::env::var_os("CX3FLASH_ROOT").map_or_else(Host::system, Host::at)
}

/// The command line as a shell needs it, without the path of the program.
fn typed(argv: &[OsString]) -> String {
    let words = argv.iter().skip(1).map(|a| quote(&a.to_string_lossy()));
    std::iter::once("cx3flash".to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Help, the version, or a command line that makes no sense.
fn not_understood(error: &clap::Error, json_wanted: bool, argv: &[OsString]) -> Ended {
    let help = !error.use_stderr();
    let manner = Manner {
        json: json_wanted,
        quiet: false,
    };
    let mut out = Out::new(manner);
    let mut ended = Ended {
        exit: Exit::Usage,
        manner,
        document: Value::Null,
        failure: None,
        help,
        stdout_problem: None,
    };
    if help {
        out.raw(error.render().to_string().as_bytes());
        ended.exit = Exit::Done;
        ended.stdout_problem = out.take_problem();
        return ended;
    }
    let rendered = error.render().to_string();
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        if !json_wanted {
            out.error(&rendered);
        }
        let failure = Failure::new(Code::Usage, "name a command");
        return ended.with(Failure {
            hint: unknown::hint(error, argv).or(failure.hint.clone()),
            ..failure
        });
    }
    let message = rendered
        .lines()
        .map(str::trim)
        .take_while(|l| !l.is_empty() && !l.starts_with("Usage:"))
        .collect::<Vec<_>>()
        .join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let mut failure = Failure::new(Code::Usage, message);
    failure.hint = unknown::hint(error, argv).or(failure.hint);
    ended.with(failure)
}
