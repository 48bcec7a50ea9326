//! Parts of a split download, by their names: nothing inside a later part names it.

use crate::escape;
use std::path::{Path, PathBuf};

/// A file that is named like one of several parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitName {
    /// Its name without the number: what the parts make together.
    pub whole: PathBuf,
    /// A pattern of a shell that has each part in its order.
    pattern: String,
}

impl SplitName {
    /// `fw.bin.001`, `fw.bin.part2`, and as `split` names them, `fw.bin.ab`.
    pub fn of(path: &Path) -> Option<Self> {
        let suffix = path.extension()?.to_str()?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let pattern = match suffix.strip_prefix("part") {
            Some(number) if digits(number) => format!("part{}", "[0-9]".repeat(number.len())),
            _ if digits(suffix) && (2..=3).contains(&suffix.len()) => "[0-9]".repeat(suffix.len()),
            _ if suffix.len() == 2 && suffix.starts_with('a') && suffix != "ar" => {
                "a[a-z]".to_owned()
            }
            _ => return None,
        };
        let whole = path.with_extension("");
        whole.extension()?;
        Some(Self { whole, pattern })
    }

    /// What makes one file of the parts.
    pub fn joined(&self) -> String {
        let whole = escape::shell_path(&self.whole);
        format!("cat {whole}.{} > {whole}", self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::SplitName;
    use std::path::Path;

    #[test]
    fn parts_are_known_by_their_names() {
        for (name, joined) in [
            ("fw.bin.001", "cat fw.bin.[0-9][0-9][0-9] > fw.bin"),
            ("a b.bin.00", "cat 'a b.bin'.[0-9][0-9] > 'a b.bin'"),
            ("d/fw.zip.part2", "cat d/fw.zip.part[0-9] > d/fw.zip"),
            ("fw.bin.ac", "cat fw.bin.a[a-z] > fw.bin"),
        ] {
            let split = SplitName::of(Path::new(name)).unwrap();
            assert_eq!(split.joined(), joined);
        }
        for name in ["fw.bin", "fw-2_42_5000.bin", "fw-2.42.5000", "fw.1", "fw.001", "fw.a", "fw"] {
            assert_eq!(SplitName::of(Path::new(name)), None, "{name}");
        }
    }
}
