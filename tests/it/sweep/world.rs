//! Cards, images and jobs of the sweep.

use cx3flash::image::{
    Contents, FlashAddr, Guid, Half, Identity, Mac, Recipe, RomRecipe, Version, build, striped,
};
use cx3flash::job::{self, Exit, ImageFile, JobError, WriteOutcome, WriteRequest};
use cx3flash::plan::BurnOptions;
use cx3flash::sim::{BootOutcome, CardSpec, SimCard, SimChip};
use std::path::{Path, PathBuf};

/// Chunk size of the failsafe images: one of 68 KiB lies in two chunks, a small one in one. The cost
/// of a sweep is its operations times the cost of a burn, so most scenarios are small.
pub(crate) const SMALL_CHUNK_LOG2: u8 = 16;
const WIDE_SIZE: u32 = 0x1_1000 - 0x2f4;
const SMALL_SIZE: u32 = 0x9000 - 0x2f4;

pub(crate) fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// Seed that differs between versions, so that two images share nothing by chance.
fn seed(text: &str) -> u64 {
    text.bytes().fold(7, |a, b| a * 31 + u64::from(b))
}

/// A small failsafe Pro image.
pub(crate) fn small_pro(text: &str) -> Recipe {
    Recipe {
        version: version(text),
        chunk_log2: Some(SMALL_CHUNK_LOG2),
        rom: Some(RomRecipe::pxe((3, 4, 752), 0x1007, 0x2000).build().unwrap()),
        size: SMALL_SIZE,
        seed: seed(text),
        ini: None,
        ..Recipe::mcx312b_2_42_5000()
    }
}

/// A failsafe Pro image in two chunks.
pub(crate) fn wide_pro(text: &str) -> Recipe {
    Recipe { size: WIDE_SIZE, ..small_pro(text) }
}

/// A small non-failsafe ConnectX-3 image.
pub(crate) fn small_cx3(text: &str) -> Recipe {
    Recipe {
        version: version(text),
        rom: Some(RomRecipe::pxe((3, 4, 752), 0x1003, 0x2000).build().unwrap()),
        size: SMALL_SIZE,
        seed: seed(text),
        ini: None,
        ..Recipe::mcx311a_2_42_5000()
    }
}

pub(crate) fn identity() -> Identity {
    Identity {
        guids: [
            Guid(0xF452_1403_00AA_BBC0),
            Guid(0xF452_1403_00AA_BBC1),
            Guid(0xF452_1403_00AA_BBC2),
            Guid(0xF452_1403_00AA_BBC3),
        ],
        macs: [Mac(0xF452_14AA_BBC0), Mac(0xF452_14AA_BBC1)],
        vsd: b"rack 7, slot 2".to_vec(),
    }
}

/// The image of `recipe` as it stands on the card: with the card's identity.
pub(crate) fn own(recipe: &Recipe) -> Contents {
    Contents::from_file(&build(recipe).unwrap()).unwrap().with_identity(&identity()).unwrap()
}

/// A card, the image to burn, and a directory for backups.
pub(crate) struct SweepSetup {
    pub(crate) card: SimCard,
    file: PathBuf,
    old: Option<Version>,
    new: Version,
    dir: tempfile::TempDir,
}

impl SweepSetup {
    fn new(card: SimCard, old: Option<Version>, new: &Recipe) -> Self {
        // Thousands of backups: in memory where there is a file system for that.
        let shm = Path::new("/dev/shm");
        let dir =
            if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
        let file = dir.path().join("new.bin");
        std::fs::write(&file, build(new).unwrap()).unwrap();
        card.set_hurry(true);
        Self { card, file, old, new: new.version, dir }
    }

    /// A Pro card that boots `old` from the half `from`; the other half is blank or holds the
    /// remains of a third image whose signature was invalidated.
    pub(crate) fn failsafe(old: &Recipe, from: Half, other_used: bool, new: &Recipe) -> Self {
        let chip = SimChip::W25q80;
        let mut flash = striped(own(old).bytes(), from, chip.size()).unwrap();
        if other_used {
            let other = match from {
                Half::Even => Half::Odd,
                Half::Odd => Half::Even,
            };
            let third = Recipe { version: version("2.30.3000"), seed: 99, ..old.clone() };
            let mut remains = striped(own(&third).bytes(), other, chip.size()).unwrap();
            let start = match other {
                Half::Even => 0,
                Half::Odd => 1 << SMALL_CHUNK_LOG2,
            };
            remains[start..start + 4].fill(0);
            for (byte, remain) in flash.iter_mut().zip(remains) {
                *byte &= remain;
            }
        }
        // The scenarios between them meet every boot ROM.
        let spec = CardSpec {
            hw_id: 0x1f7,
            revision: 0,
            chip,
            boots_highest_first: matches!(from, Half::Odd),
            honours_boot_address: other_used,
            ..CardSpec::default()
        };
        let card = SimCard::new(spec, &flash);
        Self::new(card, Some(old.version), new)
    }

