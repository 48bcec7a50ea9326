//! Seeded bytes in place of code, which is not free to copy.

/// SplitMix64: small, seedable, and good enough to look like code to a CRC.
pub(super) struct Filler(u64);

impl Filler {
    /// Filler for one section of an image; `stream` makes the sections of one seed different.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(seed.rotate_left(17) ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A dword that is never the first of an image signature and never blank flash.
    pub(super) fn word(&mut self) -> u32 {
        // The first word of the signature.
        let first = 0x4D54_4657;
        loop {
            let word = (self.next() >> 32) as u32;
            if word != first && word != u32::MAX {
                return word;
            }
        }
    }

    /// `count` dwords, big-endian.
    pub(super) fn words(&mut self, count: usize) -> Vec<u8> {
        (0..count).flat_map(|_| self.word().to_be_bytes()).collect()
    }

    /// As [`Filler::words`], with a blank stretch of 2 KiB in 64 KiB or more: real code has a few,
    /// and a flash page that is all ones need not be programmed.
    pub(super) fn code(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = self.words(count);
        if count >= 0x4000 {
            let at = (count * 2) & !0xFFF;
            if let Some(hole) = bytes.get_mut(at..at + 0x800) {
                hole.fill(0xFF);
            }
        }
        bytes
    }
}
