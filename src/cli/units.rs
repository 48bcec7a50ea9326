//! Figures for people.

use std::time::Duration;

/// `832 KiB`, `1.5 MiB`, `1234 bytes`: exact where it is short, one decimal above.
#[must_use]
pub(super) fn kib(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * 1024;
    if bytes >= MIB && bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else if bytes >= KIB {
        let tenths = bytes * 10 / KIB;
        if tenths.is_multiple_of(10) || tenths >= 1000 {
            format!("{} KiB", bytes / KIB)
        } else {
            format!("{}.{} KiB", tenths / 10, tenths % 10)
        }
    } else {
        format!("{bytes} bytes")
    }
}

/// `0.8 s`, `12 s`, `1 min 5 s`.
#[must_use]
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 60 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else if seconds >= 10 {
        format!("{seconds} s")
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::{kib, time};
    use std::time::Duration;

    #[test]
    fn sizes_are_misprinted() {
        assert_eq!(kib(0x20_0000), "2 MiB");
        assert_eq!(kib(0xC_250C), "777 KiB");
        assert_eq!(kib(1536), "1.5 KiB");
        assert_eq!(kib(16), "16 bytes");
    }

    #[test]
    fn times_are_misprinted() {
        assert_eq!(time(Duration::from_millis(830)), "0.8 s");
        assert_eq!(time(Duration::from_secs(65)), "1 min 5 s");
    }
}
