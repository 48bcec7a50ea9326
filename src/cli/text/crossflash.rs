//! Two boards side by side, where a burn would change the PSID.

use crate::cli::failure::one_line;
use crate::cli::units;
use crate::plan::{CrossFlash, CrossSide};
use std::fmt::Write as _;

/// Lines of ini differences in a plan; `plan --full` and the JSON have all.
const SOME: usize = 12;

/// The comparison. `full`: every key.
pub(in crate::cli) fn cross_flash(cross: &CrossFlash, full: bool) -> String {
    let mut out = String::from("\nAnother board: the card's image, and the new one\n");
    let (from, to) = (&cross.from, &cross.to);
    let mut row = |label: &str, text: &dyn Fn(&CrossSide) -> String| {
        let (a, b) = (one_line(&text(from)), one_line(&text(to)));
        let line = if a == b {
            format!("  {label:16} {a}")
        } else {
            format!("  {label:16} {a} -> {b}")
        };
        let _ = writeln!(out, "{line}");
    };
    let or = |text: &Option<String>, none: &str| text.clone().unwrap_or_else(|| none.to_owned());
    row("PSID", &|s| s.psid.clone());
    row("board", &|s| or(&s.board, "not said"));
    row("device id", &|s| {
        s.device_id.map_or("not said".into(), |d| d.to_string())
    });
    row("silicon", &|s| list(&s.silicon));
    row("ports", &|s| list(&s.ports));
    row("ROM", &|s| or(&s.rom, "none"));
    row("chunk size", &|s| {
        s.chunk_size
            .map_or("none (non-failsafe)".into(), units::kib)
    });
    row("config area", &|s| {
        format!(
            "{} sectors of {}",
            s.config_area.sectors,
            units::kib(s.config_area.sector_size.into())
        )
    });
    row("config pad", &|s| format!("{} sectors", s.config_area.pad));
    row("made for flash", &|s| or(&s.flash_size, "not said"));
    row("UAR BAR", &|s| or(&s.bar_size, "not said"));
    row("image size", &|s| units::kib(s.image_size.into()));
    let vsd = |text: &str| {
        if text.is_empty() {
            "(empty)".to_owned()
        } else {
            one_line(text)
        }
    };
    let _ = writeln!(
        out,
        "  {:16} {} stays; the new image's is {}",
        "VSD",
        vsd(&cross.vsd_stays),
        vsd(to.vsd.as_deref().unwrap_or_default())
    );
    let _ = writeln!(out, "  ini: {} keys differ", cross.ini.len());
    let shown = if full { cross.ini.len() } else { SOME };
    // What a board is comes before how its lanes are tuned.
    let board = |section: &str| ["PS_INFO", "ADAPTER", "HCA", "FW"].contains(&section);
    let (first, rest): (Vec<_>, Vec<_>) = cross.ini.iter().partition(|c| board(&c.section));
    for change in first.into_iter().chain(rest).take(shown) {
        let side = |text: &Option<String>| one_line(text.as_deref().unwrap_or("(none)"));
        let _ = writeln!(
            out,
            "    {}.{}: {} -> {}",
            one_line(&change.section),
            one_line(&change.key),
            side(&change.from),
            side(&change.to)
        );
    }
    if cross.ini.len() > shown {
        let _ = writeln!(
            out,
            "    … and {} more: plan --full, or --json",
            cross.ini.len() - shown
        );
    }
    out
}

fn list(items: &[String]) -> String {
    if items.is_empty() {
        "not said".into()
    } else {
        items.join(", ")
    }
}
