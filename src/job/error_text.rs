//! How an error and its causes are printed.

use crate::escape;

/// The causes of an error, outermost first, each on one line. A cause that the error around it
/// already quotes is left out.
pub(crate) fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut outer = one_line(&error.to_string());
    let mut next = error.source();
    while let Some(inner) = next {
        let text = one_line(&inner.to_string());
        if !outer.ends_with(&text) {
            causes.push(text.clone());
        }
        outer = text;
        next = inner.source();
    }
    causes
}

/// An error and its causes on one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    causes(error).into_iter().fold(one_line(&error.to_string()), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// `text` on one line.
pub(crate) fn one_line(text: &str) -> String {
    escape::line(text.trim_end()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{causes, error_chain, one_line};
    use crate::job::JobError;

    #[test]
    fn each_cause_is_printed_once() {
        let error =
            JobError::ReadFile { path: "x.bin".into(), source: std::io::Error::other("inner") };
        assert_eq!(causes(&error), ["inner"]);
        assert_eq!(error_chain(&error), "cannot read x.bin: inner");
        let transparent = JobError::from(crate::card::CardError::Locked);
        assert!(causes(&transparent).is_empty());
    }

    #[test]
    fn an_error_is_one_line_whatever_it_names() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc\n"), r"a\x1b[2Jb\nc");
    }
}
