//! flint's flags: one table with the number of values and the effect of each (measured with mstflint
//! 4.21).

use super::ids::Ids;
use crate::escape;
use crate::image::{Guid, Mac};
use crate::job::CardSelector;
use std::path::PathBuf;

/// A command line of flint.
#[derive(Clone, Debug, Default)]
pub(super) struct Invocation {
    /// Names of the command.
    pub(super) command: Option<&'static [&'static str]>,
    pub(super) args: Vec<String>,
    /// Every flag, in order.
    given: Vec<&'static Flag>,
    pub(super) device: Option<CardSelector>,
    pub(super) image: Option<PathBuf>,
    pub(super) log: Option<PathBuf>,
    pub(super) ids: Ids,
    /// The text for the first GUID or MAC that has not exactly 16 or 12 digits.
    pub(super) inexact_id: Option<String>,
    pub(super) vsd: Option<String>,
    /// `-activate_delay_sec` with another value than 1.
    pub(super) cable_delay: bool,
}

/// Why no command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GrammarError {
    Help,
    Version,
    /// flint prints its help between `stdout` and `after`.
    Usage {
        stdout: String,
        stderr: String,
        after: &'static str,
    },
    /// Text on stdout.
    Text(String),
}

use GrammarError::Text;

pub(super) type Checked = Result<(), GrammarError>;

/// A row of the table of flags.
#[derive(Debug)]
pub(super) struct Flag {
    /// Long name.
    pub(super) name: &'static str,
    pub(super) letter: Option<char>,
    pub(super) values: ValueCount,
    effect: FlagEffect,
}

/// How many values, separated by commas, flint accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueCount {
    Exactly(usize),
    AtLeastOne,
    Uncounted,
}

