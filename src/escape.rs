//! Text of others (file names, images, cards, the kernel, other processes) on its way to a terminal or into
//! a shell: it stays text.
//!
//! An escaped text has no characters that a terminal executes, that reorder or hide what stands beside
//! them, or that end a line. Escaping twice changes nothing more: a backslash is no such character.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Control characters (C0, DEL, C1), line and paragraph separators, bidirectional controls and invisible
/// format characters.
fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{AD}'
                | '\u{61C}'
                | '\u{180E}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
}

/// `text` with every active character for which `keep` is false written as `write` does.
fn replaced(
    text: &str,
    keep: impl Fn(char) -> bool,
    write: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    let active = |c: char| is_active(c) && !keep(c);
    if !text.contains(active) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if active(c) { write(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// As in a Rust string: `\n`, `\x1b`, `\u{202e}`.
fn visible(out: &mut String, c: char) {
    // Writing to a String cannot fail.
    let _ = match c {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        c if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    };
}

/// A value, or a line without its end.
pub fn line(text: &str) -> Cow<'_, str> {
    replaced(text, |_| false, visible)
}

/// A text of several lines: tabs stay, and line ends, as `\n`.
pub fn lines(text: &str) -> Cow<'_, str> {
    let keep = |c| matches!(c, '\n' | '\t');
    if text.contains("\r\n") {
        return Cow::Owned(replaced(&text.replace("\r\n", "\n"), keep, visible).into_owned());
    }
    replaced(text, keep, visible)
}

/// A JSON document, where such characters occur in strings only (those below U+0020 are escaped there
/// already).
pub fn json(document: &str) -> Cow<'_, str> {
    let unit = |out: &mut String, c: char| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    };
    replaced(document, |c| c.is_ascii() && c != '\u{7F}', unit)
}

/// A file name for people.
pub fn path(path: impl AsRef<Path>) -> String {
    line(&file_name(path)).into_owned()
}

/// A file name as JSON holds it: as it is, bytes that are no UTF-8 as `\xff`.
pub fn file_name(path: impl AsRef<Path>) -> String {
    let mut out = String::new();
    for chunk in path.as_ref().as_os_str().as_bytes().utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// For `#[serde(serialize_with)]`: serde refuses a file name that is no UTF-8.
pub fn serialize_path<S: Serializer>(
    path: &(impl AsRef<Path> + ?Sized),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&file_name(path))
}

/// As [`serialize_path`].
pub fn serialize_path_option<S: Serializer>(
    path: &Option<impl AsRef<Path>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    path.as_ref().map(file_name).serialize(serializer)
}

/// As [`serialize_path`].
pub fn serialize_paths<S: Serializer>(
    paths: &[impl AsRef<Path>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(file_name))
}

/// JSON schema of a type that is written as a string.
macro_rules! string_schema {
    ($ty:ident, $($keyword:tt)*) => {
        impl schemars::JsonSchema for $ty {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($ty).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", $($keyword)* })
            }
        }
    };
}
pub(crate) use string_schema;

/// One word for a POSIX shell. What cannot be typed is written as `$'\033'` (POSIX.1-2024).
pub fn shell_word(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Some(text) if !text.contains(is_active) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let mut out = String::from("$'");
            for byte in word.as_bytes() {
                let _ = match byte {
                    b'\'' | b'\\' => write!(out, "\\{}", char::from(*byte)),
                    b' '..=b'~' => write!(out, "{}", char::from(*byte)),
                    _ => write!(out, "\\{byte:03o}"),
                };
            }
            out.push('\'');
            out
        }
    }
}

/// One word for a POSIX shell that a command takes for a file, not for an option.
pub fn shell_path(path: &Path) -> String {
    if path.as_os_str().as_bytes().starts_with(b"-") {
        return shell_word(Path::new(".").join(path));
    }
    shell_word(path)
}

/// A text of an image. Shown it is escaped; compared, stored and in JSON it is what it is.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ForeignText(String);

impl fmt::Display for ForeignText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&line(&self.0))
    }
}

impl ForeignText {
    /// The text as it is, to compare and to store it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for ForeignText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for ForeignText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<ForeignText> for String {
    fn from(text: ForeignText) -> Self {
        text.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_a_terminal_would_execute_hide_or_reorder_is_written_out() {
        let hostile = "a\u{1b}]0;t\u{7}\r\n\u{9b}8m\u{202e}\u{7f}\u{2028}\u{feff}\u{e0041}\tz";
        let shown = r"a\x1b]0;t\x07\r\n\u{9b}8m\u{202e}\x7f\u{2028}\u{feff}\u{e0041}\tz";
        assert_eq!(line(hostile), shown);
        assert_eq!(line(shown), shown);
        assert_eq!(ForeignText::from(hostile.to_owned()).to_string(), shown);
        assert_eq!(lines("a\r\n\tb\u{85}\r"), "a\n\tb\\u{85}\\r");
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["MT_1170110023", r"C:\fw.bin", "größe 日本", "", " a  b "] {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn json_has_no_active_character_and_the_same_value() {
        let value = serde_json::json!({ "a\u{7f}": ["\u{9b}\u{202e}\u{e0041}\u{1b}\n", "日本"] });
        for text in [value.to_string(), format!("{value:#}")] {
            let escaped = json(&text);
            assert!(!escaped.contains(|c| is_active(c) && c != '\n'), "{escaped}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
        }
    }

    #[test]
    fn a_file_name_keeps_the_bytes_that_are_no_utf8() {
        let name = Path::new(OsStr::from_bytes(b"a\xff\x1b.bin"));
        assert_eq!(path(name), r"a\xff\x1b.bin");
        assert_eq!(file_name(name), "a\\xff\u{1b}.bin");
    }

    #[test]
    fn a_shell_word_is_that_word_and_nothing_is_executed() {
        let words: [&[u8]; 12] = [
            b"fw.bin",
            b"",
            b"a b",
            b"$(touch x)",
            b"`id`;id",
            b"it's",
            b"a\nerror: b",
            b"\x1b]0;t\x07\\'",
            b"\xff\xc2\x9b1",
            "\u{202e}nib".as_bytes(),
            b"~root",
            b"!!",
        ];
        for word in words {
            let quoted = shell_word(OsStr::from_bytes(word));
            assert!(!quoted.contains(is_active), "{quoted}");
            let printed = Command::new("bash")
                .args(["-c", &format!("printf %s {quoted}")])
                .env("LC_ALL", "C")
                .output()
                .unwrap();
            assert_eq!(printed.stdout, word, "{quoted}");
        }
        assert_eq!(shell_path(Path::new("-rf")), "./-rf");
    }
}
