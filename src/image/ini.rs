//! The board description inside the image (docs/fs2.md#fw-configuration-and-hash-file).

use flate2::{Decompress, FlushDecompress, Status};
use std::borrow::Cow;

/// The inflated text of section type 9.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ini {
    /// Inflated bytes up to the first NUL.
    pub bytes: Vec<u8>,
}

/// Bytes of text that a byte of a stream gives at most in [`Ini::start`]; real inis have 3 to 4.
const MOST_RATIO: usize = 16;

/// Why a section holds no ini.
#[derive(Debug, thiserror::Error)]
pub enum IniError {
    /// Not a zlib stream, or a damaged one.
    #[error("the ini is no zlib stream: {0}")]
    Stream(#[from] flate2::DecompressError),
    /// The stream goes on behind the section.
    #[error("the ini's zlib stream is cut short")]
    CutShort,
    /// It inflates beyond [`Ini::MAX`].
    #[error("the ini inflates beyond {} bytes", Ini::MAX)]
    TooLong,
}

impl Ini {
    /// Upper bound of the inflated text in bytes; real ones are about 5 KiB. A longer stream is
    /// hostile.
    pub const MAX: usize = 1 << 20;

    /// From the body of a section: one zlib stream, padding behind it ignored.
    pub fn inflate(body: &[u8]) -> Result<Self, IniError> {
        let mut inflater = Decompress::new(true);
        let mut bytes = Vec::with_capacity(Self::MAX + 1);
        loop {
            let before = (inflater.total_in(), bytes.len());
            let rest = &body[before.0 as usize..];
            let status = inflater.decompress_vec(rest, &mut bytes, FlushDecompress::None)?;
            if bytes.len() > Self::MAX {
                return Err(IniError::TooLong);
            }
            if status == Status::StreamEnd {
                break;
            }
            // There is output space, so a round without progress lacks input.
            if (inflater.total_in(), bytes.len()) == before {
                return Err(IniError::CutShort);
            }
        }
        if let Some(nul) = bytes.iter().position(|&b| b == 0) {
            bytes.truncate(nul);
        }
        Ok(Self { bytes })
    }

    /// The complete lines in the first bytes of a stream.
    pub(super) fn start(stream: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity((stream.len() * MOST_RATIO).min(Self::MAX));
        let mut inflater = Decompress::new(true);
        // A fault ends the text, as the end of the bytes does.
        let _ = inflater.decompress_vec(stream, &mut bytes, FlushDecompress::None);
        let nul = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        bytes.truncate(nul);
        let lines = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |last| last + 1);
        bytes.truncate(lines);
        Self { bytes }
    }

    /// The text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// Value of `key` in `[section]`, case-sensitive, comments and blanks stripped. The first one,
    /// when a key is given twice.
    pub fn get(&self, section: &str, key: &str) -> Option<String> {
        self.entries().into_iter().find(|e| e.section == section && e.key == key).map(|e| e.value)
    }

    /// The number to order the board by, such as `MCX312B-XCC_Ax`.
    pub fn part_number(&self) -> Option<String> {
        self.of_board(&["Name", "PN"])
    }

    /// What the board is, in words.
    pub fn description(&self) -> Option<String> {
        self.of_board(&["Description"])
    }

    fn of_board(&self, keys: &[&str]) -> Option<String> {
        let entries = self.entries();
        let values = |section: &str, key: &str| {
            let found = entries.iter().find(|e| e.section == section && e.key == key);
            found.map(|e| e.value.clone()).filter(|value| !value.is_empty())
        };
        let mut sections = ["PS_INFO", "ADAPTER"].into_iter();
        sections.find_map(|section| keys.iter().find_map(|key| values(section, key)))
    }

