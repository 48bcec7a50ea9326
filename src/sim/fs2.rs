//! An image as the boot ROM and the running firmware see it, written from docs/fs2.md alone.
//!
//! Shares no code with `image`, the reader that the simulated card is there to test:
//! `tests/it/modules.rs` lists the few plain types that `sim` may take from there. What the boot ROM
//! checks is in docs/fs2.md#boot-rom.

use flate2::read::ZlibDecoder;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// Where an image may start.
const STARTS: [u32; 10] = [
    0, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000, 0x80_0000,
    0x100_0000,
];
const SIGNATURE: [u32; 4] = [0x4D54_4657, 0x8CDF_D000, 0xDEAD_9270, 0x4154_BEEF];
/// Words of the header.
const FULL_CRC: usize = 0x20;
const FORMAT: usize = 0x24;
const FAILSAFE: usize = 0x28;
const INFO_POINTER: usize = 0x2C;
const GUID_POINTER: usize = 0x34;
const HEADER: usize = 0x38;
/// Bytes of a section header.
const SECTION: usize = 16;
const LARGEST_BODY: usize = 0x40_0000;
const CHAIN_END: u32 = 0xFF00_0000;
/// An image has about twenty sections.
const MOST_SECTIONS: usize = 1024;
/// A chain whose overlapping sections cover the image more often than this is hostile.
const MOST_PASSES: usize = 8;
/// Most bytes of an inflated ini.
const LONGEST_INI: u64 = 1 << 20;

/// Section types that the card itself uses.
const EMT: u32 = 4;
const GUID: u32 = 6;
const FW_CONFIGURATION: u32 = 9;
const IMAGE_INFO: u32 = 10;

/// Why the boot ROM does not start what begins at a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BootRefusal {
    /// The top byte of the word at 0x24 names FS3.
    Format,
    /// The failsafe word has a wrong byte sum.
    FailsafeWord,
    /// Images of this layout do not start there.
    Start,
    /// A BOOT2 block has an impossible size, leaves the image's half, or fails its CRC.
    Boot2,
    /// The chain of sections leaves the half, loops or does not end.
    Chain,
    /// A section claims more than a body may have.
    SectionSize,
    /// A section fails its CRC.
    SectionCrc,
    /// A pointer of the header does not lead to a section of its type.
    Pointer,
    /// The tags of Image Info do not fill their section.
    Tags,
    /// The full image CRC is wrong, and Image Info has the tag that asks for it.
    FullCrc,
    /// The image is for other silicon.
    Silicon,
    /// A cell of it reads differently each time.
    Marginal,
}

/// The addresses that carry the signature, lowest first.
pub(super) fn signatures(flash: &[u8]) -> Vec<u32> {
    let signature = SIGNATURE.map(u32::to_be_bytes);
    let at = |start: &u32| flash.get(*start as usize..);
    STARTS
        .into_iter()
        .filter(|start| at(start).is_some_and(|f| f.starts_with(signature.as_flattened())))
        .collect()
}

/// A section of the chain, by image offset.
#[derive(Clone, Copy, Debug)]
struct ChainLink {
    kind: u32,
    body: usize,
    len: usize,
}

/// One image in a flash.
pub(super) struct LoadedImage {
    /// The half it lies in, contiguous, to the end of the flash.
    half: Vec<u8>,
    /// Bytes of a chunk; `None` = not failsafe.
    pub(super) chunk: Option<u32>,
    sections: Vec<ChainLink>,
    /// Data of the tags of Image Info; the last one of an id counts.
    tags: BTreeMap<u8, Vec<u8>>,
    /// The full image CRC, where the image asks for it.
    pub(super) full_crc_is_right: bool,
}

impl LoadedImage {
    /// Reads the image at `start`; everything but its full CRC and its silicon is checked.
    pub(super) fn at(flash: &[u8], start: u32) -> Result<Self, BootRefusal> {
        let head = flash.get(start as usize..).unwrap_or_default();
        let word_at = |at| word(head, at).ok_or(BootRefusal::Chain);
        if word_at(FORMAT)? >> 24 == 3 {
            return Err(BootRefusal::Format);
        }
        let failsafe = word_at(FAILSAFE)?;
        if byte_sum(failsafe) != 0 {
            return Err(BootRefusal::FailsafeWord);
        }
        let chunk = (failsafe & 8 != 0).then(|| 0x1_0000 << (failsafe & 7));
        if start != 0 && chunk != Some(start) {
            return Err(BootRefusal::Start);
        }
        let half = match chunk {
            None => flash.to_vec(),
            Some(chunk) => half_of(flash, chunk as usize, start != 0),
        };
        let mut image = Self {
            half,
            chunk,
            sections: Vec::new(),
            tags: BTreeMap::new(),
            full_crc_is_right: true,
        };
        let (crc, blank) = image.walk()?;
        let info = image.pointed(INFO_POINTER, 0xFF_FFFF, IMAGE_INFO)?;
        if byte_sum(image.word(INFO_POINTER)) != 0 {
            return Err(BootRefusal::Pointer);
        }
        image.pointed(GUID_POINTER, u32::MAX, GUID)?;
        image.tags = tags(image.body(info)).ok_or(BootRefusal::Tags)?;
        let stored = image.word(FULL_CRC) as u16;
        let asked = image.tags.contains_key(&11);
        image.full_crc_is_right = !asked || stored == crc || blank && stored == 0xFFFF;
        Ok(image)
    }

