//! What a report must not contain, as far as the run has seen it: values by the names of their fields in
//! JSON, the names of the host and of its user, and what the command line gives as a VSD, as a serial number
//! or as an address.

use crate::escape;
use crate::host::Host;
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// What a JSON field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecretField {
    /// MACs or GUIDs.
    Address,
    /// A text that names the card's owner.
    Text,
    Serial,
    /// A digest of what is on the card. With the image known to everybody, the few digits of a MAC that
    /// are masked can be tried until the digest fits.
    Digest,
}

impl SecretField {
    /// By the field's name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let last = name.rsplit('_').next().unwrap_or(name);
        Some(match last {
            "guid" | "guids" | "mac" | "macs" => Self::Address,
            "vsd" | "hostname" | "nodename" | "user" | "home" => Self::Text,
            "serial" => Self::Serial,
            _ if name.ends_with("sha256") => Self::Digest,
            _ => return None,
        })
    }

    /// By `{ "field": NAME, ... }`, as plans write what changes and what stays.
    pub(super) fn of_change(map: &serde_json::Map<String, Value>) -> Option<Self> {
        Self::named(map.get("field")?.as_str()?)
    }
}

/// Fields of a change with its values.
pub(super) const CHANGE_VALUES: [&str; 3] = ["from", "to", "value"];

/// A VSD on a command line of ours or of flint, as a word of a shell, or masked already.
pub(super) static VSD_OPTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?s)(--?vsd[ =])(\(masked\)|(?:'[^']*'|\\'|\$'(?:\\.|[^'\\])*'|[^\s'])+)")
        .expect("a constant pattern")
});

/// Options of ours and of flint whose values are texts or serial numbers, and those whose values are MACs or
/// GUIDs.
const TEXT_OPTIONS: [&str; 2] = ["vsd", "expendable"];
const ADDRESS_OPTIONS: [&str; 6] = ["guid", "guids", "mac", "macs", "uid", "change-mac"];

/// Shorter ones are masked in their fields only: they would be found everywhere.
const SHORTEST: usize = 3;
/// Names that are everybody's.
const COMMON: [&str; 4] = ["localhost", "(none)", "root", "unknown"];

/// The values found.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Found anywhere in a text.
    values: BTreeSet<String>,
    /// Found as words.
    words: BTreeSet<String>,
}

impl Secrets {
    /// The names of the host and of the user.
    pub(super) fn of_host(host: &Host) -> Self {
        let mut secrets = Self::default();
        let name = std::fs::read_to_string(host.path("proc/sys/kernel/hostname"));
        let name = name.unwrap_or_default();
        let name = name.trim();
        // `rack7` of `rack7.example.org` too.
        secrets.word(name);
        secrets.word(name.split('.').next().unwrap_or_default());
        for variable in ["USER", "LOGNAME", "SUDO_USER"] {
            secrets.word(&std::env::var(variable).unwrap_or_default());
        }
        let home = std::env::var("HOME").unwrap_or_default();
        if home.matches('/').count() > 1 {
            secrets.value(&home);
            secrets.word(home.rsplit('/').next().unwrap_or_default());
        }
        secrets
    }

    fn word(&mut self, word: &str) {
        if word.len() >= SHORTEST && !COMMON.contains(&word) {
            self.words.insert(word.to_owned());
        }
    }

    fn value(&mut self, value: &str) {
        if value.len() >= SHORTEST {
            self.values.insert(value.to_owned());
        }
    }

