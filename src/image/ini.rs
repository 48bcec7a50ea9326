//! The board description inside the image (fs2-image §7).

/// The inflated text of section type 9.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ini {
    /// Inflated bytes up to the first NUL, exactly what `dc` writes.
    pub bytes: Vec<u8>,
}

impl Ini {
    /// Upper bound of the inflated text in bytes; real ones are about 5 KiB. A stream that wants
    /// more is hostile and is reported, not followed.
    pub const MAX: usize = 1 << 20;

    /// Value of `key` in `[section]`, case-sensitive, comments and blanks stripped.
    #[must_use]
    pub fn get(&self, section: &str, key: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut inside = false;
        for line in text.lines() {
            let line = line.split(';').next().unwrap_or("").trim();
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                inside = name.trim() == section;
            } else if inside
                && let Some((k, v)) = line.split_once('=')
                && k.trim() == key
            {
                return Some(v.trim().to_owned());
            }
        }
        None
    }
}
