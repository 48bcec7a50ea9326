//! flint's flags. It splits the command line at the first word that names a command; what stands
//! before are flags, in the manner of getopt_long_only: one dash or two, any unambiguous beginning,
//! values behind `=` or as the next word (measured with 4.21).

use crate::flint::card_burn::BurnFlags;
use crate::flint::card_ids::Ids;
use crate::flint::commands::Row;
use crate::flint::getopt::{self, Found, NoCommand, Values};
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
    /// How many flags there are, as flint counts them: `-qq` is two.
    pub(super) count: usize,
    pub(super) given: Given,
    pub(super) cable: Cable,
    pub(super) ignore_dev_data: bool,
    pub(super) use_dev_rom: bool,
    pub(super) cache_override: bool,
    pub(super) use_fw: bool,
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
    /// flint's words on stdout, its help after them, and what it says after that.
    Usage {
        stdout: String,
        stderr: String,
        after: &'static str,
    },
    /// flint's words on stdout.
    Said(String),
}

/// Which of the flags for GUIDs and MACs were given; flint minds some combinations, and only where it
/// uses them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are flags of a command line"
)]
pub(super) struct Given {
    pub(super) guid: bool,
    pub(super) guids: bool,
    pub(super) mac: bool,
    pub(super) macs: bool,
    pub(super) uid: bool,
}

/// Flags for the cables of later generations; `burn` minds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cable {
    /// Which ones.
    pub(super) place: bool,
    /// What is to be done with them.
    pub(super) way: bool,
}

/// Understand a command line.
pub(super) fn parse(words: &[String]) -> Result<Line, Wrong> {
    let split = getopt::split(words).map_err(|getopt::FlagBehind| Wrong::Usage {
        stdout: "Specifying options flags after command is not allowed.\n\n".into(),
        stderr: String::new(),
        after: "",
    })?;
    let mut line = Line::default();
    match split.command {
        Some((row, args)) => {
            line.command = Some(row);
            line.args = args.to_vec();
        }
        None => without_command(words)?,
    }
    read(&getopt::join(split.flags), &mut line)?;
    match (line.command, line.clear_semaphore) {
        (None, false) => Err(Wrong::Said("No command found.\n".into())),
        (Some(_), true) => Err(Wrong::Said(
            "No command is allowed when -clear_semaphore flag is given.\n".into(),
        )),
        _ if line.use_fw && line.cache_override => Err(Wrong::Said(
            "-E- flags --use_fw and --override_cache_replacement/-ocr cannot be specified simultaneously"
                .into(),
        )),
        _ => Ok(line),
    }
}

fn without_command(words: &[String]) -> Result<(), Wrong> {
    match getopt::without_command(words) {
        None => Ok(()),
        Some(NoCommand::NoFlags) => Err(Wrong::Said("No options found. \n".into())),
        Some(NoCommand::Unknown(word)) => Err(Wrong::Usage {
            stdout: format!("Invalid command: {word}\n"),
            stderr: String::new(),
            after: "",
        }),
    }
}

/// Take the flags in; what is wrong with the first wrong one ends it.
fn read(words: &[String], line: &mut Line) -> Result<(), Wrong> {
    let mut stray = String::new();
    for found in getopt::read(words) {
        match found {
            Found::Flag {
                name,
                values,
                value,
            } => {
                count(values, value)
                    .and_then(|()| set(line, name, value))
                    .map_err(|wrong| wrong.of_flag(name))?;
                line.count += if name == "qq" { 2 } else { 1 };
            }
            Found::Word(word) => {
                stray.push_str(word);
                stray.push(' ');
            }
            Found::Bad(why) => {
                return Err(Wrong::Usage {
                    stdout: String::new(),
                    stderr: format!("{why}\n"),
                    after: "-E- Bad input parameter\n",
                });
            }
        }
    }
    if stray.is_empty() {
        return Ok(());
    }
    Err(Wrong::Said(format!(
        "-E- Found some non-option ARGV-elements {stray}\n"
    )))
}

impl Wrong {
    /// flint adds which flag it was.
    fn of_flag(self, name: &str) -> Self {
        match self {
            Self::Said(text) => Self::Said(format!("{text}-E- Failed to handle option {name}\n")),
            other => other,
        }
    }
}

/// Are there as many values as the flag takes?
fn count(values: Values, value: &str) -> Result<(), Wrong> {
    let given = if value.is_empty() {
        0
    } else {
        value.matches(',').count() + 1
    };
    let (expected, least) = match values {
        Values::Any => return Ok(()),
        Values::Some if given >= 1 => return Ok(()),
        Values::Some => (1, " at least"),
        Values::Exactly(expected) if given == expected => return Ok(()),
        Values::Exactly(expected) => (expected, ""),
    };
    let how = if given < expected { "few" } else { "many" };
    Err(Wrong::Said(format!(
        "Too {how} arguments. Expected{least}: {expected} , Received: {given}\n"
    )))
}

/// A flag whose value is wrong, without a word of flint's about it.
fn bad() -> Wrong {
    Wrong::Said(String::new())
}

fn out_of_range(text: &str) -> Wrong {
    Wrong::Said(format!("{text}\n"))
}

