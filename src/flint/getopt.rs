//! How flint takes its command line apart: getopt_long_only with abbreviations, neighbouring words joined
//! with commas, the command being the first word that names one (measured with mstflint 4.21 on some
//! thousand random lines; `tests/it/flint_lines.rs` runs such lines with both).

use super::commands::{self, Row};

/// A flag of flint's.
#[derive(Debug)]
pub(super) struct Flag {
    /// Long name; one or two dashes.
    pub(super) name: &'static str,
    /// Short name.
    short: Option<char>,
    /// Does it take a value?
    valued: bool,
    /// How many values it must get, commas counted.
    pub(super) values: Values,
}

/// How many values flint wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// Exactly so many.
    Exactly(usize),
    /// One or more.
    Some,
    /// It does not count.
    Any,
}

const fn plain(name: &'static str) -> Flag {
    Flag {
        name,
        short: None,
        valued: false,
        values: Values::Exactly(0),
    }
}

const fn valued(name: &'static str, values: Values) -> Flag {
    Flag {
        name,
        short: None,
        valued: true,
        values,
    }
}

const fn one(name: &'static str) -> Flag {
    valued(name, Values::Exactly(1))
}

impl Flag {
    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }
}

/// Every flag of 4.21, the undocumented ones included: abbreviations depend on all of them.
const FLAGS: &[Flag] = &[
    valued("device", Values::Any).short('d'),
    valued("image", Values::Any).short('i'),
    plain("latest_fw"),
    plain("ir"),
    plain("help").short('h'),
    plain("hh"),
    plain("yes").short('y'),
    plain("no"),
    one("guid"),
    valued("guids", Values::Exactly(4)),
    one("mac"),
    valued("macs", Values::Exactly(2)),
    one("uid"),
    plain("blank_guids"),
    plain("clear_semaphore"),
    plain("qq"),
    plain("low_cpu"),
    plain("next_boot_fw_ver"),
    plain("flashed_version"),
    plain("nofs"),
    plain("allow_psid_change"),
    plain("allow_rom_change"),
    plain("override_cache_replacement"),
    plain("no_flash_verify"),
    plain("use_fw"),
    plain("silent").short('s'),
    valued("vsd", Values::Any),
    plain("use_image_ps"),
    plain("use_image_guids"),
    plain("use_image_rom"),
    plain("use_dev_rom"),
    plain("ignore_dev_data"),
    plain("no_fw_ctrl"),
    plain("use_dev_img_info"),
    plain("ignore_crc_check"),
    plain("hexdump_format"),
    plain("dual_image"),
    plain("striped_image"),
    one("banks"),
    one("log"),
    valued("flash_params", Values::Exactly(3)),
    plain("version").short('v'),
    plain("no_devid_check"),
    plain("skip_ci_req"),
    plain("ocr"),
    plain("hsm"),
    one("private_key"),
    one("public_key"),
    one("key_uuid"),
    one("private_key2"),
    one("hmac_key"),
    one("key_uuid2"),
    one("psid"),
    one("cc"),
    plain("linkx"),
    one("downstream_device_id_start_index"),
    one("num_of_downstream_devices"),
    plain("linkx_auto_update"),
    plain("activate"),
    one("activate_delay_sec"),
    plain("download_transfer"),
    valued("downstream_device_ids", Values::Some),
    one("public_key_label"),
    one("private_key_label"),
    one("openssl_engine"),
    one("openssl_key_id"),
    valued("output_file", Values::Any),
    one("user_password"),
    one("cert_chain_index"),
];

/// Names 4.21 does not know: one of flint's own messages uses it, newer versions have it.
const ALIASES: &[(&str, &str)] = &[("apc", "allow_psid_change")];

/// A command line in its two parts.
#[derive(Debug)]
pub(super) struct Split<'a> {
    /// Flags and their values.
    pub(super) flags: &'a [String],
    /// The command and its arguments.
    pub(super) command: Option<(&'static Row, &'a [String])>,
}

/// A flag behind the command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FlagBehind;

/// The first word that names a command begins the second part. Whose value that word was meant to be
/// flint does not ask.
pub(super) fn split(words: &[String]) -> Result<Split<'_>, FlagBehind> {
    let named = |word: &String| commands::named(word);
    let Some(at) = words.iter().position(|w| named(w).is_some()) else {
        return Ok(Split {
            flags: words,
            command: None,
        });
    };
    let (flags, rest) = words.split_at(at);
    let args = rest.get(1..).unwrap_or_default();
    if args.iter().any(|word| is_flag(word)) {
        return Err(FlagBehind);
    }
    Ok(Split {
        flags,
        command: rest.first().and_then(named).map(|row| (row, args)),
    })
}

/// Is this word a flag? Negative numbers are not.
pub(super) fn is_flag(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next() == Some('-') && !chars.next().is_some_and(|c| c.is_ascii_digit())
}

/// What is wrong with a line without a command, before its flags are read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoCommand<'a> {
    /// There is no flag either.
    NoFlags,
    /// The last flag takes fewer values than there are words behind it; the last word must have been
    /// meant as a command.
    Unknown(&'a str),
}

