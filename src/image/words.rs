//! Big-endian words of image bytes, and the fields of the header and of a section header (GPH).

/// Size of the header in bytes; the first BOOT2 block follows it (docs/fs2.md#header).
pub(super) const HEADER_LEN: usize = 0x38;
/// Bytes of a GPH in front of a section body (docs/fs2.md#section-header).
pub(super) const GPH_LEN: usize = 16;
/// `next` of the last section in vendor images; 0 ends a chain too (docs/fs2.md#section-header).
pub(super) const CHAIN_END: u32 = 0xFF00_0000;
/// Stored instead of a CRC where the identity is blank (docs/fs2.md#blank-guids).
pub(super) const BLANK_CRC: u32 = 0xFFFF;

/// Header word: device revision, "CRC existing" field, full image CRC.
pub(super) const AT_FULL_CRC: usize = 0x20;
/// Header word: failsafe bit and log2 of the chunk size, with check byte.
pub(super) const AT_FAILSAFE: usize = 0x28;
/// Header word: Image Info pointer with check byte.
pub(super) const AT_INFO_POINTER: usize = 0x2C;
/// Header word: size of the image in bytes.
pub(super) const AT_SIZE: usize = 0x30;
/// Header word: GUID pointer.
pub(super) const AT_GUID_POINTER: usize = 0x34;

/// The big-endian dword at `at`, if it lies inside `bytes`.
pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*word))
}

/// The big-endian dwords of `bytes`; a rest of fewer than 4 bytes is left out.
pub fn be32s(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word))
}

/// `bytes` without the zeros at their end.
pub fn trim_zeros(bytes: &[u8]) -> &[u8] {
    let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    &bytes[..used]
}

/// The bytes of a text of hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let byte = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Writes a big-endian dword at `at`. Returns false when it does not fit.
pub(super) fn put_be32(bytes: &mut [u8], at: usize, value: u32) -> bool {
    let place = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
    place.map(|place| *place = value.to_be_bytes()).is_some()
}

/// Sum of the four bytes, mod 256.
pub(super) fn byte_sum(word: u32) -> u8 {
    word.to_be_bytes().iter().fold(0, |sum, &b| sum.wrapping_add(b))
}

/// `value` with bits 31:24 chosen so that its four bytes sum to 0 mod 256, as the header words 0x28
/// and 0x2C require (docs/fs2.md#header). `None` when `value` uses those bits.
pub(super) fn with_check_byte(value: u32) -> Option<u32> {
    (value >> 24 == 0).then(|| value | u32::from(byte_sum(value).wrapping_neg()) << 24)
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
