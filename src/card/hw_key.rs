//! The key of a locked card.

use std::fmt;
use std::str::FromStr;

/// A hardware access key. It is never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HwKey(u64);

impl fmt::Debug for HwKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HwKey(..)")
    }
}

impl FromStr for HwKey {
    type Err = &'static str;

    /// Exactly 16 hexadecimal digits, `0x` or not before them. mstflint fills missing ones up with zeros
    /// (flint/subcommands.cpp, `getGUIDFromStr`); a digit that was not copied must not become another key.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        let is_key = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u64::from_str_radix(digits, 16)
            .ok()
            .filter(|_| is_key)
            .map(Self)
            .ok_or(
                "a hardware access key has exactly 16 hexadecimal digits; one that was set with fewer has zeros in front of them",
            )
    }
}

impl HwKey {
    /// High and low word.
    pub(super) fn words(self) -> [u32; 2] {
        [(self.0 >> 32) as u32, self.0 as u32]
    }
}

#[cfg(test)]
mod tests {
    use super::HwKey;

    #[test]
    fn a_key_has_exactly_16_digits_and_is_not_printed() {
        for text in ["0x0123456789ABCDEF", "0123456789abcdef\n"] {
            let key: HwKey = text.parse().unwrap();
            assert_eq!(format!("{key:?}"), "HwKey(..)");
        }
        for text in [
            "",
            "0x",
            "1",
            "22062011",
            "0123456789abcde",
            "0x0123456789abcd",
            "0123456789abcdef0",
            "+123456789abcdef",
            "0123456789abcdeg",
            "01234567 9abcdef",
        ] {
            let why = text.parse::<HwKey>().unwrap_err();
            assert!(why.contains("exactly 16") && (text.len() < 3 || !why.contains(text)), "{why}");
        }
    }
}