    /// The same card with another boot ROM.
    pub(crate) fn with_boot_rom(mut self, highest_first: bool, honours_boot_address: bool) -> Self {
        let flash = self.card.flash();
        let spec = CardSpec {
            boots_highest_first: highest_first,
            honours_boot_address,
            ..self.card.spec()
        };
        self.card = SimCard::new(spec, &flash);
        self.card.set_hurry(true);
        self
    }

    /// Under either preference the boot ROM takes the old or the new image, whether its firmware runs or
    /// hangs. Names which.
    pub(crate) fn boots_complete_images(&self, card: &SimCard, op: u64) -> String {
        let outcomes = card.boot_outcomes();
        let name = |outcome| match outcome {
            BootOutcome::Image { version, .. } | BootOutcome::Hung { version, .. }
                if Some(version) == self.old =>
            {
                "old"
            }
            BootOutcome::Image { version, .. } | BootOutcome::Hung { version, .. }
                if version == self.new =>
            {
                "new"
            }
            other => panic!("op {op}: P1 broken, the card boots {other:?}"),
        };
        let (low, high) = (name(outcomes.lowest_first), name(outcomes.highest_first));
        if low == high { low.into() } else { "old and new".into() }
    }

    /// The 2 MiB MCX312B with images of real size.
    pub(crate) fn real_sized() -> Self {
        let spec =
            CardSpec { hw_id: 0x1f7, revision: 0, chip: SimChip::M25px16, ..CardSpec::default() };
        let old = Recipe::mcx312b_2_36_5150();
        let flash = striped(own(&old).bytes(), Half::Even, spec.chip.size()).unwrap();
        let card = SimCard::new(spec, &flash);
        Self::new(card, Some(old.version), &Recipe::mcx312b_2_42_5000())
    }

    pub(crate) fn non_failsafe(old: &Recipe, new: &Recipe) -> Self {
        let spec = CardSpec { chip: SimChip::W25q80, ..CardSpec::default() };
        let card = SimCard::new(spec, own(old).bytes());
        Self::new(card, Some(old.version), new)
    }

    /// A ConnectX-3 whose flash is blank.
    pub(crate) fn empty(new: &Recipe) -> Self {
        let spec = CardSpec { chip: SimChip::W25q80, ..CardSpec::default() };
        Self::new(SimCard::new(spec, &[]), None, new)
    }

    pub(crate) fn image(&self) -> ImageFile {
        job::read_image(&self.file, &()).unwrap()
    }

    /// A file of another image.
    pub(crate) fn image_of(&self, recipe: &Recipe) -> ImageFile {
        let file = self.dir.path().join(format!("{}.bin", recipe.version));
        std::fs::write(&file, build(recipe).unwrap()).unwrap();
        job::read_image(&file, &()).unwrap()
    }

    /// A new directory; the caller removes it.
    pub(crate) fn scratch(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(self.dir.path()).unwrap()
    }

    /// The job, confirmed, on a card that is opened for it.
    pub(crate) fn write(
        &self,
        card: &SimCard,
        request: &WriteRequest<'_>,
    ) -> Result<WriteOutcome, JobError> {
        let backups = self.scratch();
        let mut device = job::open_sim(card, "sim")?;
        let backups = backups.path();
        job::write(&mut device, request, job::WriteOptions::later(backups), &mut |_| true, &mut ())
    }

    pub(crate) fn burn(
        &self,
        card: &SimCard,
        options: &BurnOptions,
    ) -> Result<WriteOutcome, JobError> {
        self.write(card, &WriteRequest::Burn(&self.image(), options))
    }

    /// A backup of `card` that stays.
    pub(crate) fn backup(&self, card: &SimCard) -> PathBuf {
        let out = self.dir.path().join("kept");
        std::fs::create_dir_all(&out).unwrap();
        let mut device = job::open_sim(card, "sim").unwrap();
        job::backup(&mut device, &out, &mut ()).unwrap().backup.dir
    }

    pub(crate) fn restore(&self, card: &SimCard, backup: &Path) -> Result<WriteOutcome, JobError> {
        let backup = job::read_backup(backup, None, &())?;
        self.write(card, &WriteRequest::Restore(&backup))
    }

    pub(crate) fn recover(&self, card: &SimCard) -> Result<WriteOutcome, JobError> {
        self.write(card, &WriteRequest::Recover(&self.image(), &identity()))
    }

