//! What the tests share: mstflint as a witness and readers of what it prints, our report of the same
//! bytes in the same form, images and damage to them, the program in a directory of its own.

pub mod cli;
pub mod damage;
pub mod flash;
pub mod flint;
pub mod flint_text;
pub mod ours;
pub mod roms;
pub mod space;
pub mod two_readers;
pub mod variants;

/// mstflint and mstconfig on a simulated card; `None`, reported on stderr, where they are missing.
pub fn mst() -> Option<&'static mst::Mst> {
    mst::mst(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// The chip of a simulated card.
pub fn chip_of(card: &cx3flash::sim::SimCard) -> cx3flash::card::Chip {
    let cx3flash::sim::CardSpec { hw_id, revision, .. } = card.spec();
    cx3flash::card::Chip { hw_id, revision }
}

/// Whether the environment requests every case of the sweeps.
pub fn every_case() -> bool {
    std::env::var_os("CX3FLASH_SWEEP").is_some_and(|v| v == "all")
}

/// Whether the environment requests long campaigns: sweeps are deeper then.
pub fn deep() -> bool {
    std::env::var_os("CX3FLASH_CAMPAIGN").is_some() || every_case()
}

/// Small seeded generator (SplitMix64): the same cases in every run, named by their seed.
pub struct SeededRng(pub u64);

impl SeededRng {
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