    /// Every `key = value` in the order of the text.
    pub fn entries(&self) -> Vec<IniEntry> {
        let text = self.text();
        let mut section = "";
        let mut entries = Vec::new();
        for line in text.lines() {
            let line = without_comment(line).trim();
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = name.trim();
            } else if let Some((key, value)) = line.split_once('=') {
                let value = value.trim();
                entries.push(IniEntry {
                    section: section.to_owned(),
                    key: key.trim().to_owned(),
                    value: if value.starts_with(';') { String::new() } else { value.to_owned() },
                });
            }
        }
        entries
    }
}

/// A line without its comment, which begins with a `;` at its start or after a blank: real
/// descriptions hold others.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == ';' && before.is_whitespace() {
            return line.get(..at).unwrap_or_default();
        }
        before = c;
    }
    line
}

/// A number as inis write them: decimal, or hexadecimal after `0x`.
pub fn ini_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// How many: a number, or words such as `Two_Ports` (seen in a real ini; the other words are
/// INFERRED).
pub fn ini_count(text: &str) -> Option<u64> {
    const WORDS: [(&str, u64); 11] = [
        ("zero", 0),
        ("one", 1),
        ("two", 2),
        ("three", 3),
        ("four", 4),
        ("five", 5),
        ("six", 6),
        ("seven", 7),
        ("eight", 8),
        ("single", 1),
        ("dual", 2),
    ];
    let text = text.to_ascii_lowercase();
    let number = text.strip_suffix("_ports").or_else(|| text.strip_suffix("_port"));
    let number = number.unwrap_or(&text);
    let word = WORDS.iter().find(|(word, _)| *word == number);
    word.map(|(_, n)| *n).or_else(|| ini_number(number))
}

/// On or off.
pub(super) fn ini_switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "enable" | "enabled" => Some(true),
        "false" | "off" | "no" | "disable" | "disabled" => Some(false),
        _ => match ini_number(text)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    }
}

/// Two values mean the same, however they are written.
pub fn ini_equal(a: &str, b: &str) -> bool {
    let same_count = || ini_count(a).is_some_and(|n| ini_count(b) == Some(n));
    let same_switch = || ini_switch(a).is_some_and(|on| ini_switch(b) == Some(on));
    a == b || same_count() || same_switch()
}

/// One `key = value` of an [`Ini`].
#[derive(Clone, Debug, PartialEq, Eq, schemars::JsonSchema, serde::Serialize)]
pub struct IniEntry {
    /// Empty in front of the first section.
    pub section: String,
    pub key: String,
    /// Value, blanks and comment stripped.
    pub value: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write;

    fn deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    const TEXT: &str = ";; board\n[PS_INFO]\nName = MCX311A-XCAT ; part\n\n[ADAPTER]\r\n\
                        PSID = MT_1170110023\r\nPSID = other\n[PS_INFO]\nPRS_name=a=b\nnoise\n";

    #[test]
    fn a_key_belongs_to_its_section_only() {
        let ini = Ini::inflate(&deflate(TEXT.as_bytes())).unwrap();
        assert_eq!(ini.get("PS_INFO", "Name").unwrap(), "MCX311A-XCAT");
        assert_eq!(ini.get("ADAPTER", "PSID").unwrap(), "MT_1170110023");
        assert_eq!(ini.get("PS_INFO", "PRS_name").unwrap(), "a=b");
        assert_eq!(ini.get("ADAPTER", "Name"), None);
        let keys: Vec<_> = ini.entries().into_iter().map(|e| e.key).collect();
        assert_eq!(keys, ["Name", "PSID", "PSID", "PRS_name"]);
    }

    #[test]
    fn a_comment_begins_at_the_start_of_a_line_or_after_a_blank() {
        let text = "; whole = line\n  ;indented = too\n[PS_INFO] ; board\nDescription = a; b;c ; d\n\
                    Name = MCX354A-FCC_Ax\t;part\nempty = ; nothing\nnone =;\nodd;key = 1;\n";
        let entries = Ini { bytes: text.into() }.entries();
        let found: Vec<_> = entries.iter().map(|e| (e.key.as_str(), e.value.as_str())).collect();
        assert_eq!(
            found,
            [
                ("Description", "a; b;c"),
                ("Name", "MCX354A-FCC_Ax"),
                ("empty", ""),
                ("none", ""),
                ("odd;key", "1;")
            ]
        );
        assert!(entries.iter().all(|e| e.section == "PS_INFO"));
    }

