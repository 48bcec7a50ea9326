//! The two streams: stdout for results, stderr for people.

#![allow(
    clippy::print_stderr,
    reason = "this is the one place that owns the streams"
)]

use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// How the user wants to be talked to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// One JSON document instead of text.
    pub json: bool,
    /// Nothing but errors on stderr.
    pub quiet: bool,
}

/// Both streams. Writing never fails here: a reader that went away (a broken pipe) must not stop a
/// job that is in the middle of a flash; what else goes wrong is kept for the end.
#[derive(Debug, Default)]
pub(super) struct Out {
    manner: Manner,
    problem: Option<io::Error>,
}

impl Out {
    /// For one command.
    #[must_use]
    pub(super) fn new(manner: Manner) -> Self {
        Self {
            manner,
            problem: None,
        }
    }

    /// How the user wants to be talked to.
    #[must_use]
    pub(super) fn manner(&self) -> Manner {
        self.manner
    }

    /// A result for people; silent when JSON is wanted.
    pub(super) fn text(&mut self, text: &str) {
        if !self.manner.json {
            self.raw(text.as_bytes());
        }
    }

    /// Bytes for stdout whatever the manner (a completion script, the JSON document).
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        let wrote = stdout.write_all(bytes).and_then(|()| stdout.flush());
        if let Err(error) = wrote
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.problem.get_or_insert(error);
        }
    }

    /// The JSON document.
    pub(super) fn json(&mut self, document: &Value) {
        let mut text = format!("{document:#}");
        text.push('\n');
        self.raw(text.as_bytes());
    }

    /// A remark for people on stderr; silent with `-q`.
    pub(super) fn remark(&self, text: &str) {
        if !self.manner.quiet {
            self.error(&format!("{text}\n"));
        }
    }

    /// Text for stderr, always.
    pub(super) fn error(&self, text: &str) {
        // Nobody is left to tell when stderr is closed.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// What went wrong with stdout, other than a reader that went away.
    pub(super) fn take_problem(&mut self) -> Option<io::Error> {
        self.problem.take()
    }

    /// Colours may be used on stdout: a terminal, and `NO_COLOR` unset or empty (no-color.org).
    #[must_use]
    pub(super) fn colours(&self) -> bool {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        !self.manner.json && !refused && !dumb && io::stdout().is_terminal()
    }
}
