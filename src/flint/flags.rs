//! flint's flags: one table with the number of values and the effect of each (measured with mstflint
//! 4.21).

use crate::image::{Guid, Mac};
use crate::job::CardSelector;
use std::path::PathBuf;

/// A command line of flint.
#[derive(Clone, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are flags of a command line"
)]
pub(super) struct Invocation {
    /// Names of the command.
    pub(super) command: Option<&'static [&'static str]>,
    pub(super) args: Vec<String>,
    pub(super) device: Option<CardSelector>,
    pub(super) image: Option<PathBuf>,
    pub(super) log: Option<PathBuf>,
    pub(super) yes: bool,
    pub(super) no: bool,
    pub(super) silent: bool,
    pub(super) quick: bool,
    pub(super) striped: bool,
    pub(super) clear_semaphore: bool,
    pub(super) only_version: bool,
    pub(super) cache_override: bool,
    pub(super) use_fw: bool,
    pub(super) guids: Option<[Guid; 4]>,
    pub(super) macs: Option<[Mac; 2]>,
    pub(super) vsd: Option<String>,
    /// Which flags for GUIDs and MACs were given.
    pub(super) guid_given: bool,
    pub(super) guids_given: bool,
    pub(super) mac_given: bool,
    pub(super) macs_given: bool,
    pub(super) uid_given: bool,
    pub(super) blank_guids: bool,
    pub(super) nofs: bool,
    pub(super) allow_psid_change: bool,
    pub(super) allow_rom_change: bool,
    pub(super) use_image_ps: bool,
    pub(super) use_image_guids: bool,
    pub(super) use_image_rom: bool,
    pub(super) use_dev_rom: bool,
    pub(super) ignore_dev_data: bool,
    /// Flags that select cables, which only later generations have.
    pub(super) cable_selected: bool,
    /// Flags about the activation of cables.
    pub(super) cable_action: bool,
    /// How many flags there are, as flint counts them: `-qq` is two.
    pub(super) count: usize,
    /// Flags that some commands refuse.
    pub(super) refused: Vec<RefusedFlag>,
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

/// A flag that flint accepts and we refuse.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefusedFlag {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
    /// The commands that refuse it; the others ignore it, as flint's do. Empty: every command.
    pub(super) by: &'static [&'static str],
}

/// A row of the table of flags.
pub(super) struct Flag {
    /// Long name.
    pub(super) name: &'static str,
    pub(super) letter: Option<char>,
    pub(super) values: ValueCount,
    effect: FlagEffect,
}

/// How many values, separated by commas, flint accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueCount {
    Exactly(usize),
    AtLeastOne,
    Uncounted,
}

