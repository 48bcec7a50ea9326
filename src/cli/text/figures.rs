//! Names, sizes, times and lines for people.

use crate::cli::page::Page;
use crate::cli::terminal::columns;
use crate::escape;
use crate::image::{Finding, Half};
use crate::job::UnsteadyRange;
use crate::words::counted;
use serde::Serialize;
use std::time::Duration;

/// Column at which values start, as in flint.
const COLUMN: usize = 23;

pub(super) fn line(out: &mut Page, label: &str, value: &str) {
    out.line(format_args!("{label:COLUMN$}{value}"));
}

/// The name of a unit variant as in the JSON (snake_case); empty for anything else.
pub(in crate::cli) fn name_of<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// `832 KiB`, `1.5 KiB`, `2 MiB`, `1234 bytes`.
pub(in crate::cli) fn kib(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * 1024;
    if bytes >= MIB && bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else if bytes >= KIB {
        let tenths = bytes * 10 / KIB;
        if tenths.is_multiple_of(10) || tenths >= 1000 {
            format!("{} KiB", bytes / KIB)
        } else {
            format!("{}.{} KiB", tenths / 10, tenths % 10)
        }
    } else {
        counted(bytes, "byte")
    }
}

/// `0.8 s`, `12 s`, `1 min 5 s`.
pub(in crate::cli) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 60 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else if seconds >= 10 {
        format!("{seconds} s")
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

pub(super) fn half_name(half: Half) -> &'static str {
    match half {
        Half::Even => "even half",
        Half::Odd => "odd half",
    }
}

pub(super) fn shown(value: &str) -> String {
    if value.is_empty() { "(empty)".into() } else { escape::line(value).into_owned() }
}

/// One line per finding.
pub(super) fn findings(out: &mut Page, findings: &[Finding]) {
    for finding in findings {
        let severity = name_of(&finding.severity);
        let place = finding.at.map(|at| format!(" at 0x{:08x}", at.0)).unwrap_or_default();
        out.line(format_args!(
            "  {severity:8} {}{place}: {}",
            name_of(&finding.id),
            finding.detail,
        ));
    }
}

/// Words in lines that fit the terminal, indented as far as the first line's prefix.
pub(super) fn wrapped(out: &mut Page, text: &str, prefix: &str) {
    let width = columns();
    let mut line = prefix.to_owned();
    for word in text.split_whitespace() {
        if line.len() > prefix.len() && line.chars().count() + word.chars().count() >= width {
            out.line(line.trim_end());
            line = " ".repeat(prefix.len());
        }
        line.push_str(word);
        line.push(' ');
    }
    out.line(line.trim_end());
}

/// One line for each range that reads differently each time.
pub(super) fn wavering(out: &mut Page, ranges: &[UnsteadyRange]) {
    for range in ranges {
        out.line(format_args!(
            "0x{:x} ({}) reads differently each time, as an interrupted erase or write leaves it; `burn` and `recover` erase it",
            range.at.0,
            counted(range.len, "byte")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::{kib, time};
    use std::time::Duration;

    #[test]
    fn sizes_are_exact_or_have_one_decimal() {
        assert_eq!(kib(0x20_0000), "2 MiB");
        assert_eq!(kib(0xC_250C), "777 KiB");
        assert_eq!(kib(1536), "1.5 KiB");
        assert_eq!(kib(16), "16 bytes");
    }

    #[test]
    fn times_are_seconds_or_minutes_and_seconds() {
        assert_eq!(time(Duration::from_millis(830)), "0.8 s");
        assert_eq!(time(Duration::from_secs(65)), "1 min 5 s");
    }
}
