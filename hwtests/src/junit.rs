//! The report CI reads: JUnit's XML, as far as its readers agree on it.

use std::fmt::Write as _;
use std::time::Duration;

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was shown.
    Passed,
    /// It failed, with the reason.
    Failed(String),
    /// It was not tried, with the reason.
    Skipped(String),
}

/// One case of the report.
#[derive(Debug, Clone)]
pub struct Case {
    /// Where it ran: the class name of the report.
    pub class: String,
    /// Its name.
    pub name: String,
    /// How long it took.
    pub time: Duration,
    /// How it ended.
    pub ended: Ended,
    /// What was run and what it gave.
    pub output: String,
}

/// The whole report.
#[must_use]
pub fn report(suite: &str, cases: &[Case]) -> String {
    let failures = count(cases, |e| matches!(e, Ended::Failed(_)));
    let skipped = count(cases, |e| matches!(e, Ended::Skipped(_)));
    let time: f64 = cases.iter().map(|c| c.time.as_secs_f64()).sum();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{time:.3}\">",
        escaped(suite),
        cases.len()
    );
    for case in cases {
        let _ = writeln!(
            out,
            "<testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">",
            escaped(&case.class),
            escaped(&case.name),
            case.time.as_secs_f64()
        );
        let _ = match &case.ended {
            Ended::Passed => Ok(()),
            Ended::Failed(why) => writeln!(
                out,
                "<failure message=\"{}\">{}</failure>",
                escaped(why.lines().next().unwrap_or("")),
                escaped(why)
            ),
            Ended::Skipped(why) => writeln!(out, "<skipped message=\"{}\"/>", escaped(why)),
        };
        if !case.output.is_empty() {
            let _ = writeln!(out, "<system-out>{}</system-out>", escaped(&case.output));
        }
        out.push_str("</testcase>\n");
    }
    out.push_str("</testsuite>\n</testsuites>\n");
    out
}

fn count(cases: &[Case], what: impl Fn(&Ended) -> bool) -> usize {
    cases.iter().filter(|case| what(&case.ended)).count()
}

/// Text for element and attribute values. XML 1.0 has no way to write most control characters; they become `?`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, ended: Ended, output: &str) -> Case {
        Case {
            class: "lab.plain".into(),
            name: name.into(),
            time: Duration::from_millis(1500),
            ended,
            output: output.into(),
        }
    }

    #[test]
    fn counts_times_and_reasons() {
        let text = report(
            "hwtests",
            &[
                case("good", Ended::Passed, ""),
                case("bad", Ended::Failed("a < b\nmore".into()), "$ x\u{1b}[0m"),
                case("not", Ended::Skipped("no \"network\"".into()), ""),
            ],
        );
        assert!(text.contains(
            "<testsuite name=\"hwtests\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"4.500\">"
        ));
        assert!(text.contains("<failure message=\"a &lt; b\">a &lt; b&#10;more</failure>"));
        assert!(text.contains("<system-out>$ x?[0m</system-out>"));
        assert!(text.contains("<skipped message=\"no &quot;network&quot;\"/>"));
        assert!(text.contains(
            "<testcase classname=\"lab.plain\" name=\"good\" time=\"1.500\">\n</testcase>"
        ));
    }
}
