//! Reading sysfs and procfs. Files there vanish between two reads (hot-unplug, a driver that goes),
//! and hold what they like: whatever cannot be read is `None` or empty, never a panic.

use super::Bdf;
use std::fs;
use std::path::Path;

/// Content of a file, without white space around it. Odd bytes become U+FFFD.
pub(super) fn text(path: impl AsRef<Path>) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Content of a file, or nothing.
pub(super) fn lines(path: impl AsRef<Path>) -> Vec<String> {
    let text = text(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Names in a directory, sorted.
pub(super) fn names(path: impl AsRef<Path>) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Last component of what a link points to: how sysfs says which driver, group, master.
pub(super) fn link(path: impl AsRef<Path>) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

/// A number as sysfs writes ids: `0x15b3`.
pub(super) fn hex(text: &str) -> Option<u64> {
    let digits = text.trim().strip_prefix("0x")?;
    // `from_str_radix` alone would take a sign.
    digits
        .bytes()
        .all(|b| b.is_ascii_hexdigit())
        .then_some(())?;
    u64::from_str_radix(digits, 16).ok()
}

/// The PCI function a sysfs entry hangs below: the last address in its real path.
pub(super) fn owner(path: impl AsRef<Path>) -> Option<Bdf> {
    let real = fs::canonicalize(path).ok()?;
    let mut found = real.iter().filter_map(|part| {
        let part = part.to_str()?;
        let bdf: Bdf = part.parse().ok()?;
        // A directory merely called `00:01.0` is none of the kernel's.
        (bdf.to_string() == part).then_some(bdf)
    });
    found.next_back()
}

/// Is this a single file name? Anything else is no name of a device.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '\0'])
}
