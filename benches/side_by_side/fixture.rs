//! The card and the image: a 2 MiB MCX312B with images of real size.

use cx3flash::image::{Contents, Guid, Half, Identity, Mac, Recipe, build, striped};
use cx3flash::sim::{BootOutcome, CardSpec, SimCard, SimChip};
use std::path::PathBuf;

/// Serial number of the card, the name of its proofs.
pub(crate) const SERIAL: &str = "f4-52-14-03-00-aa-bb-c0";
/// Bytes of the flash.
pub(crate) const SIZE: u32 = 2 << 20;
/// Start of the odd half.
const ODD_HALF: usize = 0x8_0000;

/// State of the half that a burn writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum HalfState {
    /// Erased.
    Blank,
    /// Full of an older image whose signature was invalidated.
    Used,
}

/// Flash contents and image files.
pub(crate) struct Fixture {
    dir: tempfile::TempDir,
    old: Vec<u8>,
    older: Vec<u8>,
    new: Recipe,
}

fn identity() -> Identity {
    let guid = |n: u64| Guid(0xF452_1403_00AA_BBC0 + n);
    Identity {
        guids: [guid(0), guid(1), guid(2), guid(3)],
        macs: [Mac(0xF452_14AA_BBC0), Mac(0xF452_14AA_BBC1)],
        vsd: b"rack 7, slot 2".to_vec(),
    }
}

fn half(recipe: &Recipe, half: Half) -> Vec<u8> {
    let image = Contents::from_file(&build(recipe).unwrap()).unwrap();
    let own = image.with_identity(&identity()).unwrap();
    striped(own.bytes(), half, SIZE).unwrap()
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let new = Recipe::mcx312b_2_42_5000();
        let old = Recipe::mcx312b_2_36_5150();
        let older = Recipe { version: "2.30.3000".parse().unwrap(), seed: 99, ..new.clone() };
        let fixture = Self {
            dir: tempfile::tempdir().unwrap(),
            old: half(&old, Half::Even),
            older: half(&older, Half::Odd),
            new,
        };
        std::fs::write(fixture.image(), build(&fixture.new).unwrap()).unwrap();
        fixture
    }

    /// The image to burn.
    pub(crate) fn image(&self) -> PathBuf {
        self.dir.path().join("new.bin")
    }

    /// The directory of the card's proofs.
    pub(crate) fn proofs(&self) -> PathBuf {
        self.dir.path().join("proofs")
    }

    /// A new directory for one run, with the image in it.
    pub(crate) fn scratch(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        std::fs::copy(self.image(), dir.path().join("new.bin")).unwrap();
        dir
    }

    /// Contents of the flash before a job. The even half boots.
    pub(crate) fn flash(&self, odd: HalfState) -> Vec<u8> {
        let mut flash = self.old.clone();
        if odd == HalfState::Used {
            for (byte, more) in flash.iter_mut().zip(&self.older) {
                *byte &= more;
            }
            flash[ODD_HALF..ODD_HALF + 4].fill(0);
        }
        flash
    }

    /// The card that `flash` makes.
    pub(crate) fn card(flash: &[u8]) -> SimCard {
        let spec =
            CardSpec { hw_id: 0x1f7, revision: 0, chip: SimChip::M25px16, ..CardSpec::default() };
        SimCard::new(spec, flash)
    }

    /// The new image boots from `flash`.
    pub(crate) fn boots_new(&self, flash: &[u8]) -> bool {
        let outcomes = Self::card(flash).boot_outcomes();
        [outcomes.lowest_first, outcomes.highest_first]
            .iter()
            .all(|outcome| matches!(outcome, BootOutcome::Image { version, .. } if *version == self.new.version))
    }
}