    /// A text, in every spelling in which messages and logs show it.
    fn text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let debug = format!("{text:?}");
        for spelling in [
            text.to_owned(),
            escape::line(text).into_owned(),
            debug.trim_matches('"').to_owned(),
            escape::shell_word(text),
        ] {
            self.value(&spelling);
        }
        if bytes.len() >= SHORTEST {
            let list = format!("{bytes:?}");
            self.value(list.trim_matches(['[', ']']));
            self.value(&hex(bytes));
        }
    }

    /// A MAC or GUID of the card, in the spellings that a pattern does not find inside a longer word.
    fn address(&mut self, digits: &str) {
        let blank = digits.bytes().all(|b| Some(&b) == digits.as_bytes().first());
        let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        if hex && !blank && matches!(digits.len(), 12 | 16) {
            self.value(digits);
        }
    }

    /// Everything in a document that its field names as one.
    pub(super) fn learn(&mut self, document: &Value) {
        match document {
            Value::Array(list) => list.iter().for_each(|inner| self.learn(inner)),
            Value::Object(map) => {
                let change = SecretField::of_change(map);
                for (key, inner) in map {
                    let of_change = change.filter(|_| CHANGE_VALUES.contains(&key.as_str()));
                    match SecretField::named(key).or(of_change) {
                        Some(field) => self.learn_field(field, inner),
                        None => self.learn(inner),
                    }
                }
            }
            _ => {}
        }
    }

    fn learn_field(&mut self, field: SecretField, value: &Value) {
        match (field, value) {
            (_, Value::Array(list)) => list.iter().for_each(|inner| self.learn_field(field, inner)),
            (_, Value::Object(map)) => {
                map.values().for_each(|inner| self.learn_field(field, inner))
            }
            (SecretField::Address, Value::String(text)) => {
                text.split_whitespace().for_each(|address| self.address(address));
            }
            (SecretField::Text | SecretField::Serial, Value::String(text)) => self.text(text),
            (SecretField::Serial, Value::Number(number)) => {
                let number = number.as_u64().unwrap_or(0);
                if number > u64::from(u16::MAX) {
                    self.word(&number.to_string());
                    self.word(&format!("{number:x}"));
                    self.word(&format!("0x{number:x}"));
                }
            }
            _ => {}
        }
    }

    /// What the words of a command line name a card by, in every spelling: `--mac M`, `--mac=M`, and flint's
    /// `-guids G G G G` and `-macs M M`.
    pub(super) fn learn_command(&mut self, words: &[String]) {
        let mut open = None;
        for word in words {
            let named = option(word).map(|text| text.split_once('=').unwrap_or((text, "")));
            match (named, open) {
                (Some((option, value)), _) => {
                    self.learn_option(option, value);
                    open = Some((option, usize::from(!value.is_empty())));
                }
                (None, Some((option, before))) if before < values(option) => {
                    // Behind the first value a command may follow.
                    if before == 0 || is_number(word) {
                        self.learn_option(option, word);
                    }
                    open = Some((option, before + 1));
                }
                (None, _) => open = None,
            }
        }
    }

    fn learn_option(&mut self, option: &str, value: &str) {
        if TEXT_OPTIONS.contains(&option) {
            self.text(value);
            let quoted = escape::shell_word(value);
            self.value(quoted.trim_start_matches('$').trim_matches('\''));
        } else if ADDRESS_OPTIONS.contains(&option) {
            for address in value.split(',') {
                let digits: String = address.chars().filter(|c| !matches!(c, ':' | '-')).collect();
                let digits = digits.strip_prefix("0x").unwrap_or(&digits);
                match digits.len() {
                    12 | 16 => self.address(&digits.to_ascii_lowercase()),
                    // One that is mistyped has no form by which it is masked.
                    _ => self.text(address),
                }
            }
        }
    }

    /// A serial number that the process knows.
    pub(super) fn serial(&mut self, serial: &str) {
        self.text(serial);
    }

    /// A pattern of all of them; `None` when there is none.
    pub(super) fn pattern(&self) -> Option<Regex> {
        let mut all: Vec<String> = self.values.iter().map(|value| regex::escape(value)).collect();
        all.extend(self.words.iter().map(|word| format!(r"\b{}\b", regex::escape(word))));
        // The first alternative that fits is taken.
        all.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        if all.is_empty() {
            return None;
        }
        Regex::new(&format!("(?i){}", all.join("|"))).ok()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many words behind an option may be its values.
fn values(option: &str) -> usize {
    match option {
        "guids" => 4,
        "macs" => 2,
        _ => 1,
    }
}

/// Hexadecimal numbers, as GUIDs and MACs are written.
fn is_number(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_hexdigit() || ":-,xX".contains(c))
}

/// The name of an option.
fn option(word: &str) -> Option<&str> {
    word.strip_prefix("--").or(word.strip_prefix('-'))
}
