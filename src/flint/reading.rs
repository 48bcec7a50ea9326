//! The image as flint reads it: the one at the lowest signature, and only that one, whichever runs
//! (docs/fs2.md#image-start). Our own commands report every image.

use super::verdict::{self, FlintVerdict};
use crate::flash::{Events, FlashSource};
use crate::image::{
    Contents, Depth, Form, Image, ImageError, ImageOffset, Rom, Source, SourceError, crc16, read,
    scan,
};
use crate::job::readings::{UnsteadyRange, note, report, report_wavering, steady};
use crate::job::session::{CardFacts, trust_chains};
use crate::job::{CardReport, Device, JobError};

/// How much of an image is read and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadDepth {
    /// The chain, Image Info and GUIDs.
    Chain,
    /// The ROM too, whose CRC must be right: what flint's query of a card reads
    /// (docs/flint.md#checks-of-query).
    Query,
    /// Every CRC.
    Full,
}

/// The image at the lowest signature, or flint's text for why there is none.
pub(super) type Lowest = Result<Image, String>;

/// Offset and length of a part of an image.
pub(super) type Part = (ImageOffset, u32);

/// The image, when it passes flint's query; else flint's text.
pub(super) fn queried(image: Lowest) -> Lowest {
    let image = image?;
    match verdict::query_error(&image) {
        Some(text) => Err(text),
        None => Ok(image),
    }
}

/// The image, when flint can follow its chain; else flint's text.
pub(super) fn walked(image: Lowest) -> Lowest {
    let image = image?;
    match FlintVerdict::of(&image) {
        FlintVerdict::Failed { text } => Err(text),
        _ => Ok(image),
    }
}

/// Reads the image at the lowest signature.
///
/// # Errors
/// When the source fails. What is wrong with the image is in the answer.
pub(super) fn lowest(
    source: &mut dyn Source,
    form: Form,
    depth: ReadDepth,
) -> Result<Lowest, SourceError> {
    let magics = scan(source)?;
    if let Some(text) = verdict::scan_error(&magics) {
        return Ok(Err(text));
    }
    let start = magics[0];
    let reading = match depth {
        ReadDepth::Full => Depth::Full,
        ReadDepth::Chain | ReadDepth::Query => Depth::Quick,
    };
    let mut image = match read(source, start, form, reading) {
        Ok(image) => image,
        Err(ImageError::Source(error @ SourceError::Failed { .. })) => return Err(error),
        Err(error) => {
            let text = verdict::error_text(&error).map(str::to_owned);
            return Ok(Err(text.unwrap_or_else(|| error.to_string())));
        }
    };
    if let (ReadDepth::Query, Some(rom)) = (depth, image.rom_section()) {
        let section = bytes(source, &image, (rom.at, rom.len))?;
        let (covered, stored) = section.split_at(section.len().saturating_sub(4));
        if stored != u32::from(crc16(covered)).to_be_bytes() {
            return Ok(Err("Bad CRC.".to_owned()));
        }
        let header = (rom.body_at.0 - rom.at.0) as usize;
        image.rom = Some(Rom::parse(covered.get(header..).unwrap_or_default()));
    }
    Ok(Ok(image))
}

/// Bytes of a part of an image, read through its address map.
pub(super) fn bytes(
    source: &mut dyn Source,
    image: &Image,
    (from, len): Part,
) -> Result<Vec<u8>, SourceError> {
    let mut bytes = vec![0; len as usize];
    let mut rest = bytes.as_mut_slice();
    for (at, run) in image.map.runs(from, len) {
        let (piece, after) = rest.split_at_mut((run as usize).min(rest.len()));
        source.read_at(at, piece)?;
        rest = after;
    }
    Ok(bytes)
}

/// The image of a card; a damaged one is read twice.
pub(super) fn of_card(
    device: &mut Device,
    depth: ReadDepth,
) -> Result<(CardReport, Lowest), JobError> {
    let facts = CardFacts::of(device)?;
    let locked = &mut device.lock()?;
    let card = facts.report(locked);
    if depth == ReadDepth::Full {
        trust_chains(&facts, locked)?;
    }
    let image = steady_lowest(&mut locked.source(), depth, &mut Vec::new())?;
    Ok((card, image))
}

