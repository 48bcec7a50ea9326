//! flint's flags. It splits the command line at the first word that names a command; what stands
//! before are flags, in the manner of getopt_long_only: one dash or two, any unambiguous beginning,
//! values behind `=` or as the next word (measured with 4.21).

use crate::cli::flint::card_burn::BurnFlags;
use crate::cli::flint::card_ids::Ids;
use crate::cli::flint::commands::{self, Row};
use crate::image::{Guid, Mac};
use std::path::PathBuf;

/// A command line, understood.
#[derive(Clone, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are flags of a command line"
)]
pub(super) struct Line {
    pub(super) device: Option<String>,
    pub(super) image: Option<PathBuf>,
    pub(super) yes: bool,
    pub(super) no: bool,
    pub(super) silent: bool,
    pub(super) quick: bool,
    pub(super) striped: bool,
    pub(super) clear_semaphore: bool,
    pub(super) only_version: bool,
    pub(super) allow_rom_change: bool,
    pub(super) uid: bool,
    /// Two flags for one thing, in flint's words; it minds only where they are used.
    pub(super) twice: Option<String>,
    pub(super) cache_override: bool,
    pub(super) log: Option<PathBuf>,
    pub(super) burn: BurnFlags,
    /// Flags whose promise we do not make, as typed in flint's long form.
    pub(super) refused: Vec<&'static str>,
    pub(super) command: Option<&'static Row>,
    pub(super) args: Vec<String>,
}

/// What else a command line may come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Help was asked for.
    Help,
    /// The version was asked for.
    Version,
    /// flint's words on stdout, and its help after them.
    Usage { stdout: String, stderr: String },
    /// flint's words on stdout.
    Said(String),
}

/// Every flag of 4.21: name, number of values.
const FLAGS: &[(&str, usize)] = &[
    ("device", 1),
    ("image", 1),
    ("latest_fw", 0),
    ("ir", 0),
    ("help", 0),
    ("hh", 0),
    ("yes", 0),
    ("no", 0),
    ("guid", 1),
    ("guids", 4),
    ("mac", 1),
    ("macs", 2),
    ("uid", 1),
    ("blank_guids", 0),
    ("clear_semaphore", 0),
    ("qq", 0),
    ("low_cpu", 0),
    ("flashed_version", 0),
    ("next_boot_fw_ver", 0),
    ("nofs", 0),
    ("allow_rom_change", 0),
    ("allow_psid_change", 0),
    ("override_cache_replacement", 0),
    ("ocr", 0),
    ("no_flash_verify", 0),
    ("use_fw", 0),
    ("silent", 0),
    ("vsd", 1),
    ("use_image_ps", 0),
    ("use_image_guids", 0),
    ("use_image_rom", 0),
    ("use_dev_rom", 0),
    ("ignore_dev_data", 0),
    ("no_fw_ctrl", 0),
    ("dual_image", 0),
    ("striped_image", 0),
    ("banks", 1),
    ("log", 1),
    ("flash_params", 3),
    ("version", 0),
    ("psid", 1),
    ("no_devid_check", 0),
    ("ignore_crc_check", 0),
];

/// Flags of one letter, and what they stand for.
const SHORT: &[(char, &str)] = &[
    ('d', "device"),
    ('i', "image"),
    ('h', "help"),
    ('y', "yes"),
    ('s', "silent"),
    ('v', "version"),
];

/// The name the reference and users know it by; 4.21 itself has no such flag.
const ALIASES: &[(&str, &str)] = &[("apc", "allow_psid_change")];

