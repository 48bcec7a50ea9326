//! Cards, files and shorthand for job tests.

use crate::flash::{Event, Events, Phase};
use crate::image::{Contents, Half, Recipe, build};
use crate::job::*;
use crate::plan::tests::bench as plans;
use crate::plan::{BurnOptions, StartRequest};
use crate::sim::{CardSpec, Counters, SimCard, SimChip};
use std::path::{Path, PathBuf};

pub(super) use crate::plan::tests::bench::{cx3, identity, own, pro, version};

/// A directory of a test.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new() -> Self {
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
        Self { dir: dir.unwrap() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(super) fn image(&self, recipe: &Recipe) -> ImageFile {
        let name = format!("{}-{}.bin", recipe.version, recipe.seed);
        read_image(&self.file(&name, &build(recipe).unwrap()), &()).unwrap()
    }

    pub(super) fn backups(&self) -> PathBuf {
        self.path("backups")
    }

    /// Names of what lies in the backup directory.
    pub(super) fn backup_names(&self) -> Vec<PathBuf> {
        match std::fs::read_dir(self.backups()) {
            Ok(dir) => dir.map(|e| e.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// The job, confirmed, with a backup in [`Self::backups`].
    pub(super) fn write(
        &self,
        device: &mut Device,
        request: &WriteRequest<'_>,
    ) -> Result<WriteOutcome, JobError> {
        write(device, request, WriteOptions::later(&self.backups()), &mut |_| true, &mut ())
    }

    pub(super) fn burn_and_activate(
        &self,
        device: &mut Device,
        image: &ImageFile,
    ) -> Result<WriteOutcome, JobError> {
        self.burn_and_start(device, image, StartRequest::Trial)
    }

    pub(super) fn burn_and_start(
        &self,
        device: &mut Device,
        image: &ImageFile,
        start: StartRequest,
    ) -> Result<WriteOutcome, JobError> {
        let options = BurnOptions::default();
        let request = WriteRequest::Burn(image, &options);
        let dir = self.backups();
        let how = WriteOptions { backup_dir: &dir, start };
        write(device, &request, how, &mut |_| true, &mut ())
    }

    /// A burn without options, with these answers and events.
    pub(super) fn burn_asked(
        &self,
        device: &mut Device,
        image: &ImageFile,
        confirm: Confirm<'_>,
        events: &mut dyn Events,
    ) -> Result<WriteOutcome, JobError> {
        let options = BurnOptions::default();
        let request = WriteRequest::Burn(image, &options);
        write(device, &request, WriteOptions::later(&self.backups()), confirm, events)
    }

    pub(super) fn burn(&self, card: &SimCard, recipe: &Recipe) -> Result<WriteOutcome, JobError> {
        self.burn_with(card, recipe, &mut ())
    }

    pub(super) fn burn_with(
        &self,
        card: &SimCard,
        recipe: &Recipe,
        events: &mut dyn Events,
    ) -> Result<WriteOutcome, JobError> {
        let mut device = open_sim(card, "sim:test")?;
        let image = self.image(recipe);
        self.burn_asked(&mut device, &image, &mut |_| true, events)
    }

    pub(super) fn restore(&self, card: &SimCard, backup: &Path) -> Result<WriteOutcome, JobError> {
        let mut device = open_sim(card, "sim:test")?;
        let backup = read_backup(backup, None, &())?;
        self.write(&mut device, &WriteRequest::Restore(&backup))
    }

    pub(super) fn recover(
        &self,
        card: &SimCard,
        recipe: &Recipe,
    ) -> Result<WriteOutcome, JobError> {
        let mut device = open_sim(card, "sim:test")?;
        let image = self.image(recipe);
        self.write(&mut device, &WriteRequest::Recover(&image, &identity()))
    }

    pub(super) fn backup(&self, card: &SimCard) -> Result<Backup, JobError> {
        let mut device = open_sim(card, "sim:test")?;
        Ok(backup(&mut device, &self.backups(), &mut ())?.backup)
    }
}

/// The card, opened.
pub(super) fn opened(card: &SimCard) -> Device {
    open_sim(card, "sim:test").unwrap()
}

pub(super) fn card_of(spec: CardSpec, images: &[(&Contents, Half)]) -> SimCard {
    let flash = plans::flash(spec.chip.size() as usize, images);
    SimCard::new(spec, &flash)
}

/// An MCX311A with a small non-failsafe image.
pub(crate) fn owner_card() -> SimCard {
    card_of(CardSpec::default(), &[(&own(&cx3("2.35.5100")), Half::Even)])
}

pub(super) fn pro_spec() -> CardSpec {
    CardSpec { hw_id: 0x1F7, revision: 0, ..CardSpec::default() }
}

/// A Pro card with a small failsafe image in this half; the other one is blank.
pub(super) fn pro_card(half: Half) -> SimCard {
    card_of(pro_spec(), &[(&own(&pro("2.36.5150")), half)])
}

/// The smallest chip, which sweeps read most quickly.
fn quick(spec: CardSpec, images: &[(&Contents, Half)]) -> SimCard {
    let card = card_of(CardSpec { chip: SimChip::W25q80, ..spec }, images);
    card.set_hurry(true);
    card
}

/// An image without ini, which fits any chip.
pub(super) fn for_any_chip(recipe: Recipe) -> Recipe {
    Recipe { ini: None, ..recipe }
}

/// As [`owner_card`], for sweeps.
pub(super) fn quick_owner_card() -> SimCard {
    quick(CardSpec::default(), &[(&own(&for_any_chip(cx3("2.35.5100"))), Half::Even)])
}

/// As [`pro_card`], for sweeps; the other half holds this version, if any.
pub(super) fn quick_pro_card(other: Option<&str>) -> SimCard {
    let runs = own(&for_any_chip(pro("2.36.5150")));
    let other = other.map(|text| own(&for_any_chip(pro(text))));
    let other = other.iter().map(|image| (image, Half::Odd));
    let images: Vec<_> = [(&runs, Half::Even)].into_iter().chain(other).collect();
    quick(pro_spec(), &images)
}

pub(super) fn on(chip: SimChip, flash: &[u8]) -> SimCard {
    SimCard::new(CardSpec { chip, ..CardSpec::default() }, flash)
}

/// Nothing was erased, programmed or set.
#[track_caller]
pub(super) fn untouched(counters: &Counters) {
    let writes = counters.erases_4k
        + counters.erases_64k
        + counters.erases_other
        + counters.programs
        + counters.status_writes;
    assert_eq!(writes, 0, "{counters:?}");
}

/// No misuse, no semaphore left taken.
#[track_caller]
pub(super) fn clean(card: &SimCard) {
    assert_eq!(card.misuse(), []);
    assert!(card.semaphores_held().is_empty());
}

/// Records events, and requests a stop from a phase on.
#[derive(Default)]
pub(super) struct RecordedEvents {
    pub(super) events: Vec<Event>,
    /// From the start of this phase on a stop is requested.
    pub(super) stop_at: Option<Phase>,
}

impl RecordedEvents {
    pub(super) fn stopping_at(phase: Phase) -> Self {
        Self { stop_at: Some(phase), ..Self::default() }
    }

    pub(super) fn started(&self) -> Vec<Phase> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Started { phase, .. } => Some(*phase),
                _ => None,
            })
            .collect()
    }
}

impl Events for RecordedEvents {
    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    fn stop_requested(&self) -> bool {
        self.stop_at.is_some_and(|phase| self.started().contains(&phase))
    }
}