/// Look at a line without a command.
pub(super) fn without_command(words: &[String]) -> Option<NoCommand<'_>> {
    let Some(at) = words.iter().rposition(|word| is_flag(word)) else {
        return Some(NoCommand::NoFlags);
    };
    let last = words.last()?;
    let typed = words.get(at)?;
    let name = typed.strip_prefix("--").unwrap_or(typed.get(1..)?);
    // Of a flag it does not know by its whole name flint thinks that it takes less than nothing; of no
    // name at all, that it takes one value.
    let known = FLAGS.iter().find(|f| {
        f.name == name || (name.chars().eq(f.short)) || ALIASES.contains(&(name, f.name))
    });
    let takes = match known {
        _ if name.is_empty() => Some(1),
        Some(Flag {
            name: "flash_params",
            ..
        }) => Some(1),
        Some(Flag {
            values: Values::Exactly(n),
            ..
        }) => Some(*n),
        Some(_) => Some(1),
        None => None,
    };
    let behind = words.len() - 1 - at;
    takes
        .is_none_or(|takes| behind > takes)
        .then_some(NoCommand::Unknown(last))
}

/// Join neighbouring words that are no flags with commas.
pub(super) fn join(words: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut open = false;
    for word in words {
        let value = !is_flag(word);
        match joined.last_mut() {
            Some(last) if value && open => {
                last.push(',');
                last.push_str(word);
            }
            _ => joined.push(word.clone()),
        }
        open = value;
    }
    joined
}

/// One thing getopt finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A flag.
    Flag {
        /// Its long name.
        name: &'static str,
        /// How many values flint wants to see.
        values: Values,
        /// Its value; empty when it takes none.
        value: &'a str,
    },
    /// A word that belongs to no flag.
    Word(&'a str),
    /// What getopt says on stderr.
    Bad(String),
}

impl Flag {
    fn found<'a>(&self, value: &'a str) -> Found<'a> {
        Found::Flag {
            name: self.name,
            values: self.values,
            value,
        }
    }
}

/// Read all flags, in their order, up to the first bad one.
pub(super) fn read(words: &[String]) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            found.extend(rest.map(|w| Found::Word(w)));
            break;
        }
        if word.len() < 2 || !word.starts_with('-') {
            found.push(Found::Word(word));
            continue;
        }
        one_word(word, &mut rest, &mut found);
        if let Some(Found::Bad(_)) = found.last() {
            break;
        }
    }
    found
}

/// `-name`, `--name`, `-y`, `-iFILE`; and `-sy`, where what stands behind the first letter may be the
/// beginning of a long name again.
fn one_word<'a>(
    word: &'a str,
    more: &mut std::slice::Iter<'a, String>,
    found: &mut Vec<Found<'a>>,
) {
    let two = word.strip_prefix("--");
    let Some(mut rest) = two.or_else(|| word.strip_prefix('-')) else {
        return;
    };
    loop {
        let letter = rest.chars().next();
        let flag = letter.and_then(short);
        if (two.is_some() || word.len() > 2 || flag.is_none())
            && let Some(one) = long(word, rest, more)
        {
            found.push(one);
            return;
        }
        let (Some(flag), Some(letter), None) = (flag, letter, two) else {
            found.push(Found::Bad(format!("unrecognized option `{word}'")));
            return;
        };
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        if flag.valued {
            let value = Some(rest).filter(|v| !v.is_empty());
            found.push(match value.or_else(|| more.next().map(String::as_str)) {
                Some(value) => flag.found(value),
                None => Found::Bad(format!("option requires an argument -- {letter}")),
            });
            return;
        }
        found.push(flag.found(""));
        if rest.is_empty() {
            return;
        }
    }
}

fn short(c: char) -> Option<&'static Flag> {
    FLAGS.iter().find(|f| f.short == Some(c))
}

/// `name`, `name=value`, or an abbreviation that fits one name only.
fn long<'a>(
    word: &str,
    body: &'a str,
    rest: &mut std::slice::Iter<'a, String>,
) -> Option<Found<'a>> {
    let dashes = if word.starts_with("--") { "--" } else { "-" };
    let (name, given) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    };
    let name = ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name, |(_, name)| name);
    let exact = FLAGS.iter().find(|f| f.name == name);
    let mut fits = FLAGS.iter().filter(|f| f.name.starts_with(name));
    let flag = match (exact, fits.next(), fits.next()) {
        (Some(flag), ..) | (None, Some(flag), None) => flag,
        (None, Some(_), Some(_)) => {
            return Some(Found::Bad(format!("option `{word}' is ambiguous")));
        }
        (None, None, _) => return None,
    };
    Some(match (flag.valued, given) {
        (false, None) => flag.found(""),
        (false, Some(_)) => Found::Bad(format!(
            "option `{dashes}{}' doesn't allow an argument",
            flag.name
        )),
        (true, Some(value)) => flag.found(value),
        (true, None) => match rest.next() {
            Some(value) => flag.found(value),
            None => Found::Bad(format!("option `{word}' requires an argument")),
        },
    })
}
