//! `verify`: flint's table and verdict, then ours, which is stricter.

use super::figures::{findings, half_name};
use super::query::card_line;
use crate::flint::text as flint_text;
use crate::flint::verdict::FlintVerdict;
use crate::job::{AgainstOutcome, ImageReport, UnsteadyRange, VerifyOutcome};
use std::fmt::Write as _;

pub(in crate::cli) fn verify(outcome: &VerifyOutcome) -> String {
    let mut out = String::new();
    if let Some(card) = &outcome.card {
        let _ = writeln!(out, "{}", card_line(card));
    }
    for report in &outcome.images {
        if outcome.images.len() > 1 || report.half.is_some() {
            let half = report.half.map_or("image", half_name);
            let starts = if report.boots { ", boots" } else { "" };
            let _ = writeln!(out, "\n{half} at 0x{:x}{starts}:", report.start.0);
        }
        image(&mut out, report);
    }
    if outcome.images.is_empty() {
        out.push_str("no image on the card\n");
    }
    unsteady(&mut out, &outcome.unsteady);
    for place in &outcome.stale {
        let _ = writeln!(out, "a stale signature at 0x{:x}, where no image can start", place.0);
    }
    out
}

/// One line for each range in which two readings differed.
pub(in crate::cli) fn unsteady(out: &mut String, ranges: &[UnsteadyRange]) {
    for range in ranges {
        let _ = writeln!(
            out,
            "two readings differed at 0x{:x} ({} bytes); two consecutive readings agreed since",
            range.at.0, range.len
        );
    }
}

fn image(out: &mut String, report: &ImageReport) {
    let Some(image) = &report.image else {
        let why = report.error.as_deref().unwrap_or("unreadable");
        let _ = writeln!(out, "\ncx3flash: no image here: {why}");
        return;
    };
    out.push_str(&flint_text::verify(image));
    if !out.ends_with("\n\n") {
        out.push('\n');
    }
    findings(out, &image.findings);
    if let Some(checksum) = &report.checksum {
        let _ = writeln!(out, "checksum without identity: {checksum} (as flint's `checksum`)");
    }
    out.push_str(if image.is_valid() {
        match FlintVerdict::of(image) {
            FlintVerdict::Bootable => "cx3flash: the image is valid\n",
            _ => "cx3flash: the image is valid; what flint reports does not prevent a burn\n",
        }
    } else if FlintVerdict::of(image) == FlintVerdict::Bootable {
        "cx3flash: the image is NOT valid: flint accepts the errors listed above, cx3flash does not\n"
    } else {
        "cx3flash: the image is NOT valid\n"
    });
}

/// `verify --against`.
pub(in crate::cli) fn against(outcome: &AgainstOutcome) -> String {
    let mut out = format!(
        "{}\n  card  sha256 {} (image at 0x{:x}, identity masked)\n  file  sha256 {} ({}, identity masked)\n",
        card_line(&outcome.card),
        outcome.card_sha256,
        outcome.start.0,
        outcome.file_sha256,
        outcome.file.display(),
    );
    if outcome.identical {
        out.push_str("equal, with the same identity\n");
    } else if outcome.equal {
        out.push_str("equal except for the identity (GUIDs, MACs, VSD)\n");
    } else if let Some(found) = outcome.difference {
        let _ =
            writeln!(out, "different: {} bytes, the first at 0x{:08x}", found.count, found.at.0);
    } else {
        out.push_str("different\n");
    }
    unsteady(&mut out, &outcome.unsteady);
    out
}
