//! stdout for results, stderr for messages, and the one question this program asks. Nothing reaches a
//! stream unescaped: text comes as a [`Page`], everything else is escaped here.

#![allow(clippy::print_stderr, reason = "this is the one place that owns the streams")]

use super::args::ColourChoice;
use super::page::Page;
use super::stop::{StopFlag, Work};
use crate::escape;
use crate::host::{unless_stopped, write_stdout};
use indicatif::ProgressBar;
use rustix::termios::tcgetwinsize;
use serde::Serialize;
use serde_json::Value;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, IsTerminal, Write};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OutputMode {
    /// One JSON document instead of text.
    pub json: bool,
    /// Only errors on stderr.
    pub quiet: bool,
    /// `--color`.
    pub colour: ColourChoice,
}

/// Both streams. Writing never fails here: a closed pipe must not stop a job in the middle of a flash;
/// any other error is kept for the end.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub mode: OutputMode,
    problem: Option<io::Error>,
    /// Nothing can be written to stdout any more.
    closed: bool,
}

impl Out {
    pub(super) fn new(mode: OutputMode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Prints a result for people; nothing with `--json`.
    pub(super) fn text(&mut self, text: &Page) {
        if !self.mode.json {
            self.write(text.as_str());
        }
    }

    /// Writes to stdout.
    fn write(&mut self, text: &str) {
        if let Err(error) = write_stdout(text) {
            self.closed = true;
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.problem.get_or_insert(error);
            }
        }
    }

    /// What is written to stdout is not read any more, or cannot be written.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Prints the JSON document.
    pub(super) fn json(&mut self, document: &Value) {
        self.write(&escape::json(&format!("{document:#}\n")));
    }

    /// Prints a JSON document whose lists are read while it is written. It ends where the user asks to stop.
    pub(super) fn json_as_read(&mut self, document: &impl Serialize, stop: &StopFlag) {
        let mut pieces = JsonPieces { out: self, stop, text: Vec::new() };
        // An error of stdout is kept there.
        let written = serde_json::to_writer_pretty(&mut pieces, document);
        if written.is_ok() {
            pieces.text.push(b'\n');
            let _ = pieces.flush();
        }
    }

    /// Prints a remark of one line on stderr; nothing with `-q`.
    pub(super) fn remark(&self, text: impl fmt::Display) {
        self.remarks(&Page::of(text));
    }

    /// Prints remarks on stderr; nothing with `-q`.
    pub(super) fn remarks(&self, text: &Page) {
        if !self.mode.quiet {
            self.error(text);
        }
    }

    /// Writes text to stderr in every mode.
    pub(super) fn error(&self, text: &Page) {
        // A closed stderr cannot be reported anywhere.
        let _ = io::stderr().lock().write_all(text.as_str().as_bytes());
    }

    /// The first error of stdout other than a closed pipe.
    pub(super) fn take_problem(&mut self) -> Option<io::Error> {
        self.problem.take()
    }

    /// Whether text on stdout has colours.
    pub(super) fn colours(&self) -> bool {
        let environment = |name: &str| std::env::var_os(name);
        coloured(self.mode.colour, environment, is_watched())
    }
}

/// Whether text has colours: as `--color` requests, then as the environment does (no-color.org,
/// bixense.com/clicolors), then at a terminal that is not dumb.
fn coloured(
    choice: ColourChoice,
    environment: impl Fn(&str) -> Option<OsString>,
    terminal: bool,
) -> bool {
    let set = |name| environment(name).filter(|value| !value.is_empty());
    match choice {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        ColourChoice::Auto if set("NO_COLOR").is_some() => false,
        ColourChoice::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        ColourChoice::Auto => {
            let refused = set("CLICOLOR").is_some_and(|value| value == "0");
            terminal && !refused && set("TERM").is_none_or(|value| value != "dumb")
        }
    }
}

/// stdout for a document that is written in pieces. `serde_json` writes whole characters each time.
struct JsonPieces<'o> {
    out: &'o mut Out,
    stop: &'o StopFlag,
    text: Vec<u8>,
}

impl Write for JsonPieces<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        const TOGETHER: usize = 64 << 10;
        self.text.extend_from_slice(piece);
        if self.text.len() >= TOGETHER {
            self.flush()?;
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let text = String::from_utf8_lossy(&self.text);
        self.out.write(&escape::json(&text));
        self.text.clear();
        match self.stop.raised() || self.out.is_closed() {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Ok(()),
        }
    }
}

