//! Two boards side by side, when an image has another PSID than the card.

use super::figures::{kib, name_of, shown, wrapped};
use crate::cli::page::Page;
use crate::plan::{BoardPorts, CrossFlash, IniChange, IniDiff, Sides};
use crate::words::counted;

/// Keys of the ini shown; all of them are in the JSON.
const KEYS: usize = 20;
/// Columns of the card's side; a longer value shifts the arrow.
const SIDE: usize = 28;

pub(super) fn section(boards: &CrossFlash, full: bool) -> Page {
    let mut page = Page::default();
    let out = &mut page;
    out.push_str("\nAnother board (card -> image)\n");
    let plain = |value: &String| short(value);
    row(out, "PSID", &boards.psid, |psid| short(psid.as_str()));
    row(out, "part", &boards.part, plain);
    row(out, "PCI device id", &boards.device_id, ToString::to_string);
    row(out, "ports", &boards.ports, ports);
    row(out, "ROM", &boards.rom, plain);
    row(out, "VSD (stays)", &boards.vsd, |vsd| short(vsd.as_str()));
    row(out, "failsafe chunks", &boards.chunk_size, |n| kib(*n));
    row(out, "config sectors", &boards.config_sectors, u32::to_string);
    row(out, "config pad", &boards.config_pad, u32::to_string);
    row(out, "sector size", &boards.sector_size, |n| kib((*n).into()));
    row(out, "UAR BAR", &boards.uar_bar_mib, |n| format!("{n} MiB"));
    row(out, "flash in the ini", &boards.flash_size, |n| kib(*n));
    let size = kib(boards.chip_size.into());
    out.line(format_args!("  {:20} {size}", "flash on the card"));
    match &boards.ini {
        Some(diff) => ini(out, diff, full),
        None => out.push_str("  One of the images has no ini; the settings cannot be compared.\n"),
    }
    for note in &boards.notes {
        wrapped(out, note, "  ! ");
    }
    if boards.possible {
        out.push_str("  Only the change of PSID is refused; --change-psid allows it.\n");
    } else {
        out.push_str("  Refused even with --change-psid:\n");
        for check in &boards.obstacles {
            let text = format!("{}: {}", name_of(&check.id), check.detail);
            wrapped(out, &text, "    ");
        }
    }
    page
}

fn row<T: PartialEq>(out: &mut Page, label: &str, sides: &Sides<T>, text: impl Fn(&T) -> String) {
    let side = |value: &Option<T>| value.as_ref().map_or_else(|| "(none)".to_owned(), &text);
    let line = if sides.same() {
        format!("{} on both", side(&sides.card))
    } else {
        format!("{:SIDE$} -> {}", side(&sides.card), side(&sides.image))
    };
    out.line(format_args!("  {label:20} {line}"));
}

fn ports(ports: &BoardPorts) -> String {
    let kinds = ports.kinds.iter().map(|kind| short(kind));
    let kinds = kinds.collect::<Vec<_>>().join(" ");
    match ports.number {
        Some(number) => format!("{number} {kinds}").trim_end().to_owned(),
        None => kinds,
    }
}

fn ini(out: &mut Page, diff: &IniDiff, full: bool) {
    out.line(format_args!(
        "  ini: {} changed, {} added, {} removed",
        counted(diff.changed, "key"),
        diff.added,
        diff.removed
    ));
    let shown = if full { usize::MAX } else { KEYS };
    for change in diff.changes.iter().take(shown) {
        out.line(format_args!("    {}", key(change)));
    }
    let rest = diff.changes.len().saturating_sub(shown);
    if rest > 0 {
        out.line(format_args!("    and {rest} more: plan --full, or --json"));
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