/// Understand a command line.
pub(super) fn parse(words: &[String]) -> Result<Line, Wrong> {
    let at = words.iter().position(|w| commands::named(w).is_some());
    let (flags, rest) = words.split_at(at.unwrap_or(words.len()));
    let (name, args) = rest.split_first().unzip();
    let args = args.unwrap_or_default();
    let command = name.and_then(|n| commands::named(n));
    if args.iter().any(|a| a.starts_with('-')) {
        return Err(Wrong::Usage {
            stdout: "Specifying options flags after command is not allowed.\n\n".into(),
            stderr: String::new(),
        });
    }
    if flags.first().is_none_or(|f| !f.starts_with('-')) && command.is_none() {
        return Err(Wrong::Said("No options found. \n".into()));
    }
    let mut line = Line {
        command,
        args: args.to_vec(),
        ..Line::default()
    };
    let stray = read_flags(flags, &mut line)?;
    match (command, stray.last()) {
        (None, Some(word)) => Err(Wrong::Usage {
            stdout: format!("Invalid command: {word}\n"),
            stderr: String::new(),
        }),
        (None, None) if !line.clear_semaphore => Err(Wrong::Said("No command found.\n".into())),
        (Some(_), Some(_)) => Err(Wrong::Said(format!(
            "-E- Found some non-option ARGV-elements {} \n",
            stray.join(" ")
        ))),
        _ => Ok(line),
    }
}

/// Words that are neither flags nor values of flags are given back.
fn read_flags(words: &[String], line: &mut Line) -> Result<Vec<String>, Wrong> {
    let mut stray = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            stray.extend(words.cloned());
            break;
        }
        let Some(typed) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            stray.push(word.clone());
            continue;
        };
        let (name, glued) = find(typed)?;
        let (name, count) = name;
        let mut values: Vec<String> = glued.into_iter().collect();
        if count == 1 && values.is_empty() {
            values.extend(words.next_if(|w| !w.is_empty()).cloned());
            if values.is_empty() {
                return Err(missing(typed));
            }
        } else if count > 1 {
            while let Some(more) = words.next_if(|w| !w.starts_with('-')) {
                values.push(more.clone());
            }
            values = values
                .iter()
                .flat_map(|v| v.split(','))
                .filter(|v| !v.is_empty())
                .map(str::to_owned)
                .collect();
            if values.len() != count {
                let how = if values.len() < count { "few" } else { "many" };
                return Err(Wrong::Said(format!(
                    "Too {how} arguments. Expected: {count} , Received: {}\n-E- Failed to handle option {name}\n",
                    values.len()
                )));
            }
        }
        set(line, name, &values)?;
    }
    Ok(stray)
}

type Flag = (&'static str, usize);

/// The flag a word names, and the value behind its `=` (or behind a single letter).
fn find(typed: &str) -> Result<(Flag, Option<String>), Wrong> {
    let two = typed.strip_prefix('-');
    let (name, value) = match two.unwrap_or(typed).split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (two.unwrap_or(typed), None),
    };
    let alias = ALIASES.iter().find(|(a, _)| *a == name).map(|(_, n)| *n);
    let name = alias.unwrap_or(name);
    let short = |letter: char| {
        let long = SHORT.iter().find(|(s, _)| *s == letter)?.1;
        FLAGS.iter().find(|(n, _)| *n == long).copied()
    };
    let mut letters = name.chars();
    let first = letters.next();
    if two.is_none() && letters.clone().next().is_none() {
        return match first.and_then(short) {
            Some(flag) => Ok((flag, value)),
            None => by_beginning(name, value)?.ok_or_else(|| unknown(typed)),
        };
    }
    if let Some(found) = by_beginning(name, value)? {
        return Ok(found);
    }
    match first.and_then(short) {
        Some(flag) if two.is_none() && flag.1 == 1 => Ok((flag, Some(letters.as_str().to_owned()))),
        _ => Err(unknown(typed)),
    }
}

fn by_beginning(
    name: &str,
    value: Option<String>,
) -> Result<Option<(Flag, Option<String>)>, Wrong> {
    if let Some(flag) = FLAGS.iter().find(|(n, _)| *n == name) {
        return Ok(Some((*flag, value)));
    }
    let mut all = FLAGS.iter().filter(|(n, _)| n.starts_with(name));
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(flag), None) => Ok(Some((*flag, value))),
        (Some(_), Some(_)) => Err(Wrong::Usage {
            stdout: String::new(),
            stderr: format!("option `-{name}' is ambiguous\n"),
        }),
    }
}

