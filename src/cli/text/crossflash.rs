//! Two boards side by side, when an image has another PSID than the card.

use super::figures::{kib, name_of, shown, wrapped};
use crate::plan::{BoardPorts, CrossFlash, IniChange, IniDiff, Sides};
use std::fmt::Write as _;

/// Keys of the ini shown; all of them are in the JSON.
const KEYS: usize = 20;
/// Columns of the card's side; a longer value shifts the arrow.
const SIDE: usize = 28;

pub(super) fn section(comparison: &CrossFlash, full: bool) -> String {
    let mut out = String::from("\nAnother board (card -> image)\n");
    let text = |value: &String| short(value);
    row(&mut out, "PSID", &comparison.psid, text);
    row(&mut out, "part", &comparison.part, text);
    row(&mut out, "PCI device id", &comparison.device_id, |id| {
        id.to_string()
    });
    row(&mut out, "ports", &comparison.ports, ports);
    row(&mut out, "ROM", &comparison.rom, text);
    row(&mut out, "VSD (stays)", &comparison.vsd, text);
    row(&mut out, "failsafe chunks", &comparison.chunk_size, |n| {
        kib(*n)
    });
    row(
        &mut out,
        "config sectors",
        &comparison.config_sectors,
        ToString::to_string,
    );
    row(
        &mut out,
        "config pad",
        &comparison.config_pad,
        ToString::to_string,
    );
    row(&mut out, "sector size", &comparison.sector_size, |n| {
        kib((*n).into())
    });
    row(&mut out, "UAR BAR", &comparison.uar_bar_mib, |n| {
        format!("{n} MiB")
    });
    row(&mut out, "flash in the ini", &comparison.flash_size, |n| {
        kib(*n)
    });
    let _ = writeln!(
        out,
        "  {:20} {}",
        "flash on the card",
        kib(comparison.chip_size.into())
    );
    match &comparison.ini {
        Some(diff) => ini(&mut out, diff, full),
        None => out.push_str("  One of the images has no ini; the settings cannot be compared.\n"),
    }
    for note in &comparison.notes {
        out.push_str(&wrapped(note, "  ! "));
    }
    if comparison.possible {
        out.push_str("  Only the change of PSID is refused; --change-psid allows it.\n");
    } else {
        out.push_str("  Refused even with --change-psid:\n");
        for check in &comparison.obstacles {
            let text = format!("{}: {}", name_of(&check.id), check.detail);
            out.push_str(&wrapped(&text, "    "));
        }
    }
    out
}

fn row<T: PartialEq>(out: &mut String, label: &str, sides: &Sides<T>, text: impl Fn(&T) -> String) {
    let side = |value: &Option<T>| value.as_ref().map_or_else(|| "(none)".to_owned(), &text);
    let line = if sides.same() {
        format!("{} on both", side(&sides.card))
    } else {
        format!("{:SIDE$} -> {}", side(&sides.card), side(&sides.image))
    };
    let _ = writeln!(out, "  {label:20} {line}");
}

fn ports(ports: &BoardPorts) -> String {
    let kinds = ports.kinds.iter().map(|kind| short(kind));
    let kinds = kinds.collect::<Vec<_>>().join(" ");
    match ports.number {
        Some(number) => format!("{number} {kinds}").trim_end().to_owned(),
        None => kinds,
    }
}

fn ini(out: &mut String, diff: &IniDiff, full: bool) {
    let _ = writeln!(
        out,
        "  ini: {} keys changed, {} added, {} removed",
        diff.changed, diff.added, diff.removed
    );
    let shown = if full { usize::MAX } else { KEYS };
    for change in diff.changes.iter().take(shown) {
        let _ = writeln!(out, "    {}", key(change));
    }
    let rest = diff.changes.len().saturating_sub(shown);
    if rest > 0 {
        let _ = writeln!(out, "    and {rest} more: plan --full, or --json");
    }
}

fn key(change: &IniChange) -> String {
    let name = format!("{}.{}", short(&change.section), short(&change.key));
    match (&change.from, &change.to) {
        (Some(from), Some(to)) => format!("{name} = {} -> {}", short(from), short(to)),
        (None, Some(to)) => format!("{name} = {} (added)", short(to)),
        (Some(from), None) => format!("{name} = {} (removed)", short(from)),
        (None, None) => name,
    }
}

/// Cut to fit a line of a terminal.
fn short(text: &str) -> String {
    const MOST: usize = 60;
    let text = shown(text);
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}