fn set(line: &mut Line, name: &'static str, value: &str) -> Result<(), Wrong> {
    match name {
        "device" => line.device = Some(value.to_owned()),
        "image" => line.image = Some(PathBuf::from(value)),
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
        "use_fw" => line.use_fw = true,
        "log" => line.log = Some(PathBuf::from(value)),
        "nofs" => line.burn.nofs = true,
        "allow_psid_change" => line.burn.allow_psid_change = true,
        "use_image_ps" => line.burn.use_image_ps = true,
        "use_image_guids" => line.burn.use_image_guids = true,
        "use_image_rom" => line.burn.use_image_rom = true,
        "blank_guids" => line.burn.blank_guids = true,
        "vsd" => line.burn.vsd = Some(value.to_owned()),
        "guid" | "guids" | "mac" | "macs" | "uid" => return numbers(line, name, value),
        "ignore_dev_data" => line.ignore_dev_data = true,
        "use_dev_rom" => line.use_dev_rom = true,
        "no_devid_check" | "ignore_crc_check" | "linkx" | "cc" | "ir" => line.refused.push(name),
        "activate" | "download_transfer" => line.cable.way = true,
        // What follows is without meaning for these cards, or what we do anyway (`-no_flash_verify`:
        // every byte is read back all the same); flint looks at some of the values.
        "banks" | "activate_delay_sec" => match whole(value) {
            None => return Err(bad()),
            Some(seconds) if name == "activate_delay_sec" && !(0..=255).contains(&seconds) => {
                return Err(out_of_range(
                    "Activation_delay_sec should be between 0 and 255.",
                ));
            }
            Some(seconds) if name == "activate_delay_sec" => line.cable.way |= seconds != 1,
            Some(_) => {}
        },
        "flash_params" => {
            let parts: Vec<&str> = value.split(',').filter(|p| !p.is_empty()).collect();
            let [_, log2, count] = parts.as_slice() else {
                return Err(bad());
            };
            whole(log2).and(whole(count)).ok_or_else(bad)?;
        }
        "downstream_device_id_start_index" => {
            whole(value).filter(|n| *n >= 0).ok_or_else(bad)?;
            line.cable.place = true;
        }
        "num_of_downstream_devices" => {
            if !(1..=255).contains(&whole(value).ok_or_else(bad)?) {
                return Err(out_of_range("Cable size should be between 1 and 255."));
            }
            line.cable.place = true;
        }
        "cert_chain_index" => {
            let index = whole(value).ok_or_else(bad)?;
            if !(0..=7).contains(&index) {
                return Err(out_of_range(
                    "certificate chain index should be between 0 and 7.",
                ));
            }
        }
        "downstream_device_ids" if value != "all" => {
            for id in value.strip_suffix(',').unwrap_or(value).split(',') {
                if !(0..=255).contains(&whole(id).ok_or_else(bad)?) {
                    return Err(out_of_range("Index value should be between 0 and 255."));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// `-guid(s)`, `-mac(s)`, `-uid`.
fn numbers(line: &mut Line, name: &'static str, value: &str) -> Result<(), Wrong> {
    let texts: Vec<&str> = match name {
        "guids" | "macs" => value.split(',').filter(|t| !t.is_empty()).collect(),
        _ => vec![value],
    };
    let wanted = match name {
        "guids" => 4,
        "macs" => 2,
        _ => 1,
    };
    if texts.len() != wanted {
        return Err(bad());
    }
    let mut parsed = Vec::new();
    for text in texts {
        let number = number(text).map_err(|why| {
            Wrong::Said(format!("-E- Invalid Guid/Mac/Uid syntax ({text}) {why} \n"))
        })?;
        parsed.push(number);
    }
    let Ids { guids, macs } = &mut line.burn.ids;
    let given = &mut line.given;
    match (name, parsed.as_slice()) {
        ("guid", [base]) => {
            given.guid = true;
            *guids = Some([0, 1, 2, 3].map(|n| Guid(base.wrapping_add(n))));
        }
        ("guids", [a, b, c, d]) => {
            given.guids = true;
            *guids = Some([*a, *b, *c, *d].map(Guid));
        }
        ("mac", [base]) => {
            given.mac = true;
            *macs = Some([0, 1].map(|n| Mac(base.wrapping_add(n))));
        }
        ("macs", [a, b]) => {
            given.macs = true;
            *macs = Some([*a, *b].map(Mac));
        }
        _ => given.uid = true,
    }
    Ok(())
}

/// Hexadecimal with or without `0x`, as `strtoull` takes it, a sign included; the error is the text
/// flint shows.
fn number(text: &str) -> Result<u64, &'static str> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
        .unwrap_or(digits);
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err("");
    }
    let number = u64::from_str_radix(digits, 16).map_err(|_| "Numerical result out of range")?;
    Ok(if negative {
        number.wrapping_neg()
    } else {
        number
    })
}

/// Decimal, octal after `0`, hexadecimal after `0x`, as `strtol` with base 0.
fn whole(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let number = match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(hex), _) => i64::from_str_radix(hex, 16),
        (None, Some(octal)) if !octal.is_empty() => i64::from_str_radix(octal, 8),
        _ => lower.parse(),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    number.ok().map(|n| n * sign)
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
