//! Helpers that integration tests share: the witness (mstflint as distributed) and how to read what
//! it prints, what we say of the same bytes in the same form, fixture recipes, seeded damage.
//! Each test crate takes what it needs.
#![allow(dead_code, reason = "each test crate uses a part of these")]
// clippy knows tests by their attribute only; helpers of tests are the same kind of code.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a panic here is the report of a test, and pub is for the test crate"
)]

pub mod bench;
pub mod damage;
pub mod flint;
pub mod flint_text;
pub mod mst;
pub mod ours;

pub mod roms;
pub mod variants;

/// Small seeded generator (SplitMix64): the same cases in every run, named by their seed.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}
