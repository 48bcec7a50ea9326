//! The walk along BOOT2 blocks and sections (docs/fs2.md#boot2-blocks, docs/fs2.md#sections), in
//! the order of mstflint (docs/flint.md#order-of-verify): what it would conclude follows from where
//! the walk ends.

use super::image::{Depth, Image, WalkEnd};
use super::reader::{ReadError, ReadFailure, Reader};
use crate::image::crc::{Crc16State, crc16_state};
use crate::image::words::{CHAIN_END, GPH_LEN, HEADER_LEN};
use crate::image::{
    CrcVerdict, ImageOffset, RangeError, Section, SectionKind, SourceError, be32, crc16,
};
use std::collections::BTreeSet;

/// Bytes of a GPH.
const GPH: u32 = GPH_LEN as u32;
/// A chain with more sections than this is hostile; real ones have about 20.
const MAX_SECTIONS: usize = 1024;
/// Sections may overlap, so their sum has no bound in the size of the file. A chain whose sum is
/// this many times the source is hostile: without a bound a small file could cost hours of CRCs.
const MAX_PASSES: u64 = 8;
/// Number of code dwords a BOOT2 block may claim.
const CODE_DWORDS: std::ops::RangeInclusive<u32> = 4..=1_048_576;
/// Dwords of a BOOT2 block beside the code: load address, count, entry address, CRC.
const OTHER_DWORDS: u32 = 4;

/// What ends a walk early.
type WalkStop = ReadFailure<WalkEnd>;

struct Walker<'r, 's> {
    reader: &'r mut Reader<'s>,
    depth: Depth,
    image: &'r mut Image,
    full_crc: Crc16State,
}

/// Walks the chain behind the header, which is counted into the full image CRC as it was read at
/// the image's start.
pub(super) fn walk(
    reader: &mut Reader<'_>,
    image: &mut Image,
    depth: Depth,
) -> Result<(), SourceError> {
    let mut full_crc = crc16_state();
    let mut masked = image.header.raw;
    // Bits 15:0 of the word at 0x20 count as ones (docs/fs2.md#full-image-crc).
    masked[0x22..0x24].fill(0xFF);
    full_crc.update(&masked);
    let mut walker = Walker { reader, depth, image, full_crc };
    let end = match walker.run() {
        Ok(()) => WalkEnd::Complete,
        Err(stopped) => stopped.fault()?,
    };
    walker.image.walk_end = end;
    match end {
        WalkEnd::Complete if depth == Depth::Full => {
            walker.image.computed_crc = Some(walker.full_crc.finalize());
        }
        WalkEnd::Block => walker.image.valid_behind = walker.valid_behind()?,
        _ => {}
    }
    Ok(())
}

impl Walker<'_, '_> {
    fn run(&mut self) -> Result<(), WalkStop> {
        let behind = self.boot2(HEADER_LEN as u32)?;
        self.chain(behind, true)
    }

    /// The rest of a chain that stopped at a section with a wrong CRC that holds no code: nothing else is
    /// wrong with it. What the walk found so far stays what mstflint would have found.
    fn valid_behind(&mut self) -> Result<bool, SourceError> {
        let no_code = [SectionKind::Rom, SectionKind::Guid, SectionKind::ImageInfo];
        let last = self.image.sections.last().filter(|section| {
            no_code.contains(&section.kind) && matches!(section.crc, CrcVerdict::Wrong { .. })
        });
        let Some(next) = last.map(|section| section.next) else {
            return Ok(false);
        };
        let found = self.image.clone();
        let rest = self.chain(next, false);
        *self.image = found;
        rest.map_or_else(|stopped| stopped.fault().map(|_| false), |()| Ok(true))
    }

    fn chain(&mut self, mut next: u32, mut first: bool) -> Result<(), WalkStop> {
        let sections = self.image.sections.iter().filter(|s| s.kind != SectionKind::Boot2);
        let mut visited: BTreeSet<u32> = sections.map(|s| s.at.0).collect();
        let mut budget = MAX_PASSES * u64::from(self.reader.size);
        while next != 0 && next != CHAIN_END {
            let at = next;
            let gph = self.gph(at)?;
            // An unknown type is a second BOOT2 block directly behind the first, else a section.
            let unknown = matches!(SectionKind::from_gph(gph[0]), SectionKind::Unknown(_));
            next = if first && unknown {
                self.boot2(at)?
            } else if visited.insert(at) {
                self.section(at, gph)?
            } else {
                return Err(ReadFailure::Fault(WalkEnd::Loop { at }));
            };
            first = false;
            let cost = self.image.sections.last().map_or(0, |s| s.len);
            match budget.checked_sub(u64::from(cost)) {
                Some(left) if visited.len() < MAX_SECTIONS => budget = left,
                _ => {
                    let sections = visited.len() as u32;
                    return Err(ReadFailure::Fault(WalkEnd::TooLong { at: next, sections }));
                }
            }
        }
        Ok(())
    }

