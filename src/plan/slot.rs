//! The image at one signature of a flash, and which parts of it are valid.

use crate::card::{Chip, DeviceType};
use crate::flash::overlap;
use crate::image::{
    AddressMap, Contents, CrcVerdict, FindingId, FlashAddr, Identity, Image, ImageOffset,
    SectionKind, Severity, SourceError, WalkEnd, scan,
};
use std::ops::Range;

/// Whether the boot ROM of a chip starts an image. The judgement is [`bootability`]'s alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootability {
    /// Every CRC holds, and the chip is one it is for.
    Sure,
    /// Complete and for this kind of chip, but not relied on: why. It counts as booting only where the card
    /// shows that it runs ([`super::boot_choice`]).
    Unsure(String),
    /// Incomplete or damaged, or for other silicon.
    No,
}

/// Judges the image at `start` as docs/fs2.md#what-boots has it.
pub fn bootability(start: FlashAddr, image: &Image, chip: Chip) -> Bootability {
    let validity = Validity::of(image);
    let (kind_fits, unlisted) = match silicon(image, chip) {
        None => (true, None),
        Some((names, kind_fits)) => (kind_fits, Some(not_for(&names, chip))),
    };
    if !validity.complete() || !kind_fits || !image.layout.may_start(start) {
        return Bootability::No;
    }
    let mut doubts = validity.notes;
    doubts.extend(unlisted);
    // A warning in a file; the boot ROM may compare it all the same.
    let asked = [&image.info, &image.chain_info];
    if asked.iter().any(|info| info.as_ref().is_some_and(|i| i.mic_version.is_some())) {
        let crc = image.findings.iter().find(|f| f.id == FindingId::FullImageCrc);
        doubts.extend(crc.filter(|f| f.severity < Severity::Error).map(|f| f.detail.clone()));
    }
    match doubts.is_empty() {
        true => Bootability::Sure,
        false => Bootability::Unsure(doubts.join("; ")),
    }
}

/// What the image is for, where that is not this chip, and whether it is this kind of chip all the same: a
/// list that lacks the revision, or an empty one beside the right device id.
fn silicon(image: &Image, chip: Chip) -> Option<(String, bool)> {
    // Out of a damaged section it states nothing.
    let info = image.info.as_ref().filter(|_| image.info_crc_ok)?;
    let list = info.supported_hw.as_ref();
    if let Some(list) = list.filter(|list| !list.is_empty()) {
        let kind_fits = list.iter().any(|(hw_id, _)| *hw_id == chip.hw_id);
        let listed = list.contains(&(chip.hw_id, chip.revision));
        return (!listed).then(|| (Chip::names(list), kind_fits));
    }
    let id = info.device_id?;
    match DeviceType::of_image(id) {
        Some(device) if device.hw_id == chip.hw_id => list.map(|_| ("no chip".to_owned(), true)),
        Some(device) => Some((device.mstflint_name.to_owned(), false)),
        None => Some((format!("device {id} of another family"), false)),
    }
}

fn not_for(names: &str, chip: Chip) -> String {
    format!("it is for {names}, and the card is a {}", chip.name())
}

/// Why the image is not for this chip: its list of hardware lacks the chip; without a list, its device id is
/// not of this kind of chip. `None` = nothing speaks against it. That the boot ROM compares them is
/// INFERRED (docs/fs2.md#boot-rom).
pub fn wrong_silicon(image: &Image, chip: Chip) -> Option<String> {
    silicon(image, chip).map(|(names, _)| not_for(&names, chip))
}

/// The image at each signature of a flash. One with bytes that read differently each time is unreadable.
pub(super) fn slots(
    flash: &[u8],
    chip: Chip,
    wavering: &[Range<u32>],
) -> Result<Vec<ImageSlot>, SourceError> {
    let mut slots = Vec::new();
    for start in scan(&mut &*flash)? {
        let contents = Contents::from_dump(flash, start).map_err(|e| e.to_string());
        let image = contents.as_ref().ok().map(Contents::image);
        let contents = wavers(start, image, wavering).map_or(contents, Err);
        slots.push(ImageSlot { start, chip, contents });
    }
    Ok(slots)
}

/// The image at one signature.
#[derive(Clone, Debug)]
pub struct ImageSlot {
    /// Where the signature is.
    pub start: FlashAddr,
    /// The chip of the card.
    pub chip: Chip,
    /// The image, or why it cannot be read.
    pub contents: Result<Contents, String>,
}

impl ImageSlot {
    pub fn image(&self) -> Option<&Image> {
        self.contents.as_ref().ok().map(Contents::image)
    }

    /// As [`super::boot_choice`] takes it.
    pub(super) fn place(&self) -> (FlashAddr, Option<&Image>) {
        (self.start, self.image())
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.contents.as_ref().ok().map(Contents::bytes)
    }

    pub fn validity(&self) -> Validity {
        match &self.contents {
            Ok(contents) => Validity::of(contents.image()),
            Err(why) => {
                Validity { code: false, rom: true, identity: false, notes: vec![why.clone()] }
            }
        }
    }

