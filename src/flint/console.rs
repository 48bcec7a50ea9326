//! flint's terminal: everything on stdout, errors included; questions with their answers.

#![allow(clippy::print_stderr, reason = "this is the one place of flint that owns the streams")]

use crate::escape;
use crate::host::{unless_stopped, write_stdout};
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Write};

/// Takes what is printed.
pub(super) type ConsoleOutput = Box<dyn FnMut(&str) -> io::Result<()>>;

/// The streams, the answers given by flags, the log of a burn.
pub(super) struct Console {
    /// Standard output.
    pub(super) out: ConsoleOutput,
    /// `-y`.
    pub(super) yes: bool,
    /// `-no`.
    pub(super) no: bool,
    pub(super) stop_requested: Box<dyn Fn() -> bool>,
    /// What is printed goes there too (`-log`).
    pub(super) log: Option<File>,
    /// Why stdout could not be written; a reader that went away does not count.
    pub(super) error: Option<io::Error>,
}

impl Console {
    pub(super) fn new(stop_requested: Box<dyn Fn() -> bool>) -> Self {
        let out = Box::new(write_stdout);
        Self { out, yes: false, no: false, stop_requested, log: None, error: None }
    }

    /// Prints flint's text on stdout. Values are escaped where they are put into it: here line ends are
    /// flint's own.
    pub(super) fn print(&mut self, text: &str) {
        self.write(&escape::lines(text));
    }

    /// Prints over the line that the cursor is in, as flint's progress does.
    pub(super) fn print_over(&mut self, text: &str) {
        self.write(&format!("\r{}", escape::lines(text)));
    }

    /// Prints in place of the line that the cursor is in.
    pub(super) fn replace_line(&mut self, text: &str) {
        self.write(&format!("\x1b[2K\r{}", escape::lines(text)));
    }

    fn write(&mut self, text: &str) {
        if let Err(error) = (self.out)(text)
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.error.get_or_insert(error);
        }
        if let Some(log) = &mut self.log
            && let Err(error) = log.write_all(text.as_bytes())
        {
            tracing::warn!(%error, "the log is not written any more");
            self.log = None;
        }
    }

    /// Prints a text on stderr, as getopt does.
    pub(super) fn print_error(&self, text: &str) {
        let _ = io::stderr().lock().write_all(escape::lines(text).as_bytes());
    }

    /// Asks flint's question; prints what flint prints of the answer.
    pub(super) fn ask(&mut self, question: &str) -> bool {
        let yes = self.answer(&format!("\n {question} ? (y/n) [n] : "));
        if !yes && !self.no {
            self.print("-E- Aborted by user\n");
        }
        yes
    }

    /// The answer to a question.
    pub(super) fn answer(&mut self, question: &str) -> bool {
        if io::stdout().is_terminal() {
            // What was printed before must not hide the question.
            let _ = (self.out)("\x1b[0m");
        }
        self.print(question);
        if self.yes {
            self.print("y\n");
            return true;
        }
        if self.no {
            self.print("n\n");
            return false;
        }
        let answer = self.line().unwrap_or_else(|error| {
            tracing::warn!(%error, "no answer");
            None
        });
        let answer = answer.unwrap_or_default();
        matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    /// A line of stdin; `None` when a signal ended the wait for it.
    pub(super) fn line(&self) -> io::Result<Option<String>> {
        let read = || {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).map(|_| line)
        };
        unless_stopped(&*self.stop_requested, read)?.transpose()
    }

    /// Prints a line of our own on stderr, if that is a terminal: flint prints nothing here, and a script
    /// that reads both streams as one must not see it.
    pub(super) fn remark(&self, text: &str) {
        if io::stderr().is_terminal() {
            self.print_error(&format!("{}\n", escape::line(text)));
        }
        tracing::info!("{text}");
    }
}
