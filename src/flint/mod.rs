#![doc = include_str!("../../docs/flint.md")]
//!
//! # How it is made
//!
//! | file | what |
//! |---|---|
//! | `getopt`, `options`, `commands` | flint's grammar: flags before the command, arguments behind it |
//! | `arguments` | arguments and flags that do not go together |
//! | `run` | complaints in flint's order, then the command |
//! | `console` | flint's screen |
//! | `target` | device names, `mst`'s too |
//! | `file…` | commands on image files |
//! | `card…` | commands on cards |
//! | `refuse` | what is not done, and our way |
//!
//! Everything was measured with mstflint 4.21; `tests/it/flint_files` and `tests/it/flint_card` run the
//! same scripts with it and with this and compare.

mod arguments;
mod card;
mod card_burn;
mod card_change;
mod card_copy;
mod card_ids;
mod card_look;
mod card_progress;
mod card_rules;
mod card_unlock;
mod commands;
mod console;
mod file;
mod file_change;
mod file_look;
mod getopt;
mod options;
mod refuse;
mod run;
mod target;
pub mod text;

use crate::cli::exit::Exit;
use crate::cli::json::SCHEMA;
use crate::cli::progress::StopFlag;
use crate::host::BorrowOptions;
use crate::job::{BugReport, Ended, HostReport};
use card::{FAILED, Talk};
use clap::Parser;
use console::Console;
use options::Wrong;
use run::Place;
use serde_json::json;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::Path;

/// Names of this program under which it is flint.
const NAMES: [&str; 2] = ["flint", "mstflint"];
/// The command under which it is.
const COMMAND: &str = "flint";

/// Run flint's command line if that is what this is: by the program's name, or by our command. The
/// answer is flint's exit code, or [`Exit::HostNotRestored`]'s when the card could not be given back.
pub(super) fn called(argv: &[OsString]) -> Option<u8> {
    let (program, words) = argv.split_first()?;
    let name = Path::new(program).file_name()?.to_string_lossy();
    if NAMES.contains(&name.as_ref()) {
        let log = crate::cli::log::start(Some(&name), 0);
        let around = Around {
            log,
            ..Around::default()
        };
        return Some(main(words, &name, around));
    }
    let at = first_word(words)?;
    let (ours, theirs) = words.split_at(at + 1);
    // What is wrong with our own flags is told where every command's is.
    let cli = crate::cli::Cli::try_parse_from(std::iter::once(program).chain(ours)).ok()?;
    if cli.json {
        return None;
    }
    let log = crate::cli::log::start(Some(COMMAND), cli.verbose);
    let report = match crate::cli::report::begin(&cli) {
        Ok(report) => report,
        Err(failure) => {
            Console::new(StopFlag::default()).complain(&failure.text());
            return Some(failure.exit.code());
        }
    };
    let around = Around {
        device: cli.device,
        options: BorrowOptions {
            allow: cli.allow,
            access: cli.bar_access,
        },
        report,
        log,
    };
    Some(main(theirs, COMMAND, around))
}

