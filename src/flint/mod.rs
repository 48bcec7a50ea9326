#![doc = include_str!("../../docs/flint.md")]
//!
//! # Files
//!
//! | file | content |
//! |---|---|
//! | `flags`, `getopt` | the table of flags, and how a command line is read |
//! | `commands`, `arguments` | the table of commands, and what is wrong with their arguments |
//! | `target`, `reading` | the card or file a command works on, and the image in it |
//! | `inspect`, `copy`, `change`, `burn` | the commands |
//! | `rules`, `ids` | flint's checks before a burn; GUIDs and MACs |
//! | `verdict`, `text` | what flint concludes from an image, and how it prints it |
//! | `tool`, `mst`, `mlxconfig`, `mlxfwmanager` | this program under the names of the vendor's other tools |
//! | `errors`, `progress`, `console` | texts of our jobs, and the streams |

mod arguments;
mod burn;
mod change;
mod commands;
mod console;
mod copy;
mod errors;
mod flags;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod getopt;
mod hw_access;
mod ids;
mod inspect;
mod mlxconfig;
mod mlxfwmanager;
mod mst;
mod progress;
mod reading;
mod rules;
mod target;
pub mod text;
mod tool;
pub mod verdict;

use crate::host::{BorrowOptions, Borrowed, Host};
use crate::job::{CardSelector, Device};
use commands::CommandAction;
use console::Console;
use flags::{GrammarError, Invocation};
#[cfg(any(test, fuzzing))]
pub(crate) use fuzz::run_words as fuzz_words;
pub use reading::image_of_card;
use std::io;
use std::path::PathBuf;
use target::{CommandTarget, FlintResult};
use tool::ToolCall;

/// Our command with the same effect as the program's name `flint`.
pub(crate) const COMMAND: &str = "flint";
/// flint's exit code for everything that fails.
const FAILED: u8 = 1;
const CACHE_WARNING: &str = "\n-W- Firmware flash cache access is enabled. Running in this mode may cause the firmware to hang.\n";

/// What the caller of [`run`] owns.
pub(crate) struct Caller<'a> {
    /// Name of the program in messages.
    pub(crate) program: &'a str,
    /// The card to use when flint's own `-d` is not given.
    pub(crate) device: Option<CardSelector>,
    /// Simulated cards of the current directory.
    pub(crate) simulated: Vec<PathBuf>,
    pub(crate) host: &'a Host,
    pub(crate) options: &'a BorrowOptions,
    /// From now on a signal requests a stop instead of ending the process.
    pub(crate) catch_signals: &'a dyn Fn() -> io::Result<()>,
    pub(crate) stop_requested: Box<dyn Fn() -> bool>,
    /// Called with every card that was opened.
    pub(crate) opened: &'a mut dyn FnMut(&mut Device),
}

/// How a command ended.
pub(crate) struct FlintCall {
    /// flint's exit code.
    pub(crate) exit: u8,
    /// The card, as named by the user.
    pub(crate) card: Option<CardSelector>,
    /// The real cards that were borrowed; their devices are dropped already.
    pub(crate) borrowed: Vec<Borrowed>,
    /// Why stdout could not be written.
    pub(crate) stdout_error: Option<io::Error>,
}

/// What runs a command line of a tool, and returns its exit code.
type Tool = fn(&mut ToolCall<'_, '_>, &[String]) -> u8;

/// The vendor's other tools, by the names of the program.
const TOOLS: [(&str, Tool); 5] = [
    ("mst", mst::run),
    ("mlxconfig", mlxconfig::run),
    ("mstconfig", mlxconfig::run),
    ("mlxfwmanager", mlxfwmanager::run),
    ("mstfwmanager", mlxfwmanager::run),
];

/// Whether the program of this name speaks as flint or as another of the vendor's tools.
pub(crate) fn is_name(program: &str) -> bool {
    ["flint", "mstflint"].contains(&program) || TOOLS.iter().any(|(name, _)| *name == program)
}

/// Runs one command line of flint, or of the tool whose name the program has.
pub(crate) fn run(words: &[String], mut caller: Caller<'_>) -> FlintCall {
    let stop_requested = std::mem::replace(&mut caller.stop_requested, Box::new(|| false));
    let mut console = Console::new(stop_requested);
    if let Some((_, tool)) = TOOLS.iter().find(|(name, _)| *name == caller.program) {
        let mut call = ToolCall { caller: &mut caller, console, card: None, borrowed: Vec::new() };
        let exit = tool(&mut call, words);
        let ToolCall { card, borrowed, console, .. } = call;
        return FlintCall { exit, card, borrowed, stdout_error: console.error };
    }
    match getopt::parse(words) {
        Ok(line) => run_line(line, &mut caller, console),
        Err(error) => {
            let exit = no_command(error, caller.program, &mut console);
            FlintCall { exit, card: None, borrowed: Vec::new(), stdout_error: console.error }
        }
    }
}