/// What a flag does beside being given.
#[derive(Debug)]
enum FlagEffect {
    Nothing,
    Text(fn(&mut Invocation, &str)),
    /// A number in a range; the text for one outside of it.
    Number(i64, i64, &'static str),
    Checked(fn(&mut Invocation, &str) -> Checked),
    /// flint accepts it and we refuse it: the reason, and the commands that refuse it. The others
    /// ignore it, as flint's do. No commands: all of them.
    Refused(&'static str, &'static [&'static str]),
}

const fn flag(name: &'static str, values: ValueCount, effect: FlagEffect) -> Flag {
    Flag { name, letter: None, values, effect }
}

/// A flag that commands ask for with [`Invocation::has`]; or one without meaning for these cards, or
/// for what is done anyway (`-no_flash_verify`: every byte is read back all the same).
const fn plain(name: &'static str, count: usize) -> Flag {
    flag(name, ValueCount::Exactly(count), FlagEffect::Nothing)
}

const fn checked(
    name: &'static str,
    count: usize,
    set: fn(&mut Invocation, &str) -> Checked,
) -> Flag {
    flag(name, ValueCount::Exactly(count), FlagEffect::Checked(set))
}

const fn number(name: &'static str, least: i64, most: i64, error: &'static str) -> Flag {
    let effect = FlagEffect::Number(least, most, error);
    flag(name, ValueCount::Exactly(1), effect)
}

impl Flag {
    const fn letter(mut self, letter: char) -> Self {
        self.letter = Some(letter);
        self
    }

    pub(super) fn takes_value(&self) -> bool {
        self.values != ValueCount::Exactly(0)
    }
}

const DAMAGED: &str =
    "a damaged image is never burned; `cx3flash verify IMAGE` reports where it is damaged";
const SILICON: &str = "an image for other silicon bricks the card; `cx3flash plan IMAGE` reports which check \
                       refuses and why";
const NOT_HERE: &str = "cables and cards of later generations have it, these cards do not";
const CHANGING: &[&str] = &["burn", "sg", "sv", "brom"];

/// Every flag of 4.21, the undocumented ones included: abbreviations depend on all of them.
pub(super) const FLAGS: &[Flag] = {
    use FlagEffect::{Refused, Text};
    use ValueCount::{AtLeastOne, Exactly, Uncounted};
    &[
        flag("device", Uncounted, Text(|i, v| i.device = v.parse().ok())).letter('d'),
        flag("image", Uncounted, Text(|i, v| i.image = Some(v.into()))).letter('i'),
        plain("latest_fw", 0),
        flag("ir", Exactly(0), Refused(NOT_HERE, &["burn"])),
        checked("help", 0, |_, _| Err(GrammarError::Help)).letter('h'),
        checked("hh", 0, |_, _| Err(GrammarError::Help)),
        plain("yes", 0).letter('y'),
        plain("no", 0),
        checked("guid", 1, |i, v| {
            let [base] = i.id_numbers(16, [v].into_iter())?;
            i.ids.guids = Some([0, 1, 2, 3].map(|n| Guid(base.wrapping_add(n))));
            Ok(())
        }),
        checked("guids", 4, |i, v| {
            i.ids.guids = Some(i.id_numbers(16, listed(v))?.map(Guid));
            Ok(())
        }),
        checked("mac", 1, |i, v| {
            let [base] = i.id_numbers(12, [v].into_iter())?;
            i.ids.macs = Some([0, 1].map(|n| Mac(base.wrapping_add(n))));
            Ok(())
        }),
        checked("macs", 2, |i, v| {
            i.ids.macs = Some(i.id_numbers(12, listed(v))?.map(Mac));
            Ok(())
        }),
        checked("uid", 1, |i, v| i.id_numbers::<1>(16, [v].into_iter()).map(|_| ())),
        plain("blank_guids", 0),
        plain("clear_semaphore", 0),
        plain("qq", 0),
        plain("low_cpu", 0),
        plain("next_boot_fw_ver", 0),
        plain("flashed_version", 0),
        plain("nofs", 0),
        plain("allow_psid_change", 0),
        plain("allow_rom_change", 0),
        plain("override_cache_replacement", 0),
        plain("no_flash_verify", 0),
        plain("use_fw", 0),
        plain("silent", 0).letter('s'),
        flag("vsd", Uncounted, Text(|i, v| i.vsd = Some(v.into()))),
        plain("use_image_ps", 0),
        plain("use_image_guids", 0),
        plain("use_image_rom", 0),
        plain("use_dev_rom", 0),
        plain("ignore_dev_data", 0),
        plain("no_fw_ctrl", 0),
        plain("use_dev_img_info", 0),
        flag("ignore_crc_check", Exactly(0), Refused(DAMAGED, CHANGING)),
        plain("hexdump_format", 0),
        plain("dual_image", 0),
        plain("striped_image", 0),
        number("banks", i64::MIN, i64::MAX, ""),
        flag("log", Exactly(1), Text(|i, v| i.log = Some(v.into()))),
        checked("flash_params", 3, |_, v| match listed(v).collect::<Vec<_>>()[..] {
            [_, log2, count] => integer(log2).and(integer(count)).map(|_| ()),
            _ => Err(wrong_value()),
        }),
        checked("version", 0, |_, _| Err(GrammarError::Version)).letter('v'),
        flag("no_devid_check", Exactly(0), Refused(SILICON, CHANGING)),
        plain("skip_ci_req", 0),
        plain("ocr", 0),
        plain("hsm", 0),
        plain("private_key", 1),
        plain("public_key", 1),
        plain("key_uuid", 1),
        plain("private_key2", 1),
        plain("hmac_key", 1),
        plain("key_uuid2", 1),
        plain("psid", 1),
        flag("cc", Exactly(1), Refused(NOT_HERE, &[])),
        flag("linkx", Exactly(0), Refused(NOT_HERE, &[])),
        number("downstream_device_id_start_index", 0, i64::MAX, ""),
        number("num_of_downstream_devices", 1, 255, CABLES),
        plain("linkx_auto_update", 0),
        plain("activate", 0),
        checked("activate_delay_sec", 1, |i, v| {
            i.cable_delay |= ranged(v, 0, 255, DELAY)? != 1;
            Ok(())
        }),
        plain("download_transfer", 0),
        flag("downstream_device_ids", AtLeastOne, FlagEffect::Checked(cable_ids)),
        plain("public_key_label", 1),
        plain("private_key_label", 1),
        plain("openssl_engine", 1),
        plain("openssl_key_id", 1),
        flag("output_file", Uncounted, Text(|_, _| ())),
        plain("user_password", 1),
        number("cert_chain_index", 0, 7, CERTIFICATE),
    ]
};

const DELAY: &str = "Activation_delay_sec should be between 0 and 255.\n";
const CABLES: &str = "Cable size should be between 1 and 255.\n";
const CERTIFICATE: &str = "certificate chain index should be between 0 and 7.\n";

fn cable_ids(_: &mut Invocation, value: &str) -> Checked {
    if value == "all" {
        return Ok(());
    }
    let mut ids = value.strip_suffix(',').unwrap_or(value).split(',');
    let error = "Index value should be between 0 and 255.\n";
    ids.try_for_each(|id| ranged(id, 0, 255, error).map(|_| ()))
}

fn ranged(value: &str, least: i64, most: i64, error: &str) -> Result<i64, GrammarError> {
    let number = integer(value)?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(Text(error.to_owned())) }
}

/// Names that 4.21 does not know: one of flint's own messages uses it, newer versions have it.
pub(super) const ALIASES: &[(&str, &str)] = &[("apc", "allow_psid_change")];

impl Invocation {
    /// Whether the command is the one with this name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.command.is_some_and(|names| names.contains(&name))
    }

    /// Argument number `index`; empty when there is none.
    pub(super) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    /// Whether a flag was given; by its long name, which is in the table.
    pub(super) fn has(&self, name: &str) -> bool {
        debug_assert!(FLAGS.iter().any(|flag| flag.name == name), "{name}");
        self.given.iter().any(|flag| flag.name == name)
    }

    /// The numbers that flint takes these texts for. Notes the first one that has not exactly `digits` digits.
    fn id_numbers<'a, const N: usize>(
        &mut self,
        digits: usize,
        texts: impl Iterator<Item = &'a str>,
    ) -> Result<[u64; N], GrammarError> {
        let texts: Vec<&str> = texts.collect();
        let texts: [&str; N] = texts.try_into().map_err(|_| wrong_value())?;
        let mut numbers = [0; N];
        for (number, text) in numbers.iter_mut().zip(texts) {
            let invalid = |why: &str| {
                let text = escape::line(text);
                format!("-E- Invalid Guid/Mac/Uid syntax ({text}) {why} \n")
            };
            *number = hexadecimal(text).map_err(|why| Text(invalid(why)))?;
            let plain = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
            if plain.len() != digits {
                self.inexact_id
                    .get_or_insert_with(|| invalid(&format!("it must have {digits} digits")));
            }
        }
        Ok(numbers)
    }