/// Bytes of a part of the card's image, or flint's error. They are read twice, unless `trusted` accepts the
/// first reading; what differs is reported as a note.
pub(super) fn part_of_card(
    device: &mut Device,
    depth: ReadDepth,
    events: &mut dyn Events,
    part: impl Fn(&Image) -> Option<Part>,
    trusted: impl Fn(&[u8]) -> bool,
) -> Result<Result<Option<Vec<u8>>, String>, JobError> {
    let locked = &mut device.lock()?;
    let flash = &mut locked.source();
    let mut unsteady = Vec::new();
    let image = match queried(steady_lowest(flash, depth, &mut unsteady)?) {
        Ok(image) => image,
        Err(text) => return Ok(Err(text)),
    };
    let Some(part) = part(&image) else {
        report(&unsteady, events);
        report_wavering(&flash.wavering(), events);
        return Ok(Ok(None));
    };
    let mut read = bytes(flash, &image, part)?;
    if !trusted(&read) {
        for (at, run) in image.map.runs(part.0, part.1) {
            note(&mut unsteady, flash.reread(at.0..at.0 + run)?);
        }
        read = bytes(flash, &image, part)?;
    }
    report(&unsteady, events);
    report_wavering(&flash.wavering(), events);
    Ok(Ok(Some(read)))
}

/// The card's image from its start to the end of its chain, damaged or not. Unless every CRC is right, each
/// byte is read twice. The inner error is flint's text for a card without an image.
///
/// # Errors
/// When the card or its flash cannot be read.
pub fn image_of_card(
    device: &mut Device,
    events: &mut dyn Events,
) -> Result<Result<Vec<u8>, String>, JobError> {
    let all = |image: &Image| Some((ImageOffset(0), image.len));
    let valid =
        |bytes: &[u8]| Contents::from_file(bytes).is_ok_and(|contents| contents.image().is_valid());
    let bytes = part_of_card(device, ReadDepth::Chain, events, all, valid)?;
    Ok(bytes.map(Option::unwrap_or_default))
}

fn steady_lowest(
    flash: &mut FlashSource<'_, '_>,
    depth: ReadDepth,
    unsteady: &mut Vec<UnsteadyRange>,
) -> Result<Lowest, JobError> {
    let mut reading = |flash: &mut FlashSource<'_, '_>| Ok(lowest(flash, Form::Striped, depth)?);
    let damaged = |image: &Lowest| !image.as_ref().is_ok_and(Image::is_valid);
    steady(flash, unsteady, &mut reading, &damaged)
}

#[cfg(test)]
mod tests {
    use super::{Part, ReadDepth, image_of_card, of_card, part_of_card};
    use crate::flash::{Event, Events};
    use crate::image::{Image, SectionKind};
    use crate::job::tests::bench::owner_card;
    use crate::job::{Device, open_sim};
    use crate::sim::{Fault, SimCard, WrongRead};

    #[derive(Default)]
    struct NoteCount(usize);

    impl Events for NoteCount {
        fn emit(&mut self, event: Event) {
            self.0 += usize::from(matches!(event, Event::Note { .. }));
        }
    }

    fn open(card: &SimCard) -> Device {
        open_sim(card, "sim:test").unwrap()
    }

    fn ini(image: &Image) -> Option<Part> {
        let kind = SectionKind::FwConfiguration;
        let section = image.sections.iter().find(|s| s.kind == kind)?;
        Some((section.body_at, section.body_len))
    }

    #[test]
    fn sections_and_images_are_what_two_readings_agree_on() {
        const CHAIN: ReadDepth = ReadDepth::Chain;
        let card = owner_card();
        let image = of_card(&mut open(&card), CHAIN).unwrap().1.unwrap();
        let at = image.map.runs(ini(&image).unwrap().0, 4).next().unwrap().0;
        let reads: [fn(&mut Device, &mut NoteCount) -> Vec<u8>; 2] = [
            |device, notes| image_of_card(device, notes).unwrap().unwrap(),
            |device, notes| {
                let body = part_of_card(device, CHAIN, notes, ini, |_| false).unwrap();
                body.unwrap().unwrap()
            },
        ];
        for read in reads {
            let right = read(&mut open(&card), &mut NoteCount::default());
            for kind in [WrongRead::Stale, WrongRead::AllOnes, WrongRead::Flipped { bit: 13 }] {
                let card = card.fork();
                let mut device = open(&card);
                card.inject(Fault::WrongRead { after: 0, kind, at: Some(at.0) });
                let mut notes = NoteCount::default();
                assert!(read(&mut device, &mut notes) == right, "{kind:?}");
                assert_eq!(card.faults(), [], "{kind:?}");
                assert_eq!(notes.0, 1, "{kind:?}");
            }
        }
    }
}
