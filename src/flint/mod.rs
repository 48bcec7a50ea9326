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
pub mod verdict;

use crate::host::{BorrowOptions, Borrowed, Host};
use crate::job::Device;
use card::{FAILED, Talk};
use console::Console;
use options::Wrong;
use run::Place;
use std::fs::OpenOptions;
use std::io;

/// What the caller of [`run`] owns.
pub(crate) struct Caller<'a> {
    /// Name of the program in messages.
    pub(crate) program: &'a str,
    /// The card to use when flint's own `-d` is not given.
    pub(crate) device: Option<String>,
    /// Simulated cards of the current directory.
    pub(crate) simulated: Vec<String>,
    pub(crate) host: &'a Host,
    pub(crate) options: &'a BorrowOptions,
    /// From now on a signal requests a stop instead of ending the process.
    pub(crate) catch_signals: &'a dyn Fn() -> io::Result<()>,
    pub(crate) stop_requested: &'a dyn Fn() -> bool,
    /// Called with every card that was opened.
    pub(crate) opened: &'a mut dyn FnMut(&mut Device),
}

/// How a command ended.
pub(crate) struct Ran {
    /// flint's exit code.
    pub(crate) exit: u8,
    /// The card, as named by the user.
    pub(crate) card: Option<String>,
    /// The real card that was borrowed; the device is dropped already.
    pub(crate) borrowed: Option<Borrowed>,
    /// Why stdout could not be written.
    pub(crate) stdout_error: Option<io::Error>,
}

/// Runs one command line of flint.
///
/// # Errors
/// The exit code, when no command was run: help, the version, or a wrong command line.
pub(crate) fn run(words: &[String], caller: Caller<'_>) -> Result<Ran, u8> {
    let mut console = Console::new(caller.stop_requested);
    let mut line = match options::parse(words) {
        Ok(line) => line,
        Err(wrong) => return Err(told(wrong, caller.program, &mut console)),
    };
    if line.device.is_none() && line.image.is_none() {
        line.device = caller.device;
    }
    console.yes = line.yes;
    console.no = line.no;
    if line.device.is_some()
        && let Err(error) = (caller.catch_signals)()
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
        host: caller.host,
        options: caller.options,
        simulated: &caller.simulated,
        console: &mut console,
        opened: caller.opened,
        borrowed: None,
    };
    let exit = run::run(&line, &mut place).map_or_else(|code| code, |()| 0);
    Ok(Ran {
        exit,
        card: line.device,
        borrowed: place.borrowed.take(),
        stdout_error: place.console.take_problem(),
    })
}

fn told(wrong: Wrong, program: &str, console: &mut Console<'_>) -> u8 {
    match wrong {
        Wrong::Help => {
            console.say(HELP);
            0
        }
        Wrong::Version => {
            let version = env!("CARGO_PKG_VERSION");
            console.say(&format!(
                "{program}, cx3flash {version}, speaks as mstflint 4.21.0\n"
            ));
            0
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
