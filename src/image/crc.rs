//! The CRC16 of FS2 (docs/fs2.md#crc16).

use super::words::{AT_FULL_CRC, BLANK_CRC, be32, put_be32};
use crc::{Algorithm, Crc};

/// Polynomial 0x100B. The reference describes the register starting at 0xFFFF with message bits
/// entering at the low end and 16 zero bits fed at the end. Feeding those zeros first instead of
/// last gives the usual table form with start value 0xF6AA (= !0x0955, the vector for no bytes
/// in docs/fs2.md#test-vectors), which is what the `crc` crate computes.
const FS2: Algorithm<u16> = Algorithm {
    width: 16,
    poly: 0x100B,
    init: 0xF6AA,
    refin: false,
    refout: false,
    xorout: 0xFFFF,
    check: 0,
    residue: 0,
};

static TABLE: Crc<u16> = Crc::<u16>::new(&FS2);

/// CRC16 of `bytes` as stored in sections, BOOT2 blocks and the header.
pub fn crc16(bytes: &[u8]) -> u16 {
    TABLE.checksum(bytes)
}

/// CRC16 over bytes that come in pieces.
pub(super) type Crc16State = crc::Digest<'static, u16>;

pub(super) fn crc16_state() -> Crc16State {
    TABLE.digest()
}

/// Appends the CRC dword of the bytes from `start` on.
pub(super) fn push_crc(image: &mut Vec<u8>, start: usize) {
    let crc = image.get(start..).map_or(0, crc16);
    image.extend_from_slice(&u32::from(crc).to_be_bytes());
}

/// Writes the full image CRC over all of `image`, or the blank one (docs/fs2.md#full-image-crc,
/// docs/fs2.md#blank-guids). Bits 31:16 of the word are kept. Returns false when there is no
/// header.
pub(super) fn stamp_full_crc(image: &mut [u8], blank: bool) -> bool {
    let Some(old) = be32(image, AT_FULL_CRC) else {
        return false;
    };
    // The field counts as 0xFFFF in its own CRC.
    let masked = old | BLANK_CRC;
    let masked_in = put_be32(image, AT_FULL_CRC, masked);
    if blank {
        return masked_in;
    }
    let crc = u32::from(crc16(image));
    put_be32(image, AT_FULL_CRC, masked & 0xFFFF_0000 | crc)
}

#[cfg(test)]
mod tests {
    use super::crc16;

    #[test]
    fn vectors_of_the_reference() {
        let ramp: Vec<u8> = (0..16).collect();
        let cases: [(&[u8], u16); 8] = [
            (&[], 0x0955),
            (&[0; 4], 0x0009),
            (&[0xff; 4], 0xC41A),
            (b"1234", 0xE895),
            (b"12345678", 0xB2AD),
            (&ramp, 0xC884),
            (&[0; 16], 0x66A6),
            (&[0xff; 16], 0x0C4A),
        ];
        for (bytes, want) in cases {
            assert_eq!(crc16(bytes), want, "{bytes:02x?}");
        }
    }

    /// The words of the reference, bit by bit (docs/fs2.md#crc16): message bits enter at the low
    /// end, 16 zero bits follow, the result is inverted.
    fn as_described(bytes: &[u8]) -> u16 {
        let mut register = 0xFFFF_u32;
        for byte in bytes.iter().chain(&[0, 0]) {
            for bit in (0..8).rev() {
                let top = register & 0x8000 != 0;
                register = (register << 1 | u32::from(byte >> bit & 1)) & 0xFFFF;
                if top {
                    register ^= 0x100B;
                }
            }
        }
        !(register as u16)
    }

    proptest::proptest! {
        #[test]
        fn table_form_differs_from_the_description(bytes: Vec<u8>, cut: proptest::sample::Index) {
            proptest::prop_assert_eq!(crc16(&bytes), as_described(&bytes));
            let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
            let mut running = super::crc16_state();
            running.update(head);
            running.update(tail);
            proptest::prop_assert_eq!(running.finalize(), crc16(&bytes));
        }
    }
}