    /// Version of the image that boots; its identity is checked.
    fn own_version(&self, card: &SimCard, outcome: &BootOutcome, op: u64) -> Option<Version> {
        let BootOutcome::Image { start, version } = outcome else {
            return None;
        };
        let found = Contents::from_dump(&card.flash(), FlashAddr(start.0)).unwrap();
        assert!(found.image().is_valid(), "op {op}: {:?}", found.image().findings);
        let kept = Identity::from_image(found.image()).unwrap();
        assert_eq!(kept, identity(), "op {op}: another card's identity");
        Some(*version)
    }

    /// P1: under either preference of the boot ROM the old or the new image starts. Names which.
    pub(crate) fn boots_old_or_new(&self, card: &SimCard, op: u64) -> String {
        let outcomes = card.boot_outcomes();
        let name = |outcome| match self.own_version(card, outcome, op) {
            Some(v) if Some(v) == self.old => "old",
            Some(v) if v == self.new => "new",
            other => panic!("op {op}: P1 broken, the card boots {other:?}"),
        };
        let (low, high) = (name(&outcomes.lowest_first), name(&outcomes.highest_first));
        if low == high { low.into() } else { "old and new".into() }
    }

    /// P1 for jobs that keep the version.
    pub(crate) fn boots_version(&self, card: &SimCard, op: u64, want: Version) -> String {
        let outcomes = card.boot_outcomes();
        for outcome in [&outcomes.lowest_first, &outcomes.highest_first] {
            assert_eq!(self.own_version(card, outcome, op), Some(want), "op {op}: P1 broken");
        }
        "boots".into()
    }

    /// Under either preference of the boot ROM the new image starts, with its identity, or nothing does.
    pub(crate) fn boots_new_or_nothing(&self, card: &SimCard, op: u64) -> String {
        let outcomes = card.boot_outcomes();
        let found = [&outcomes.lowest_first, &outcomes.highest_first]
            .map(|outcome| self.own_version(card, outcome, op));
        let new = |version: &Option<Version>| version.is_none_or(|version| version == self.new);
        assert!(found.iter().all(new), "op {op}: the card boots {found:?}");
        let left = match found {
            [None, None] => "boots nothing",
            _ => "boots",
        };
        left.into()
    }

    /// A repeated `burn` completes.
    pub(crate) fn completes(&self, card: &SimCard, op: u64, options: &BurnOptions) {
        self.burn(card, options).unwrap_or_else(|e| panic!("op {op}: burn again: {e}"));
        self.is_complete(card, op);
    }

    fn is_complete(&self, card: &SimCard, op: u64) {
        assert_eq!(card.misuse(), [], "op {op}");
        let outcomes = card.boot_outcomes();
        for outcome in [&outcomes.lowest_first, &outcomes.highest_first] {
            assert_eq!(self.own_version(card, outcome, op), Some(self.new), "op {op}");
        }
        assert!(card.semaphores_held().is_empty(), "op {op}: a semaphore stays taken");
    }

    /// Non-failsafe: the card boots its own image, or recover and restore both work.
    pub(crate) fn repaired(&self, card: &SimCard, op: u64, repeat: bool) -> String {
        let outcome = card.boot_outcome();
        if self.own_version(card, &outcome, op).is_some() {
            self.completes(card, op, &BurnOptions { allow_older: true, ..BurnOptions::default() });
            return "boots".into();
        }
        if !repeat {
            return "boots nothing".into();
        }
        // A repeated burn is refused and writes nothing.
        let again = card.fork();
        let refused = self
            .burn(&again, &BurnOptions { allow_older: true, ..BurnOptions::default() })
            .expect_err("there is no identity to burn with");
        assert_ne!(refused.outcome().exit, Exit::Done);
        assert_eq!(again.mutations(), card.mutations(), "op {op}: a refusal wrote");

        let recovered = card.fork();
        self.recover(&recovered).unwrap_or_else(|e| panic!("op {op}: recover: {e}"));
        self.is_complete(&recovered, op);

        let backup = self.backup_once();
        let restored = card.fork();
        self.restore(&restored, &backup).unwrap_or_else(|e| panic!("op {op}: restore: {e}"));
        assert!(restored.flash() == self.card.flash(), "op {op}: restore is not byte for byte");
        "repaired".into()
    }

    /// The backup of the card as it was before the burn, made once.
    pub(crate) fn backup_once(&self) -> PathBuf {
        let kept = self.dir.path().join("kept");
        match std::fs::read_dir(&kept).ok().and_then(|mut d| d.next()) {
            Some(entry) => entry.unwrap().path(),
            None => self.backup(&self.card.fork()),
        }
    }

    /// `recover` completes, or is refused because the image is already complete.
    pub(crate) fn recover_or_complete(&self, card: &SimCard, op: u64) {
        match self.recover(card) {
            Ok(_) => {}
            Err(error) => assert!(
                matches!(error.outcome().exit, Exit::Refused | Exit::NothingToDo),
                "op {op}: recover again: {error}"
            ),
        }
        self.is_complete(card, op);
    }
}
