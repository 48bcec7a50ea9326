//! The second reading: the card is still what it was when the plan was made and the backup was
//! stored. Made under the semaphores, before the first erase.

use super::readings::{UnsteadyRange, note};
use super::session::{CardFacts, psid_of};
use super::{Device, JobError};
use crate::flash::{ChainVerdict, Event, Events, FlashError, FlashSource, Locked, Phase, overlap};
use crate::image::{CrcVerdict, FlashAddr, SectionKind, Source};
use crate::plan::{CardSnapshot, ImageSlot};
use std::ops::Range;

/// Bytes of a block.
const BLOCK: usize = 16;
/// What a valid CRC covers is sampled: one block of so many.
const SAMPLE: usize = 0x1000 / BLOCK;
/// Smallest sector, in bytes: an interrupted erase leaves all of it between two states, and the cells of a
/// block may agree by chance.
const TORN: u32 = 0x1000;
/// Bytes read between two checks for a request to stop.
const STEP: usize = 0x1_0000;

/// What the second reading showed beside agreement.
#[derive(Default)]
pub(super) struct SecondReading {
    /// The comparison of chained with single reads, when this card had to make one.
    pub(super) chains: Option<ChainVerdict>,
    /// Where readings differed and agreed with the first one in the end.
    pub(super) unsteady: Vec<UnsteadyRange>,
}

/// The card has the same silicon, firmware and mode as before, and its flash the same chip, protection
/// and bytes. Returns the session in which that was compared.
pub(super) fn second_reading<'c>(
    device: &'c mut Device,
    facts: &CardFacts,
    card: &CardSnapshot,
    events: &mut dyn Events,
) -> Result<(Locked<'c>, SecondReading), JobError> {
    let now = CardFacts::of(device)?;
    if (now.chip, now.recovery, now.running) != (facts.chip, facts.recovery, facts.running) {
        return Err(JobError::Changed { what: "another firmware version runs".into() });
    }
    let mut locked = device.lock()?;
    let second = compare_flash(&mut locked, facts, card, events)?;
    Ok((locked, second))
}

/// A card that has not shown yet whether chained reads work is read by chains here: the proof is the
/// second reading of every byte. Else every byte is read that no valid CRC covers, and samples of the
/// rest: the semaphores were free since the first reading.
fn compare_flash(
    locked: &mut Locked<'_>,
    facts: &CardFacts,
    before: &CardSnapshot,
    events: &mut dyn Events,
) -> Result<SecondReading, JobError> {
    let changed = |what: String| Err(JobError::Changed { what });
    if *locked.chip() != before.flash_chip {
        return changed("the flash chip reports another id".into());
    }
    if *locked.protection() != before.protection {
        return changed("the flash's write protection has changed".into());
    }
    let phase = Phase::Backup;
    let mut second = SecondReading::default();
    let mut trusted = None;
    if let Some(store) = &facts.proofs
        && let Some(psid) = psid_of(before)
    {
        let board = facts.board(before.flash_chip.jedec, psid);
        match store.load(board).and_then(|record| record.chains) {
            Some(ChainVerdict::Proven(proof)) => {
                locked.trust_chains(&proof);
                trusted = Some((store, board));
            }
            Some(_) => {}
            None => {
                let total = before.flash.len() as u64;
                events.emit(Event::Started { phase, total });
                let verdict = match locked.prove_chains(&before.flash, events) {
                    Ok(verdict) => Some(verdict),
                    Err(FlashError::Differs { at, .. }) => {
                        // Cells between two states differ without a change; they prove nothing.
                        let at = at - at % BLOCK as u32;
                        same_block(&mut locked.source(), before, at, &mut second.unsteady)?;
                        None
                    }
                    Err(error) => return Err(error.into()),
                };
                second.chains = verdict;
                if verdict.is_some_and(|v| !matches!(v, ChainVerdict::Contradicted { .. })) {
                    events.emit(Event::Finished { phase });
                    return Ok(second);
                }
            }
        }
    }
    let compared = compare(locked, before, events, &mut second.unsteady);
    let differed = !second.unsteady.is_empty() || matches!(compared, Err(JobError::Changed { .. }));
    // Chains may be why: the next job proves them anew.
    if let Some((store, board)) = trusted.filter(|_| differed) {
        store.forget(board);
    }
    compared.map(|()| second)
}

