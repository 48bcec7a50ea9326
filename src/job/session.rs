//! One session at a card: facts, semaphores, reading.

use super::images::{mark_active, no_image, read_images};
use super::proofs::{AddressRecord, BoardKey, CardRecord, ProofStore, StillRecord};
use super::readings::{UnsteadyRange, read_signatures, report, report_wavering, steady};
use super::{Device, JobError};
use crate::card::{Chip, RunningVersion};
use crate::escape::ForeignText;
use crate::flash::trace::{TraceMark, TraceRecorder};
use crate::flash::{
    ChainVerdict, Events, Flash, FlashChip, FlashSource, Locked, Phase, Protection,
};
use crate::host::{Borrowed, Mark};
use crate::image::{Contents, Depth, FlashAddr, Identity, Image, ImageOffset, Source, Version};
use crate::plan::{Bootability, CardSnapshot, ImageSlot, bootability};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use std::borrow::Cow;

/// The card itself, with its flash chip.
#[derive(Clone, Debug, Serialize)]
#[serde(into = "CardDescription")]
pub struct CardReport {
    pub device: String,
    pub bdf: Option<String>,
    pub chip: Chip,
    pub chip_name: String,
    pub recovery: bool,
    pub running: Option<Version>,
    pub flash: FlashChip,
    pub protection: Protection,
}

/// A card in a result.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Card")]
pub struct CardDescription {
    /// Its name, as `-d` takes it.
    pub device: String,
    pub bdf: Option<String>,
    /// Silicon.
    pub chip: Chip,
    /// `ConnectX-3 A1`.
    pub chip_name: String,
    /// No firmware runs: recovery mode.
    pub recovery: bool,
    #[serde(rename = "running_fw_version")]
    pub running: Option<Version>,
    /// The flash chip; `None` where the command does not take the flash's semaphores.
    pub flash: Option<FlashChip>,
    /// `None` as for `flash`.
    pub protection: Option<Protection>,
}

impl From<CardReport> for CardDescription {
    fn from(card: CardReport) -> Self {
        let CardReport { device, bdf, chip, chip_name, recovery, running, flash, protection } =
            card;
        let (flash, protection) = (Some(flash), Some(protection));
        Self { device, bdf, chip, chip_name, recovery, running, flash, protection }
    }
}

impl JsonSchema for CardReport {
    fn schema_name() -> Cow<'static, str> {
        CardDescription::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        CardDescription::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        CardDescription::json_schema(generator)
    }
}

/// What a card reports without its flash.
#[derive(Clone)]
pub(crate) struct CardFacts {
    pub(super) name: String,
    pub(super) bdf: Option<String>,
    pub(super) chip: Chip,
    pub(super) recovery: bool,
    pub(super) running: Option<Version>,
    /// What this card has shown before, when it has a serial number.
    pub(super) proofs: Option<ProofStore>,
    /// Where accesses are recorded.
    pub(super) trace: Option<TraceRecorder>,
    /// Of the card, if it was borrowed.
    journal: Option<Borrowed>,
}

impl CardFacts {
    pub(crate) fn of(device: &mut Device) -> Result<Self, JobError> {
        Ok(Self {
            name: device.name.clone(),
            bdf: device.bdf.clone(),
            chip: device.card.chip(),
            recovery: device.card.in_recovery(),
            running: device.card.running_version()?.map(version),
            proofs: device.proofs.clone(),
            trace: device.trace.clone(),
            journal: device.borrowed(),
        })
    }

