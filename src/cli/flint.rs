//! The command `flint`, and this program under the name of one of the vendor's tools: gives [`crate::flint`]
//! what the command line owns, and restores the host afterwards.

use super::args::Cli;
use super::json::{self, FlintDocument, SCHEMA};
use super::page::Page;
use super::terminal::{Out, StopFlag};
use super::{bug_report, commands, log};
use crate::escape;
use crate::flint::{self, Caller};
use crate::host::BorrowOptions;
use crate::job::{BugReport, CardSelector, Exit, FinishedCommand, HostReport};
use std::ffi::OsString;
use std::path::Path;

/// The command with the same effect.
const COMMAND: &str = "flint";

/// Runs flint's command line if that is what `argv` holds, by the program's name or by our command.
/// Returns the exit code: flint's, or 8 ([`Exit::HostNotRestored`]) when the host was not restored.
pub(super) fn called(argv: &[OsString]) -> Option<u8> {
    let (program, words) = argv.split_first()?;
    let name = Path::new(program).file_name()?.to_string_lossy();
    if flint::is_name(&name) {
        let log = log::start(Some(&name), 0);
        let options = BorrowOptions::default();
        return Some(run(words, &name, None, &options, None, log, &StopFlag::default()));
    }
    let at = command_at(words)?;
    let (ours, theirs) = words.split_at(at + 1);
    // Errors in our own options are reported where those of every command are.
    let ours: Vec<OsString> = std::iter::once(program).chain(ours).cloned().collect();
    let cli = Cli::of(&ours).ok()?;
    if cli.json {
        return None;
    }
    let log = log::start(Some(COMMAND), cli.verbose);
    let report = match bug_report::begin(&cli) {
        Ok(report) => report,
        Err(failure) => {
            Out::default().error(&failure.text());
            return Some(failure.exit.code());
        }
    };
    let stop = StopFlag::default();
    let typed = super::typed(argv);
    let key_in = |file| super::key_in(file, &typed, &stop);
    let key = match cli.key_file.as_deref().map(key_in).transpose() {
        Ok(key) => key,
        Err(failure) => {
            Out::default().error(&failure.text());
            return Some(failure.exit.code());
        }
    };
    let options = BorrowOptions { allow: cli.allow, access: cli.bar_access, key };
    Some(run(theirs, COMMAND, cli.device, &options, report, log, &stop))
}

/// Index of our command `flint` in the command line; `None` when the command is another one.
fn command_at(words: &[OsString]) -> Option<usize> {
    const WITH_VALUE: [&str; 6] =
        ["-d", "--device", "--allow", "--bar-access", "--key-file", "--report"];
    let mut at = 0;
    loop {
        let word = words.get(at)?.to_str()?;
        if WITH_VALUE.contains(&word) {
            at += 2;
        } else if word.starts_with('-') {
            at += 1;
        } else {
            return (word == COMMAND).then_some(at);
        }
    }
}

fn run(
    words: &[OsString],
    program: &str,
    device: Option<CardSelector>,
    options: &BorrowOptions,
    mut report: Option<BugReport>,
    log: Option<log::SharedLog>,
    stop: &StopFlag,
) -> u8 {
    let out = Out::default();
    let host = match super::host() {
        Ok(host) => host,
        Err(failure) => {
            out.error(&failure.text());
            return failure.exit.code();
        }
    };
    let unreadable = words.iter().find(|word| word.to_str().is_none());
    if let Some(word) = unreadable {
        // flint's grammar works on text; another file than the one named must not be used.
        let word = escape::path(word);
        out.error(&Page::of(format_args!("-E- {word} is not valid UTF-8; rename the file")));
        return Exit::Failed.code();
    }
    let words: Vec<String> = words.iter().filter_map(|w| w.to_str().map(str::to_owned)).collect();
    let ran = flint::run(
        &words,
        Caller {
            program,
            device,
            simulated: commands::cards_here(),
            host: &host,
            options,
            catch_signals: &|| stop.catch(),
            stop_requested: {
                let stop = stop.clone();
                Box::new(move || stop.raised())
            },
            opened: &mut |device| {
                if let Some(report) = &mut report {
                    commands::report_query(report, &host, device);
                }
            },
        },
    );
    let give_back = |code, borrowed| restored(&HostReport::of(borrowed), code, &out);
    let code = ran.borrowed.iter().fold(ran.exit, give_back);
    if let Some(log) = &log {
        log.flush();
    }
    tracing::info!(exit = code, "ended");
    if let Some(report) = report {
        let keys = words.iter().any(|word| word == "hw_access" || word == "set_key");
        // The last word may be a key.
        let shown = words.len() - usize::from(keys && words.len() > 2);
        let typed: Vec<String> = words[..shown].iter().map(escape::shell_word).collect();
        let log = log.and_then(|log| log.path());
        let ended = FinishedCommand {
            card: ran.card.as_ref(),
            typed: &format!("cx3flash {COMMAND} {}", typed.join(" ")),
            document: &json::result(&FlintDocument {
                schema: SCHEMA,
                command: COMMAND,
                exit: code,
            }),
            exit: code,
            log: log.as_deref(),
        };
        out.error(&match report.finish(&host, &ended) {
            Ok(path) => Page::of(format_args!("report: {}", escape::path(path))),
            Err(error) => Page::of(format_args!("-W- no report: {error}")),
        });
    }
    let Some(error) = ran.stdout_error else {
        return code;
    };
    out.error(&Page::of(format_args!(
        "-E- stdout cannot be written: {error}; the command itself ended with {code}"
    )));
    if code == Exit::Done.code() { Exit::Stdout.code() } else { code }
}

/// The exit code once the card is given back to the host. Failures are reported on stderr, where flint
/// prints nothing.
fn restored(report: &HostReport, code: u8, out: &Out) -> u8 {
    for warning in &report.warnings {
        out.error(&Page::of(format_args!("-W- {warning}")));
    }
    let Some(why) = &report.failure else {
        return code;
    };
    out.error(&Page::of(format_args!(
        "-E- {} could not be given back to the host: {why}. Run: cx3flash host restore",
        report.bdf
    )));
    // A card that is kept because its outcome is unknown: that counts more.
    if code == Exit::OutcomeUnknown.code() { code } else { Exit::HostNotRestored.code() }
}