    pub(super) fn cache_override(&self) -> bool {
        self.has("ocr") || self.has("override_cache_replacement")
    }

    /// How many flags there are, as flint counts them: `-qq` is two.
    pub(super) fn count(&self) -> usize {
        let double = self.given.iter().filter(|flag| flag.name == "qq");
        self.given.len() + double.count()
    }

    /// The first flag that the command refuses, and why.
    pub(super) fn refused_flag(&self) -> Option<(&'static str, &'static str)> {
        self.given.iter().find_map(|flag| match flag.effect {
            FlagEffect::Refused(reason, by)
                if by.is_empty() || by.iter().any(|name| self.is(name)) =>
            {
                Some((flag.name, reason))
            }
            _ => None,
        })
    }

    pub(super) fn apply(&mut self, flag: &'static Flag, value: &str) -> Checked {
        self.given.push(flag);
        let done = check_count(flag.values, value).and_then(|()| match flag.effect {
            FlagEffect::Nothing | FlagEffect::Refused(..) => Ok(()),
            FlagEffect::Text(set) => {
                set(self, value);
                Ok(())
            }
            FlagEffect::Number(least, most, error) => ranged(value, least, most, error).map(|_| ()),
            FlagEffect::Checked(set) => set(self, value),
        });
        done.map_err(|error| match error {
            Text(text) => Text(format!("{text}-E- Failed to handle option {}\n", flag.name)),
            other => other,
        })
    }
}

fn check_count(values: ValueCount, value: &str) -> Checked {
    let given = if value.is_empty() { 0 } else { value.matches(',').count() + 1 };
    let (expected, least) = match values {
        ValueCount::Uncounted => return Ok(()),
        ValueCount::AtLeastOne if given >= 1 => return Ok(()),
        ValueCount::AtLeastOne => (1, " at least"),
        ValueCount::Exactly(expected) if given == expected => return Ok(()),
        ValueCount::Exactly(expected) => (expected, ""),
    };
    let how = if given < expected { "few" } else { "many" };
    Err(Text(format!("Too {how} arguments. Expected{least}: {expected} , Received: {given}\n")))
}

/// The error for a value about which flint prints nothing.
fn wrong_value() -> GrammarError {
    Text(String::new())
}

fn listed(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').filter(|text| !text.is_empty())
}

/// Hexadecimal with or without `0x` and sign, as `strtoull` accepts it; the error is the text flint prints.
fn hexadecimal(text: &str) -> Result<u64, &'static str> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits =
        unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")).unwrap_or(unsigned);
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err("");
    }
    let number = u64::from_str_radix(digits, 16).map_err(|_| "Numerical result out of range")?;
    Ok(if text.starts_with('-') { number.wrapping_neg() } else { number })
}

/// Decimal, octal after `0`, hexadecimal after `0x`, as `strtol` with base 0.
pub(super) fn base_zero(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let number = match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(hex), _) => i64::from_str_radix(hex, 16),
        (None, Some(octal)) if !octal.is_empty() => i64::from_str_radix(octal, 8),
        _ => lower.parse(),
    };
    let sign = if text.starts_with('-') { -1 } else { 1 };
    number.ok().map(|number| number * sign)
}

fn integer(text: &str) -> Result<i64, GrammarError> {
    base_zero(text).ok_or_else(wrong_value)
}
