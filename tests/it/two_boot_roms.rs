//! The simulated card's boot ROM, written from docs/fs2.md alone, and cx3flash's reader agree on what
//! boots, over built images with every kind of damage. Where they differ, it is listed here and why.

use crate::support::variants::{self, Variant};
use crate::support::{SeededRng, chip_of, damage};
use cx3flash::image::{
    Contents, FindingId, FlashAddr, Half, Layout, Recipe, Severity, build, striped,
};
use cx3flash::plan::{Bootability, Validity, bootability};
use cx3flash::sim::{BootOutcome, BootRefusal, CardSpec, SimCard, SimChip};
use std::collections::BTreeMap;
use std::io::Write;

/// Bytes of an image's header.
const HEADER: usize = 0x38;
/// Pieces of damage of each variant.
const SEEDS: u64 = 24;
/// Every so many variants have each byte of their header damaged.
const HEADERS: usize = 6;

/// The reader expects a boot and the simulated ROM refuses.
const READER_ONLY: [(BootRefusal, &str); 2] = [
    (BootRefusal::SectionSize, "flint's 32 bits lose the upper two of a size in words"),
    (BootRefusal::Tags, "odd tag sizes: flint's two cursors are imitated; no such image is known"),
];

/// The simulated ROM boots and the reader expects none. An image that the reader does not believe in is
/// one that a job does not rely on.
const ROM_ONLY: [(FindingId, &str); 5] = [
    (FindingId::Overlap, "flint accepts overlapping sections, no known image has them"),
    (FindingId::Chain, "flint accepts backward pointers, no known image has them"),
    (FindingId::MissingTag, "a job needs version, PSID and device id, a ROM does not"),
    (FindingId::Pointer, "a job needs four or six GUID entries, a ROM does not"),
    (FindingId::IdentityCrc, "a blank GUID section in the chain whose MACs are not blank"),
];

#[derive(Default)]
struct Agreement {
    boots: u64,
    neither: u64,
    differ: BTreeMap<String, u64>,
}

impl Agreement {
    /// Compares what both expect of the image at `start` of a flash.
    fn compare(&mut self, card: &SimCard, start: u32, what: &str) {
        let flash = card.flash();
        let contents = Contents::from_dump(&flash, FlashAddr(start));
        let judge = |c: &Contents| bootability(FlashAddr(start), c.image(), chip_of(card));
        let judged = contents.as_ref().map_or(Bootability::No, judge);
        let reader = judged == Bootability::Sure;
        let refused = card.boot_refusals().into_iter().find(|(at, _)| at.0 == start);
        let rom = card.boot_outcome() != BootOutcome::Recovery;
        match (reader, rom) {
            (true, true) => self.boots += 1,
            (false, false) => self.neither += 1,
            (true, false) => {
                let why = refused.unwrap_or_else(|| panic!("{what}: the ROM finds no signature")).1;
                let listed = READER_ONLY.iter().any(|(listed, _)| *listed == why);
                assert!(listed, "{what}: the reader expects a boot, the ROM has {why:?}");
                *self.differ.entry(format!("reader only, {why:?}")).or_default() += 1;
            }
            // No result promises such an image.
            (false, true) if matches!(judged, Bootability::Unsure(_)) => {
                *self.differ.entry("ROM only, not relied on".into()).or_default() += 1;
            }
            (false, true) => {
                let contents = contents.unwrap_or_else(|e| panic!("{what}: the ROM boots it: {e}"));
                let image = contents.image();
                let errors = image.findings.iter().filter(|f| f.severity == Severity::Error);
                let found: Vec<FindingId> = errors.map(|f| f.id).collect();
                let listed = ROM_ONLY.iter().find(|(listed, _)| found.contains(listed));
                let (id, _) =
                    listed.unwrap_or_else(|| panic!("{what}: only the ROM boots: {found:?}"));
                *self.differ.entry(format!("ROM only, {id:?}")).or_default() += 1;
            }
        }
    }
}

/// A card of the silicon that the image is for, with the image in a half.
struct Placed {
    card: SimCard,
    half: Half,
    start: u32,
    good: Vec<u8>,
}

