//! `query`: flint's lines but for the form of dates, an empty line, then ours.

use super::figures::{findings, half_name, kib, line, wavering};
use crate::cli::page::Page;
use crate::escape;
use crate::flint::text::{self as flint_text, QueryText};
use crate::image::{Image, Layout};
use crate::job::{CardReport, ImageReport, QueryOutcome, UNSURE};

pub(in crate::cli) fn query(outcome: &QueryOutcome, full: bool) -> Page {
    let mut out = Page::default();
    let active = outcome.active.and_then(|i| outcome.images.get(i));
    let image = active.and_then(|a| a.image.as_ref());
    if let Some(image) = image {
        let running = outcome.card.as_ref().and_then(|c| c.running);
        out.lines(&flint_text::query(image, QueryText { full, running, flint_dates: false }));
        out.push_str("\n");
    }
    if let Some(card) = &outcome.card {
        line(&mut out, "Card:", &card_line(card));
        line(&mut out, "Flash:", &flash_line(card));
    }
    if let Some(file) = &outcome.file {
        line(&mut out, "File:", &escape::path(file));
    }
    if let Some(digest) = &outcome.sha256 {
        line(&mut out, "SHA-256:", digest);
    }
    match (active, image) {
        (Some(active), Some(image)) => line(&mut out, "Layout:", &layout(active, image)),
        _ => line(&mut out, "Image:", "none that boots"),
    }
    if let Some(part) = image.and_then(|i| i.part_number.as_ref()) {
        line(&mut out, "Part number:", part.as_str());
    }
    if let Some(description) = image.and_then(|i| i.description.as_ref()) {
        line(&mut out, "Part description:", description.as_str());
    }
    if let Some(why) = active.and_then(|a| a.wrong_silicon.as_ref()) {
        line(&mut out, "Does not start:", why);
    }
    if let Some((why, boots)) = active.and_then(|a| Some((a.unsure.as_ref()?, a.boots))) {
        match boots {
            true => line(&mut out, "Runs, although:", why),
            false => line(&mut out, "Boots:", &format!("{UNSURE}: {why}")),
        }
    }
    if let Some(checksum) = active.and_then(|a| a.checksum.as_ref()).filter(|_| full) {
        line(&mut out, "Checksum:", &format!("{checksum}, identity masked (flint's `checksum`)"));
    }
    for (number, other) in outcome.images.iter().enumerate() {
        if Some(number) != outcome.active {
            line(&mut out, "Other image:", &other_image(other));
        }
    }
    wavering(&mut out, &outcome.wavering);
    for place in &outcome.stale {
        let text = format!("0x{:x}, where no image can start", place.0);
        line(&mut out, "Stale signature:", &text);
    }
    if let Some(card) = outcome.card.as_ref().filter(|_| outcome.reset_pending) {
        let command = format!("cx3flash -d {} activate", escape::shell_word(&card.device));
        let text = format!("the flashed version starts at the next power-on, or now: {command}");
        line(&mut out, "Pending:", &text);
    }
    if let Some(image) = image.filter(|i| !i.findings.is_empty()) {
        out.push_str("Findings:\n");
        findings(&mut out, &image.findings);
    }
    out
}

pub(in crate::cli) fn card_line(card: &CardReport) -> String {
    let bdf = card.bdf.as_ref().map(|b| format!(" ({b})")).unwrap_or_default();
    let mode = if card.recovery { ", recovery mode" } else { "" };
    format!("{}{bdf}, {}{mode}", card.device, card.chip_name)
}

pub(in crate::cli) fn flash_line(card: &CardReport) -> String {
    let part = &card.flash;
    let guard = match &card.protection.range {
        Some(range) => format!("write protected 0x{:x}..0x{:x}", range.start, range.end),
        None => "not write protected".into(),
    };
    format!("{} (JEDEC {:06x}), {}, {guard}", part.name, part.jedec, kib(part.geometry.size.into()))
}

fn layout(report: &ImageReport, image: &Image) -> String {
    let kind = match image.layout {
        Layout::NonFailsafe => "non-failsafe".to_owned(),
        Layout::Failsafe { chunk_log2 } => format!(
            "failsafe, chunk size 0x{:x}",
            1_u64.checked_shl(chunk_log2.into()).unwrap_or(0)
        ),
    };
    let half = report
        .half
        .map(|h| format!(", {} at 0x{:x}", half_name(h), report.start.0))
        .unwrap_or_default();
    format!("{kind}{half}, image of 0x{:x} bytes", image.len)
}

fn other_image(report: &ImageReport) -> String {
    let place = match report.half {
        Some(half) => format!("{} at 0x{:x}", half_name(half), report.start.0),
        None => format!("at 0x{:x}", report.start.0),
    };
    let Some(image) = &report.image else {
        let why = report.error.as_deref().unwrap_or("unreadable");
        return format!("{place}: {why}");
    };
    let info = image.info.as_ref();
    let version =
        info.and_then(|i| i.fw_version).map_or_else(|| "no version".into(), |v| v.to_string());
    let psid = info.and_then(|i| i.psid.clone()).unwrap_or_else(|| "no PSID".into());
    let stays = report.wrong_silicon.as_ref();
    let stays = stays.map_or_else(String::new, |why| format!("; does not start: {why}"));
    let unsure = report.unsure.as_ref();
    let unsure = unsure.map_or_else(String::new, |why| format!("; {UNSURE}: {why}"));
    format!("{place}: {version} {psid}{stays}{unsure}")
}
