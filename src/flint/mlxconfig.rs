//! `mlxconfig` and `mstconfig`: the settings that the firmware stores (docs/flint.md#other-tools).

use super::progress::FlintProgress;
use super::tool::{ToolCall, chip_type, with_hint};
use crate::card::nv::Parameter;
use crate::escape;
use crate::job::{
    self, CardSelector, Device, Exit, JobError, NvEntry, NvQueryOutcome, WriteRequest,
};

/// Exit codes of mstconfig.
const ABORTED: u8 = 2;
const ERROR: u8 = 3;

const HELP: &str = "    [-d CARD] [-e] query|q [NAME...]     -e: defaults too
    -d CARD [-y] set|s NAME=VALUE...     after a backup; takes effect after a reset of the card
    -d CARD [-y] reset|r                 back to the defaults of the ini
`cx3flash config --help` lists what goes beyond.
";
const AFTER: &str = "Done!\n-I- Please reboot machine to load new configurations.\n";

#[derive(Default)]
struct ConfigLine<'a> {
    card: Option<CardSelector>,
    yes: bool,
    defaults: bool,
    command: &'a str,
    words: &'a [String],
}

/// The command line, or the exit code of one that is done already.
fn parse<'a>(call: &mut ToolCall<'_, '_>, words: &'a [String]) -> Result<ConfigLine<'a>, u8> {
    let mut line = ConfigLine::default();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        match word.as_str() {
            "-v" | "--version" => return Err(call.version()),
            "-h" | "--help" => {
                call.print(HELP);
                return Err(0);
            }
            "-d" | "--dev" => match words.get(at) {
                Some(card) => {
                    line.card = card.parse().ok();
                    at += 1;
                }
                None => return Err(usage(call, "missing device name")),
            },
            "-y" | "--yes" => line.yes = true,
            "-e" | "--enable_verbosity" => line.defaults = true,
            "query" | "q" | "set" | "s" | "reset" | "r" => {
                line.command = word;
                line.words = words.get(at..).unwrap_or_default();
                return Ok(line);
            }
            "clear_semaphore" => {
                let text = "clear_semaphore is not done; see: cx3flash unlock";
                return Err(call.fail(text, ERROR));
            }
            "show_confs" | "i" | "set_raw" | "get_raw" | "backup" | "gen_tlvs_file" | "t"
            | "gen_xml_template" | "g" | "raw2xml" | "xml2raw" | "x" | "xml2bin"
            | "create_conf" | "apply" | "--force" => {
                let text =
                    format!("{word} is not done for these cards; see: cx3flash config query");
                return Err(call.fail(&text, ERROR));
            }
            other => return Err(usage(call, &format!("invalid argument: {other}"))),
        }
    }
    Err(usage(call, "No command found. For more information please read the help message:"))
}

fn usage(call: &mut ToolCall<'_, '_>, text: &str) -> u8 {
    call.fail(text, ERROR);
    call.print(HELP);
    ERROR
}

pub(super) fn run(call: &mut ToolCall<'_, '_>, words: &[String]) -> u8 {
    let line = match parse(call, words) {
        Ok(line) => line,
        Err(exit) => return exit,
    };
    call.console.yes = line.yes;
    let card = line.card.clone().or_else(|| call.caller.device.take());
    let ended = match (line.command, card) {
        ("query" | "q", card) => query(call, &line, card),
        (_, None) => {
            let name = if line.command.starts_with('s') { "set" } else { "reset" };
            return usage(call, &format!("{name} command expects device to be specified."));
        }
        ("set" | "s", Some(card)) => set(call, line.words, &card),
        (_, Some(card)) => reset(call, line.words, &card),
    };
    ended.map_or_else(|exit| exit, |()| 0)
}

type Ended<T = ()> = Result<T, u8>;