/// stderr for a log: each call writes one event, which stays on its line.
pub(super) struct LogLines;

impl Write for LogLines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = Page::of(text.trim_end_matches('\n'));
        io::stderr().lock().write_all(line.as_str().as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A person watches stdout.
pub(super) fn is_watched() -> bool {
    io::stdout().is_terminal()
}

/// Columns of the terminal on stdout or stderr, within what can be read; as many as a document has where
/// neither is a terminal.
pub(super) fn columns() -> usize {
    const NARROW: usize = 20;
    const WIDE: usize = 100;
    let size = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stderr()));
    match size.map_or(0, |size| usize::from(size.ws_col)) {
        0 => WIDE,
        columns => columns.clamp(NARROW, WIDE),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// `y` or `yes`, or no question was necessary.
    Yes,
    /// Anything else, end of input included.
    No,
    /// A signal arrived during the question.
    Interrupted,
    /// stdin is not a terminal.
    NoTerminal,
}

/// Attributes and colours as they are without a setting, and the beginning of a line. What a terminal
/// shows before a question must neither hide it nor stand in its line.
const RESET: &str = "\x1b[0m\n";

/// Prints the answer to a signal, above the bar if there is one.
pub(super) fn answer_signal(text: &str, bar: Option<&ProgressBar>) {
    if let Some(bar) = bar {
        return bar.println(escape::line(text));
    }
    let mut stderr = io::stderr().lock();
    // Behind the terminal's own `^C`.
    let begin = if stderr.is_terminal() { "\n" } else { "" };
    // A closed stderr cannot be reported anywhere.
    let _ = write!(stderr, "{begin}{}", Page::of(text).as_str());
}

/// A question can be answered.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Asks `[y/N]` on stderr.
pub(super) fn ask(question: &str, stop: &StopFlag) -> Reply {
    if !is_terminal() {
        return Reply::NoTerminal;
    }
    let mut stderr = io::stderr().lock();
    let reset = if stderr.is_terminal() { RESET } else { "" };
    let _ =
        write!(stderr, "{reset}{} [y/N] ", escape::line(question)).and_then(|()| stderr.flush());
    drop(stderr);
    let read = || {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    };
    // A signal ends the question at once.
    let work = stop.works_on(Work::None, None);
    let answer = unless_stopped(&|| stop.raised(), read);
    stop.works_on(work, None);
    match answer {
        Ok(Some(Ok(line))) => reply(&line),
        Ok(None) => Reply::Interrupted,
        Ok(Some(Err(_))) | Err(_) => Reply::No,
    }
}

fn reply(line: &str) -> Reply {
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Reply::Yes,
        _ => Reply::No,
    }
}

#[cfg(test)]
mod tests {
    use super::{ColourChoice, Reply, coloured, reply};

    #[test]
    fn the_command_line_decides_on_colours_then_the_environment_then_the_terminal() {
        use ColourChoice::{Always, Auto, Never};
        let judged = |choice, variables: &[(&str, &str)], terminal| {
            let variable =
                |name: &str| Some(variables.iter().find(|(known, _)| *known == name)?.1.into());
            coloured(choice, variable, terminal)
        };
        for terminal in [false, true] {
            assert_eq!(judged(Auto, &[], terminal), terminal);
            assert!(judged(Always, &[("NO_COLOR", "1")], terminal));
            assert!(!judged(Never, &[("CLICOLOR_FORCE", "1")], terminal));
            assert!(!judged(Auto, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], terminal));
            assert!(judged(Auto, &[("CLICOLOR_FORCE", "1"), ("CLICOLOR", "0")], terminal));
            assert!(!judged(Auto, &[("CLICOLOR", "0")], terminal));
            assert!(!judged(Auto, &[("TERM", "dumb")], terminal));
            // Empty is as good as not set, and CLICOLOR_FORCE=0 forces nothing.
            let off = [("NO_COLOR", ""), ("CLICOLOR_FORCE", "0"), ("CLICOLOR", "1")];
            assert_eq!(judged(Auto, &off, terminal), terminal);
        }
    }

    #[test]
    fn only_y_and_yes_are_a_yes() {
        for text in ["", "\n", "n", "no", "yess", "j"] {
            assert_eq!(reply(text), Reply::No, "{text:?}");
        }
        for text in ["y\n", "YES", " y "] {
            assert_eq!(reply(text), Reply::Yes, "{text:?}");
        }
    }
}
