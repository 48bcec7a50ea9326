//! `verify`: flint's table and verdict, then ours, which is stricter.

use super::figures::{findings, half_name, wavering};
use super::query::card_line;
use crate::cli::page::Page;
use crate::escape;
use crate::flint::text as flint_text;
use crate::flint::verdict::FlintVerdict;
use crate::job::{Comparison, ImageReport, UNSURE, UnsteadyRange, VerifyOutcome};
use crate::words::counted;

pub(in crate::cli) fn verify(outcome: &VerifyOutcome) -> Page {
    let mut out = Page::default();
    if let Some(card) = &outcome.card {
        out.line(format_args!("{}", card_line(card)));
    }
    if let (Some(file), Some(digest)) = (&outcome.file, &outcome.sha256) {
        out.line(format_args!("{}, SHA-256 {digest}", escape::path(file)));
    }
    for report in &outcome.images {
        if outcome.images.len() > 1 || report.half.is_some() {
            let half = report.half.map_or("image", half_name);
            let starts = if report.boots { ", boots" } else { "" };
            out.push_str("\n");
            out.line(format_args!("{half} at 0x{:x}{starts}:", report.start.0));
        }
        image(&mut out, report);
    }
    if outcome.images.is_empty() {
        out.push_str("no image on the card\n");
    }
    unsteady(&mut out, &outcome.unsteady);
    wavering(&mut out, &outcome.wavering);
    for place in &outcome.stale {
        out.line(format_args!("a stale signature at 0x{:x}, where no image can start", place.0));
    }
    out
}

/// One line for each range in which two readings differed.
pub(in crate::cli) fn unsteady(out: &mut Page, ranges: &[UnsteadyRange]) {
    for range in ranges {
        out.line(format_args!(
            "two readings differed at 0x{:x} ({}); two consecutive readings agreed since",
            range.at.0,
            counted(range.len, "byte")
        ));
    }
}

fn image(out: &mut Page, report: &ImageReport) {
    let Some(image) = &report.image else {
        let why = report.error.as_deref().unwrap_or("unreadable");
        out.push_str("\n");
        out.line(format_args!("cx3flash: no image here: {why}"));
        return;
    };
    let flint = flint_text::verify(image);
    out.lines(&flint);
    if !flint.ends_with("\n\n") {
        out.push_str("\n");
    }
    findings(out, &image.findings);
    if let Some(checksum) = &report.checksum {
        out.line(format_args!("checksum without identity: {checksum} (as flint's `checksum`)"));
    }
    let unsure = report.unsure.as_ref().filter(|_| !report.boots);
    if let (true, Some(why)) = (image.is_valid(), unsure) {
        out.line(format_args!("cx3flash: the image is {UNSURE}: {why}"));
        return;
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
    if let Some(why) = &report.wrong_silicon {
        out.line(format_args!("cx3flash: the image does not start on this card: {why}"));
    }
    if let Some(why) = unsure {
        out.line(format_args!("cx3flash: whether it boots is not known: {why}"));
    }
}

/// `verify --against`.
pub(in crate::cli) fn against(outcome: &VerifyOutcome, found: &Comparison) -> Page {
    let mut out: Page = outcome.card.iter().map(card_line).collect();
    out.line(format_args!(
        "  card  sha256 {} (image at 0x{:x}, identity masked)",
        found.card_sha256, found.start.0,
    ));
    out.line(format_args!(
        "  file  sha256 {} ({}, identity masked)",
        found.file_sha256,
        outcome.file.as_ref().map(escape::path).unwrap_or_default(),
    ));
    if found.identical {
        out.push_str("equal, with the same identity\n");
    } else if found.equal {
        out.push_str("equal except for the identity (GUIDs, MACs, VSD)\n");
    } else if let Some(first) = found.difference {
        out.line(format_args!(
            "different: {}, the first at 0x{:08x}",
            counted(first.count, "byte"),
            first.at.0
        ));
    } else {
        out.push_str("different\n");
    }
    unsteady(&mut out, &outcome.unsteady);
    out
}
