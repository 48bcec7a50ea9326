//! `mlxfwmanager` and `mstfwmanager`: the query of cards (docs/flint.md#other-tools). What they burn or
//! download is a matter of `cx3flash burn` and a browser.

use super::tool::{ToolCall, chip_type, device_type, with_hint};
use crate::escape;
use crate::image::{ExpRom, Image, Ini};
use crate::job::{self, CardSelector, JobError, ListEntry, QueryOutcome};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Exit codes of mlxfwmanager.
const QUERY_FAILED: u8 = 1;
const BAD_ARGUMENTS: u8 = 3;
const NO_CARDS: u8 = 20;

const HELP: &str = "    [-d CARD[;CARD...]] [--query]    what the cards hold
Images are burned by: cx3flash -d CARD burn IMAGE
";

/// The cards of a command line, none for all of them; or the exit code of one that is done already.
fn parse(call: &mut ToolCall<'_, '_>, words: &[String]) -> Result<Vec<CardSelector>, u8> {
    let mut cards = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (flag, value) = word.split_once('=').map_or((word, None), |(f, v)| (f, Some(v)));
        match flag {
            "-h" | "--help" => {
                call.print(HELP);
                return Err(0);
            }
            "-v" | "--version" => return Err(call.version()),
            "-d" | "--dev" => match value.or_else(|| words.next()) {
                Some(names) => {
                    let names = names.split(';').filter(|name| !name.is_empty());
                    cards.extend(names.filter_map(|name| name.parse().ok()));
                }
                None => return Err(call.fail("Missing device name after -d.", BAD_ARGUMENTS)),
            },
            // The query asks nothing and shows no progress.
            "--query" | "-y" | "--yes" | "--no" | "--no-progress" | "--no_fw_ctrl" => {}
            other => {
                let way = instead(other);
                let text = format!("{other} is not done by cx3flash under this name; {way}");
                return Err(call.fail(&text, BAD_ARGUMENTS));
            }
        }
    }
    Ok(cards)
}

/// Our way to what a flag of the manager does.
fn instead(flag: &str) -> &'static str {
    match flag {
        "-u" | "--update" | "-i" | "--image-file" | "-f" | "--force" | "--nofs" | "-D"
        | "--image-dir" => "burn an image with: cx3flash -d CARD burn IMAGE",
        "--query-format" | "-o" | "--outfile" => "for scripts: cx3flash --json -d CARD query",
        "--clear-semaphore" => "see: cx3flash -d CARD unlock",
        "-L" | "--log-file" | "--log" => "for a bug report: cx3flash --report DIR -d CARD query",
        "-l" | "--list-content" => "see what a file or archive holds: cx3flash query FILE",
        _ if flag.starts_with("--online") || flag.contains("download") => {
            "there is no server to ask: download the image for the card's PSID, then: cx3flash -d CARD burn IMAGE"
        }
        _ => "see: cx3flash --help",
    }
}

pub(super) fn run(call: &mut ToolCall<'_, '_>, words: &[String]) -> u8 {
    let mut named = match parse(call, words) {
        Ok(cards) => cards,
        Err(exit) => return exit,
    };
    named.extend(call.caller.device.take().filter(|_| named.is_empty()));
    let listed = match call.cards() {
        Ok(cards) => cards,
        Err(error) => return call.fail(&error.to_string(), QUERY_FAILED),
    };
    if named.is_empty() {
        named = listed.iter().map(|card| card.device.clone()).collect();
    }
    if named.is_empty() {
        return call.fail("No devices found or specified", NO_CARDS);
    }
    call.print("Querying Mellanox devices firmware ...\n\n");
    let mut exit = 0;
    for (n, card) in named.iter().enumerate() {
        let queried = query(call, card);
        let entry = listed.iter().find(|entry| entry.device == *card);
        call.print(&text(n + 1, card, entry, &queried));
        if queried.is_err() {
            exit = QUERY_FAILED;
        }
    }
    exit
}

/// What a card holds, and the ini of its image.
fn query(
    call: &mut ToolCall<'_, '_>,
    card: &CardSelector,
) -> Result<(QueryOutcome, Option<Ini>), JobError> {
    let mut device = call.open(card)?;
    let outcome = job::query_card(&mut device)?;
    // An image without a valid ini has neither part number nor description.
    let ini = job::config_show(&mut device).ok().map(|config| Ini { bytes: config.bytes });
    Ok((outcome, ini))
}

fn text(
    number: usize,
    card: &CardSelector,
    listed: Option<&ListEntry>,
    queried: &Result<(QueryOutcome, Option<Ini>), JobError>,
) -> String {
    let mut out = format!("Device #{number}:\n----------\n\n");
    let mut line = |label: &str, value: &str| {
        let value = if value.is_empty() { "--" } else { value };
        let _ = writeln!(out, "  {label:17} {}", escape::line(value));
    };
    let found = queried.as_ref().ok();
    let image = found.and_then(|(outcome, _)| outcome.images.get(outcome.active?)?.image.as_ref());
    let info = image.and_then(|image| image.info.as_ref());
    let ini = |key: &str| {
        let ini = found.and_then(|(_, ini)| ini.as_ref());
        ini.and_then(|ini| ini.get("PS_INFO", key)).unwrap_or_default()
    };
    let chip = found.and_then(|(outcome, _)| outcome.card.as_ref()).map(|card| card.chip.hw_id);
    let kind = match chip {
        Some(id) => chip_type(id),
        None => listed.map_or_else(String::new, device_type),
    };
    line("Device Type:", &kind);
    line("Part Number:", &ini("Name"));
    line("Description:", &ini("Description"));
    let psid = info.and_then(|info| info.psid.as_ref()).map(ToString::to_string);
    line("PSID:", &psid.or_else(|| listed?.psid.clone()).unwrap_or_default());
    line("PCI Device Name:", &card.to_string());
    let guids = image.and_then(|image| image.guids.as_ref());
    for port in [0, 1] {
        let mac = guids.and_then(|g| g.macs.get(port)).filter(|mac| !mac.is_blank());
        line(&format!("Port{} MAC:", port + 1), &mac.map_or("N/A".into(), ToString::to_string));
        let guid = guids.and_then(|g| g.guids.get(port + 1)).filter(|guid| !guid.is_blank());
        line(&format!("Port{} GUID:", port + 1), &guid.map_or("N/A".into(), ToString::to_string));
    }
    let _ = writeln!(out, "  {:17} {:14} Available", "Versions:", "Current");
    let version = info.and_then(|info| info.fw_version).or_else(|| listed?.running);
    let version = version.map_or_else(|| "N/A".to_owned(), |version| version.to_string());
    let _ = writeln!(out, "     {:14} {version:14} N/A", "FW");
    for (name, version) in image.map(roms).unwrap_or_default() {
        let _ = writeln!(out, "     {:14} {version:14} N/A", escape::line(&name));
    }
    let status = match queried {
        Ok(_) => "No matching image found".to_owned(),
        Err(error) => format!("Failed to open device: {}", with_hint(error, card)),
    };
    let _ = writeln!(out, "\n  {:17} {}\n", "Status:", escape::line(&status));
    out
}

/// Name and version of each expansion ROM.
fn roms(image: &Image) -> BTreeMap<String, String> {
    let blocks = image.rom.iter().flat_map(|rom| &rom.blocks);
    let named = |block: &ExpRom| {
        let (a, b, c) = block.version;
        Some((block.type_name?.to_owned(), format!("{a}.{b}.{c:04}")))
    };
    blocks.filter_map(named).collect()
}
