//! What a person or a script is told when something did not work out.

use super::exit::Exit;
use super::hints::{self, Code, Facts};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A command that did not do what it was asked to.
#[derive(Debug)]
pub struct Failure {
    /// Row of the exit table.
    pub exit: Exit,
    /// Stable name.
    pub code: Code,
    /// What and where, one line.
    pub message: String,
    /// Why, from the outermost inwards.
    pub causes: Vec<String>,
    /// What to type next.
    pub hint: Option<String>,
    /// What was found out before (a plan that was refused, for one); the `result` of the JSON
    /// document.
    pub result: Option<Box<Value>>,
}

impl Failure {
    /// Without causes.
    pub fn new(exit: Exit, code: Code, message: impl Into<String>) -> Self {
        Self {
            exit,
            code,
            message: one_line(&message.into()),
            causes: Vec::new(),
            hint: None,
            result: None,
        }
    }

    /// From an error and its sources. Sources that say the same as what wraps them are left out.
    pub fn from_error(exit: Exit, code: Code, error: &dyn std::error::Error) -> Self {
        let mut failure = Self::new(exit, code, error.to_string());
        failure.causes = causes(error);
        failure
    }

    /// Put the file's or step's name in front; what was the message becomes the first cause.
    #[must_use]
    pub fn about(mut self, message: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.message, one_line(&message.into()));
        self.causes.insert(0, inner);
        self
    }

    /// Look the hint up.
    #[must_use]
    pub fn with_hint(mut self, facts: &Facts<'_>) -> Self {
        self.hint = self.hint.or_else(|| hints::hint(self.code, facts));
        self
    }

    /// With what was found out before.
    #[must_use]
    pub fn with_result(mut self, result: Value) -> Self {
        self.result = Some(Box::new(result));
        self
    }

    /// For stderr: one line with its causes, then the hint.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("error: {}", self.message);
        for cause in &self.causes {
            let _ = write!(text, ": {cause}");
        }
        text.push('\n');
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    /// The `error` of the JSON document.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "code": self.code,
            "message": self.message,
            "causes": self.causes,
            "hint": self.hint,
        })
    }
}

/// What lies below an error, outermost first, without repetitions.
pub(crate) fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut outer = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        let text = one_line(&inner.to_string());
        if !outer.ends_with(&text) {
            found.push(text.clone());
        }
        outer = text;
        next = inner.source();
    }
    found
}

/// Control characters would let a file name or a damaged image draw on the terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.trim_end()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Failure, one_line};
    use crate::cli::exit::Exit;
    use crate::cli::hints::Code;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_lost_or_doubled() {
        let error = Outer(std::io::Error::other("inner"));
        let failure = Failure::from_error(Exit::Failed, Code::FileUnreadable, &error);
        assert_eq!(failure.text(), "error: outer: inner\n");
        let failure = failure.about("x.bin");
        assert_eq!(failure.text(), "error: x.bin: outer: inner\n");
    }

    #[test]
    fn a_file_name_draws_on_the_terminal() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc\n"), "a [2Jb c");
    }
}
