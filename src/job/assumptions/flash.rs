//! Stages about the flash: gateway, readings, chains.

use crate::flash::{ChainVerdict, Events, FlashError, Locked, Phase};
use crate::image::Source as _;
use crate::job::JobError;
use crate::job::stage::StageFinding;
use crate::job::store::digest;
use crate::words::counted;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

/// Readings of the flash until two in a row must have agreed.
const PASSES: u32 = 4;
/// A command that takes longer is not a matter of 20 bytes on the wire.
const SLOW: Duration = Duration::from_millis(1);
/// Bytes of a block.
const BLOCK: usize = 16;
/// WIP and WEL of the status: firmware that stores a setting moves them.
const MOVING: u8 = 3;

/// What the last reading of the whole flash brought.
#[derive(Default)]
pub(in crate::job) struct FlashReading {
    pub(in crate::job) bytes: Vec<u8>,
    /// Blocks of which readings never agreed.
    pub(in crate::job) wavering: Vec<Range<u32>>,
}

/// RDID so many times and as many reads; RDSR so many times.
pub(in crate::job) fn gateway(
    locked: &mut Locked<'_>,
    (times, statuses): (u32, u32),
) -> Result<StageFinding, JobError> {
    let chip = locked.chip().clone();
    let figures = locked.measure((times, statuses))?;
    let steady: BTreeSet<u8> = figures.statuses.iter().map(|status| status & !MOVING).collect();
    let shown: Vec<String> =
        figures.statuses.iter().map(|status| format!("{status:#04x}")).collect();
    let shown = shown.join(" ");
    let others: Vec<String> = figures
        .ids
        .iter()
        .filter(|(id, _)| **id != chip.jedec)
        .map(|(id, count)| format!("{id:06x} {}", counted(*count, "time")))
        .collect();
    let us = |time: Duration| time.as_micros() as u64;
    let finding = if !others.is_empty() {
        StageFinding::contradicted(format!(
            "of {times} readings of the JEDEC id {:06x} some differ: {}",
            chip.jedec,
            others.join(", ")
        ))
    } else if steady.len() > 1 {
        StageFinding::contradicted(format!("the status reads differently: {shown}"))
    } else if figures.read_time > SLOW {
        StageFinding::unknown(format!(
            "{} answers the same {times} times, slowly: card or host is busy",
            chip.name
        ))
    } else {
        StageFinding::proved(format!(
            "{} (JEDEC {:06x}) answers the same {times} times",
            chip.name, chip.jedec
        ))
    };
    let finding = finding
        .with("jedec", format!("{:06x}", chip.jedec))
        .with("status", shown)
        .with("rdid_us", us(figures.id_time))
        .with("read_us", us(figures.read_time));
    Ok(match figures.spi_clock() {
        Some(hz) => finding.with("spi_clock_hz", hz),
        None => finding,
    })
}

/// The whole flash by single reads, until two readings agree.
pub(in crate::job) fn readings(
    locked: &mut Locked<'_>,
    events: &mut dyn Events,
) -> Result<(StageFinding, FlashReading), JobError> {
    let mut source = locked.source();
    source.tolerate_wavering();
    let size = source.size();
    let mut before = source.read_all(Phase::Read, events)?;
    let mut differed = BTreeSet::new();
    for pass in 2..=PASSES {
        source.forget();
        let now = source.read_all(Phase::Read, events)?;
        let blocks = now.chunks(BLOCK).zip(before.chunks(BLOCK)).enumerate();
        let others: Vec<u32> = blocks
            .filter(|(_, (now, before))| now != before)
            .map(|(n, _)| (n * BLOCK) as u32)
            .collect();
        let agree = others.is_empty();
        differed.extend(others);
        before = now;
        if agree {
            let detail = if differed.is_empty() {
                "two readings of the whole flash are equal".to_owned()
            } else {
                format!(
                    "two readings of the whole flash are equal; one before them differed at {}",
                    places(&differed)
                )
            };
            let finding = StageFinding::proved(detail)
                .with("passes", u64::from(pass))
                .with("flash_bytes", u64::from(size))
                .with("sha256", digest(&before));
            for at in &differed {
                source.reconsider(*at)?;
            }
            return Ok((finding, FlashReading { bytes: before, wavering: source.wavering() }));
        }
    }
    for at in &differed {
        source.reconsider(*at)?;
    }
    let wavering = source.wavering();
    let wavers = |at: &u32| wavering.iter().any(|range| range.contains(at));
    let finding = if differed.iter().all(wavers) {
        StageFinding::unknown(format!(
            "cells read differently each time at {}, as an interrupted erase or write leaves them",
            places(&differed)
        ))
    } else {
        StageFinding::contradicted(format!(
            "no two readings are equal, they differ at {}: the firmware or another program writes meanwhile",
            places(&differed)
        ))
    };
    let finding = finding.with("passes", u64::from(PASSES));
    Ok((finding, FlashReading { bytes: before, wavering }))
}

fn places(blocks: &BTreeSet<u32>) -> String {
    let first: Vec<String> = blocks.iter().take(3).map(|at| format!("{at:#x}")).collect();
    let more = blocks.len().saturating_sub(first.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", first.join(", "))
}

/// Chains of `length` bytes against what single reads have shown; the longest until the proof that jobs
/// need.
pub(in crate::job) fn chains(
    locked: &mut Locked<'_>,
    known: &[u8],
    length: u32,
    events: &mut dyn Events,
) -> Result<(StageFinding, Option<ChainVerdict>), JobError> {
    let longest = length == 4096;
    let compared = match longest {
        true => locked.prove_chains(known, events),
        false => locked.compare_chains(known, length, events),
    };
    let verdict = match compared {
        Err(FlashError::Differs { at, .. }) => {
            let what = format!("the flash holds other bytes at {at:#x} than were read before");
            return Ok((StageFinding::contradicted(what), None));
        }
        other => other?,
    };
    let finding = match verdict {
        ChainVerdict::Proven(proof) => {
            StageFinding::proved(format!("chains of {length} bytes read what single reads do"))
                .with("compared_bytes", proof.bytes)
        }
        ChainVerdict::TooLittle { bytes } => {
            StageFinding::unknown("the flash holds too little that could show a difference")
                .with("compared_bytes", bytes)
        }
        ChainVerdict::Contradicted { at } => StageFinding::contradicted(format!(
            "a chain of {length} bytes reads something else than single reads at {at:#x}"
        )),
    };
    // Shorter chains than jobs use decide only against them.
    let contradicted = matches!(verdict, ChainVerdict::Contradicted { .. });
    Ok((finding, (longest || contradicted).then_some(verdict)))
}
