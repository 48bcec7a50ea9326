//! The walk along BOOT2 blocks and sections (docs/fs2.md#boot2-blocks, docs/fs2.md#sections), in
//! the order of mstflint (docs/flint.md#order-of-verify): what it would conclude follows from where
//! the walk ends.

use super::image::{Depth, Header, WalkEnd};
use super::reader::{ReadError, Reader};
use crate::image::words::{CHAIN_END, HEADER_LEN};
use crate::image::{
    Crc16State, CrcVerdict, ImageOffset, Info, RangeError, Section, SectionKind, SourceError, be32,
    be32s, crc16,
};
use std::collections::BTreeSet;

/// Bytes of a GPH.
pub(super) const GPH: u32 = 16;
/// A chain with more sections than this is hostile; real ones have about 20.
const MAX_SECTIONS: usize = 1024;
/// Sections may overlap, so their sum has no bound in the size of the file. A chain whose sum is
/// this many times the source is hostile: without a bound a small file could cost hours of CRCs.
const MAX_PASSES: u64 = 8;
/// Number of code dwords a BOOT2 block may claim.
const CODE_DWORDS: std::ops::RangeInclusive<u32> = 4..=1_048_576;
/// Dwords of a BOOT2 block beside the code: load address, count, entry address, CRC.
const OTHER_DWORDS: u32 = 4;

pub(super) struct Walk {
    /// Blocks in order, the one that stopped the walk included.
    pub(super) sections: Vec<Section>,
    /// End of the last section that was walked to its end.
    pub(super) len: u32,
    pub(super) end: WalkEnd,
    pub(super) unread_gph: Option<(ImageOffset, RangeError)>,
    /// Tags of all Image Info sections together, in chain order.
    pub(super) info: Option<Info>,
    pub(super) blank: bool,
    /// Computed full image CRC, when every byte was read and the chain ended.
    pub(super) full_crc: Option<u16>,
}

struct Walker<'r, 's> {
    reader: &'r mut Reader<'s>,
    depth: Depth,
    walk: Walk,
    full_crc: Crc16State,
}

/// Walks the chain behind `header`, which is counted into the full image CRC as it was read at the
/// image's start.
pub(super) fn walk(
    reader: &mut Reader<'_>,
    header: &Header,
    depth: Depth,
) -> Result<Walk, SourceError> {
    let walk = Walk {
        sections: Vec::new(),
        len: 0,
        end: WalkEnd::Complete,
        unread_gph: None,
        info: None,
        blank: false,
        full_crc: None,
    };
    let mut full_crc = Crc16State::default();
    let mut masked = header.raw;
    // Bits 15:0 of the word at 0x20 count as ones (docs/fs2.md#full-image-crc).
    masked[0x22..0x24].fill(0xFF);
    full_crc.update(&masked);
    let mut walker = Walker {
        reader,
        depth,
        walk,
        full_crc,
    };
    walker.run()?;
    let mut walk = walker.walk;
    if depth == Depth::Full && walk.end == WalkEnd::Complete {
        walk.full_crc = Some(walker.full_crc.finish());
    }
    Ok(walk)
}