/// The settings of these names, and the values behind them.
fn settings(call: &mut ToolCall<'_, '_>, words: &[String]) -> Ended<Vec<(Parameter, u32)>> {
    let mut list: Vec<(Parameter, u32)> = Vec::new();
    for word in words {
        let pair = word
            .split_once('=')
            .filter(|(name, value)| !name.is_empty() && !value.is_empty() && !value.contains('='));
        let Some((name, value)) = pair else {
            return Err(usage(call, &format!("Invalid Configuration argument {word}")));
        };
        let parameter = parameter(call, name)?;
        if list.iter().any(|(other, _)| *other == parameter) {
            return Err(usage(call, &format!("Duplicate parameter, {name}.")));
        }
        match parameter.parse(value) {
            Some(value) => list.push((parameter, value)),
            None => {
                let range = parameter.range();
                let text = format!("Failed to parse {name}={value}: it takes {range}");
                return Err(call.fail(&text, ERROR));
            }
        }
    }
    Ok(list)
}

fn parameter(call: &mut ToolCall<'_, '_>, name: &str) -> Ended<Parameter> {
    Parameter::named(name).ok_or_else(|| call.fail(&format!("Unknown Parameter: {name}"), ERROR))
}

/// Opens a card and asks its firmware.
fn asked(
    call: &mut ToolCall<'_, '_>,
    card: &CardSelector,
    number: usize,
) -> Ended<(Device, NvQueryOutcome)> {
    let opened = call.open(card).and_then(|mut device| {
        let outcome = job::nv_query(&mut device)?;
        Ok((device, outcome))
    });
    let opened = opened.map_err(|error| call.fail(&with_hint(&error, card), ERROR))?;
    opening(call, card, number, &opened.0);
    Ok(opened)
}

fn opening(call: &mut ToolCall<'_, '_>, card: &CardSelector, number: usize, device: &Device) {
    let kind = chip_type(device.card.chip().hw_id);
    let name = escape::line(&card.to_string()).into_owned();
    call.print(&format!(
        "\nDevice #{number}:\n----------\n\n{:16}{kind:16}\n{:16}{name:16}\n\n",
        "Device type:", "Device:"
    ));
}

fn query(call: &mut ToolCall<'_, '_>, line: &ConfigLine<'_>, card: Option<CardSelector>) -> Ended {
    let mut names = Vec::new();
    for word in line.words {
        names.push(parameter(call, word)?.name());
    }
    let cards = match card {
        Some(card) => vec![card],
        None => {
            let found = call.cards().map_err(|error| call.fail(&error.to_string(), ERROR))?;
            found.into_iter().map(|card| card.device).collect()
        }
    };
    if cards.is_empty() {
        return Err(call.fail("No devices found.", ERROR));
    }
    let mut ended = Ok(());
    for (n, card) in cards.iter().enumerate() {
        match asked(call, card, n + 1) {
            Ok((_, outcome)) => ended = ended.and(table(call, &outcome, &names, line.defaults)),
            Err(exit) => ended = Err(exit),
        }
    }
    ended
}

/// The settings, and with `defaults` what they are when nothing is stored.
fn table(
    call: &mut ToolCall<'_, '_>,
    outcome: &NvQueryOutcome,
    names: &[String],
    defaults: bool,
) -> Ended {
    call.print(&match defaults {
        true => format!("{:16}{:>36}{:>18}\n", "Configurations:", "Default", "Next Boot"),
        false => format!("{:16}{:>38}\n", "Configurations:", "Next Boot"),
    });
    let mut out = String::new();
    let mut differ = false;
    for entry in chosen(call, outcome, names)? {
        let changed = defaults && entry.next_boot != entry.default;
        differ |= changed;
        let star = if changed { "*" } else { " " };
        out.push_str(&format!("{star}        {:36}", entry.name));
        let default = defaults.then(|| shown(&entry.default_text));
        columns(&mut out, default.into_iter().chain([shown(&entry.next_boot_text)]));
    }
    if differ {
        out.push_str(
            "The '*' shows parameters with next value different from default/current value.\n",
        );
    }
    if defaults {
        out.push_str("Device Firmware does not support reading current configurations\n");
    }
    call.print(&out);
    Ok(())
}

/// mstconfig lists what is stored together at once, so of a port everything.
fn in_order(entries: &[NvEntry]) -> Vec<&NvEntry> {
    let place = |entry: &NvEntry| Parameter::named(&entry.name).map(Parameter::tlv);
    let same = |a: &NvEntry, b: &NvEntry| place(a).map(|p| p.kind) == place(b).map(|p| p.kind);
    let mut list = Vec::new();
    for group in entries.chunk_by(same) {
        let mut group: Vec<&NvEntry> = group.iter().collect();
        group.sort_by_key(|entry| place(entry).map(|place| place.port));
        list.extend(group);
    }
    list
}