/// Runs one command line that has been parsed.
fn run_line(mut line: Invocation, caller: &mut Caller<'_>, mut console: Console) -> FlintCall {
    if line.device.is_none() && line.image.is_none() {
        line.device = caller.device.take();
    }
    (console.yes, console.no) = (line.has("yes"), line.has("no"));
    // Also while a file is read: it may be a pipe.
    if (line.device.is_some() || line.image.is_some())
        && let Err(error) = (caller.catch_signals)()
    {
        console.remark(&format!("signals cannot be caught: {error}"));
    }
    // flint opens its log for a burn only (measured), and continues without one.
    if let Some(path) = line.log.as_ref().filter(|_| line.is("burn"))
        && let Ok(log) = copy::without_waiting().append(true).create(true).open(path)
    {
        console.log = Some(log);
    }
    let mut borrowed = None;
    let ended = execute(&line, caller, &mut console, &mut borrowed);
    FlintCall {
        exit: ended.map_or_else(|code| code, |()| 0),
        card: line.device,
        borrowed: borrowed.into_iter().collect(),
        stdout_error: console.error,
    }
}

/// Complains in flint's order: number of arguments, target, arguments, what is refused, opening; then runs
/// the command.
fn execute(
    line: &Invocation,
    caller: &mut Caller<'_>,
    console: &mut Console,
    borrowed: &mut Option<Borrowed>,
) -> FlintResult {
    let name = line.command.and_then(|names| names.first());
    let command = name.and_then(|name| commands::named(name)).ok_or(FAILED)?;
    if let Some(text) = command.complaint(line, || console.print(CACHE_WARNING)) {
        console.print(&text);
        if line.is("verify") {
            console.print(target::NO_VERIFY);
        }
        return Err(FAILED);
    }
    // flint fills missing digits up with zeros.
    if let Some(text) = line.inexact_id.as_ref().filter(|_| line.is("sg") || line.is("burn")) {
        console.print(text);
        return Err(FAILED);
    }
    if line.is("hw_access") && line.args.first().is_some_and(|word| word == "enable") {
        return hw_access::enable(line, caller, console, borrowed);
    }
    let flag = line.refused_flag().filter(|_| !line.has("clear_semaphore"));
    let (what, reason) = match (&command.action, flag) {
        (CommandAction::Run(action), None) => {
            copy::ask_to_overwrite(line, console)?;
            return action(&mut CommandTarget::open(line, caller, console, borrowed)?, line);
        }
        (CommandAction::Run(_), Some((name, reason))) => (format!("-{name}"), reason),
        (CommandAction::Refused(reason), _) => (format!("\"{}\"", command.names[0]), *reason),
    };
    console.print(&format!("-E- {what} is not done: {reason}\n"));
    Err(FAILED)
}

/// Prints help, the version, or what is wrong with a command line.
fn no_command(error: GrammarError, program: &str, console: &mut Console) -> u8 {
    match error {
        GrammarError::Help => console.print(HELP),
        GrammarError::Version => {
            let version = env!("CARGO_PKG_VERSION");
            console.print(&format!("{program}, cx3flash {version}, imitates mstflint 4.21.0\n"));
        }
        GrammarError::Usage { stdout, stderr, after } => {
            if !stderr.is_empty() {
                console.print_error(&format!("{program}: {stderr}"));
            }
            console.print(&format!("{stdout}{HELP}{after}"));
            return FAILED;
        }
        GrammarError::Text(text) => {
            console.print(&text);
            return FAILED;
        }
    }
    0
}

/// The sections of flint's help: heading and text.
pub(crate) fn help_sections() -> Vec<(&'static str, &'static str)> {
    let mut sections = Vec::new();
    for section in HELP.split("\n\n") {
        match section.split_once('\n') {
            Some((heading, text)) if text.starts_with(' ') => sections.push((heading, text)),
            _ => {}
        }
    }
    sections
}

/// Our own: flint's would promise what we do not do.
const HELP: &str = "NAME
    flint - the command line of mstflint 4.21, for ConnectX-3 and ConnectX-3 Pro

SYNOPSIS
    flint [FLAGS] <command> [arguments]

FLAGS (one dash or two, before the command)
    -d CARD               PCI address, network device, sim:FILE, name of mst
    -i FILE               image file
    -y, -no               answer every question yes, no
    -s                    no progress
    -qq                   query: do not read the ROM
    -striped_image        the file is a dump of the flash chip
    -guid G, -guids G G G G, -mac M, -macs M M, -vsd TEXT, -blank_guids
    -use_image_ps, -use_image_guids, -use_image_rom
    -nofs, -allow_psid_change, -allow_rom_change
    -flashed_version      query: the version only
    -log FILE             burn: what is printed goes there too
    -clear_semaphore      free a semaphore that no program holds (no command)
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
    74 done, and the result could not be written to stdout,
    130 a signal ended the wait for a file

`cx3flash --help` lists what goes beyond flint.
";