    fn word(&self, at: usize) -> u32 {
        word(&self.half, at).unwrap_or(0)
    }

    fn body(&self, section: ChainLink) -> &[u8] {
        self.half.get(section.body..section.body + section.len).unwrap_or_default()
    }

    /// The section whose body a pointer of the header leads to.
    fn pointed(&self, at: usize, mask: u32, kind: u32) -> Result<ChainLink, BootRefusal> {
        let body = (self.word(at) & mask) as usize;
        let found = self.sections.iter().find(|s| s.body == body && s.kind == kind);
        found.copied().ok_or(BootRefusal::Pointer)
    }

    /// Follows BOOT2 blocks and chain and compares their CRCs. Answers the CRC over all of it, and
    /// whether the GUID section is blank.
    fn walk(&mut self) -> Result<(u16, bool), BootRefusal> {
        let half = std::mem::take(&mut self.half);
        let walked = self.walk_in(&half);
        self.half = half;
        walked
    }

    fn walk_in(&mut self, half: &[u8]) -> Result<(u16, bool), BootRefusal> {
        let mut full = Crc::default();
        let header = half.get(..HEADER).ok_or(BootRefusal::Chain)?;
        full.add(&header[..FULL_CRC + 2]);
        full.add(&[0xFF; 2]);
        full.add(&header[FULL_CRC + 4..]);
        let mut at = boot2(half, HEADER, &mut full)?;
        if !matches!(word(half, at), Some(1..=12)) {
            at = boot2(half, at, &mut full)?;
        }
        let (mut seen, mut covered, mut blank) = (BTreeSet::new(), 0, false);
        loop {
            let head = half.get(at..at + SECTION).ok_or(BootRefusal::Chain)?;
            let field = |n: usize| word(head, 4 * n).unwrap_or(0);
            let (kind, size, next) = (field(0), field(1) as usize, field(3));
            let len = if kind == EMT { size.next_multiple_of(4) } else { size.saturating_mul(4) };
            covered += len;
            let hostile = covered > MOST_PASSES * half.len() || seen.len() == MOST_SECTIONS;
            if len > LARGEST_BODY {
                return Err(BootRefusal::SectionSize);
            }
            if hostile || !at.is_multiple_of(4) || !seen.insert(at) {
                return Err(BootRefusal::Chain);
            }
            let body = at + SECTION;
            let bytes = half.get(at..body + len).ok_or(BootRefusal::Chain)?;
            let stored = word(half, body + len).ok_or(BootRefusal::Chain)?;
            let computed = u32::from(crc16(bytes));
            let is_blank = kind == GUID
                && stored == 0xFFFF
                && bytes.get(SECTION..SECTION + 8) == Some(&[0xFF; 8]);
            if stored != computed && !is_blank {
                return Err(BootRefusal::SectionCrc);
            }
            blank |= is_blank;
            full.add(bytes);
            full.add(&computed.to_be_bytes());
            self.sections.push(ChainLink { kind, body, len });
            if next == 0 || next == CHAIN_END {
                return Ok((full.end(), blank));
            }
            at = next as usize;
        }
    }

    /// A word of a tag's data.
    pub(super) fn tag_word(&self, id: u8, index: usize) -> Option<u32> {
        word(self.tags.get(&id)?, 4 * index)
    }

    /// Major, minor, subminor (tag 1); zeros without it.
    pub(super) fn version(&self) -> [u16; 3] {
        let [major, minors] = [0, 1].map(|n| self.tag_word(1, n).unwrap_or(0));
        [(major >> 16) as u16, (minors >> 16) as u16, minors as u16]
    }

    /// Silicon it may run on (tag 10); `None` = any.
    pub(super) fn runs_on(&self, hw_id: u16, revision: u8) -> bool {
        let Some(list) = self.tags.get(&10) else {
            return true;
        };
        let (words, _) = list.as_chunks();
        let mut ids = words.iter().map(|id| u32::from_be_bytes(*id)).take_while(|id| *id != 0);
        ids.any(|id| id as u16 == hw_id && (id >> 16) as u8 == revision)
    }

