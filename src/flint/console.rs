//! flint's screen: everything on stdout, errors included; questions with their answers.

#![allow(
    clippy::print_stderr,
    reason = "this is the one place of the dialect that owns the streams"
)]

use super::card::Talk;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Write};

/// The streams, the answers given beforehand, the log.
pub(super) struct Console<'a> {
    /// `-y`.
    pub(super) yes: bool,
    /// `-no`.
    pub(super) no: bool,
    stop_requested: &'a dyn Fn() -> bool,
    log: Option<File>,
    problem: RefCell<Option<io::Error>>,
}

impl<'a> Console<'a> {
    /// Without answers and log.
    pub(super) fn new(stop_requested: &'a dyn Fn() -> bool) -> Self {
        Self {
            yes: false,
            no: false,
            stop_requested,
            log: None,
            problem: RefCell::new(None),
        }
    }

    /// `-log FILE`: what is said from now on goes there too.
    pub(super) fn keep(&mut self, log: File) {
        self.log = Some(log);
    }

    /// What went wrong with stdout, other than a reader that went away.
    pub(super) fn take_problem(&self) -> Option<io::Error> {
        self.problem.borrow_mut().take()
    }

    /// Where getopt complains.
    pub(super) fn complain(&self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

impl Talk for Console<'_> {
    fn say(&mut self, text: &str) {
        let mut stdout = io::stdout().lock();
        let wrote = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        if let Err(error) = wrote
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.problem.borrow_mut().get_or_insert(error);
        }
        if let Some(log) = &mut self.log
            && let Err(error) = log.write_all(text.as_bytes())
        {
            tracing::warn!(%error, "the log is not written any more");
            self.log = None;
        }
    }

    fn ask(&mut self, what: &str) -> bool {
        self.say(&format!("\n {what} ? (y/n) [n] : "));
        if self.yes {
            self.say("y\n");
            return true;
        }
        if self.no {
            self.say("n\n");
            return false;
        }
        let mut answer = String::new();
        if let Err(error) = io::stdin().lock().read_line(&mut answer) {
            tracing::warn!(%error, "no answer");
        }
        if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            return true;
        }
        self.say("-E- Aborted by user\n");
        false
    }

    fn remark(&self, text: &str) {
        // flint says nothing here; a script that reads both streams as one must not see it either.
        if io::stderr().is_terminal() {
            self.complain(&format!("{text}\n"));
        }
        tracing::info!("{text}");
    }

    fn stop_requested(&self) -> bool {
        (self.stop_requested)()
    }
}
