//! The card as flint sees it: the image at the lowest signature, and only that one, whichever runs
//! (docs/fs2.md#image-start). For the command line that speaks flint's language; our own commands look at
//! every image.

use super::readings::{UnsteadyRange, note, report, steady};
use super::session::{Facts, trust_chains};
use super::{CardReport, Device, JobError};
use crate::flash::{Events, FlashError, FlashSource};
use crate::flint::verdict;
use crate::image::{
    Contents, Crc16State, Depth, FlashAddr, Form, Image, ImageError, ImageOffset, Scan,
    SectionKind, Source, SourceError, read, scan,
};

/// How much of the image is read and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstDepth {
    /// The chain, Image Info and GUIDs (`-qq`).
    Chain,
    /// And the ROM, whose CRC must hold: what flint's query of a card looks at (docs/flint.md#checks-of-query).
    Query,
    /// Every CRC (`verify`).
    Full,
}

/// What stands at the lowest signature.
#[derive(Clone, Debug)]
pub struct FirstImage {
    /// The card.
    pub card: CardReport,
    /// Every signature.
    pub scan: Scan,
    /// The image as read.
    pub image: Result<Image, FirstError>,
}

/// Why there is no image to speak of, in flint's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstError {
    /// flint's text.
    pub text: String,
    /// The failsafe word is what is wrong; flint says so once more, before.
    pub failsafe_word: bool,
}

/// The first image's bytes, in one piece.
#[derive(Clone, Debug)]
pub struct FirstBytes {
    /// Where the signature is.
    pub start: FlashAddr,
    /// From offset 0 to the end of the chain.
    pub bytes: Vec<u8>,
}

/// Look at the first image.
///
/// # Errors
/// When the card or its flash cannot be read. What is wrong with the image is in the answer.
pub fn first_image(device: &mut Device, depth: FirstDepth) -> Result<FirstImage, JobError> {
    let facts = Facts::of(device)?;
    let locked = &mut device.lock()?;
    let card = facts.report(locked);
    if depth == FirstDepth::Full {
        trust_chains(&facts, locked)?;
    }
    let (scan, image) = steady_look(&mut locked.source(), depth, &mut Vec::new())?;
    Ok(FirstImage { card, scan, image })
}

/// Reads the first image from end to end (flint's `ri`), damaged or not. Unless every CRC of it holds,
/// each byte is read twice; what differs is reported as a note.
///
/// # Errors
/// When the card or its flash cannot be read; the inner error is flint's.
pub fn first_bytes(
    device: &mut Device,
    events: &mut dyn Events,
) -> Result<Result<FirstBytes, FirstError>, JobError> {
    let locked = &mut device.lock()?;
    let flash = &mut locked.source();
    let mut unsteady = Vec::new();
    let image = match steady_look(flash, FirstDepth::Chain, &mut unsteady)?.1 {
        Ok(image) => image,
        Err(error) => return Ok(Err(error)),
    };
    if let Some(text) = verdict::query_error(&image) {
        return Ok(Err(FirstError::of(&text)));
    }
    let all = ImageOffset(0);
    let mut bytes = part(flash, &image, all, image.len)?;
    if !Contents::from_file(&bytes).is_ok_and(|contents| contents.image().is_valid()) {
        bytes = part_twice(flash, &image, all, image.len, &mut unsteady)?;
    }
    report(&unsteady, events);
    Ok(Ok(FirstBytes {
        start: image.start,
        bytes,
    }))
}

/// Body of the last section of this kind in the first image; `None` when it has none. Its CRC is
/// checked for a ROM only, as flint does on a card. The body is read twice; what differs is reported
/// as a note.
///
/// # Errors
/// As [`first_bytes`].
pub fn first_section(
    device: &mut Device,
    kind: SectionKind,
    events: &mut dyn Events,
) -> Result<Result<Option<Vec<u8>>, FirstError>, JobError> {
    let locked = &mut device.lock()?;
    let flash = &mut locked.source();
    let depth = if kind == SectionKind::Rom {
        FirstDepth::Query
    } else {
        FirstDepth::Chain
    };
    let mut unsteady = Vec::new();
    let image = match steady_look(flash, depth, &mut unsteady)?.1 {
        Ok(image) => image,
        Err(error) => return Ok(Err(error)),
    };
    if let Some(text) = verdict::query_error(&image) {
        return Ok(Err(FirstError::of(&text)));
    }
    // The first ROM counts, and the last of everything else (docs/fs2.md#fw-configuration-and-hash-file, docs/fs2.md#rom-content).
    let mut all = image.sections.iter().filter(|s| s.kind == kind);
    let section = if kind == SectionKind::Rom {
        all.next()
    } else {
        all.next_back()
    };
    let body = match section {
        Some(s) => Some(part_twice(
            flash,
            &image,
            s.body_at,
            s.body_len,
            &mut unsteady,
        )?),
        None => None,
    };
    report(&unsteady, events);
    Ok(Ok(body))
}

