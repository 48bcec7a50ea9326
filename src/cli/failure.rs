//! A failed command, for people (text) and for scripts (JSON).

use super::json::{Document, ErrorCode, ErrorReport};
use super::page::Page;
use super::text::name_of;
use crate::flash::{Boots, Stopped};
use crate::job::{Code, Exit, HintContext, JobError, Outcome, causes, one_line};
use crate::plan::CheckId;

/// A command that failed.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub code: Code,
    /// What failed, where, and the value found: one line.
    pub message: String,
    /// From the outermost inwards.
    pub causes: Vec<String>,
    /// What the command takes, after wrong arguments.
    pub usage: Option<Box<str>>,
    /// What to type next.
    pub hint: Option<String>,
    /// The check that refuses, where `code` does not name it.
    pub check: Option<CheckId>,
    /// Ids of what refuses: checks, or uses of the card.
    pub refused_by: Vec<String>,
}

impl Failure {
    /// A failure without causes, with the exit code and the general advice of `code`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let outcome = Outcome::from(code);
        Self {
            exit: outcome.exit,
            code,
            message: one_line(&message.into()),
            causes: Vec::new(),
            usage: None,
            hint: outcome.hint(&HintContext::of_process()),
            check: None,
            refused_by: Vec::new(),
        }
    }

    /// A failure with the causes of `error`.
    pub fn from_error(code: Code, error: &dyn std::error::Error) -> Self {
        Self { causes: causes(error), ..Self::new(code, error.to_string()) }
    }

    /// The failure of a job.
    pub fn of_job(error: &JobError, context: &HintContext<'_>) -> Self {
        let Outcome { exit, code } = error.outcome();
        let mut failure = Self { exit, hint: error.hint(context), ..Self::from_error(code, error) };
        let with_causes = |error: &dyn std::error::Error| {
            let mut list = causes(error);
            list.insert(0, one_line(&error.to_string()));
            list
        };
        failure.refused_by = error.refusals();
        // Other codes of a refusal are ids of checks.
        if matches!(code, Code::Refused | Code::NoImageOnCard) {
            failure.check = error.refused_by().first().copied();
        }
        match error {
            JobError::Stopped { stopped, .. } => {
                failure.message = stopped_where(stopped);
                failure.causes = with_causes(&stopped.source);
            }
            JobError::AfterChange { source, .. } => failure.causes = with_causes(source),
            JobError::Refused { report } => {
                failure.message = "refused by a check".into();
                failure.causes = report
                    .refusing()
                    .map(|c| format!("{}: {}", name_of(&c.id), c.detail))
                    .collect();
            }
            // It counts before the first change only.
            _ if code == Code::Interrupted => {
                failure.message = "interrupted; nothing was changed".into();
                failure.causes.clear();
            }
            _ => {}
        }
        failure
    }

    /// Puts the file's or step's name in front; the message becomes the first cause.
    pub fn about(mut self, message: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.message, one_line(&message.into()));
        self.causes.insert(0, inner);
        self
    }

    /// Replaces the general advice by one that names the card and the command.
    pub fn with_hint(mut self, context: &HintContext<'_>) -> Self {
        let (exit, code) = (self.exit, self.code);
        self.hint = Outcome { exit, code }.hint(context);
        self
    }

    /// For stderr: one line with its causes, then usage and hint.
    pub(super) fn text(&self) -> Page {
        let mut text = Page::default();
        text.part(format_args!("error: {}", self.message));
        for cause in &self.causes {
            text.part(format_args!(": {cause}"));
        }
        text.push_str("\n");
        if let Some(usage) = &self.usage {
            text.line(format_args!("usage: {usage}"));
        }
        if let Some(hint) = &self.hint {
            text.line(format_args!("hint: {hint}"));
        }
        text
    }

    /// The document of a command that failed.
    pub fn document(&self, command: Option<&str>) -> Document {
        Document::failed(command, self.exit, self.report())
    }

    /// The `error` of the JSON document.
    pub fn report(&self) -> ErrorReport {
        ErrorReport {
            code: self.check.map_or(ErrorCode::Failure(self.code), ErrorCode::Check),
            message: self.message.clone(),
            causes: self.causes.clone(),
            hint: self.hint.clone(),
            refused_by: self.refused_by.clone(),
        }
    }
}

/// Where a job stopped and what is left on the card.
fn stopped_where(stopped: &Stopped) -> String {
    let left = match (stopped.touched, stopped.boots) {
        (false, _) => "nothing was changed",
        (true, Boots::OldImage) => "the card still boots the old image",
        (true, Boots::NewImage) => "the card boots the new image",
        (true, Boots::EitherImage) if stopped.seen.is_some() => {
            "the new firmware was seen running, both images are complete, and the card boots one of them"
        }
        (true, Boots::EitherImage) => "both images are complete, and the card boots one of them",
        (true, Boots::Nothing) => "the card holds no image that is sure to boot",
        (true, Boots::Unknown) => "what the card would boot cannot be read",
    };
    format!("stopped {}; {left}", stopped.place())
}

#[cfg(test)]
mod tests {
    use super::Failure;
    use crate::job::Code;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn each_cause_is_printed_once_behind_the_message() {
        let error = Outer(std::io::Error::other("inner"));
        let failure = Failure::from_error(Code::FileUnreadable, &error);
        assert_eq!(failure.text().as_str(), "error: outer: inner\n");
        let failure = failure.about("x.bin");
        assert_eq!(failure.text().as_str(), "error: x.bin: outer: inner\n");
    }
}