    /// Adds the serial numbers that the card may show later to its journal: those of images on its flash.
    pub(super) fn note_serials<'a>(&self, images: impl IntoIterator<Item = &'a Image>) {
        if let Some(journal) = &self.journal {
            for serial in images.into_iter().filter_map(serial_of) {
                journal.note(Mark::NewSerial(serial));
            }
        }
    }

    pub(crate) fn report(&self, locked: &Locked<'_>) -> CardReport {
        CardReport {
            device: self.name.clone(),
            bdf: self.bdf.clone(),
            chip: self.chip,
            chip_name: self.chip.name(),
            recovery: self.recovery,
            running: self.running,
            flash: locked.chip().clone(),
            protection: locked.protection().clone(),
        }
    }

    /// What a proof on this card is about.
    pub(super) fn board<'a>(&self, jedec: u32, psid: &'a str) -> BoardKey<'a> {
        let (jedec, psid) = (Some(jedec), Some(psid));
        BoardKey { chip: self.chip, running: self.running, jedec, psid }
    }

    /// Keeps the PSID for lists of cards, which take no card from its driver.
    pub(super) fn note_psid(&self, jedec: u32, psid: &str) {
        if let Some(store) = &self.proofs {
            store.note(self.board(jedec, psid));
        }
    }

    fn chip_alone(&self) -> BoardKey<'static> {
        BoardKey { chip: self.chip, running: self.running, jedec: None, psid: None }
    }

    /// What this card has shown of the boot address register.
    pub(super) fn address_record(&self) -> Option<AddressRecord> {
        self.proofs.as_ref()?.address(self.chip_alone())
    }

    pub(super) fn save_address(&self, record: AddressRecord) {
        if let Some(store) = &self.proofs {
            store.save_address(self.chip_alone(), record);
        }
    }

    /// That the register at 0x41270 of this card does not change.
    pub(super) fn still_record(&self) -> Option<StillRecord> {
        self.proofs.as_ref()?.still(self.chip_alone())
    }

    /// Stores that; whether it could be written.
    pub(super) fn save_still(&self, how: String) -> bool {
        let save = |store: &ProofStore| store.save_still(self.chip_alone(), Some(how));
        self.proofs.as_ref().is_some_and(save)
    }

    /// The register has changed.
    pub(super) fn forget_still(&self) {
        if let Some(store) = self.proofs.as_ref().filter(|_| self.still_record().is_some()) {
            store.save_still(self.chip_alone(), None);
        }
    }

    /// Of a card whose flash chip is not read.
    pub(super) fn without_flash(&self) -> CardDescription {
        CardDescription {
            device: self.name.clone(),
            bdf: self.bdf.clone(),
            chip: self.chip,
            chip_name: self.chip.name(),
            recovery: self.recovery,
            running: self.running,
            flash: None,
            protection: None,
        }
    }
}

/// The serial number that a card with this image shows: its node GUID.
pub(super) fn serial_of(image: &Image) -> Option<u64> {
    let [node, ..] = Identity::from_image(image).ok()?.guids;
    (!node.is_blank() && node.0 != 0).then_some(node.0)
}

/// As the image module's type.
pub(super) fn version(running: RunningVersion) -> Version {
    Version { major: running.major, minor: running.minor, subminor: running.subminor }
}

impl Device {
    /// Take the semaphores and meet the flash chip. They are free again when this is dropped.
    pub(crate) fn lock(&mut self) -> Result<Locked<'_>, JobError> {
        Ok(Flash::lock(&mut self.card, &*self.clock)?)
    }

    /// The image that boots, read in a session of its own.
    pub(super) fn active_contents(&mut self) -> Result<(CardReport, Contents), JobError> {
        let facts = CardFacts::of(self)?;
        let mut locked = self.lock()?;
        let (_, contents) = active_contents(&facts, &mut locked)?;
        Ok((facts.report(&locked), contents))
    }
}

