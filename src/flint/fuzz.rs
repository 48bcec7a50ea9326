//! A command line of flint out of bytes, for the fuzz target `flint_line`.

use super::console::Console;
use super::flags::Invocation;
use super::{Caller, getopt, no_command, run_line};
use crate::host::{BorrowOptions, Host};
use crate::job::CardSelector;
use crate::sim::{CardSpec, SimCard};
use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Most bytes that a line of flint may print about an image of a few KiB.
const LONGEST: usize = 1 << 22;

/// Commands that write a card: they store a backup in the directory of the system, and the target
/// `job` has them.
const WRITES: [&str; 6] = ["burn", "brom", "drom", "sg", "sv", "reset_cfg"];

/// Bytes that were printed so far; what is printed has no control character but those of flint.
fn check(text: &str, printed: &Cell<usize>) {
    let plain = text.replace("\x1b[2K\r", "");
    let foreign = plain.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r'));
    assert_eq!(foreign, None, "a control character is printed: {text:?}");
    printed.set(printed.get() + text.len());
    assert!(printed.get() <= LONGEST, "{} bytes are printed", printed.get());
}

/// A file of this name in the directory, wherever the path leads.
fn inside(dir: &Path, path: &Path) -> PathBuf {
    dir.join(path.file_name().unwrap_or(OsStr::new("none")))
}

/// Every path of the line, moved into the directory.
fn confine(line: &mut Invocation, dir: &Path) {
    for path in [&mut line.image, &mut line.log].into_iter().flatten() {
        *path = inside(dir, path);
    }
    if let Some(CardSelector::Sim(path)) = &mut line.device {
        *path = inside(dir, path);
    }
    let path = match line.command.and_then(|names| names.first().copied()) {
        Some("ri" | "dc" | "dh" | "rrom" | "brom") => line.args.first_mut(),
        Some("rb") => line.args.get_mut(2),
        _ => None,
    };
    if let Some(word) = path {
        *word = inside(dir, Path::new(word.as_str())).to_string_lossy().into_owned();
    }
}

/// Words, one a line, in a directory with an image `i`, a ROM `r` and a card `c`. Questions are
/// answered with no. Returns the exit code.
pub(crate) fn run_words(data: &[u8], dir: &Path, image: &[u8], rom: &[u8]) -> u8 {
    let text = String::from_utf8_lossy(data);
    let words: Vec<String> =
        std::iter::once("-no").chain(text.lines()).map(str::to_owned).collect();
    let mut console = Console::new(Box::new(|| false));
    let printed = Cell::new(0);
    console.out = Box::new(move |text| {
        check(text, &printed);
        Ok(())
    });
    let mut line = match getopt::parse(&words) {
        Ok(line) => line,
        Err(error) => return no_command(error, "flint", &mut console),
    };
    confine(&mut line, dir);
    if line.device.is_some() && WRITES.iter().any(|name| line.is(name)) {
        return 0;
    }
    if matches!(line.device, Some(CardSelector::Sim(_))) {
        drop(SimCard::create(&dir.join("c"), CardSpec::default(), image).expect("a card"));
    }
    fs::write(dir.join("i"), image).and_then(|()| fs::write(dir.join("r"), rom)).expect("files");
    let mut caller = Caller {
        program: "flint",
        device: None,
        simulated: Vec::new(),
        host: &Host::at(dir.join("host")),
        options: &BorrowOptions::default(),
        catch_signals: &|| Ok(()),
        stop_requested: Box::new(|| false),
        opened: &mut |_| {},
    };
    let ended = run_line(line, &mut caller, console);
    assert!(ended.borrowed.is_empty(), "a card of the machine");
    ended.exit
}
