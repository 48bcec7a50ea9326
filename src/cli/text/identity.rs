//! Whose card it is and whose it will be, side by side.

use super::plan::shown;
use crate::plan::PlanReport;
use std::fmt::Write as _;

/// Fields of a plan that make up an identity, and what their parts are called.
const FIELDS: [(&str, &[&str]); 3] = [
    (
        "guids",
        &["GUID node", "GUID port 1", "GUID port 2", "GUID system"],
    ),
    ("macs", &["MAC port 1", "MAC port 2"]),
    ("vsd", &["VSD"]),
];

/// This field is shown in the table.
pub(super) fn holds(field: &str) -> bool {
    FIELDS.iter().any(|(name, _)| *name == field)
}

/// The whole identity before and after, when any of it changes.
pub(super) fn table(plan: &PlanReport) -> Option<String> {
    if !plan.changes.iter().any(|c| holds(&c.field)) {
        return None;
    }
    let mut out = format!("\n{:20} {:20} {}\n", "Identity", "before", "after");
    for (field, labels) in FIELDS {
        let change = plan.changes.iter().find(|c| c.field == field);
        let kept = plan.kept.iter().find(|k| k.field == field);
        let kept = kept.map(|k| k.value.as_str());
        let (from, to) = match change {
            Some(change) => (change.from.as_deref(), change.to.as_deref()),
            None => (kept, kept),
        };
        for (n, label) in labels.iter().enumerate() {
            let part = |side: Option<&str>| match side {
                // The VSD is one text, blanks and all; GUIDs and MACs have blanks between them.
                Some(text) if labels.len() == 1 => shown(text),
                Some(text) => shown(text.split(' ').nth(n).unwrap_or_default()),
                None => "(none)".into(),
            };
            let (from, to) = (part(from), part(to));
            let mark = if from == to { ' ' } else { '*' };
            let _ = writeln!(out, "{mark} {label:18} {from:20} {to}");
        }
    }
    Some(out)
}