impl Walker<'_, '_> {
    fn run(&mut self) -> Result<(), SourceError> {
        let Some(mut next) = self.boot2(HEADER_LEN as u32)? else {
            return Ok(());
        };
        let mut visited = BTreeSet::new();
        let mut budget = MAX_PASSES * u64::from(self.reader.source_size());
        let mut first = true;
        while next != 0 && next != CHAIN_END {
            let at = next;
            let gph = self.gph(at)?;
            // An unknown type is a second BOOT2 block directly behind the first, else a section.
            let unknown = matches!(SectionKind::from_gph(gph[0]), SectionKind::Unknown(_));
            let after = if first && unknown {
                self.boot2(at)?
            } else if visited.insert(at) {
                self.section(at, gph)?
            } else {
                self.walk.end = WalkEnd::Loop { at };
                return Ok(());
            };
            first = false;
            let Some(after) = after else {
                return Ok(());
            };
            next = after;
            let cost = self.walk.sections.last().map_or(0, |s| s.len);
            match budget.checked_sub(u64::from(cost)) {
                Some(left) if visited.len() < MAX_SECTIONS => budget = left,
                _ => {
                    let sections = visited.len() as u32;
                    self.walk.end = WalkEnd::TooLong { at: next, sections };
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Adds the block that ends the walk.
    fn stop(&mut self, mut block: Section, crc: CrcVerdict) {
        block.crc = crc;
        self.walk.sections.push(block);
        self.walk.end = WalkEnd::Block;
    }

    /// Reads the BOOT2 block at `at` and returns what follows it; `None` when it stops the walk.
    fn boot2(&mut self, at: u32) -> Result<Option<u32>, SourceError> {
        let mut block = Section {
            kind: SectionKind::Boot2,
            at: ImageOffset(at),
            len: 8,
            body_at: ImageOffset(at),
            body_len: 8,
            param: 0,
            next: 0,
            crc: CrcVerdict::NotChecked,
        };
        let crc = match self.boot2_crc(&mut block) {
            Ok(crc) => crc,
            Err(error) => CrcVerdict::Unreadable {
                reason: error.range()?,
            },
        };
        if !matches!(crc, CrcVerdict::Ok | CrcVerdict::NotChecked) {
            self.stop(block, crc);
            return Ok(None);
        }
        block.crc = crc;
        let next = block.end().0;
        self.walk.sections.push(block);
        Ok(Some(next))
    }

    /// The CRC of a BOOT2 block, whose length is set as soon as it is known.
    fn boot2_crc(&mut self, block: &mut Section) -> Result<CrcVerdict, ReadError> {
        let at = block.at.0;
        let code = self.reader.word(at.wrapping_add(4))?;
        if !CODE_DWORDS.contains(&code) {
            return Ok(CrcVerdict::UnexpectedSize { size: code });
        }
        block.len = (code + OTHER_DWORDS) * 4;
        block.body_len = block.len - 4;
        if self.depth == Depth::Quick {
            self.reader.check(at, block.len).map_err(ReadError::Range)?;
            return Ok(CrcVerdict::NotChecked);
        }
        let bytes = self.reader.read(at, block.len)?;
        let (code, crc) = bytes.split_at(bytes.len() - 4);
        let computed = u32::from(crc16(code));
        let stored = be32(crc, 0).unwrap_or(0);
        if computed != stored {
            return Ok(CrcVerdict::Wrong { computed, stored });
        }
        self.full_crc.update(bytes);
        Ok(CrcVerdict::Ok)
    }

    /// The four words of the GPH at `at`. mstflint ignores that it cannot be read and works with
    /// what is in its buffer: zeros, or the words that lie inside the file.
    fn gph(&mut self, at: u32) -> Result<[u32; 4], SourceError> {
        let mut gph = [0; 4];
        match self.reader.read(at, GPH) {
            Ok(bytes) => {
                for (into, word) in gph.iter_mut().zip(be32s(bytes)) {
                    *into = word;
                }
            }
            Err(error) => {
                let error = error.range()?;
                self.walk.unread_gph = Some((ImageOffset(at), error));
                if matches!(error, RangeError::Missing(_)) {
                    for (into, offset) in gph.iter_mut().zip((0..).step_by(4)) {
                        match self.reader.word(at.wrapping_add(offset)) {
                            Ok(word) => *into = word,
                            Err(error) => {
                                error.range()?;
                                break;
                            }
                        }
                    }
                }
            }
        }
        Ok(gph)
    }

    /// Reads the section at `at` and returns the `next` of its GPH; `None` when it stops the walk.
    fn section(&mut self, at: u32, gph: [u32; 4]) -> Result<Option<u32>, SourceError> {
        let [kind, size, param, next] = gph;
        let kind = SectionKind::from_gph(kind);
        let body_len = kind.body_len(size);
        let mut section = Section {
            kind,
            at: ImageOffset(at),
            len: body_len.wrapping_add(GPH + 4),
            body_at: ImageOffset(at.wrapping_add(GPH)),
            body_len,
            param,
            next,
            crc: CrcVerdict::NotChecked,
        };
        let crc = match self.section_crc(&section, gph) {
            Ok(crc) => crc,
            Err(error) => CrcVerdict::Unreadable {
                reason: error.range()?,
            },
        };
        if !matches!(
            crc,
            CrcVerdict::Ok | CrcVerdict::Blank | CrcVerdict::NotChecked
        ) {
            self.stop(section, crc);
            return Ok(None);
        }
        section.crc = crc;
        self.walk.sections.push(section);
        if kind == SectionKind::ImageInfo && self.depth == Depth::Full {
            // The bytes were read for the CRC, so this is no range error.
            let body = match self.reader.read(section.body_at.0, body_len) {
                Ok(body) => body,
                Err(error) => {
                    error.range()?;
                    return Ok(None);
                }
            };
            let info = self.walk.info.get_or_insert_default();
            if let Err(fault) = info.take_tags(body) {
                self.walk.end = WalkEnd::Info(fault);
                return Ok(None);
            }
        }
        self.walk.len = section.end().0;
        Ok(Some(next))
    }

    fn section_crc(&mut self, section: &Section, gph: [u32; 4]) -> Result<CrcVerdict, ReadError> {
        let (at, len) = (section.body_at.0, section.body_len);
        if len > SectionKind::MAX_BODY {
            return Ok(CrcVerdict::TooBig { size: len });
        }
        let all = self.reader.check(at, len + 4);
        if self.depth == Depth::Quick {
            all.map_err(ReadError::Range)?;
            return Ok(CrcVerdict::NotChecked);
        }
        let gph = gph.map(u32::to_be_bytes);
        // Body and CRC in one piece, if both are there; the reads that follow cost nothing then.
        if all.is_ok() {
            self.reader.read(at, len + 4)?;
        }
        let computed = match self.reader.read(at, len) {
            Ok(body) => {
                let mut crc = Crc16State::default();
                crc.update(gph.as_flattened());
                crc.update(body);
                Some(u32::from(crc.finish()))
            }
            // mstflint goes on with zeros and fails at the CRC dword behind them, which cannot be
            // read either; so does the next line, with the same reason.
            Err(error) => {
                error.range()?;
                None
            }
        };
        let stored = self.reader.word(at.wrapping_add(len))?;
        let computed = computed.unwrap_or(!stored);
        let unset = section.kind == SectionKind::Guid && stored == 0xFFFF;
        let verdict = if unset && self.reader.read(at, 8)? == [0xFF; 8] {
            self.walk.blank = true;
            CrcVerdict::Blank
        } else if computed == stored {
            CrcVerdict::Ok
        } else {
            return Ok(CrcVerdict::Wrong { computed, stored });
        };
        self.full_crc.update(gph.as_flattened());
        self.full_crc.update(self.reader.read(at, len)?);
        self.full_crc.update(&computed.to_be_bytes());
        Ok(verdict)
    }
}
