//! Readings that must agree: one wrong reading decides nothing.

use super::FlashError;

/// Attempts before the readings are called unsteady.
const MOST_READINGS: u32 = 8;

/// Reads until two consecutive readings agree; `None` when they never do.
pub(super) fn agreed<T: PartialEq>(
    mut read: impl FnMut() -> Result<T, FlashError>,
) -> Result<Option<T>, FlashError> {
    let mut before = read()?;
    for _ in 1..MOST_READINGS {
        let now = read()?;
        if now == before {
            return Ok(Some(now));
        }
        before = now;
    }
    Ok(None)
}

/// The first place where `found`, read at `start`, differs from `wanted`, which belongs at `at`: address,
/// byte found, byte wanted. Bytes beside `wanted` are not compared.
pub(super) fn difference(
    start: u32,
    found: &[u8],
    at: u32,
    wanted: &[u8],
) -> Option<(u32, u8, u8)> {
    (start..).zip(found).find_map(|(place, &found)| {
        let wanted = *wanted.get(place.checked_sub(at)? as usize)?;
        (found != wanted).then_some((place, found, wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(readings: &[u8]) -> (Option<u8>, usize) {
        let mut taken = 0;
        let agreed = agreed(|| {
            let reading = readings[taken];
            taken += 1;
            Ok(reading)
        });
        (agreed.unwrap(), taken)
    }

    #[test]
    fn two_consecutive_readings_must_agree() {
        assert_eq!(of(&[5, 5]), (Some(5), 2));
        assert_eq!(of(&[9, 5, 5]), (Some(5), 3));
        assert_eq!(of(&[5, 9, 5, 5]), (Some(5), 4));
    }

    #[test]
    fn readings_that_never_agree_end() {
        assert_eq!(of(&[1, 2, 1, 2, 1, 2, 1, 2]), (None, 8));
    }
}
