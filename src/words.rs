//! Counts and moments, in the one form that people get and the one that files and JSON get.

use std::fmt::Display;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// `1 sector`, `2 sectors`, `3 keys`, `4 entries`, `5 accesses`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    if count == N::from(1) {
        format!("{count} {what}")
    } else if let Some(stem) = what.strip_suffix('y').filter(|stem| !stem.ends_with('e')) {
        format!("{count} {stem}ies")
    } else {
        format!("{count} {what}{}", if what.ends_with('s') { "es" } else { "s" })
    }
}

/// Now, for records and JSON: UTC to the second, ISO 8601 (RFC 3339).
pub(crate) fn now() -> String {
    let time = OffsetDateTime::now_utc().replace_nanosecond(0).ok();
    time.and_then(|t| t.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Now, as a part of a file's name.
pub(crate) fn stamp() -> String {
    OffsetDateTime::now_utc()
        .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
        .unwrap_or_else(|_| "unknown-time".into())
}

/// A moment of a record for people: `2026-11-27 05:45 UTC`. What is no moment stays as it is.
pub(crate) fn moment(recorded: &str) -> String {
    OffsetDateTime::parse(recorded, &Rfc3339)
        .ok()
        .and_then(|time| {
            let form = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
            time.to_utc().format(form).ok()
        })
        .unwrap_or_else(|| recorded.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{counted, moment, now};

    #[test]
    fn one_is_singular_and_all_else_is_plural() {
        assert_eq!(counted(1_usize, "sector"), "1 sector");
        assert_eq!(counted(0_u32, "sector"), "0 sectors");
        assert_eq!(counted(2_u64, "entry"), "2 entries");
        assert_eq!(counted(2_u64, "key"), "2 keys");
        assert_eq!(counted(2_u64, "access"), "2 accesses");
    }

    #[test]
    fn people_get_a_moment_to_the_minute() {
        assert_eq!(moment("2026-11-27T05:45:31Z"), "2026-11-27 05:45 UTC");
        assert_eq!(moment("2026-11-27T01:45:31+02:00"), "2026-11-26 23:45 UTC");
        assert_eq!(moment("yesterday"), "yesterday");
        assert!(moment(&now()).ends_with(" UTC"));
    }
}