impl Placed {
    fn new(recipe: &Recipe, half: Half) -> Option<Self> {
        let good = build(recipe).unwrap();
        let layout = Contents::from_file(&good).unwrap().image().layout;
        let start = layout.start_of(half).0;
        if layout == Layout::NonFailsafe && half == Half::Odd {
            return None;
        }
        let (hw_id, revision) = recipe.supported_hw.first().copied().unwrap_or((0x1f5, 1));
        let chip = SimChip::M25px16;
        // A chunk of 8 MiB has no odd half on 2 MiB.
        (start < chip.size()).then(|| Self {
            card: SimCard::new(CardSpec { hw_id, revision, chip, ..CardSpec::default() }, &[]),
            half,
            start,
            good,
        })
    }

    /// The card with `image` in the place of the good one, interleaved as the good one is; `None` when
    /// it does not fit.
    fn with(&self, image: &[u8]) -> Option<SimCard> {
        let mut whole = image.to_vec();
        whole.resize(image.len().next_multiple_of(4).max(HEADER), 0xFF);
        // The layout may be what is damaged.
        whole[..HEADER].copy_from_slice(&self.good[..HEADER]);
        let mut flash = striped(&whole, self.half, self.card.spec().chip.size()).ok()?;
        let header = image.len().min(HEADER);
        flash[self.start as usize..][..header].copy_from_slice(&image[..header]);
        let card = self.card.fork();
        card.load_flash(0, &flash);
        Some(card)
    }
}

#[test]
fn both_readers_agree_on_what_boots() {
    let mut agreement = Agreement::default();
    for (n, Variant { name, recipe }) in variants::all().into_iter().enumerate() {
        for half in [Half::Even, Half::Odd] {
            let Some(placed) = Placed::new(&recipe, half) else { continue };
            let mut judge = |image: &[u8], what: &str| {
                if let Some(card) = placed.with(image) {
                    let what = format!("{name}, {half:?}, {what}");
                    agreement.compare(&card, placed.start, &what);
                }
            };
            judge(&placed.good, "undamaged");
            // Large images only cost time.
            if placed.good.len() > 0x2_0000 {
                continue;
            }
            for at in (0..HEADER + 16).filter(|_| n.is_multiple_of(HEADERS)) {
                let mut image = placed.good.clone();
                image[at] ^= 1 << ((at + n) % 8);
                judge(&image, &format!("byte {at:#x}"));
                damage::repair(&mut image);
                judge(&image, &format!("byte {at:#x}, repaired"));
            }
            for seed in 0..SEEDS {
                let mut image = placed.good.clone();
                let mut rng = SeededRng(seed << 8 | n as u64);
                let mut what = damage::one(&mut rng, &mut image);
                judge(&image, &format!("seed {seed}: {what}"));
                if seed % 4 == 0 {
                    what.push_str(", repaired");
                    damage::repair(&mut image);
                    judge(&image, &format!("seed {seed}: {what}"));
                }
            }
        }
    }
    let Agreement { boots, neither, differ } = agreement;
    let line =
        format!("two boot ROMs: {boots} boot, {neither} do not, differ as listed: {differ:?}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    assert!(boots > 300 && neither > 1000);
}

#[test]
fn damage_behind_a_damaged_rom_is_seen() {
    let recipe = variants::small();
    let good = build(&recipe).unwrap();
    let places = damage::chain(&good).unwrap();
    let of = |kind| places.iter().find(|at| damage::word(&good, **at) == Some(kind)).unwrap() + 40;
    let boots = |damaged: &[usize]| {
        let mut image = good.clone();
        damaged.iter().for_each(|at| image[*at] ^= 1);
        let flash = striped(&image, Half::Even, 0x20_0000).unwrap();
        let contents = Contents::from_dump(&flash, FlashAddr(0)).unwrap();
        Validity::of(contents.image()).complete()
    };
    let (rom, code) = (of(5), of(1));
    assert!(rom < code);
    assert!(boots(&[]) && boots(&[rom]));
    assert!(!boots(&[code]) && !boots(&[rom, code]));
}