#[derive(Clone, Copy)]
pub(super) enum FlagEffect {
    Set(fn(&mut Invocation) -> &mut bool),
    Text(fn(&mut Invocation, &str)),
    /// A number in a range; the text for one outside of it.
    Number(i64, i64, &'static str, fn(&mut Invocation, i64)),
    Checked(fn(&mut Invocation, &str) -> Checked),
    Refused(&'static str, &'static [&'static str]),
}

const fn flag(name: &'static str, values: ValueCount, effect: FlagEffect) -> Flag {
    Flag {
        name,
        letter: None,
        values,
        effect,
    }
}

const fn on(name: &'static str, field: fn(&mut Invocation) -> &mut bool) -> Flag {
    flag(name, ValueCount::Exactly(0), FlagEffect::Set(field))
}

const fn checked(
    name: &'static str,
    count: usize,
    set: fn(&mut Invocation, &str) -> Checked,
) -> Flag {
    flag(name, ValueCount::Exactly(count), FlagEffect::Checked(set))
}

const fn number(
    name: &'static str,
    (least, most): (i64, i64),
    error: &'static str,
    set: fn(&mut Invocation, i64),
) -> Flag {
    let effect = FlagEffect::Number(least, most, error, set);
    flag(name, ValueCount::Exactly(1), effect)
}

/// A flag without meaning for these cards, or for what is done anyway (`-no_flash_verify`: every byte
/// is read back all the same).
const fn ignored(name: &'static str, count: usize) -> Flag {
    let ignore: fn(&mut Invocation, &str) = |_, _| ();
    flag(name, ValueCount::Exactly(count), FlagEffect::Text(ignore))
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
        ignored("latest_fw", 0),
        flag("ir", Exactly(0), Refused(NOT_HERE, &["burn"])),
        checked("help", 0, |_, _| Err(GrammarError::Help)).letter('h'),
        checked("hh", 0, |_, _| Err(GrammarError::Help)),
        on("yes", |i| &mut i.yes).letter('y'),
        on("no", |i| &mut i.no),
        checked("guid", 1, |i, v| {
            let [base] = id_numbers([v].into_iter())?;
            i.guids = Some([0, 1, 2, 3].map(|n| Guid(base.wrapping_add(n))));
            i.guid_given = true;
            Ok(())
        }),
        checked("guids", 4, |i, v| {
            i.guids = Some(id_numbers(listed(v))?.map(Guid));
            i.guids_given = true;
            Ok(())
        }),
        checked("mac", 1, |i, v| {
            let [base] = id_numbers([v].into_iter())?;
            i.macs = Some([0, 1].map(|n| Mac(base.wrapping_add(n))));
            i.mac_given = true;
            Ok(())
        }),
        checked("macs", 2, |i, v| {
            i.macs = Some(id_numbers(listed(v))?.map(Mac));
            i.macs_given = true;
            Ok(())
        }),
        checked("uid", 1, |i, v| {
            i.uid_given = true;
            id_numbers::<1>([v].into_iter()).map(|_| ())
        }),
        on("blank_guids", |i| &mut i.blank_guids),
        on("clear_semaphore", |i| &mut i.clear_semaphore),
        on("qq", |i| &mut i.quick),
        ignored("low_cpu", 0),
        on("next_boot_fw_ver", |i| &mut i.only_version),
        on("flashed_version", |i| &mut i.only_version),
        on("nofs", |i| &mut i.nofs),
        on("allow_psid_change", |i| &mut i.allow_psid_change),
        on("allow_rom_change", |i| &mut i.allow_rom_change),
        on("override_cache_replacement", |i| &mut i.cache_override),
        ignored("no_flash_verify", 0),
        on("use_fw", |i| &mut i.use_fw),
        on("silent", |i| &mut i.silent).letter('s'),
        flag("vsd", Uncounted, Text(|i, v| i.vsd = Some(v.into()))),
        on("use_image_ps", |i| &mut i.use_image_ps),
        on("use_image_guids", |i| &mut i.use_image_guids),
        on("use_image_rom", |i| &mut i.use_image_rom),
        on("use_dev_rom", |i| &mut i.use_dev_rom),
        on("ignore_dev_data", |i| &mut i.ignore_dev_data),
        ignored("no_fw_ctrl", 0),
        ignored("use_dev_img_info", 0),
        flag("ignore_crc_check", Exactly(0), Refused(DAMAGED, CHANGING)),
        ignored("hexdump_format", 0),
        ignored("dual_image", 0),
        on("striped_image", |i| &mut i.striped),
        number("banks", (i64::MIN, i64::MAX), "", |_, _| ()),
        flag("log", Exactly(1), Text(|i, v| i.log = Some(v.into()))),
        checked("flash_params", 3, |_, v| {
            match listed(v).collect::<Vec<_>>()[..] {
                [_, log2, count] => integer(log2).and(integer(count)).map(|_| ()),
                _ => Err(wrong_value()),
            }
        }),
        checked("version", 0, |_, _| Err(GrammarError::Version)).letter('v'),
        flag("no_devid_check", Exactly(0), Refused(SILICON, CHANGING)),
        ignored("skip_ci_req", 0),
        on("ocr", |i| &mut i.cache_override),
        ignored("hsm", 0),
        ignored("private_key", 1),
        ignored("public_key", 1),
        ignored("key_uuid", 1),
        ignored("private_key2", 1),
        ignored("hmac_key", 1),
        ignored("key_uuid2", 1),
        ignored("psid", 1),
        flag("cc", Exactly(1), Refused(NOT_HERE, &[])),
        flag("linkx", Exactly(0), Refused(NOT_HERE, &[])),
        number(
            "downstream_device_id_start_index",
            (0, i64::MAX),
            "",
            |i, _| {
                i.cable_selected = true;
            },
        ),
        number("num_of_downstream_devices", (1, 255), CABLES, |i, _| {
            i.cable_selected = true;
        }),
        ignored("linkx_auto_update", 0),
        on("activate", |i| &mut i.cable_action),
        number("activate_delay_sec", (0, 255), DELAY, |i, seconds| {
            i.cable_action |= seconds != 1;
        }),
        on("download_transfer", |i| &mut i.cable_action),
        flag(
            "downstream_device_ids",
            AtLeastOne,
            FlagEffect::Checked(cable_ids),
        ),
        ignored("public_key_label", 1),
        ignored("private_key_label", 1),
        ignored("openssl_engine", 1),
        ignored("openssl_key_id", 1),
        flag("output_file", Uncounted, Text(|_, _| ())),
        ignored("user_password", 1),
        number("cert_chain_index", (0, 7), CERTIFICATE, |_, _| ()),
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
    ids.try_for_each(|id| match integer(id)? {
        0..=255 => Ok(()),
        _ => Err(Text("Index value should be between 0 and 255.\n".into())),
    })
}

/// Names that 4.21 does not know: one of flint's own messages uses it, newer versions have it.
pub(super) const ALIASES: &[(&str, &str)] = &[("apc", "allow_psid_change")];

impl Invocation {
    /// Whether the command is the one with this name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.command.is_some_and(|names| names.contains(&name))
    }

    pub(super) fn apply(&mut self, flag: &Flag, value: &str) -> Checked {
        let done = check_count(flag.values, value).and_then(|()| match flag.effect {
            FlagEffect::Set(field) => {
                *field(self) = true;
                Ok(())
            }
            FlagEffect::Text(set) => {
                set(self, value);
                Ok(())
            }
            FlagEffect::Number(least, most, error, set) => match integer(value)? {
                number if (least..=most).contains(&number) => {
                    set(self, number);
                    Ok(())
                }
                _ => Err(Text(error.to_owned())),
            },
            FlagEffect::Checked(set) => set(self, value),
            FlagEffect::Refused(reason, by) => {
                let name = flag.name;
                self.refused.push(RefusedFlag { name, reason, by });
                Ok(())
            }
        });
        self.count += if flag.name == "qq" { 2 } else { 1 };
        done.map_err(|error| match error {
            Text(text) => Text(format!("{text}-E- Failed to handle option {}\n", flag.name)),
            other => other,
        })
    }
}

fn check_count(values: ValueCount, value: &str) -> Checked {
    let given = if value.is_empty() {
        0
    } else {
        value.matches(',').count() + 1
    };
    let (expected, least) = match values {
        ValueCount::Uncounted => return Ok(()),
        ValueCount::AtLeastOne if given >= 1 => return Ok(()),
        ValueCount::AtLeastOne => (1, " at least"),
        ValueCount::Exactly(expected) if given == expected => return Ok(()),
        ValueCount::Exactly(expected) => (expected, ""),
    };
    let how = if given < expected { "few" } else { "many" };
    Err(Text(format!(
        "Too {how} arguments. Expected{least}: {expected} , Received: {given}\n"
    )))
}

/// The error for a value about which flint prints nothing.
fn wrong_value() -> GrammarError {
    Text(String::new())
}

fn listed(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').filter(|text| !text.is_empty())
}

fn id_numbers<'a, const N: usize>(
    texts: impl Iterator<Item = &'a str>,
) -> Result<[u64; N], GrammarError> {
    let texts: Vec<&str> = texts.collect();
    let texts: [&str; N] = texts.try_into().map_err(|_| wrong_value())?;
    let mut numbers = [0; N];
    for (number, text) in numbers.iter_mut().zip(texts) {
        *number = hexadecimal(text)
            .map_err(|why| Text(format!("-E- Invalid Guid/Mac/Uid syntax ({text}) {why} \n")))?;
    }
    Ok(numbers)
}

/// Hexadecimal with or without `0x` and sign, as `strtoull` accepts it; the error is the text flint prints.
fn hexadecimal(text: &str) -> Result<u64, &'static str> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = unsigned
        .strip_prefix("0x")
        .or_else(|| unsigned.strip_prefix("0X"))
        .unwrap_or(unsigned);
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err("");
    }
    let number = u64::from_str_radix(digits, 16).map_err(|_| "Numerical result out of range")?;
    Ok(if text.starts_with('-') {
        number.wrapping_neg()
    } else {
        number
    })
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
