//! The command `flint`, and this program under the name of one of the vendor's tools: gives [`crate::flint`]
//! what the command line owns, and restores the host afterwards.

use super::args::Cli;
use super::json::{self, FlintDocument, SCHEMA};
use super::page::Page;
use super::stop::StopFlag;
use super::terminal::Out;
use super::{bug_report, commands, log, trace};
use crate::escape;
use crate::flint::{self, COMMAND, Caller};
use crate::host::BorrowOptions;
use crate::job::{BugReport, CardSelector, Exit, FinishedCommand, HostReport, TraceFile};
use clap::CommandFactory;
use std::ffi::OsString;
use std::path::Path;

/// Runs flint's command line if that is what `argv` holds, by the program's name or by our command.
/// Returns the exit code: flint's, or 8 ([`Exit::HostNotRestored`]) when the host was not restored.
pub(super) fn called(argv: &[OsString]) -> Option<u8> {
    let (program, words) = argv.split_first()?;
    let name = Path::new(program).file_name()?.to_string_lossy();
    if flint::is_name(&name) {
        let log = log::start(Some(&name), 0);
        let options = BorrowOptions::default();
        return Some(run(
            words,
            &name,
            None,
            &options,
            Files::default(),
            log,
            &StopFlag::default(),
        ));
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
    let recording = super::host().and_then(|host| trace::begin(&cli, &host));
    let recording = match recording {
        Ok(recording) => recording,
        Err(failure) => {
            Out::default().error(&failure.text());
            return Some(failure.exit.code());
        }
    };
    let recorder = recording.as_ref().map(TraceFile::recorder);
    let options = BorrowOptions { allow: cli.allow, access: cli.bar_access, key, trace: recorder };
    let files = Files { report, trace: recording };
    Some(run(theirs, COMMAND, cli.device, &options, files, log, &stop))
}

/// Index of our command `flint` in the command line; `None` when the command is another one.
fn command_at(words: &[OsString]) -> Option<usize> {
    let definition = Cli::command();
    let takes_value = |word: &str| {
        definition.get_arguments().filter(|arg| arg.get_action().takes_values()).any(|arg| {
            let long = word.strip_prefix("--").is_some_and(|name| arg.get_long() == Some(name));
            let short = |letter| word.strip_prefix('-') == Some(&*String::from(letter));
            long || arg.get_short().is_some_and(short)
        })
    };
    let mut at = 0;
    loop {
        let word = words.get(at)?.to_str()?;
        if takes_value(word) {
            at += 2;
        } else if word.starts_with('-') {
            at += 1;
        } else {
            return (word == COMMAND).then_some(at);
        }
    }
}

/// Words of flint's and mlxconfig's commands that change a card: they are in the system's log.
const CHANGE_CARDS: [&str; 11] = [
    "b",
    "brom",
    "burn",
    "clear_semaphore",
    "drom",
    "reset",
    "reset_cfg",
    "set",
    "sg",
    "sv",
    "update",
];

/// Files beside the results.
#[derive(Default)]
struct Files {
    report: Option<BugReport>,
    trace: Option<TraceFile>,
}

fn run(
    words: &[OsString],
    program: &str,
    device: Option<CardSelector>,
    options: &BorrowOptions,
    files: Files,
    log: Option<log::SharedLog>,
    stop: &StopFlag,
) -> u8 {
    let Files { mut report, trace } = files;
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
    let keys = words.iter().any(|word| word == "hw_access" || word == "set_key");
    // The last word may be a key.
    let shown = words.len() - usize::from(keys && words.len() > 2);
    let typed: Vec<String> = words[..shown].iter().map(escape::shell_word).collect();
    let typed = format!("{program} {}", typed.join(" "));
    let changes_card = words.iter().any(|word| CHANGE_CARDS.contains(&word.as_str()));
    let mut begun = false;
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
                if let Some(access) = options.access.filter(|_| device.borrowed().is_none()) {
                    out.remarks(&commands::access_not_used(access));
                }
                if changes_card && device.borrowed().is_some() {
                    host.log_line(&format!("begins on {}: {typed}", device.name));
                    begun = true;
                }
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
    if begun {
        host.log_line(&format!("ends with exit {code}: {typed}"));
    }
    let recorded = trace::finish(trace, &host, ran.card.as_ref(), code, &out);
    if let Some(report) = report {
        let log = log.and_then(|log| log.path());
        let ended = FinishedCommand {
            card: ran.card.as_ref(),
            typed: &format!("cx3flash {typed}"),
            words: &words,
            document: &json::result(&FlintDocument {
                schema: SCHEMA,
                command: COMMAND,
                exit: code,
            }),
            exit: code,
            log: log.as_deref(),
            trace: recorded.bytes.as_deref().map_err(Clone::clone),
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
