//! Stages that erase and program, on a card that its owner has named by its serial number.

use super::driver::DriverFacts;
use super::outcome::SelftestOutcome;
use crate::flash::{
    EraseSize, Event, Events, FlashChip, FlashError, SectorAction, SectorMap, SectorPlan,
    Signature, overlap,
};
use crate::host::Mark;
use crate::image::{Contents, FlashAddr};
use crate::job::assumptions::Stages;
use crate::job::run::left_behind;
use crate::job::session::{CardFacts, snapshot};
use crate::job::settle::{LeftProbe, after_change, settled_boot};
use crate::job::stage::{StageFinding, StageId};
use crate::job::{Device, ImageFile, JobError, WriteRequest, backup, store, write};
use crate::plan::{BurnOptions, CardSnapshot, ImageSlot, NvGeometry};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest erase, and what is compared on both sides of it.
const BLOCK: u32 = 0x1_0000;
const SECTOR: u32 = 0x1000;
/// Every pair of neighbouring bits, and both values of each.
const PATTERN: [u8; 16] = [
    0x00, 0x55, 0xAA, 0x0F, 0xF0, 0x33, 0xCC, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFE,
];

/// The owner's consent to lose the card.
#[derive(Clone, Copy, Debug)]
pub struct Expendable<'a> {
    /// Serial number of the card, as typed.
    pub serial: &'a str,
    /// Where the backup's directory is made.
    pub backup_dir: &'a Path,
}

impl Expendable<'_> {
    /// Refuses another card than the one that was named; before the card is opened.
    pub fn check(&self, driver: &DriverFacts) -> Result<(), JobError> {
        let names = driver.names();
        if names.contains(&self.serial) {
            return Ok(());
        }
        Err(JobError::OtherSerial {
            named: self.serial.to_owned(),
            found: match names.is_empty() {
                true => "none, and no driver shows a MAC: bind its driver first".to_owned(),
                false => names.join(", "),
            },
        })
    }
}

/// Backs the card up and runs the stages that write. Nothing runs after a contradiction.
pub(super) fn run(
    device: &mut Device,
    facts: &CardFacts,
    consent: Expendable<'_>,
    outcome: &mut SelftestOutcome,
    stages: &mut Stages,
    events: &mut dyn Events,
) -> Result<(), JobError> {
    use StageId::{BlankProgram, BurnAgain, Erase4K, Erase64K, WriteEnable};
    let all = [WriteEnable, BlankProgram, Erase4K, Erase64K, BurnAgain];
    if let Some(other) = stages.contradiction() {
        for id in all {
            let what = format!("{} is contradicted", other.name());
            stages.add(id, StageFinding::skipped(what), events);
        }
        return Ok(());
    }
    let made = backup(device, consent.backup_dir, events)?;
    outcome.backup = Some(made.backup.dir);
    let _awake = device.keep_awake();
    let card = {
        let mut locked = device.lock()?;
        snapshot(facts, &mut locked, crate::flash::Phase::Read, events)?.0
    };
    let place = free_block(&card);
    stages.run(WriteEnable, &[], events, &mut |_| {
        let latch = device.lock()?.probe_latch()?;
        Ok(match (latch.set, latch.cleared) {
            (true, true) => StageFinding::proved("the status shows write enable and write disable"),
            (false, _) => StageFinding::contradicted("the status does not show write enable"),
            (_, false) => {
                StageFinding::contradicted("the status shows write enable after write disable")
            }
        })
    })?;
    let Some(place) = place else {
        for id in [BlankProgram, Erase4K, Erase64K] {
            let what = "no block of 64 KiB is blank, free and unprotected";
            stages.add(id, StageFinding::unknown(what), events);
        }
        return burn_again(device, &card, consent, stages, events);
    };
    device.mark(Mark::FlashTouched)?;
    let ended = erases(device, &card, place, stages, events);
    let found = settled_boot(device).ok().flatten();
    let boots = found.as_ref().is_some_and(|found| found.start.is_some());
    device.note(Mark::Boots(boots));
    let ended = ended.and_then(|()| burn_again(device, &card, consent, stages, events));
    let programmed = stages.records().iter().any(|stage| stage.id == BlankProgram);
    ended.map_err(|error| match error {
        JobError::Interrupted | JobError::Flash(FlashError::Interrupted) if programmed => {
            after_change(None, found.as_ref(), outcome.backup.as_deref(), error)
        }
        other => other,
    })
}