/// Where our command `flint` stands; `None` when the command is another one.
fn first_word(words: &[OsString]) -> Option<usize> {
    const WITH_VALUE: [&str; 5] = ["-d", "--device", "--allow", "--bar-access", "--report"];
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

/// What our own command line gives along (`cx3flash --allow ID flint …`).
#[derive(Debug, Default)]
struct Around {
    /// `-d`, when flint's own is not given.
    device: Option<String>,
    /// `--allow`, `--bar-access`.
    options: BorrowOptions,
    /// `--report`.
    report: Option<BugReport>,
    /// The job's log.
    log: Option<crate::cli::log::Log>,
}

fn main(words: &[OsString], program: &str, around: Around) -> u8 {
    let host = crate::cli::host();
    let stop = StopFlag::default();
    let mut console = Console::new(stop.clone());
    let words: Vec<String> = words
        .iter()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    let mut line = match options::parse(&words) {
        Ok(line) => line,
        Err(wrong) => return told(wrong, program, &mut console),
    };
    if line.device.is_none() && line.image.is_none() {
        line.device.clone_from(&around.device);
    }
    console.yes = line.yes;
    console.no = line.no;
    if line.device.is_some()
        && let Err(error) = stop.catch()
    {
        console.remark(&format!("signals cannot be caught: {error}"));
    }
    // flint opens its log for a burn only (measured), and goes on without one.
    let burns = line
        .command
        .is_some_and(|row| row.command == commands::Command::Burn);
    if let Some(path) = line.log.as_ref().filter(|_| burns)
        && let Ok(log) = OpenOptions::new().append(true).create(true).open(path)
    {
        console.keep(log);
    }
    let mut place = Place {
        host: &host,
        options: &around.options,
        console: &mut console,
        borrowed: None,
        report: around.report,
    };
    let code = run::run(&line, &mut place).map_or_else(|code| code, |()| Exit::Done.code());
    let (borrowed, report) = (place.borrowed.take(), place.report.take());
    let code = borrowed.map_or(code, |borrowed| {
        given_back(&HostReport::of(&borrowed), code, &console)
    });
    if let Some(log) = &around.log {
        log.flush();
    }
    tracing::info!(exit = code, "ended");
    let log = around.log.and_then(|log| log.path());
    if let Some(report) = report {
        let ended = Ended {
            card: line.device.as_deref(),
            typed: &format!("cx3flash {COMMAND} {}", words.join(" ")),
            document: &json!({ "schema": SCHEMA, "command": COMMAND, "exit": code }),
            exit: code,
            log: log.as_deref(),
        };
        match report.finish(&host, &ended) {
            Ok(path) => console.complain(&format!("report: {}\n", path.display())),
            Err(error) => console.complain(&format!("-W- no report: {error}\n")),
        }
    }
    match console.take_problem() {
        Some(error) => {
            console.complain(&format!(
                "-E- stdout cannot be written: {error}; the command itself ended with {code}\n"
            ));
            if code == Exit::Done.code() {
                Exit::Stdout.code()
            } else {
                code
            }
        }
        None => code,
    }
}

/// The host must be as it was; if it is not, that is said on stderr whatever flint would say.
fn given_back(report: &HostReport, code: u8, console: &Console) -> u8 {
    for warning in &report.warnings {
        console.complain(&format!("-W- {warning}\n"));
    }
    match &report.failure {
        None => code,
        Some(why) => {
            console.complain(&format!(
                "-E- {} could not be given back to the host: {why}. Run: cx3flash host restore\n",
                report.bdf
            ));
            // A card that is kept because its outcome is not known: that counts more.
            if code == Exit::OutcomeUnknown.code() {
                code
            } else {
                Exit::HostNotRestored.code()
            }
        }
    }
}

fn told(wrong: Wrong, program: &str, console: &mut Console) -> u8 {
    match wrong {
        Wrong::Help => {
            console.say(HELP);
            Exit::Done.code()
        }
        Wrong::Version => {
            let version = env!("CARGO_PKG_VERSION");
            console.say(&format!(
                "{program}, cx3flash {version}, speaks as mstflint 4.21.0\n"
            ));
            Exit::Done.code()
        }
        Wrong::Usage {
            stdout,
            stderr,
            after,
        } => {
            if !stderr.is_empty() {
                console.complain(&format!("{program}: {stderr}"));
            }
            console.say(&format!("{stdout}{HELP}{after}"));
            FAILED
        }
        Wrong::Said(text) => {
            console.say(&text);
            FAILED
        }
    }
}

/// Our own: flint's would promise what we do not do.
const HELP: &str = "NAME
    flint - as cx3flash speaks it, for ConnectX-3 and ConnectX-3 Pro

SYNOPSIS
    flint [FLAGS] <command> [arguments]

FLAGS (one dash or two, before the command)
    -d CARD               PCI address, network device, sim:FILE, /dev/mst/mt4099_pci_cr0
    -i FILE               image file
    -y, -no               answer every question yes, no
    -s                    no progress
    -qq                   query: do not look at the ROM
    -striped_image        the file is a dump of the flash chip
    -guid G, -guids G G G G, -mac M, -macs M M, -vsd TEXT, -blank_guids
    -use_image_ps, -use_image_guids, -use_image_rom
    -nofs, -allow_psid_change, -allow_rom_change
    -flashed_version      query: the version only
    -log FILE             burn: what is said goes there too
    -clear_semaphore      free a semaphore that nobody holds (no command)
    -h, -v

COMMANDS
    query|q [full]        verify|v            burn|b              checksum|cs
    ri FILE               dc [FILE]           rrom FILE           qrom
    brom FILE             drom                sg                  sv
    hw query              rb ADDR SIZE [FILE] rw ADDR             bc
    reset_cfg             clear_semaphore     dh [FILE]           ts query

RETURN VALUES
    0 done, 1 failed or refused, 7 burn of a version that is not newer was declined,
    8 the card could not be given back: run `cx3flash host restore`,
    9 the flash was changed, and what would boot could not be read,
    74 done, and the result could not be written to stdout

`cx3flash --help` lists what goes beyond flint.
";
