//! `list` and `doctor`.

use super::table::Table;
use crate::cli::page::Page;
use crate::host::{HostFinding, OtherDevice};
use crate::job::{DoctorOutcome, ListEntry, ListOutcome, PsidSource};

/// The cards; with `full`, every field of each.
pub(in crate::cli) fn list(outcome: &ListOutcome, full: bool) -> Page {
    let mut page = Page::default();
    if !outcome.cards.is_empty() {
        let mut table = Table::new(["CARD", "MODEL", "PSID", "FIRMWARE", "STATE"]);
        for card in &outcome.cards {
            table.row(cells(card), details(card, full));
        }
        page.append(&table.page());
    }
    for other in &outcome.others {
        page.line(other_line(other));
    }
    page
}

fn cells(card: &ListEntry) -> [String; 5] {
    let model = [&card.part_number, &card.board, &card.chip_name];
    let firmware = match (card.running, card.recovery) {
        (_, true) => "recovery".to_owned(),
        (running, false) => running.map(|version| version.to_string()).unwrap_or_default(),
    };
    [
        card.device.to_string(),
        model.into_iter().flatten().next().cloned().unwrap_or_default(),
        card.psid.clone().unwrap_or_default(),
        firmware,
        if card.ready { "ready" } else { "not ready" }.to_owned(),
    ]
}

fn details(card: &ListEntry, full: bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    // A real card is named by its address already.
    names.extend(card.bdf.clone().filter(|bdf| *bdf != card.device.to_string()));
    names.extend(card.netdevs.iter().chain(&card.rdma).cloned());
    names.extend(card.chip_name.clone());
    names.push(match (card.device.is_sim(), &card.driver) {
        (true, _) => "simulated".to_owned(),
        (false, Some(driver)) => format!("driver {driver}"),
        (false, None) => "no driver".to_owned(),
    });
    names.extend(card.serial.as_ref().map(|serial| format!("serial {serial}")));
    if card.psid_from == Some(PsidSource::Record) {
        names.push("PSID as last read".to_owned());
    }
    let mut details = vec![names.join(", ")];
    if full && !card.device.is_sim() {
        details.push(places(card));
    }
    if let (Some(flashed), true) = (card.flashed, card.flashed != card.running) {
        details.push(format!("flashed {flashed}: it starts at the next reset"));
    }
    details.extend(card.problem.as_ref().map(|problem| format!("not ready: {problem}")));
    details
}

/// Where a real card is, and the ways to its registers.
fn places(card: &ListEntry) -> String {
    let mut words = Vec::new();
    words.push(
        card.iommu_group
            .map_or_else(|| "no IOMMU group".into(), |group| format!("IOMMU group {group}")),
    );
    words.push(match (card.bar0, card.bar0_address) {
        (Some(len), Some(at)) => format!("BAR0 0x{at:x}, {} KiB", len / 1024),
        (Some(len), None) => format!("BAR0 {} KiB", len / 1024),
        (None, _) => "no BAR0".into(),
    });
    words.extend(card.mst_name.clone());
    words.extend(card.pci_revision.map(|revision| format!("rev {revision:02x}")));
    if !card.access.is_empty() {
        words.push(format!("access {}", card.access.join(", ")));
    }
    words.join(", ")
}

fn other_line(other: &OtherDevice) -> String {
    let name = other.name.unwrap_or("Mellanox device");
    let driver = other.driver.as_deref().unwrap_or("none");
    let instead = other.instead.map_or_else(String::new, |what| format!(": use {what}"));
    format!(
        "{}  {name} [15b3:{:04x}]  driver {driver}  not for cx3flash{instead}",
        other.bdf, other.device_id
    )
}

/// The checks of `doctor`, a line each; of several cards below the name of each.
pub(in crate::cli) fn checks(outcome: &DoctorOutcome) -> Page {
    let mut page = Page::default();
    if !outcome.cards.is_empty() {
        page.push_str("host\n");
    }
    findings(&mut page, &outcome.checks);
    for card in &outcome.cards {
        page.push_str("\n");
        page.line(&card.device);
        findings(&mut page, &card.checks);
    }
    page
}

fn findings(page: &mut Page, checks: &[HostFinding]) {
    for check in checks {
        let mark = match (check.ok, check.skipped) {
            (true, _) => "ok",
            (false, true) => "skipped",
            (false, false) => "NOT OK",
        };
        page.line(format_args!("{mark:7} {:15} {}", check.id, check.detail));
        if let Some(fix) = check.fix.as_ref().filter(|_| check.is_fault()) {
            page.line(format_args!("{:23} fix: {fix}", ""));
        }
    }
}
