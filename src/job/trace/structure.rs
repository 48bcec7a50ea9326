//! What of the flash a trace holds: the structure of the images, and nothing of what they are about.
//!
//! A trace has a number for each word of the flash. A replay makes up a word for each number
//! ([`crate::flash::trace::stand_in`]). That is enough for code, ROM, ini and settings, but the program
//! finds its way by signatures, headers and sections, and judges by CRCs. So those words are in the trace:
//! as they were where they hold sizes and addresses, replaced where they hold an identity, computed anew
//! where they are CRCs.

use crate::flash::trace::{SeenFlash, stand_in};
use crate::image::{
    Depth, FlashAddr, Form, Image, ImageOffset, Rom, Section, SectionKind, WalkEnd, be32, be32s,
    crc16, read, scan,
};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::collections::BTreeMap;
use std::io::Write;

/// Tags of Image Info that name no card and no owner: versions, date, device ids, PSID, the kind of build,
/// hardware, configuration sectors (docs/fs2.md#image-info-section).
const OPEN_TAGS: [u8; 10] = [1, 2, 3, 4, 8, 9, 10, 11, 12, 19];
/// Above it no tag is known; what looks like one may be anything.
const LAST_TAG: u8 = 0x20;
const END_TAG: u8 = 0xFF;
/// Largest flash of these cards.
const LARGEST_FLASH: u32 = 16 << 20;
/// Length of the header; its words are offsets, sizes and a CRC (docs/fs2.md#header).
const HEADER: u32 = 0x38;
const FULL_CRC: ImageOffset = ImageOffset(0x20);
/// First of the GUIDs and of the MACs that stand for the card's: the vendor part belongs to Mellanox.
const GUID: u64 = 0x0002_c903_0000_1000;
const MAC: u64 = 0x0002_c900_1000;
/// Entries of the GUID section that are GUIDs; MACs follow (docs/fs2.md#guid-section).
const GUIDS: u32 = 4;
/// Header of an image of a ROM up to its pointer at 0x18, and the PCI data structure behind it (PCI Firmware
/// Specification 3.0, section 5.1).
const PCI_HEADER: usize = 0x1C;
const PCI_POINTER: usize = 0x18;
const PCI_DATA: usize = 0x18;
/// Version blocks (docs/fs2.md#rom-content).
const ROM_MARK: &[u8] = b"mlxsign:";
const ROM_BLOCK: usize = 20;
const MOST_MARKS: usize = 16;
/// Stands for an ini.
const INI: &str = "[PS_INFO]\nName = xxxx\nDescription = xxxx\n";
/// Stands for text.
const TEXT: u32 = u32::from_be_bytes(*b"xxxx");

/// Words by flash address that stand for those of the flash as it was read.
pub(in crate::job) fn structure(seen: &SeenFlash) -> BTreeMap<u32, u32> {
    let mut real = flash_of(seen, |_, word| word);
    let mut shown =
        flash_of(seen, |number, word| if number == 0 { word } else { stand_in(number) });
    // Images lie in flash chips of these sizes.
    let size = (real.len() as u32).next_power_of_two().clamp(1 << 20, LARGEST_FLASH) as usize;
    real.resize(size, 0xFF);
    shown.resize(size, 0xFF);
    let mut words = StandIns { seen, real, shown, set: BTreeMap::new() };
    let mut source = words.real.as_slice();
    for start in scan(&mut source).unwrap_or_default() {
        match walked(&words.real, start) {
            Some(image) => words.image(&image),
            None => words.signature(start),
        }
    }
    words.set
}

/// The image at `start`, with every section that a quick reading finds: a full one ends at the first that is
/// damaged or was not read.
fn walked(flash: &[u8], start: FlashAddr) -> Option<Image> {
    let at = |depth| read(&mut &*flash, start, Form::Striped, depth).ok();
    let (full, mut image) = (at(Depth::Full)?, at(Depth::Query)?);
    image.computed_crc = full.computed_crc;
    image.blank_in_chain |= full.blank_in_chain;
    Some(image)
}

/// The flash with `word` of each number and word; what was not read is blank.
fn flash_of(seen: &SeenFlash, word: impl Fn(u32, u32) -> u32) -> Vec<u8> {
    let end = seen.keys().next_back().map_or(0, |at| at.saturating_add(4));
    let mut flash = vec![0xFF; end.min(LARGEST_FLASH) as usize];
    for (at, seen) in seen {
        let place = flash.get_mut(*at as usize..).and_then(|rest| rest.first_chunk_mut());
        if let Some(place) = place {
            *place = word(seen.value().number, seen.value().word).to_be_bytes();
        }
    }
    flash
}