fn unknown(typed: &str) -> Wrong {
    Wrong::Usage {
        stdout: String::new(),
        stderr: format!("unrecognized option `-{typed}'\n"),
    }
}

fn missing(typed: &str) -> Wrong {
    let stderr = if typed.chars().count() == 1 {
        format!("option requires an argument -- {typed}\n")
    } else {
        format!("option `-{typed}' requires an argument\n")
    };
    Wrong::Usage {
        stdout: String::new(),
        stderr,
    }
}

fn set(line: &mut Line, name: &'static str, values: &[String]) -> Result<(), Wrong> {
    let first = values.first().cloned().unwrap_or_default();
    match name {
        "device" => line.device = Some(first),
        "image" => line.image = Some(PathBuf::from(first)),
        "help" | "hh" => return Err(Wrong::Help),
        "version" => return Err(Wrong::Version),
        "yes" => line.yes = true,
        "no" => line.no = true,
        "silent" => line.silent = true,
        "qq" => line.quick = true,
        "flashed_version" | "next_boot_fw_ver" => line.only_version = true,
        "striped_image" => line.striped = true,
        "clear_semaphore" => line.clear_semaphore = true,
        "allow_rom_change" => line.allow_rom_change = true,
        "override_cache_replacement" | "ocr" => line.cache_override = true,
        "log" => line.log = Some(PathBuf::from(first)),
        "nofs" => line.burn.nofs = true,
        "allow_psid_change" => line.burn.allow_psid_change = true,
        "use_image_ps" => line.burn.use_image_ps = true,
        "use_image_guids" => line.burn.use_image_guids = true,
        "use_image_rom" => line.burn.use_image_rom = true,
        "blank_guids" => line.burn.blank_guids = true,
        "vsd" => line.burn.vsd = Some(first),
        "banks" if first.parse::<u32>().is_err() => {
            return Err(Wrong::Said("-E- Failed to handle option banks\n".into()));
        }
        "guid" | "guids" | "mac" | "macs" | "uid" => return numbers(line, name, values),
        "no_devid_check" | "ignore_crc_check" => line.refused.push(name),
        // Without meaning for these cards, or what we do anyway (`-no_flash_verify`: every byte is read
        // back all the same).
        _ => {}
    }
    Ok(())
}

/// `-guid(s)`, `-mac(s)`, `-uid`.
fn numbers(line: &mut Line, name: &'static str, values: &[String]) -> Result<(), Wrong> {
    let mut parsed = Vec::new();
    for text in values {
        let number = number(text).map_err(|why| {
            Wrong::Said(format!(
                "-E- Invalid Guid/Mac/Uid syntax ({text}) {why} \n-E- Failed to handle option {name}\n"
            ))
        })?;
        parsed.push(number);
    }
    let Ids { guids, macs } = &mut line.burn.ids;
    let other = match name {
        "guid" if guids.is_some() => Some("guids"),
        "guids" if guids.is_some() => Some("guid"),
        "mac" if macs.is_some() => Some("macs"),
        "macs" if macs.is_some() => Some("mac"),
        _ => None,
    };
    if let Some(other) = other {
        line.twice = Some(format!(
            "-E- Cannot specify \"-{name}\" flag with \"-{other}\" flag.\n"
        ));
    }
    match (name, parsed.as_slice()) {
        ("guid", [base]) => *guids = Some([0, 1, 2, 3].map(|n| Guid(base.wrapping_add(n)))),
        ("guids", [a, b, c, d]) => *guids = Some([*a, *b, *c, *d].map(Guid)),
        ("mac", [base]) => *macs = Some([0, 1].map(|n| Mac(base.wrapping_add(n)))),
        ("macs", [a, b]) => *macs = Some([*a, *b].map(Mac)),
        _ => line.uid = true,
    }
    Ok(())
}

/// Hexadecimal with or without `0x`; the error is the text flint shows.
fn number(text: &str) -> Result<u64, &'static str> {
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err("");
    }
    u64::from_str_radix(digits, 16).map_err(|_| "Numerical result out of range")
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