/// Raw bytes of the chip, read twice; what differs is reported as a note.
///
/// # Errors
/// When the range is outside of the chip or the card cannot be read.
pub fn flash_bytes(
    device: &mut Device,
    from: u32,
    len: u32,
    events: &mut dyn Events,
) -> Result<Vec<u8>, JobError> {
    let mut locked = device.lock()?;
    let size = locked.chip().geometry.size;
    if from.checked_add(len).is_none_or(|end| end > size) {
        return Err(FlashError::Outside {
            at: from,
            len: u64::from(len),
            size,
        }
        .into());
    }
    let mut unsteady = Vec::new();
    note(&mut unsteady, locked.reread(from..from + len)?);
    let mut bytes = vec![0; len as usize];
    locked.source().read_at(FlashAddr(from), &mut bytes)?;
    report(&unsteady, events);
    Ok(bytes)
}

/// flint's `checksum` of these bytes of an image, its chain walked already.
///
/// # Errors
/// When they are no image.
pub fn checksum_of(bytes: &[u8]) -> Result<String, ImageError> {
    Contents::from_file(bytes).map(|c| c.checksum())
}

impl FirstError {
    fn of(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            failsafe_word: false,
        }
    }
}

/// What is at the lowest signature; damage was read twice.
fn steady_look(
    flash: &mut FlashSource<'_, '_>,
    depth: FirstDepth,
    unsteady: &mut Vec<UnsteadyRange>,
) -> Result<(Scan, Result<Image, FirstError>), JobError> {
    let mut reading = |flash: &mut FlashSource<'_, '_>| {
        let scan = scan(flash)?;
        let image = look(flash, &scan, depth)?;
        Ok((scan, image))
    };
    let damaged =
        |(_, image): &(Scan, Result<Image, FirstError>)| !image.as_ref().is_ok_and(Image::is_valid);
    steady(flash, unsteady, &mut reading, &damaged)
}

fn look(
    flash: &mut dyn Source,
    scan: &Scan,
    depth: FirstDepth,
) -> Result<Result<Image, FirstError>, JobError> {
    let start = match (verdict::scan_error(scan), scan.magics.first()) {
        (None, Some(start)) => *start,
        (Some(text), _) => return Ok(Err(FirstError::of(&text))),
        (None, None) => return Ok(Err(FirstError::of("No valid image found"))),
    };
    let reading = match depth {
        FirstDepth::Full => Depth::Full,
        FirstDepth::Chain | FirstDepth::Query => Depth::Quick,
    };
    let image = match read(flash, start, Form::Striped, reading) {
        Ok(image) => image,
        // The card failed: that is no answer about the image.
        Err(ImageError::Source(error @ SourceError::Failed { .. })) => return Err(error.into()),
        Err(error) => {
            let text = verdict::error_text(&error).map_or(error.to_string(), str::to_owned);
            return Ok(Err(FirstError {
                text,
                failsafe_word: matches!(error, ImageError::FailsafeWord(_)),
            }));
        }
    };
    if depth == FirstDepth::Query && !rom_is_whole(flash, &image)? {
        return Ok(Err(FirstError::of("Bad CRC.")));
    }
    Ok(Ok(image))
}

/// The CRC of the first ROM holds, or there is no ROM.
fn rom_is_whole(flash: &mut dyn Source, image: &Image) -> Result<bool, JobError> {
    let Some(rom) = image.sections.iter().find(|s| s.kind == SectionKind::Rom) else {
        return Ok(true);
    };
    let whole = part(flash, image, rom.at, rom.len)?;
    let (covered, stored) = whole.split_at(whole.len().saturating_sub(4));
    let mut crc = Crc16State::default();
    crc.update(covered);
    Ok(stored == u32::from(crc.finish()).to_be_bytes())
}

/// A range of the image, of which two readings agree.
fn part_twice(
    flash: &mut FlashSource<'_, '_>,
    image: &Image,
    from: ImageOffset,
    len: u32,
    unsteady: &mut Vec<UnsteadyRange>,
) -> Result<Vec<u8>, JobError> {
    for (at, run) in image.map.runs(from, len) {
        note(unsteady, flash.reread(at.0..at.0 + run)?);
    }
    part(flash, image, from, len)
}

/// A range of the image, read through its address map.
fn part(
    flash: &mut dyn Source,
    image: &Image,
    from: ImageOffset,
    len: u32,
) -> Result<Vec<u8>, JobError> {
    let mut bytes = vec![0; len as usize];
    let mut rest = bytes.as_mut_slice();
    for (at, run) in image.map.runs(from, len) {
        let (piece, after) = rest.split_at_mut((run as usize).min(rest.len()));
        flash.read_at(at, piece)?;
        rest = after;
    }
    Ok(bytes)
}