fn other_bytes(at: u32) -> String {
    format!("the flash holds other bytes at {at:#x} than were read first")
}

fn compare(
    locked: &mut Locked<'_>,
    before: &CardSnapshot,
    events: &mut dyn Events,
    unsteady: &mut Vec<UnsteadyRange>,
) -> Result<(), JobError> {
    let phase = Phase::Backup;
    let ranges = to_compare(before);
    events.emit(Event::Started { phase, total: ranges.iter().map(|r| r.len() as u64).sum() });
    let mut source = locked.source();
    let mut done = 0;
    for range in ranges {
        if events.stop_requested() {
            return Err(JobError::Interrupted);
        }
        let mut now = vec![0; range.len()];
        source.read_at(FlashAddr(range.start as u32), &mut now)?;
        let known = before.flash.get(range.clone()).unwrap_or_default();
        for (n, (now, known)) in now.chunks(BLOCK).zip(known.chunks(BLOCK)).enumerate() {
            if now == known {
                continue;
            }
            same_block(&mut source, before, (range.start + n * BLOCK) as u32, unsteady)?;
        }
        done += range.len() as u64;
        events.emit(Event::Advanced { phase, done });
    }
    events.emit(Event::Finished { phase });
    Ok(())
}

/// The block at `at` is what it was, or reads differently each time and belongs to no image that boots.
fn same_block(
    source: &mut FlashSource<'_, '_>,
    before: &CardSnapshot,
    at: u32,
    unsteady: &mut Vec<UnsteadyRange>,
) -> Result<(), JobError> {
    let block = at..at + BLOCK as u32;
    let sector = at - at % TORN..at - at % TORN + TORN;
    let within = |ranges: &[Range<u32>], place| ranges.iter().any(|range| overlap(range, place));
    if within(&before.wavering, &block) {
        return Ok(());
    }
    source.tolerate_wavering();
    source.reconsider(at)?;
    note(unsteady, vec![block.clone()]);
    if within(&source.wavering(), &block) || within(&before.wavering, &sector) {
        let needed = before.bootable().any(|slot| within(&slot.ranges(), &block));
        return if needed { Err(FlashError::Unsteady { at }.into()) } else { Ok(()) };
    }
    let mut agreed = [0; BLOCK];
    source.read_at(FlashAddr(at), &mut agreed)?;
    if before.flash.get(at as usize..at as usize + BLOCK) != Some(&agreed) {
        return Err(JobError::Changed { what: other_bytes(at) });
    }
    Ok(())
}

/// Ranges that a second reading has to cover, in order, each of at most [`STEP`] bytes.
fn to_compare(card: &CardSnapshot) -> Vec<Range<usize>> {
    let blocks = card.flash.len() / BLOCK;
    let mut needed = vec![true; blocks];
    for found in card.bootable() {
        skip_covered(found, &mut needed);
    }
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for block in (0..blocks).filter(|block| needed.get(*block) == Some(&true)) {
        let at = block * BLOCK;
        match ranges.last_mut() {
            Some(last) if last.end == at && last.len() < STEP => last.end = at + BLOCK,
            _ => ranges.push(at..at + BLOCK),
        }
    }
    ranges
}

/// Leaves out what the CRCs of this image cover, but for samples and both ends of each section. The
/// sections that hold the identity are read completely.
fn skip_covered(found: &ImageSlot, needed: &mut [bool]) {
    let (Some(image), Some(map)) = (found.image(), found.map()) else {
        return;
    };
    for section in &image.sections {
        let identity = matches!(section.kind, SectionKind::Guid | SectionKind::ImageInfo);
        if section.crc != CrcVerdict::Ok || identity {
            continue;
        }
        let mut inner: Vec<usize> = map
            .runs(section.body_at, section.body_len)
            .flat_map(|(at, len)| {
                let (at, end) = (at.0 as usize, at.0 as usize + len as usize);
                at.div_ceil(BLOCK)..end / BLOCK
            })
            .collect();
        // Both ends stay.
        inner.pop();
        for block in inner.into_iter().skip(1).filter(|block| block % SAMPLE != 0) {
            if let Some(needed) = needed.get_mut(block) {
                *needed = false;
            }
        }
    }
}