/// Programs and erases in the free block at `place`.
fn erases(
    device: &mut Device,
    card: &CardSnapshot,
    place: u32,
    stages: &mut Stages,
    events: &mut dyn Events,
) -> Result<(), JobError> {
    use StageId::{BlankProgram, Erase4K, Erase64K, WriteEnable};
    let chip = &card.flash_chip;
    stages.run(BlankProgram, &[WriteEnable], events, &mut |_| {
        if chip.byte_program {
            return Ok(StageFinding::unknown("this chip programs single bytes"));
        }
        let blank = device.lock()?.program_blank(FlashAddr(place))?;
        Ok(match blank {
            true => StageFinding::proved(format!("FF over FF at {place:#x} changes nothing")),
            false => StageFinding::contradicted(format!("FF over FF at {place:#x} changes cells")),
        })
    })?;
    let needs = [WriteEnable, BlankProgram];
    for (id, size) in [(Erase4K, EraseSize::K4), (Erase64K, EraseSize::K64)] {
        stages.run(id, &needs, events, &mut |events| {
            if chip.geometry.erase_time(size).is_none() {
                return Ok(StageFinding::unknown("the chip has no erase of this size"));
            }
            erase(device, card, place, size, events)
        })?;
    }
    Ok(())
}

/// The last block of 64 KiB that is blank, has blank or compared neighbours, and belongs to no image and to
/// no settings.
fn free_block(card: &CardSnapshot) -> Option<u32> {
    let size = card.flash_chip.geometry.size;
    let infos: Vec<_> =
        card.slots.iter().map(|s| s.image().and_then(|i| i.info.as_ref())).collect();
    let areas = card
        .slots
        .iter()
        .filter_map(ImageSlot::image)
        .map(|image| NvGeometry::of(&infos).guarded(image.layout, size));
    // An area without a place: nothing is free for sure.
    let mut taken: Vec<Range<u32>> = areas.collect::<Option<Vec<_>>>()?.concat();
    taken.extend(card.slots.iter().flat_map(ImageSlot::ranges));
    taken.extend(card.wavering.iter().cloned());
    let free = |start: &u32| {
        let block = *start..start + BLOCK;
        let bytes = card.flash.get(block.start as usize..block.end as usize);
        bytes.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0xFF))
            && !taken.iter().any(|range| overlap(range, &block))
            && !card.protection.touches(&block)
    };
    (0..size / BLOCK).rev().map(|n| n * BLOCK).find(free)
}

