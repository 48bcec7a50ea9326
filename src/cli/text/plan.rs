//! A plan as `plan` prints it and `burn` prints it before it does it.

use crate::cli::{names, sector_map, units};
use crate::image::Half;
use crate::plan::{ActionReport, Change, PlanReport, Target};
use std::fmt::Write as _;
use std::time::Duration;

/// The whole plan, of two inis that differ the first lines.
pub(in crate::cli) fn plan(plan: &PlanReport, colours: bool) -> String {
    drawn(plan, colours, false)
}

/// The whole plan with every line there is.
pub(in crate::cli) fn plan_full(plan: &PlanReport, colours: bool) -> String {
    drawn(plan, colours, true)
}

fn drawn(plan: &PlanReport, colours: bool, full: bool) -> String {
    let mut out = String::new();
    out.push_str("Checks\n");
    for check in &plan.checks {
        let mark = match (check.ok, check.skipped) {
            (true, _) => "ok",
            (false, true) => "-",
            (false, false) => "REFUSED",
        };
        let name = names::of(&check.id);
        let _ = writeln!(out, "  {mark:8} {name:15} {}", check.detail);
    }
    if let Some(found) = &plan.crossflash {
        out.push_str(&super::crossflash::section(found, full));
    }
    let table = super::identity::table(plan);
    let listed = |field: &str| table.is_none() || !super::identity::holds(field);
    let changes: Vec<&Change> = plan.changes.iter().filter(|c| listed(&c.field)).collect();
    if let Some(table) = &table {
        out.push_str(table);
    }
    if !changes.is_empty() {
        out.push_str("\nChanges\n");
        for change in changes {
            let _ = writeln!(out, "  {:20} {}", change.field, from_to(change));
        }
    }
    if !plan.kept.is_empty() {
        out.push_str("\nKept\n");
        for kept in plan.kept.iter().filter(|k| listed(&k.field)) {
            let _ = writeln!(out, "  {:20} {}", kept.field, shown(&kept.value));
        }
    }
    if let Some(action) = &plan.action {
        out.push_str("\nFlash\n");
        out.push_str(&sector_map::draw(&action.map, colours));
        out.push_str(&figures(action));
    }
    if !plan.warnings.is_empty() {
        out.push_str("\nWarnings\n");
        for warning in &plan.warnings {
            out.push_str(&wrapped(warning, "  ! "));
        }
    }
    if plan.refused {
        out.push_str("\nRefused: nothing will be written.\n");
    } else if plan.nothing_to_do {
        out.push_str("\nNothing to do: the card already holds exactly this.\n");
    }
    out
}

fn from_to(change: &Change) -> String {
    let side = |text: &Option<String>| text.as_deref().map_or_else(|| "(none)".to_owned(), shown);
    format!("{} -> {}", side(&change.from), side(&change.to))
}

pub(super) fn shown(value: &str) -> String {
    if value.is_empty() {
        "(empty)".into()
    } else {
        crate::job::one_line(value)
    }
}

fn figures(action: &ActionReport) -> String {
    let target = match action.target {
        Some(Target::Half { half, .. }) => match half {
            Half::Even => "into the even half, the odd one stays as it is until the commit; ",
            Half::Odd => "into the odd half, the even one stays as it is until the commit; ",
        },
        Some(Target::WholeFlash) => "the whole flash; ",
        Some(Target::InPlace) => "over the only image; ",
        None => "",
    };
    let cut = if action.survives_interruption {
        "an interruption at any point leaves a card that boots"
    } else {
        "an interruption leaves a card that must be finished with `recover` or `restore`"
    };
    let text = format!(
        "{target}{} erases, {} programs ({}), about {}; {cut}",
        action.erases.len(),
        action.programs,
        units::kib(action.program_bytes),
        units::time(Duration::from_millis(action.estimate_ms)),
    );
    wrapped(&text, "  ")
}

/// Words in lines of at most 100 columns, indented as far as the first line's prefix.
pub(super) fn wrapped(text: &str, prefix: &str) -> String {
    const WIDTH: usize = 100;
    let mut out = String::new();
    let mut line = prefix.to_owned();
    for word in text.split_whitespace() {
        if line.len() > prefix.len() && line.chars().count() + word.chars().count() >= WIDTH {
            out.push_str(line.trim_end());
            out.push('\n');
            line = " ".repeat(prefix.len());
        }
        line.push_str(word);
        line.push(' ');
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}