/// The settings of these names in this order; without names all of the card.
fn chosen<'a>(
    call: &mut ToolCall<'_, '_>,
    outcome: &'a NvQueryOutcome,
    names: &[String],
) -> Ended<Vec<&'a NvEntry>> {
    if names.is_empty() {
        return Ok(in_order(&outcome.parameters));
    }
    let mut list = Vec::new();
    for name in names {
        match outcome.parameters.iter().find(|entry| entry.name == *name) {
            Some(entry) => list.push(entry),
            None => {
                let text = format!("Device doesn't support {name} configuration");
                return Err(call.fail(&text, ERROR));
            }
        }
    }
    Ok(list)
}

fn shown(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("N/A")
}

/// The values of a line, of which one that is too long is followed by a blank.
fn columns<'a>(out: &mut String, values: impl Iterator<Item = &'a str>) {
    let mut before = 0;
    for value in values {
        if before > 16 {
            out.push(' ');
        }
        out.push_str(&format!("{value:16}"));
        before = value.len();
    }
    out.push('\n');
}

fn set(call: &mut ToolCall<'_, '_>, words: &[String], card: &CardSelector) -> Ended {
    if words.is_empty() {
        return Err(usage(call, "missing configuration arguments."));
    }
    let wanted = settings(call, words)?;
    let (mut device, outcome) = asked(call, card, 1)?;
    let names: Vec<String> = wanted.iter().map(|(parameter, _)| parameter.name()).collect();
    call.print(&format!("{:16}{:>38}       New\n", "Configurations:", "Next Boot"));
    let mut out = String::new();
    for (entry, (parameter, new)) in chosen(call, &outcome, &names)?.into_iter().zip(&wanted) {
        out.push_str(&format!("         {:36}", entry.name));
        let new = parameter.show(*new);
        columns(&mut out, [shown(&entry.next_boot_text), new.as_str()].into_iter());
    }
    call.print(&out);
    ask(call, "Apply new Configuration?")?;
    call.print("Applying... ");
    let dir = job::default_backup_dir();
    let mut events = FlintProgress::new(&mut call.console, None);
    let done = job::nv_set(&mut device, &wanted, &dir, &mut |_, _| true, &mut events);
    applied(call, done.map(|_| ()), card)
}

fn reset(call: &mut ToolCall<'_, '_>, words: &[String], card: &CardSelector) -> Ended {
    if !words.is_empty() {
        let count = words.len();
        let text = format!("reset command expects no argument but {count} argument received");
        return Err(usage(call, &text));
    }
    let shown = escape::line(&card.to_string()).into_owned();
    ask(call, &format!("Reset configuration for device {shown}?"))?;
    let device = call.open(card);
    let mut device = device.map_err(|error| call.fail(&with_hint(&error, card), ERROR))?;
    call.print("Applying... ");
    let mut events = FlintProgress::new(&mut call.console, None);
    let done = events.write(&mut device, &WriteRequest::ConfigReset);
    applied(call, done.map(|_| ()), card)
}

fn ask(call: &mut ToolCall<'_, '_>, question: &str) -> Ended {
    if call.console.answer(&format!("\n {question} (y/n) [n] : ")) {
        return Ok(());
    }
    Err(call.fail("Aborted by user.", ABORTED))
}

fn applied(call: &mut ToolCall<'_, '_>, done: Result<(), JobError>, card: &CardSelector) -> Ended {
    let Err(error) = done else {
        call.print(AFTER);
        return Ok(());
    };
    call.print("Failed!\n");
    let exit = match error.outcome().exit {
        Exit::OutcomeUnknown => Exit::OutcomeUnknown.code(),
        _ => ERROR,
    };
    let mut text = with_hint(&error, card);
    if let Some(dir) = error.backup() {
        text.push_str(&format!("; the backup is in {}", escape::path(dir)));
    }
    Err(call.fail(&text, exit))
}
