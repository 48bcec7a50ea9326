//! A plan, as `plan` prints it; other commands print it with `-v`, or where a check refuses.

use super::figures::{kib, name_of, shown, time, wrapped};
use super::{crossflash, sector_map};
use crate::cli::page::Page;
use crate::image::Half;
use crate::plan::{ActionReport, Change, PlanReport, Target};
use crate::words::counted;
use std::time::Duration;

/// The plan. With `full`, every ini key in which two boards differ, else the first ones.
pub(in crate::cli) fn plan(plan: &PlanReport, colours: bool, full: bool) -> Page {
    let mut out = Page::default();
    out.push_str("Checks\n");
    for check in &plan.checks {
        let mark = match (check.ok, check.skipped) {
            (true, _) => "ok",
            (false, true) => "-",
            (false, false) => "REFUSED",
        };
        let name = name_of(&check.id);
        out.line(format_args!("  {mark:8} {name:15} {}", check.detail));
    }
    if let Some(comparison) = &plan.crossflash {
        out.append(&crossflash::section(comparison, full));
    }
    let table = identity_table(plan);
    let listed = |field: &str| table.is_none() || !is_identity(field);
    let changes: Vec<&Change> = plan.changes.iter().filter(|c| listed(&c.field)).collect();
    if let Some(table) = &table {
        out.append(table);
    }
    if !changes.is_empty() {
        out.push_str("\nChanges\n");
        for change in changes {
            out.line(format_args!("  {:20} {}", change.field, from_to(change)));
        }
    }
    if !plan.kept.is_empty() {
        out.push_str("\nKept\n");
        for kept in plan.kept.iter().filter(|k| listed(&k.field)) {
            out.line(format_args!("  {:20} {}", kept.field, shown(&kept.value)));
        }
    }
    if let Some(action) = &plan.action {
        out.push_str("\nFlash\n");
        out.append(&sector_map::draw(&action.map, colours));
        let text = format!("{}; {}", flash_work(action), interruption(action));
        wrapped(&mut out, &text, "  ");
    }
    if let Some(start) = &plan.start {
        out.push_str("\nFirst start\n");
        wrapped(&mut out, &start.detail, "  ");
    }
    if !plan.warnings.is_empty() {
        out.push_str("\nWarnings\n");
        for warning in &plan.warnings {
            wrapped(&mut out, warning, "  ! ");
        }
    }
    if plan.refused {
        out.push_str("\nRefused: nothing will be written.\n");
    } else if plan.nothing_to_do {
        out.push_str("\nNothing to do: the card already holds exactly this.\n");
    }
    out
}

pub(super) fn from_to(change: &Change) -> String {
    let side = |text: &Option<String>| text.as_deref().map_or_else(|| "(none)".to_owned(), shown);
    format!("{} -> {}", side(&change.from), side(&change.to))
}

/// What an interruption leaves.
pub(super) fn interruption(action: &ActionReport) -> &'static str {
    if action.survives_interruption {
        "an interruption at any point leaves a card that boots"
    } else {
        "after an interruption the card needs `recover` or `restore`"
    }
}

/// What is written where, and how long that takes.
pub(super) fn flash_work(action: &ActionReport) -> String {
    let target = match action.target {
        Some(Target::Half { half, .. }) => match half {
            Half::Even => "into the even half, the odd half is unchanged until the commit; ",
            Half::Odd => "into the odd half, the even half is unchanged until the commit; ",
        },
        Some(Target::WholeFlash) => "the whole flash; ",
        Some(Target::InPlace) => "over the only image; ",
        None => "",
    };
    format!(
        "{target}{}, {} ({}), about {}",
        counted(action.erases.len(), "erase"),
        counted(action.programs, "program"),
        kib(action.program_bytes),
        time(Duration::from_millis(action.estimate_ms)),
    )
}

/// Fields of a plan that make up an identity, and labels of their values.
const IDENTITY: [(&str, &[&str]); 3] = [
    ("guids", &["GUID node", "GUID port 1", "GUID port 2", "GUID system"]),
    ("macs", &["MAC port 1", "MAC port 2"]),
    ("vsd", &["VSD"]),
];

pub(super) fn is_identity(field: &str) -> bool {
    IDENTITY.iter().any(|(name, _)| *name == field)
}

/// The identity before and after, when any of it changes.
pub(super) fn identity_table(plan: &PlanReport) -> Option<Page> {
    if !plan.changes.iter().any(|c| is_identity(&c.field)) {
        return None;
    }
    let mut out = Page::default();
    out.push_str("\n");
    out.line(format_args!("{:20} {:20} after", "Identity", "before"));
    for (field, labels) in IDENTITY {
        let change = plan.changes.iter().find(|c| c.field == field);
        let kept = plan.kept.iter().find(|k| k.field == field);
        let kept = kept.map(|k| k.value.as_str());
        let (from, to) = match change {
            Some(change) => (change.from.as_deref(), change.to.as_deref()),
            None => (kept, kept),
        };
        for (n, label) in labels.iter().enumerate() {
            let value = |side: Option<&str>| match side {
                // The VSD is one text, blanks and all; GUIDs and MACs have blanks between them.
                Some(text) if labels.len() == 1 => shown(text),
                Some(text) => shown(text.split(' ').nth(n).unwrap_or_default()),
                None => "(none)".into(),
            };
            let (from, to) = (value(from), value(to));
            let mark = if from == to { ' ' } else { '*' };
            out.line(format_args!("{mark} {label:18} {from:20} {to}"));
        }
    }
    Some(out)
}