    /// Adds a block; a damaged one ends the walk.
    fn add(
        &mut self,
        mut block: Section,
        crc: Result<CrcVerdict, ReadError>,
    ) -> Result<(), WalkStop> {
        block.crc = match crc {
            Ok(crc) => crc,
            Err(error) => CrcVerdict::Unreadable { reason: error.fault()? },
        };
        self.image.sections.push(block);
        match block.crc {
            CrcVerdict::Ok | CrcVerdict::Blank | CrcVerdict::NotChecked => Ok(()),
            _ => Err(ReadFailure::Fault(WalkEnd::Block)),
        }
    }

    /// Reads the BOOT2 block at `at` and returns what follows it.
    fn boot2(&mut self, at: u32) -> Result<u32, WalkStop> {
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
        let crc = self.boot2_crc(&mut block);
        self.add(block, crc)?;
        Ok(block.end().0)
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
        if self.depth != Depth::Full {
            self.reader.check(at, block.len).map_err(ReadFailure::Fault)?;
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
        let error = match self.reader.read(at, GPH) {
            Ok(bytes) => return Ok([0, 4, 8, 12].map(|at| be32(bytes, at).unwrap_or(0))),
            Err(error) => error.fault()?,
        };
        self.image.unread_gph = Some((ImageOffset(at), error));
        if matches!(error, RangeError::Missing(_)) {
            for (into, offset) in gph.iter_mut().zip((0..).step_by(4)) {
                match self.reader.word(at.wrapping_add(offset)) {
                    Ok(word) => *into = word,
                    Err(error) => {
                        error.fault()?;
                        break;
                    }
                }
            }
        }
        Ok(gph)
    }

    /// Reads the section at `at` and returns the `next` of its GPH.
    fn section(&mut self, at: u32, gph: [u32; 4]) -> Result<u32, WalkStop> {
        let [kind, size, param, next] = gph;
        let kind = SectionKind::from_gph(kind);
        let body_len = kind.body_len(size);
        let section = Section {
            kind,
            at: ImageOffset(at),
            len: body_len.wrapping_add(GPH + 4),
            body_at: ImageOffset(at.wrapping_add(GPH)),
            body_len,
            param,
            next,
            crc: CrcVerdict::NotChecked,
        };
        let crc = self.section_crc(&section, gph);
        self.add(section, crc)?;
        if kind == SectionKind::ImageInfo && self.depth == Depth::Full {
            match self.reader.read(section.body_at.0, body_len) {
                Ok(body) => {
                    let info = self.image.chain_info.get_or_insert_default();
                    let tags = info.take_tags(body);
                    tags.map_err(|fault| ReadFailure::Fault(WalkEnd::Info(fault)))?;
                }
                // The bytes were read for the CRC, so this is no range error.
                Err(error) => {
                    error.fault()?;
                }
            }
        }
        self.image.len = section.end().0;
        Ok(next)
    }

    fn section_crc(&mut self, section: &Section, gph: [u32; 4]) -> Result<CrcVerdict, ReadError> {
        let (at, len) = (section.body_at.0, section.body_len);
        if len > SectionKind::MAX_BODY {
            return Ok(CrcVerdict::TooBig { size: len });
        }
        let all = self.reader.check(at, len + 4);
        if self.depth != Depth::Full {
            all.map_err(ReadFailure::Fault)?;
            return Ok(CrcVerdict::NotChecked);
        }
        let gph = gph.map(u32::to_be_bytes);
        // Body and CRC in one piece, if both are there; the reads that follow cost nothing then.
        if all.is_ok() {
            self.reader.read(at, len + 4)?;
        }
        let computed = match self.reader.read(at, len) {
            Ok(body) => {
                let mut crc = crc16_state();
                crc.update(gph.as_flattened());
                crc.update(body);
                Some(u32::from(crc.finalize()))
            }
            // mstflint goes on with zeros and fails at the CRC dword behind them, which cannot be
            // read either; so does the next line, with the same reason.
            Err(error) => {
                error.fault()?;
                None
            }
        };
        let stored = self.reader.word(at.wrapping_add(len))?;
        let computed = computed.unwrap_or(!stored);
        let unset = section.kind == SectionKind::Guid && stored == 0xFFFF;
        let verdict = if unset && self.reader.read(at, 8)? == [0xFF; 8] {
            self.image.blank_in_chain = true;
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