    #[test]
    fn part_number_and_description_are_found_in_their_sections() {
        let ini = |text: &str| Ini { bytes: text.into() };
        let real = ini("[PS_INFO]\nName = MCX1\nDescription = x; y\n[ADAPTER]\nName = other\n");
        assert_eq!(real.part_number().as_deref(), Some("MCX1"));
        assert_eq!(real.description().as_deref(), Some("x; y"));
        let old = ini("[PS_INFO]\nName =\n[ADAPTER]\nPN = MCX2\n[IB]\nDescription = no\n");
        assert_eq!(old.part_number().as_deref(), Some("MCX2"));
        assert_eq!(old.description(), None);
    }

    #[test]
    fn values_are_compared_by_what_they_mean() {
        for (a, b) in [
            ("2", "Two_Ports"),
            ("0x2", "two_ports"),
            ("One_Port", "1"),
            ("true", "1"),
            ("Enabled", "TRUE"),
            ("off", "0x0"),
            ("0x10", "16"),
            ("0xAB", "0xab"),
            ("XFI", "XFI"),
        ] {
            assert!(ini_equal(a, b) && ini_equal(b, a), "{a} {b}");
        }
        for (a, b) in
            [("1", "Two_Ports"), ("true", "2"), ("true", "false"), ("", "0"), ("XFI", "SGMII")]
        {
            assert!(!ini_equal(a, b) && !ini_equal(b, a), "{a} {b}");
        }
        assert_eq!(ini_count("Two_Sports"), None);
    }

    #[test]
    fn padding_and_text_after_a_nul_are_cut_off() {
        let mut body = deflate(b"[A]\nb=c\n\0d=e\n");
        body.extend([0; 3]);
        assert_eq!(Ini::inflate(&body).unwrap().bytes, b"[A]\nb=c\n");
    }

    #[test]
    fn the_start_of_a_stream_gives_complete_lines() {
        let text: String = (0..400).map(|n| format!("key_{n} = {}\n", n * 7919 % 1000)).collect();
        let stream = deflate(text.as_bytes());
        assert_eq!(Ini::start(&stream).bytes, text.as_bytes());
        let start = Ini::start(&stream[..320]).bytes;
        assert!(start.len() > 320 && start.ends_with(b"\n") && text.as_bytes().starts_with(&start));
        assert_eq!(Ini::start(&[0xFF; 64]).bytes, b"");
        assert_eq!(Ini::start(&[]).bytes, b"");
        // A bomb is cut off.
        let bomb = deflate(&vec![b'\n'; 4 << 20]);
        assert!(Ini::start(&bomb).bytes.len() <= bomb.len() * MOST_RATIO);
    }

    #[test]
    fn a_zlib_bomb_is_an_error() {
        let bomb = deflate(&vec![b' '; 64 << 20]);
        assert!(bomb.len() < 1 << 17);
        assert!(matches!(Ini::inflate(&bomb), Err(IniError::TooLong)));
        // Exactly the bound is still a text.
        let full = deflate(&vec![b' '; Ini::MAX]);
        assert_eq!(Ini::inflate(&full).unwrap().bytes.len(), Ini::MAX);
    }

    #[test]
    fn truncated_and_other_streams_are_errors() {
        let stream = deflate(TEXT.as_bytes());
        for cut in [0, 1, 2, 10, stream.len() - 1] {
            let got = Ini::inflate(&stream[..cut]);
            assert!(matches!(got, Err(IniError::CutShort)), "{cut}");
        }
        assert!(matches!(Ini::inflate(&[0xFF; 64]), Err(IniError::Stream(_))));
    }
}
