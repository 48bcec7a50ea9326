//! Writing the words, pointers and CRCs that make an image whole. The builder and the patcher
//! share these, so that an image is finished in one way only.

use super::crc16;

/// Size of the header in bytes; the first BOOT2 block follows it (docs/fs2.md#header).
pub(super) const HEADER_LEN: usize = 0x38;
/// Bytes of a GPH in front of a section body (docs/fs2.md#section-header).
pub(super) const GPH_LEN: usize = 16;
/// `next` of the last section in vendor images (docs/fs2.md#section-header).
pub(super) const CHAIN_END: u32 = 0xFF00_0000;
/// Body limit of a section in bytes (docs/fs2.md#section-header).
pub(super) const MAX_BODY: usize = 0x40_0000;
/// Stored instead of a CRC where the identity is blank (docs/fs2.md#blank-guids).
pub(super) const BLANK_CRC: u32 = 0xFFFF;

/// Header word: device revision, "CRC existing" field, full image CRC.
pub(super) const AT_FULL_CRC: usize = 0x20;
/// Header word: Image Info pointer with check byte.
pub(super) const AT_INFO_POINTER: usize = 0x2C;
/// Header word: size of the image in bytes.
pub(super) const AT_SIZE: usize = 0x30;
/// Header word: GUID pointer.
pub(super) const AT_GUID_POINTER: usize = 0x34;

/// Big-endian dword at `at`, if it is inside.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(found.try_into().ok()?))
}

/// Put a big-endian dword at `at`. False when it does not fit.
#[must_use]
pub(super) fn put_word(bytes: &mut [u8], at: usize, value: u32) -> bool {
    let place = at.checked_add(4).and_then(|end| bytes.get_mut(at..end));
    match place {
        Some(place) => {
            place.copy_from_slice(&value.to_be_bytes());
            true
        }
        None => false,
    }
}

/// `value` with bits 31:24 chosen so that its four bytes sum to 0 mod 256, as the words at 0x28
/// and 0x2C want it (docs/fs2.md#header). `None` when `value` uses those bits.
pub(super) fn with_check_byte(value: u32) -> Option<u32> {
    if value >> 24 != 0 {
        return None;
    }
    let sum = value
        .to_be_bytes()
        .iter()
        .fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    Some(value | u32::from(sum.wrapping_neg()) << 24)
}

/// The four words of a GPH as bytes.
pub(super) fn gph(kind: u32, size: u32, param: u32, next: u32) -> [u8; GPH_LEN] {
    let mut bytes = [0; GPH_LEN];
    for (place, value) in bytes.chunks_exact_mut(4).zip([kind, size, param, next]) {
        place.copy_from_slice(&value.to_be_bytes());
    }
    bytes
}

/// Append the CRC dword of the bytes from `start` on.
pub(super) fn push_crc(image: &mut Vec<u8>, start: usize) {
    let crc = image.get(start..).map_or(0, crc16);
    image.extend_from_slice(&u32::from(crc).to_be_bytes());
}

/// Write the full image CRC over all of `image`, or the blank one (docs/fs2.md#full-image-crc, docs/fs2.md#blank-guids).
/// Bits 31:16 of the word are kept. False when there is no header.
#[must_use]
pub(super) fn stamp_full_crc(image: &mut [u8], blank: bool) -> bool {
    let Some(old) = word(image, AT_FULL_CRC) else {
        return false;
    };
    // The field counts as 0xFFFF in its own CRC.
    let masked = old | BLANK_CRC;
    if !put_word(image, AT_FULL_CRC, masked) {
        return false;
    }
    if blank {
        return true;
    }
    let crc = u32::from(crc16(image));
    put_word(image, AT_FULL_CRC, masked & 0xFFFF_0000 | crc)
}

#[cfg(test)]
mod tests {
    use super::with_check_byte;

    #[test]
    fn check_bytes_of_the_real_header() {
        // docs/fs2.md#test-vectors: the failsafe word and Image Info pointer of a real Pro image.
        assert_eq!(with_check_byte(0x0000_000B), Some(0xF500_000B));
        assert_eq!(with_check_byte(0x0001_D1A0), Some(0x8E01_D1A0));
        assert_eq!(with_check_byte(0), Some(0));
        assert_eq!(with_check_byte(0x0100_0000), None);
    }
}
