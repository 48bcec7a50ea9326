//! What is wrong with a command's arguments and with flags that do not go together, in flint's words and
//! order (measured with 4.21).

use super::commands::Command;
use super::options::Line;

/// What flint finds wrong with the arguments and flags of a command before it opens anything.
pub(super) fn complaint(command: Command, line: &Line) -> Option<String> {
    let first = line.args.first().map(String::as_str);
    let unknown = |word: &str, name: &str, known: &str| {
        format!("-E- Unknown option \"{word}\" for the \"{name}\" command. you can use {known}.\n")
    };
    match (command, first) {
        (Command::Query, Some(word)) if word != "full" => Some(unknown(word, "query", "full")),
        (Command::Verify, Some(word)) if word != "showitoc" => {
            Some(unknown(word, "verify", "showitoc"))
        }
        (Command::Hw, Some(word)) if word != "query" => Some(unknown(word, "Hw", "query")),
        (Command::SetGuids, Some(word)) if word != "nocrc" => {
            let more = line
                .args
                .get(1)
                .map(|_| format!("-E- Invalid argument \"{word}\"\n"));
            Some(format!(
                "{}-E- The sg parameter should be \"nocrc\", \"guids_num=<num> step_size=<size>\" or nothing\n",
                more.unwrap_or_default()
            ))
        }
        (Command::SetGuids, _) => set_guids(line),
        (Command::Burn, _) => burn(line),
        (Command::BinaryCompare, _) if line.count != if line.silent { 3 } else { 2 } => Some(
            "The binary comparison command doesn't accept any flags, except device, image and silent mode.\n".into(),
        ),
        (Command::SetVsd, _) if line.burn.vsd.is_none() => {
            Some("-E- For sv command, Please specify \"-vsd\".\n".into())
        }
        (Command::Timestamp, Some(word)) => timestamp(word, line),
        (Command::ReadWord, Some(word)) => address(word).err(),
        (Command::ReadBlock, Some(word)) => address(word).err().or_else(|| size(line).err()),
        _ => None,
    }
}

/// `ts`. No FS2 image has a time stamp; flint looks at what it is told to set all the same.
fn timestamp(word: &str, line: &Line) -> Option<String> {
    let text = match (word, line.args.len()) {
        ("query", 1) | ("reset", 1) => return None,
        ("query", _) => "query operation requires no arguments.\n",
        ("reset", _) => "erase operation requires no arguments.\n",
        ("set", count) if line.image.is_some() && count > 2 => {
            "too many arguments for set operation on image.\n"
        }
        ("set", count) if line.device.is_some() && count != 3 => {
            "set operation on device requires timestamp and FW version arguments.\n\n"
        }
        ("set", _) => match line.args.get(1) {
            Some(stamp) if !stamp.ends_with('Z') => {
                "Failed to parse timestamp: Timestamp timezone must be UTC. format should be: YYYY-MM-DDThh:mm:ssZ\n"
            }
            Some(stamp) if !stamp.starts_with(|c: char| c.is_ascii_digit()) => {
                "Failed to parse timestamp: input should be compliant to the following ISO 8601 format: \
                 YYYY-MM-DDThh:mm:ssZ\n"
            }
            _ => return None,
        },
        _ => "Unknown operation, allowed operations: query/set/reset.\n",
    };
    Some(format!("-E- {text}"))
}

/// `-d` and `-striped_image`.
pub(super) fn striped_card(line: &Line) -> Option<String> {
    (line.device.is_some() && line.striped).then(|| with("-device", "-striped_image"))
}

fn with(one: &str, other: &str) -> String {
    format!("-E- Cannot specify \"{one}\" flag with \"{other}\" flag.\n")
}

fn specify(command: &str, what: &str) -> String {
    format!("-E- For {command} command, Please specify {what}.\n")
}

/// Two flags for one thing.
fn twice(line: &Line) -> Option<String> {
    let given = line.given;
    if given.guid && given.guids {
        Some(with("-guids", "-guid"))
    } else if given.mac && given.macs {
        Some(with("-macs", "-mac"))
    } else {
        None
    }
}

/// `sg`.
fn set_guids(line: &Line) -> Option<String> {
    let given = line.given;
    let (guids, macs) = (given.guid || given.guids, given.mac || given.macs);
    if !guids && !macs && !given.uid {
        let what = "GUIDs / MACs / UID (using command line flags -guid(s) / -mac(s) / -uid)";
        return Some(specify("sg", what));
    }
    let mixed = match (guids, macs) {
        (true, _) => Some("either GUIDs / UIDs (using command line flags -guid(s) / -uid)"),
        (false, true) => Some("either MACs / UIDs (using command line flags -mac(s) / -uid)"),
        (false, false) => None,
    };
    mixed
        .filter(|_| given.uid)
        .map(|what| specify("sg", what))
        .or_else(|| twice(line))
}

/// `burn` (docs/fs2.md#guid-flags).
fn burn(line: &Line) -> Option<String> {
    let (given, flags) = (line.given, &line.burn);
    let (guids, macs) = (given.guid || given.guids, given.mac || given.macs);
    let ids = guids || macs || given.uid;
    let cable = |what: &str| {
        specify(
            "burn",
            &format!("Flags {what} relevant only for cable components."),
        )
    };
    if line.cable.place {
        return Some(cable("'cable_device_size'/'cable_device_index'"));
    }
    if line.cable.way {
        return Some(cable("'activate'/'download_transfer'/'activate_delay_sec'"));
    }
    if guids && given.uid {
        let what = "either GUIDs / UID (using command line flags -guid(s) / -uid )";
        return Some(specify("burn", what));
    }
    if macs && given.uid {
        let what = "either MACs / UID (using command line flags -mac(s) / -uid )";
        return Some(specify("burn", what));
    }
    if ids && flags.use_image_guids {
        return Some(with("GUIDs/UIDs/MACs", "-use_image_guids"));
    }
    if flags.blank_guids && flags.use_image_guids {
        return Some(with("-use_image_guids", "-blank_guids"));
    }
    if flags.blank_guids && ids {
        return Some(with("GUIDs/UIDs/MACs", "-blank_guids"));
    }
    if let Some(text) = twice(line) {
        return Some(text);
    }
    if flags.use_image_ps && flags.vsd.is_some() {
        return Some(with("-use_image_ps", "-vsd"));
    }
    if line.ignore_dev_data && !flags.nofs {
        return Some(
            "-E- \"-nofs\" flag must be specified with \"-ignore_dev_data\" flag.\n".into(),
        );
    }
    (line.use_dev_rom && flags.use_image_rom).then(|| with("--use_dev_rom", "--use_image_rom"))
}

/// Decimal, octal after `0`, hexadecimal after `0x`, as `strtoul` with base 0.
pub(super) fn number(text: &str) -> Option<u32> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u32::from_str_radix(hex, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u32::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

fn address(word: &str) -> Result<u32, String> {
    number(word).ok_or_else(|| format!("-E- Invalid address \"{word}\"\n"))
}

pub(super) fn size(line: &Line) -> Result<u32, String> {
    let word = line.args.get(1).map_or("", String::as_str);
    number(word)
        .filter(|n| n % 4 == 0)
        .ok_or_else(|| format!("-E- Invalid size \"{word}\", Length should be 4-bytes aligned.\n"))
}
