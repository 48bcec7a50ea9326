//! Arguments in, text and JSON out, exit codes. Decides nothing.
//!
//! [`main`] parses, runs one command through [`crate::job`], prints its outcome and returns an [`Exit`].
//! Results go to stdout, messages and progress to stderr; `docs/json.md` is the contract for scripts.

mod args;
mod bug_report;
mod build_info;
mod commands;
mod complete;
mod failure;
mod flint;
pub mod json;
mod log;
mod man;
mod page;
mod progress;
mod stop;
mod terminal;
mod text;
mod trace;
mod usage;

use crate::card::HwKey;
use crate::escape;
use crate::host::{BorrowOptions, Host};
use crate::job::{self, Code, Exit, HintContext};
pub use args::Cli;
use commands::Ctx;
pub use failure::Failure;
use json::Document;
use page::Page;
use progress::Progress;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use stop::StopFlag;
use terminal::{Out, OutputMode, Reply};

pub fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    if let Some(exit) = complete::asked(&argv) {
        return exit.into();
    }
    if let Some(code) = flint::called(&argv) {
        return code.into();
    }
    let stop = StopFlag::default();
    let ended = execute(argv, None, &stop);
    let mut out = Out::new(ended.mode);
    if ended.mode.json {
        match &ended.listing {
            None => out.json(&ended.document.value()),
            Some(lists) => {
                out.json_as_read(
                    &json::Listing { document: &ended.document.value(), lists },
                    &stop,
                );
                if lists.stopped() {
                    out.remark("interrupted: the document is not complete");
                    return Exit::Interrupted.into();
                }
            }
        }
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

/// Exit code and message when stdout could not be written. An exit code that reports a failure stays:
/// the outcome of the job counts more.
fn unwritten(exit: Exit, error: &std::io::Error) -> (Exit, Page) {
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

/// How one command line ended. Its text is printed already, its document is not.
struct Executed {
    exit: Exit,
    mode: OutputMode,
    document: Document,
    failure: Option<Failure>,
    /// The lists of the document's result, which are written as they are read.
    listing: Option<job::ShownTrace>,
    stdout_problem: Option<std::io::Error>,
}

impl Executed {
    /// Nothing was done.
    fn failed(command: Option<&str>, mode: OutputMode, failure: Failure) -> Self {
        Self {
            exit: failure.exit,
            mode,
            document: failure.document(command),
            failure: Some(failure),
            listing: None,
            stdout_problem: None,
        }
    }
}

/// Parses and runs one command line. `mode` overrides `--json` and `-q` for the steps of the demo.
fn execute(argv: Vec<OsString>, mode: Option<OutputMode>, stop: &StopFlag) -> Executed {
    let json = argv.iter().take_while(|a| *a != "--").any(|a| a == "--json");
    let typed = typed(&argv);
    let words = words(&argv);
    let cli = match Cli::of(&argv) {
        Ok(cli) => cli,
        Err(error) => return usage::not_understood(&error, json, &argv),
    };
    let mode = mode.unwrap_or(OutputMode { json: cli.json, quiet: cli.quiet, colour: cli.color });
    let host = match host() {
        Ok(host) => host,
        Err(failure) => return Executed::failed(Some(&cli.name), mode, failure),
    };
    let job = cli.command.opens_card().then(|| cli.name.replace(' ', "-"));
    let log = log::start(job.as_deref(), cli.verbose);
    tracing::info!(command = %typed, version = env!("CARGO_PKG_VERSION"), "started");
    let verbose = cli.verbose > 0;
    let out = Out::new(mode);
    if let Some(path) = log.as_ref().and_then(log::SharedLog::path).filter(|_| verbose) {
        out.remark(format_args!("log: {}", escape::path(path)));
    }
    let report = match bug_report::begin(&cli) {
        Ok(report) => report,
        Err(failure) => return Executed::failed(Some(&cli.name), mode, failure),
    };
    let key = match cli.key_file.as_deref().map(|file| key_in(file, &typed, stop)).transpose() {
        Ok(key) => key,
        Err(failure) => return Executed::failed(Some(&cli.name), mode, failure),
    };
    let trace = match trace::begin(&cli, &host) {
        Ok(trace) => trace,
        Err(failure) => return Executed::failed(Some(&cli.name), mode, failure),
    };
    let recorder = trace.as_ref().map(job::TraceFile::recorder);
    let mut device = cli.device;
    if let (Some(file), Some(card)) = (cli.command.file(), &device) {
        if cli.device_typed {
            let file = escape::path(file);
            out.remark(format_args!("`{}` reads {file}; the card {card} is not used", cli.name));
        }
        device = None;
    }
    let mut ctx = Ctx {
        out,
        device,
        image: None,
        rom: None,
        stop,
        device_typed: cli.device_typed,
        traced: cli.trace.is_some(),
        verbose,
        changes_card: cli.command.changes_card(),
        begun: false,
        typed,
        key_file: cli.key_file,
        host,
        options: BorrowOptions { allow: cli.allow, access: cli.bar_access, key, trace: recorder },
        borrowed: None,
        report,
        reply: Reply::Yes,
        result: None,
        listing: None,
    };
    let ran = commands::run(cli.command, &mut ctx).map_err(|mut failure| {
        if failure.code == Code::Usage {
            usage::explain(&mut failure, &cli.name);
        }
        failure
    });
    let (ran, host) = commands::afterwards(ran, ctx.borrowed.take(), &ctx.out);
    if let Some(log) = &log {
        log.flush();
    }
    let mut document = match &ran {
        Ok(exit) => Document::new(Some(&cli.name), *exit),
        Err(failure) => failure.document(Some(&cli.name)),
    };
    let exit = document.exit;
    tracing::info!(exit = exit.code(), "ended");
    ctx.ended(exit);
    let log = log.and_then(|log| log.path());
    document.device.clone_from(&ctx.device);
    document.result = ctx.result.take();
    document.host = host;
    let card = ctx.device.as_ref();
    let recorded = trace::finish(trace, &ctx.host, card, document.exit.code(), &ctx.out);
    document.trace = recorded.report;
    let ended = job::FinishedCommand {
        card: ctx.device.as_ref(),
        typed: &ctx.typed,
        words: &words,
        document: &document.value(),
        exit: document.exit.code(),
        log: log.as_deref(),
        trace: recorded.bytes.as_deref().map_err(Clone::clone),
    };
    if let Some(report) = bug_report::finish(ctx.report.take(), &ctx.host, &ended, &ctx.out) {
        document.report = Some(report);
    }
    Executed {
        exit: document.exit,
        mode,
        document,
        failure: ran.err(),
        listing: ctx.listing.take(),
        stdout_problem: ctx.out.take_problem(),
    }
}

/// Names another root than `/`, so that no test meets a real card of the machine it runs on.
const ROOT: &str = "CX3FLASH_ROOT";

/// The host of this process.
fn host() -> Result<Host, Failure> {
    host_at(std::env::var_os(ROOT), cfg!(debug_assertions))
}

/// The host at `root`. A program that is no test build would use the real one, so it refuses.
fn host_at(root: Option<OsString>, test_build: bool) -> Result<Host, Failure> {
    match root {
        None => Ok(Host::system()),
        Some(root) if test_build => Ok(Host::at(root)),
        Some(_) => {
            let message = format!(
                "{ROOT} is set, and this is a release build, which would use the real host"
            );
            let mut failure = Failure::new(Code::Usage, message);
            failure.hint =
                Some(format!("unset {ROOT}, or use a build with debug assertions: cargo build"));
            Err(failure)
        }
    }
}

/// The command line as a shell needs it, without the path of the program. The key of a card is left out: this
/// goes to logs, reports and hints.
fn typed(argv: &[OsString]) -> String {
    let mut words = vec!["cx3flash".to_owned()];
    let mut before = "";
    for word in argv.iter().skip(1) {
        let text = word.to_str().unwrap_or_default();
        words.push(match (before, text.split_once('=')) {
            ("--key", _) => "KEY".into(),
            (_, Some(("--key", _))) => "--key=KEY".into(),
            _ => escape::shell_word(word),
        });
        before = text;
    }
    words.join(" ")
}

/// The words of a command line without the program.
fn words(argv: &[OsString]) -> Vec<String> {
    argv.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The key in a file, or on stdin. A signal ends the wait for it.
fn key_in(file: &Path, typed: &str, stop: &StopFlag) -> Result<HwKey, Failure> {
    let mode = OutputMode::default();
    if let Err(error) = stop.catch() {
        Out::new(mode).remark(format_args!("signals cannot be caught: {error}"));
    }
    let text = job::read_key(file, &Progress::new(mode, stop.clone())).map_err(|error| {
        Failure::of_job(&error, &HintContext { typed: Some(typed), ..HintContext::of_process() })
    })?;
    let key = String::from_utf8_lossy(&text).parse::<HwKey>();
    // The text of the key is not repeated.
    key.map_err(|why| Failure::new(Code::Usage, format!("{}: {why}", escape::path(file))))
}

#[cfg(test)]
mod tests {
    use super::{Host, host_at};
    use crate::job::Exit;

    #[test]
    fn another_root_is_for_test_builds_and_refused_by_others() {
        for test_build in [false, true] {
            let host = host_at(None, test_build).unwrap();
            assert_eq!(host.path("sys"), Host::system().path("sys"));
        }
        let root = || Some("/tmp/elsewhere".into());
        assert_eq!(
            host_at(root(), true).unwrap().path("sys"),
            Host::at("/tmp/elsewhere").path("sys")
        );
        let failure = host_at(root(), false).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("CX3FLASH_ROOT"), "{}", failure.message);
    }
}
