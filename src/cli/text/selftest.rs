//! The self-test as text.

use crate::cli::page::Page;
use crate::job::{FigureValue, SelftestOutcome, StageReport, StageResult};

/// Columns of a line.
const WIDTH: usize = 80;
/// Columns of the result and of the stage's name.
const RESULT: usize = 13;
const NAME: usize = 16;

/// What the test does, before the question.
pub(in crate::cli) fn selftest_plan(reset: bool, expendable: bool) -> Page {
    let mut out = Page::default();
    out.push_str(
        "The self-test takes the card from its driver: its network is down until it ends.\n\
         Opening and closing the card through VFIO reset it. Gateway and semaphore\n\
         registers are written.\n",
    );
    out.push_str(match expendable {
        true => {
            "A backup is made. Then flash is ERASED AND PROGRAMMED, and the image is written\n\
             again: a card that fails meanwhile may be lost.\n"
        }
        false => "The flash is read, never erased or programmed.\n",
    });
    if reset {
        out.push_str(
            "The card is also reset through VFIO and through its software reset register.\n",
        );
    }
    out
}

pub(in crate::cli) fn selftest(outcome: &SelftestOutcome) -> Page {
    let mut out = Page::default();
    for stage in &outcome.stages {
        line(stage, &mut out);
    }
    if let Some(backup) = &outcome.backup {
        out.line(format_args!("backup: {}", crate::escape::path(backup)));
    }
    if let Some(record) = &outcome.record {
        out.line(format_args!("record: {}", crate::escape::path(record)));
    } else if outcome.card.is_some() {
        out.line(match outcome.serial {
            None => "record: none, the card has no serial number in configuration space",
            Some(_) => "record: none was kept",
        });
    }
    out
}

fn line(stage: &StageReport, out: &mut Page) {
    let result = match stage.result {
        StageResult::Contradicted => "CONTRADICTED",
        other => other.name(),
    };
    let mut words = stage.detail.clone();
    let figures: Vec<String> = stage
        .figures
        .iter()
        .filter_map(|figure| match &figure.value {
            FigureValue::Number(number) => Some(format!("{} {number}", figure.name)),
            FigureValue::Text(_) => None,
        })
        .collect();
    if !figures.is_empty() {
        words = format!("{words} ({})", figures.join(", "));
    }
    let mut lines = wrapped(&words, WIDTH - RESULT - NAME).into_iter();
    let first = lines.next().unwrap_or_default();
    out.line(format_args!("{result:RESULT$}{:NAME$}{first}", stage.id.name()));
    for line in lines {
        out.line(format_args!("{:1$}{line}", "", RESULT + NAME));
    }
}

/// The words in lines of at most `width` columns; a longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn words_are_kept_and_lines_are_short() {
        let text = "one two three four five";
        for width in 1..30 {
            let lines = wrapped(text, width);
            assert_eq!(lines.join(" "), text);
            assert!(lines.iter().all(|line| line.len() <= width || !line.contains(' ')), "{width}");
        }
    }
}