/// Reads the whole flash and everything that is in it. What looks damaged is read again before it is
/// believed; the list holds what differed.
pub(super) fn snapshot(
    facts: &CardFacts,
    locked: &mut Locked<'_>,
    phase: Phase,
    events: &mut dyn Events,
) -> Result<(CardSnapshot, Vec<UnsteadyRange>), JobError> {
    let trusted = trust_chains(facts, locked)?;
    locked.source().read_all(phase, events)?;
    let (chip, protection) = (locked.chip().clone(), locked.protection().clone());
    let mut unsteady = Vec::new();
    read_signatures(&mut locked.source(), &mut unsteady)?;
    let mut parse = |source: &mut FlashSource<'_, '_>| {
        let mut flash = vec![0; chip.geometry.size as usize];
        source.read_at(FlashAddr(0), &mut flash)?;
        Ok(CardSnapshot::new(
            facts.chip,
            facts.recovery,
            facts.running,
            chip.clone(),
            protection.clone(),
            flash,
        )?
        .with_wavering(source.wavering()))
    };
    let damaged = |card: &CardSnapshot| {
        card.slots.is_empty()
            || !card.slots.iter().all(|found| found.image().is_some_and(Image::is_valid))
    };
    let card = steady(&mut locked.source(), &mut unsteady, &mut parse, &damaged)?;
    facts.note_serials(card.slots.iter().filter_map(ImageSlot::image));
    report(&unsteady, events);
    report_wavering(&card.wavering, events);
    // Chains may be why: a job that goes on proves them anew.
    if trusted
        && !unsteady.is_empty()
        && let (Some(store), Some(psid)) = (&facts.proofs, psid_of(&card))
    {
        store.forget(facts.board(card.flash_chip.jedec, psid));
    }
    Ok((card, unsteady))
}

/// PSID of the image that boots.
pub(super) fn psid_of(card: &CardSnapshot) -> Option<&str> {
    let image = card.active()?.slot.image()?;
    image.psid().map(ForeignText::as_str)
}

/// Switches chained reads on where this card has proven them in an earlier job; whether it has.
pub(crate) fn trust_chains(facts: &CardFacts, locked: &mut Locked<'_>) -> Result<bool, JobError> {
    let Some(ChainVerdict::Proven(proof)) = shown(facts, locked)?.and_then(|record| record.chains)
    else {
        return Ok(false);
    };
    locked.trust_chains(&proof);
    Ok(true)
}

/// What this card has shown. Reads what names the board: a few KiB.
pub(super) fn shown(
    facts: &CardFacts,
    locked: &mut Locked<'_>,
) -> Result<Option<CardRecord>, JobError> {
    let Some(store) = &facts.proofs else {
        return Ok(None);
    };
    let mut images = read_images(&mut locked.source(), Depth::Quick)?;
    let psid = mark_active(&mut images, facts.chip, facts.running)
        .and_then(|(index, _)| images.get(index)?.image.as_ref()?.info.as_ref()?.psid.clone())
        .filter(|psid| !psid.is_empty());
    let jedec = locked.chip().jedec;
    let known = psid.and_then(|psid| store.load(facts.board(jedec, psid.as_str())));
    if let Some(trace) = &facts.trace {
        let known = known.as_ref().and_then(|record| record.chains);
        trace.mark(TraceMark::Chains { known });
    }
    Ok(known)
}

/// The image that boots, complete, with no more of the flash read than it takes.
pub(super) fn active_contents(
    facts: &CardFacts,
    locked: &mut Locked<'_>,
) -> Result<(FlashAddr, Contents), JobError> {
    active_in(facts, &mut locked.source())
}

/// The same, from a session that has begun to read.
pub(super) fn active_in(
    facts: &CardFacts,
    source: &mut FlashSource<'_, '_>,
) -> Result<(FlashAddr, Contents), JobError> {
    let mut images = read_images(source, Depth::Full)?;
    facts.note_serials(images.iter().filter_map(|found| found.image.as_ref()));
    let image = mark_active(&mut images, facts.chip, facts.running)
        .and_then(|(index, _)| images.get(index)?.image.as_ref())
        .filter(|image| bootability(image.start, image, facts.chip) != Bootability::No)
        .ok_or_else(|| no_image(&images, "no signature belongs to a valid image"))?;
    Ok((image.start, contents_of(source, image)?))
}

/// An image that was found, with its bytes.
pub(super) fn contents_of(source: &mut dyn Source, image: &Image) -> Result<Contents, JobError> {
    // What was not read reads as erased.
    let mut flash = vec![0xFF; source.size() as usize];
    for (at, len) in image.map.runs(ImageOffset(0), image.len) {
        let range = at.0 as usize..at.0 as usize + len as usize;
        if let Some(place) = flash.get_mut(range) {
            source.read_at(at, place)?;
        }
    }
    Contents::from_dump(&flash, image.start).map_err(|error| JobError::NoImage(error.to_string()))
}