struct StandIns<'s> {
    seen: &'s SeenFlash,
    real: Vec<u8>,
    /// What a replay will read.
    shown: Vec<u8>,
    set: BTreeMap<u32, u32>,
}

impl StandIns<'_> {
    fn signature(&mut self, start: FlashAddr) {
        for n in 0..4 {
            let at = start.0.saturating_add(4 * n);
            if let Some(word) = be32(&self.real, at as usize) {
                self.put(at, word);
            }
        }
    }

    fn put(&mut self, at: u32, word: u32) {
        let place = self.shown.get_mut(at as usize..).and_then(|rest| rest.first_chunk_mut());
        if let Some(place) = place {
            *place = word.to_be_bytes();
            self.set.insert(at, word);
        }
    }

    fn image(&mut self, image: &Image) {
        self.open(image, ImageOffset(0), HEADER);
        for section in &image.sections {
            self.section(image, section);
        }
        // Of an image that was not read completely it counts as right.
        let stored = self.word(image, FULL_CRC);
        if let (WalkEnd::Complete, Some(stored)) = (image.walk_end, stored) {
            let mut shown = self.bytes(image, ImageOffset(0), image.len);
            if let Some(field) = shown.get_mut(0x22..0x24) {
                field.fill(0xFF);
            }
            let right = image.computed_crc.is_none_or(|crc| stored & 0xffff == u32::from(crc));
            let crc = u32::from(crc16(&shown)) ^ u32::from(!right);
            if stored & 0xffff != 0xffff {
                self.put_in(image, FULL_CRC, stored & 0xffff_0000 | crc);
            }
        }
    }

    fn section(&mut self, image: &Image, section: &Section) {
        if section.kind == SectionKind::Boot2 {
            // Load address and size.
            self.open(image, section.at, 8);
        } else {
            self.open(image, section.at, section.body_at.0.wrapping_sub(section.at.0).min(16));
        }
        let body = self.bytes(image, section.body_at, section.body_len);
        let len = body.len() as u32;
        match section.kind {
            SectionKind::Guid => self.identity(image, section.body_at, &body),
            SectionKind::ImageInfo => self.info(image, section.body_at, len),
            SectionKind::Rom => self.rom(image, section),
            SectionKind::FwConfiguration => self.ini(image, section),
            _ => {}
        }
        self.crc(image, section);
    }

    /// GUIDs and MACs that stand for those of the card; blank and zero ones stay.
    fn identity(&mut self, image: &Image, at: ImageOffset, body: &[u8]) {
        let (entries, _) = body.as_chunks::<8>();
        for (n, _) in (0_u32..).zip(entries) {
            let place = ImageOffset(at.0.wrapping_add(8 * n));
            let Some(flash) = image.map.to_flash(place) else { continue };
            let real = self.real.get(flash.0 as usize..).and_then(|rest| rest.first_chunk());
            let real = real.map_or(0, |bytes| u64::from_be_bytes(*bytes));
            if real == 0 || real == u64::MAX {
                continue;
            }
            let stand_in = match n.checked_sub(GUIDS) {
                None => GUID + u64::from(n),
                Some(port) => MAC + u64::from(port),
            };
            self.put_in(image, place, (stand_in >> 32) as u32);
            self.put_in(image, ImageOffset(place.0.wrapping_add(4)), stand_in as u32);
        }
    }

    /// Tags with what is open in them; `x` for the rest.
    fn info(&mut self, image: &Image, body_at: ImageOffset, len: u32) {
        let mut at = 0;
        while at + 4 <= len {
            let place = ImageOffset(body_at.0.wrapping_add(at));
            let Some(head) = self.word(image, place) else { return };
            // Tag number and length in bytes (docs/fs2.md#image-info-section).
            let (tag, size) = ((head >> 24) as u8, head & 0x00ff_ffff);
            if tag != END_TAG && (tag > LAST_TAG || size > len) {
                return;
            }
            self.put_in(image, place, head);
            if tag == END_TAG {
                return;
            }
            for inside in (0..size / 4 * 4).step_by(4) {
                let place = ImageOffset(place.0.wrapping_add(4 + inside));
                match self.word(image, place) {
                    Some(word) if OPEN_TAGS.contains(&tag) || word == 0 => {
                        self.put_in(image, place, word);
                    }
                    Some(_) => self.put_in(image, place, TEXT),
                    None => return,
                }
            }
            at += 4 + size / 4 * 4;
        }
    }

    /// Headers and PCI data structures of the images of a ROM, and its version blocks, which are the places
    /// that a query reads.
    fn rom(&mut self, image: &Image, section: &Section) {
        let rom = self.bytes_of(&self.real, image, section.body_at, section.body_len);
        let mut open = |start: usize, len: usize| {
            let start = start / 4 * 4;
            let at =
                u32::try_from(start).ok().and_then(|start| section.body_at.0.checked_add(start));
            if let Some(at) = at.filter(|_| start < rom.len()) {
                self.open(image, ImageOffset(at), len.min(rom.len() - start) as u32);
            }
        };
        for part in &Rom::parse(&rom).images {
            let start = part.at as usize;
            open(start, PCI_HEADER);
            let pointer = rom.get(start + PCI_POINTER..).and_then(|rest| rest.first_chunk());
            let data = pointer.map_or(0, |bytes| usize::from(u16::from_le_bytes(*bytes)));
            open(start + data, PCI_DATA);
        }
        let marks = rom.windows(ROM_MARK.len()).enumerate().filter(|(_, found)| *found == ROM_MARK);
        for (at, _) in marks.take(MOST_MARKS) {
            open(at, ROM_BLOCK);
        }
    }

    /// A short ini in the place of one whose beginning names the board: a query reads on where it does not.
    fn ini(&mut self, image: &Image, section: &Section) {
        let early = !self.was_read(image, section) || image.computed_crc.is_some();
        if !early || image.part_number.is_none() || image.description.is_none() {
            return;
        }
        let mut stream = ZlibEncoder::new(Vec::new(), Compression::best());
        let written = stream.write_all(INI.as_bytes()).and_then(|()| stream.finish());
        let mut bytes = written.unwrap_or_default();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        if bytes.len() as u32 <= section.body_len {
            for (n, word) in (0..).zip(be32s(&bytes)) {
                self.put_in(image, ImageOffset(section.body_at.0.wrapping_add(4 * n)), word);
            }
        }
    }

    /// The CRC of a section that is right stays right, and one that is wrong stays wrong.
    fn crc(&mut self, image: &Image, section: &Section) {
        let end = section.at.0.wrapping_add(section.len);
        let at = ImageOffset(end.wrapping_sub(4));
        let Some(stored) = self.word(image, at) else { return };
        if section.len < 8 || image.blank_in_chain && section.kind == SectionKind::Guid {
            return self.put_in(image, at, stored);
        }
        let bytes = |flash| self.bytes_of(flash, image, section.at, section.len - 4);
        let (real, shown) = (bytes(&self.real), bytes(&self.shown));
        // Of a section that was not read completely it counts as right.
        let right = !self.was_read(image, section) || stored == u32::from(crc16(&real));
        self.put_in(image, at, u32::from(crc16(&shown)) ^ u32::from(!right));
    }

    /// Every word of the section was read.
    fn was_read(&self, image: &Image, section: &Section) -> bool {
        image.map.runs(section.at, section.len).all(|(at, len)| {
            let last = at.0.saturating_add(len);
            self.seen.range(at.0..last).count() as u32 == len / 4
        })
    }

    fn open(&mut self, image: &Image, at: ImageOffset, len: u32) {
        for inside in (0..len).step_by(4) {
            let place = ImageOffset(at.0.wrapping_add(inside));
            if let Some(word) = self.word(image, place) {
                self.put_in(image, place, word);
            }
        }
    }

    fn word(&self, image: &Image, at: ImageOffset) -> Option<u32> {
        be32(&self.real, image.map.to_flash(at)?.0 as usize)
    }

    fn put_in(&mut self, image: &Image, at: ImageOffset, word: u32) {
        if let Some(at) = image.map.to_flash(at) {
            self.put(at.0, word);
        }
    }

    /// Bytes as a replay will read them, as far as they lie in the flash.
    fn bytes(&self, image: &Image, at: ImageOffset, len: u32) -> Vec<u8> {
        self.bytes_of(&self.shown, image, at, len)
    }

    fn bytes_of(&self, flash: &[u8], image: &Image, at: ImageOffset, len: u32) -> Vec<u8> {
        let runs = image.map.runs(at, len.min(flash.len() as u32));
        let runs = runs.map_while(|(at, len)| {
            let start = at.0 as usize;
            flash.get(start..start.checked_add(len as usize)?)
        });
        runs.flatten().copied().collect()
    }
}
