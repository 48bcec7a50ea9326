//! Two boards side by side, when an image of another PSID is to go onto a card.

use super::plan::{shown, wrapped};
use crate::cli::{names, units};
use crate::plan::{BoardPorts, CrossFlash, IniChange, IniDiff, Sides};
use std::fmt::Write as _;

/// Keys of the ini shown; all of them are in the JSON.
const KEYS: usize = 20;
/// Columns of the card's side; longer ones push the arrow on.
const SIDE: usize = 28;

/// The section of a plan.
pub(super) fn section(found: &CrossFlash, full: bool) -> String {
    let mut out = String::from("\nAnother board (card -> image)\n");
    let text = |value: &String| short(value);
    row(&mut out, "PSID", &found.psid, text);
    row(&mut out, "part", &found.part, text);
    row(&mut out, "PCI device id", &found.device_id, |id| {
        id.to_string()
    });
    row(&mut out, "ports", &found.ports, ports);
    row(&mut out, "ROM", &found.rom, text);
    row(&mut out, "VSD (stays)", &found.vsd, text);
    row(&mut out, "failsafe chunks", &found.chunk_size, |n| {
        units::kib(*n)
    });
    row(
        &mut out,
        "config sectors",
        &found.config_sectors,
        ToString::to_string,
    );
    row(
        &mut out,
        "config pad",
        &found.config_pad,
        ToString::to_string,
    );
    row(&mut out, "sector size", &found.sector_size, |n| {
        units::kib((*n).into())
    });
    row(&mut out, "UAR BAR", &found.uar_bar_mib, |n| {
        format!("{n} MiB")
    });
    row(&mut out, "flash in the ini", &found.flash_size, |n| {
        units::kib(*n)
    });
    let _ = writeln!(
        out,
        "  {:20} {}",
        "flash on the card",
        units::kib(found.chip_size.into())
    );
    match &found.ini {
        Some(diff) => ini(&mut out, diff, full),
        None => {
            out.push_str("  One of the images holds no ini; their settings cannot be compared.\n")
        }
    }
    for note in &found.notes {
        out.push_str(&wrapped(note, "  ! "));
    }
    if found.possible {
        out.push_str("  Nothing but the change of PSID stands in the way.\n");
    } else {
        out.push_str("  Refuses even when the change of PSID is spelled out:\n");
        for check in &found.obstacles {
            let text = format!("{}: {}", names::of(&check.id), check.detail);
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

/// Cut where a line of a terminal would not hold it.
fn short(text: &str) -> String {
    const MOST: usize = 60;
    let text = shown(text);
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}