    pub fn bootability(&self) -> Bootability {
        let judge = |image| bootability(self.start, image, self.chip);
        self.image().map_or(Bootability::No, judge)
    }

    /// Why it is not for this chip although it may be valid.
    pub fn wrong_silicon(&self) -> Option<String> {
        wrong_silicon(self.image()?, self.chip)
    }

    /// It may be of this board: it is for the chip, or complete and for this kind of chip.
    pub(super) fn is_of_this_chip(&self) -> bool {
        self.wrong_silicon().is_none() || self.bootability() != Bootability::No
    }

    /// Identity in it, when both sections that hold it are valid.
    pub fn identity(&self) -> Option<Identity> {
        if !self.validity().identity {
            return None;
        }
        Identity::from_image(self.image()?).ok()
    }

    /// How its offsets become flash addresses.
    pub fn map(&self) -> Option<AddressMap> {
        Some(AddressMap::on_flash(self.image()?.layout, self.start))
    }

    /// Flash ranges its bytes lie in.
    pub fn ranges(&self) -> Vec<Range<u32>> {
        self.map().map_or_else(Vec::new, |map| ranges(map, 0, self.len()))
    }

    /// Bytes of the image: to the end of its chain, or all that its header claims when the chain
    /// is broken.
    pub(super) fn len(&self) -> u32 {
        let len = self.contents.as_ref().map_or(0, |c| c.bytes().len());
        u32::try_from(len).unwrap_or(u32::MAX)
    }
}

/// Flash ranges of `len` bytes of an image from its offset `from`.
pub(super) fn ranges(map: AddressMap, from: u32, len: u32) -> Vec<Range<u32>> {
    map.runs(ImageOffset(from), len).map(|(at, n)| at.0..at.0.saturating_add(n)).collect()
}

/// Everything of a flash of `size` bytes outside of `ranges`, which are in order.
pub(super) fn outside(ranges: &[Range<u32>], size: u32) -> Vec<Range<u32>> {
    let starts = std::iter::once(0).chain(ranges.iter().map(|r| r.end));
    let ends = ranges.iter().map(|r| r.start).chain(std::iter::once(size));
    let gaps = starts.zip(ends).map(|(start, end)| start..end);
    gaps.filter(|gap| gap.start < gap.end).collect()
}

/// Why the image at `start` is not valid, where bytes of it read differently each time.
pub fn wavers(start: FlashAddr, image: Option<&Image>, wavering: &[Range<u32>]) -> Option<String> {
    let used = match image {
        Some(image) => ranges(AddressMap::on_flash(image.layout, start), 0, image.len),
        None => vec![start.0..start.0.saturating_add(16)],
    };
    let hit = wavering.iter().find(|w| used.iter().any(|range| overlap(range, w)))?;
    Some(format!("the flash at {:#x} reads differently each time", hit.start))
}

/// Which parts of an image on a card are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Chain and code sections.
    pub code: bool,
    /// The ROM; true when there is none.
    pub rom: bool,
    /// GUID and Image Info sections.
    pub identity: bool,
    /// One sentence for each finding.
    pub notes: Vec<String>,
}

impl Validity {
    /// Everything but the option ROM is valid: it starts on the silicon it is for.
    pub fn complete(&self) -> bool {
        self.code && self.identity
    }

    /// Judges an image of a card. A wrong full image CRC alone is a note: mstflint leaves one behind on
    /// good cards when the file had trailing bytes (docs/fs2.md#order-of-a-burn).
    pub fn of(image: &Image) -> Self {
        let guids = image.guids.as_ref();
        // A walk that stopped anywhere else has not seen all of the code.
        let walked = image.walk_end == WalkEnd::Complete || image.valid_behind;
        let mut validity = Self {
            code: image.layout.may_start(image.start) && walked,
            rom: true,
            identity: image.info_crc_ok
                && image.info.is_some()
                && guids.is_some_and(|g| g.type_ok && (g.crc_ok || g.blank)),
            notes: Vec::new(),
        };
        for section in &image.sections {
            if matches!(section.crc, CrcVerdict::Ok | CrcVerdict::Blank | CrcVerdict::NotChecked) {
                continue;
            }
            match section.kind {
                SectionKind::Rom => validity.rom = false,
                SectionKind::Guid | SectionKind::ImageInfo => validity.identity = false,
                _ => validity.code = false,
            }
        }
        for finding in &image.findings {
            if finding.severity < Severity::Error {
                continue;
            }
            validity.notes.push(finding.detail.clone());
            match finding.id {
                FindingId::StartAddress | FindingId::Chain | FindingId::Overlap => {
                    validity.code = false;
                }
                FindingId::Info
                | FindingId::Pointer
                | FindingId::IdentityCrc
                | FindingId::MissingTag => validity.identity = false,
                FindingId::Rom => validity.rom = false,
                FindingId::SectionCrc
                | FindingId::BlankGuids
                | FindingId::FullImageCrc
                | FindingId::Size
                | FindingId::TrailingBytes
                | FindingId::NoVsdTag
                | FindingId::Ini => {}
            }
        }
        validity
    }
}
