//! `mst`: the service that the vendor's tools need, and that cx3flash does not (docs/flint.md#other-tools).

use super::tool::{ToolCall, device_type};
use crate::escape;
use crate::job::ListEntry;
use std::fmt::Write as _;

const HELP: &str =
    "    mst start|stop|restart    nothing is loaded or unloaded: cx3flash opens cards through VFIO
    mst status [-v]           the cards, and their names for -d
    mst version
`cx3flash doctor` checks whether a card can be opened.
";

pub(super) fn run(call: &mut ToolCall<'_, '_>, words: &[String]) -> u8 {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        // Their options choose modules to load.
        ["start" | "stop" | "restart", options @ ..]
            if options.iter().all(|word| word.starts_with('-')) =>
        {
            call.print(
                "No module is loaded or unloaded: cx3flash opens a card through VFIO. See: cx3flash doctor\n",
            );
            0
        }
        ["status"] => status(call, false),
        ["status", "-v" | "-vv"] => status(call, true),
        ["version" | "-v" | "--version"] => call.version(),
        ["help" | "-h" | "--help"] => {
            call.print(HELP);
            0
        }
        [] => {
            call.print(HELP);
            1
        }
        [word, ..] => {
            let text = format!("mst {word} is not done for these cards; see: cx3flash list");
            call.fail(&text, 1)
        }
    }
}

/// The cards in the form of MFT's `mst status`.
fn status(call: &mut ToolCall<'_, '_>, verbose: bool) -> u8 {
    let cards = match call.cards() {
        Ok(cards) => cards,
        Err(error) => return call.fail(&error.to_string(), 1),
    };
    let mut out = String::from(
        "MST modules:\n------------\n    MST PCI module is not loaded\n    MST PCI configuration module is \
         not loaded\n\n",
    );
    if cards.is_empty() {
        out.push_str("MST devices:\n------------\n\tNo MST devices were found.\n\n");
    } else if verbose {
        out.push_str("PCI devices:\n------------\n");
        row(&mut out, ["DEVICE_TYPE", "MST", "PCI", "RDMA", "NET"]);
        for card in &cards {
            let rev = card.pci_revision.map_or_else(|| "?".into(), |rev| format!("{rev:x}"));
            let net: Vec<String> = card.netdevs.iter().map(|net| format!("net-{net}")).collect();
            row(
                &mut out,
                [
                    &format!("{}(rev:{rev})", device_type(card)),
                    &name(card),
                    card.bdf.as_deref().unwrap_or(""),
                    &card.rdma.join(","),
                    &net.join(","),
                ],
            );
        }
        out.push('\n');
    } else {
        out.push_str("MST devices:\n------------\n");
        for card in &cards {
            device(&mut out, card);
        }
        out.push('\n');
    }
    call.print(&out);
    0
}

fn row(out: &mut String, [kind, name, bdf, rdma, net]: [&str; 5]) {
    let line = format!("{kind:24}{name:30}{bdf:16}{rdma:16}{net}");
    let _ = writeln!(out, "{}", escape::line(line.trim_end()));
}

fn device(out: &mut String, card: &ListEntry) {
    let _ = writeln!(out, "{:32} - PCI direct access.", name(card));
    let mut details = Vec::new();
    details.extend(card.bdf.as_ref().map(|bdf| format!("domain:bus:dev.fn={bdf}")));
    details.extend(card.bar0_address.map(|at| format!("bar={at:#x}")));
    details.extend(card.bar0.map(|len| format!("size={len:#x}")));
    if !details.is_empty() {
        let _ = writeln!(out, "{:35}{}", "", details.join(" "));
    }
    if let Some(rev) = card.pci_revision {
        let _ = writeln!(out, "{:35}Chip revision is: {rev:02x}", "");
    }
    if let Some(problem) = &card.problem {
        let _ = writeln!(out, "{:35}not ready: {}", "", escape::line(problem));
    }
}

/// The name for `-d`, as MFT shows it.
fn name(card: &ListEntry) -> String {
    let name = card.mst_name.as_ref().map(|name| format!("/dev/mst/{name}"));
    escape::line(&name.unwrap_or_else(|| card.device.to_string())).into_owned()
}
