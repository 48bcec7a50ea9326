//! Seeded random numbers: tears, cells that read differently each time, noise.

/// splitmix64 (Steele, Lea, Flood 2014): 64 bits of state, every seed is good.
#[derive(Clone)]
pub(super) struct SplitMix64(u64);

impl SplitMix64 {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0. The bias of the remainder does not matter here.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// A byte whose bits are set with a chance of `eighths`/8.
    pub(super) fn mask(&mut self, eighths: u8) -> u8 {
        let [a, b, c, ..] = self.next().to_le_bytes();
        let mut out = 0;
        for bit in 0..8 {
            let roll = (a >> bit & 1) << 2 | (b >> bit & 1) << 1 | (c >> bit & 1);
            out |= u8::from(roll < eighths) << bit;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::SplitMix64;

    #[test]
    fn first_numbers_are_those_of_the_published_generator() {
        let mut rng = SplitMix64::new(1_234_567);
        let got: Vec<u64> = (0..3).map(|_| rng.next()).collect();
        assert_eq!(
            got,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