    /// PSID (tag 4).
    pub(super) fn psid(&self) -> String {
        let text = self.tags.get(&4).map(|t| &t[..t.len().min(16)]).unwrap_or_default();
        let text = text.split(|b| *b == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }

    /// Entries of the GUID section: node, ports, system, then MACs.
    pub(super) fn guids(&self) -> Vec<u64> {
        let Ok(section) = self.pointed(GUID_POINTER, u32::MAX, GUID) else {
            return Vec::new();
        };
        let (entries, _) = self.body(section).as_chunks();
        entries.iter().map(|entry| u64::from_be_bytes(*entry)).collect()
    }

    /// Value of a key of the ini.
    pub(super) fn ini(&self, section: &str, key: &str) -> Option<String> {
        let stream = self.sections.iter().rfind(|s| s.kind == FW_CONFIGURATION)?;
        let mut text = Vec::new();
        let mut inflated = ZlibDecoder::new(self.body(*stream)).take(LONGEST_INI);
        inflated.read_to_end(&mut text).ok()?;
        let text = String::from_utf8_lossy(&text);
        let text = text.split('\0').next()?;
        let mut inside = false;
        for line in text.lines() {
            // A comment: at the start of a line, or behind a blank.
            let mut ends = line.match_indices(';').map(|(at, _)| at);
            let end = ends.find(|at| !line[..*at].ends_with(|c: char| !c.is_whitespace()));
            let line = line.get(..end.unwrap_or(line.len())).unwrap_or_default().trim();
            match (line.strip_prefix('['), line.split_once('=')) {
                (Some(name), _) => inside = name.trim_end_matches(']').trim() == section,
                (None, Some((name, value))) if inside && name.trim() == key => {
                    return Some(value.trim().to_owned());
                }
                _ => {}
            }
        }
        None
    }
}

/// The chunks of one half, one behind the other.
fn half_of(flash: &[u8], chunk: usize, odd: bool) -> Vec<u8> {
    flash.chunks(chunk).skip(usize::from(odd)).step_by(2).flatten().copied().collect()
}

/// Compares the CRC of the block at `at`; answers its end.
fn boot2(half: &[u8], at: usize, full: &mut Crc) -> Result<usize, BootRefusal> {
    let code = at.checked_add(4).and_then(|at| word(half, at)).ok_or(BootRefusal::Boot2)?;
    if !(4..=1_048_576).contains(&code) {
        return Err(BootRefusal::Boot2);
    }
    let end = at + (code as usize + 4) * 4;
    let block = half.get(at..end).ok_or(BootRefusal::Boot2)?;
    let (covered, _) = block.split_at(block.len() - 4);
    if word(half, end - 4) != Some(u32::from(crc16(covered))) {
        return Err(BootRefusal::Boot2);
    }
    full.add(block);
    Ok(end)
}

/// The tags of a body; `None` when they do not fill it, or one has a size that is no multiple of 4.
fn tags(body: &[u8]) -> Option<BTreeMap<u8, Vec<u8>>> {
    let mut tags = BTreeMap::new();
    let mut at = 0;
    loop {
        let tag = word(body, at)?;
        let (id, size) = ((tag >> 24) as u8, (tag & 0xFF_FFFF) as usize);
        at += 4;
        if id == 0xFF {
            return (size == 0 && at == body.len()).then_some(tags);
        }
        if size % 4 != 0 {
            return None;
        }
        tags.insert(id, body.get(at..at + size)?.to_vec());
        at += size;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*found))
}

fn byte_sum(word: u32) -> u8 {
    word.to_be_bytes().into_iter().fold(0, u8::wrapping_add)
}

/// CRC16 of docs/fs2.md#crc16, fed byte by byte.
struct Crc(u16);

impl Default for Crc {
    fn default() -> Self {
        Self(0xFFFF)
    }
}

impl Crc {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let [top, low] = self.0.to_be_bytes();
            self.0 = u16::from_be_bytes([low, *byte]) ^ TABLE[usize::from(top)];
        }
    }

    fn end(mut self) -> u16 {
        self.add(&[0; 2]);
        !self.0
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = Crc::default();
    crc.add(bytes);
    crc.end()
}

/// `i << 8`, shifted left 8 times with reduction by 0x100B.
const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut reg = (i as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            let top = reg >> 15;
            reg <<= 1;
            if top == 1 {
                reg ^= 0x100B;
            }
            bit += 1;
        }
        table[i] = reg;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::{crc16, half_of};

    #[test]
    fn crcs_are_those_of_the_page() {
        let sixteen: Vec<u8> = (0..16).collect();
        for (bytes, crc) in [
            (&b""[..], 0x0955),
            (&[0; 4], 0x0009),
            (&[0xFF; 4], 0xC41A),
            (b"1234", 0xE895),
            (b"12345678", 0xB2AD),
            (&sixteen, 0xC884),
            (&[0; 16], 0x66A6),
            (&[0xFF; 16], 0x0C4A),
        ] {
            assert_eq!(crc16(bytes), crc, "{bytes:02x?}");
        }
    }

    #[test]
    fn halves_alternate_chunk_by_chunk() {
        let flash = [1, 2, 3, 4, 5, 6, 7];
        assert_eq!(half_of(&flash, 2, false), [1, 2, 5, 6]);
        assert_eq!(half_of(&flash, 2, true), [3, 4, 7]);
    }
}