/// A pattern in the block at `place`, and an erase of it; everything around is compared.
fn erase(
    device: &mut Device,
    card: &CardSnapshot,
    place: u32,
    size: EraseSize,
    events: &mut dyn Events,
) -> Result<StageFinding, JobError> {
    // Not the first sector of the block: an erase that takes its address wrong shows.
    let sector = if size == EraseSize::K4 { place + SECTOR } else { place };
    let last = FlashAddr(sector + size.bytes() - PATTERN.len() as u32);
    let patterns = vec![(FlashAddr(sector), PATTERN.to_vec()), (last, PATTERN.to_vec())];
    let mut patterned = card.flash.clone();
    for (at, bytes) in &patterns {
        let range = at.0 as usize..at.0 as usize + bytes.len();
        if let Some(place) = patterned.get_mut(range) {
            place.copy_from_slice(bytes);
        }
    }
    let around =
        place.saturating_sub(BLOCK)..(place + 2 * BLOCK).min(card.flash_chip.geometry.size);
    let expect = |flash: &[u8]| {
        let bytes = flash.get(around.start as usize..around.end as usize).unwrap_or_default();
        vec![(FlashAddr(around.start), bytes.to_vec())]
    };
    let steps = [
        plan(&card.flash_chip, Vec::new(), patterns, expect(&patterned)),
        plan(&card.flash_chip, vec![(FlashAddr(sector), size)], Vec::new(), expect(&card.flash)),
    ];
    let probe = LeftProbe::new(card, None);
    let none = Signature { bytes: None, boot_address: None, invalidate: Vec::new() };
    let clock = device.card.clock();
    let mut took = Duration::ZERO;
    // No pattern is left behind: a request to stop waits for the erase.
    let events = &mut ToTheEnd(events);
    for step in steps {
        let start = clock.now();
        let ended = device.lock()?.erase(step, &probe, events).and_then(|erased| {
            took = clock.now().saturating_sub(start);
            erased
                .write(events)?
                .verify(events)?
                .commit(&none, events)?
                .untried()
                .invalidate_old(events)
        });
        if let Err(stopped) = ended.map(drop) {
            let stopped = left_behind(device, stopped, &probe);
            return Err(JobError::Stopped { stopped, backup: None });
        }
    }
    Ok(StageFinding::proved(format!(
        "a pattern at {sector:#x} was programmed and erased, and {:#x}..{:#x} around it stayed",
        around.start, around.end
    ))
    .with("erase_ms", took.as_millis() as u64))
}

fn plan(
    chip: &FlashChip,
    erases: Vec<(FlashAddr, EraseSize)>,
    programs: Vec<(FlashAddr, Vec<u8>)>,
    expect: Vec<(FlashAddr, Vec<u8>)>,
) -> SectorPlan {
    let cells = vec![SectorAction::Outside; (chip.geometry.size / SECTOR) as usize];
    SectorPlan {
        erases,
        programs,
        expect,
        signature_at: None,
        invalidate_first: false,
        interruptible: false,
        map: SectorMap { cell: SECTOR, cells },
        estimate: Duration::ZERO,
    }
}

/// The image that boots, written once more as a burn writes it.
fn burn_again(
    device: &mut Device,
    card: &CardSnapshot,
    consent: Expendable<'_>,
    stages: &mut Stages,
    events: &mut dyn Events,
) -> Result<(), JobError> {
    let needs = [StageId::WriteEnable, StageId::BlankProgram, StageId::Erase4K, StageId::Erase64K];
    stages.run(StageId::BurnAgain, &needs, events, &mut |events| {
        let booted = card.active().filter(|active| active.choice.boots());
        let slot = booted.map(|active| active.slot);
        let Some(contents) = slot.and_then(|slot| slot.contents.as_ref().ok()) else {
            return Ok(StageFinding::unknown("the flash holds no image that boots"));
        };
        let image = image_file(contents);
        let options = BurnOptions { rewrite: true, ..BurnOptions::default() };
        let request = WriteRequest::Burn(&image, &options);
        let dir = consent.backup_dir;
        let written = match write(
            device,
            &request,
            crate::job::WriteOptions::later(dir),
            &mut |_| true,
            events,
        ) {
            Err(error @ JobError::Refused { .. }) => {
                return Ok(StageFinding::unknown(error.to_string()));
            }
            other => other?,
        };
        let boots = written.boots.unwrap_or_default();
        let at = boots.start.map_or_else(|| "nowhere".to_owned(), |at| format!("{:#x}", at.0));
        Ok(StageFinding::proved(format!(
            "the image was written again, verified, and boots at {at}"
        ))
        .with("sha256", image.sha256))
    })
}

fn image_file(contents: &Contents) -> ImageFile {
    ImageFile {
        path: PathBuf::from("the image on the card"),
        len: contents.bytes().len() as u64,
        sha256: store::digest(contents.bytes()),
        contents: contents.clone(),
        ran_on: None,
        choice: None,
    }
}

/// Passes events on, and no request to stop.
struct ToTheEnd<'e>(&'e mut dyn Events);

impl Events for ToTheEnd<'_> {
    fn emit(&mut self, event: Event) {
        self.0.emit(event);
    }
}
