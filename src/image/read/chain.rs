//! The chain of sections (docs/fs2.md#sections, docs/flint.md#order-of-verify steps 5 and 6).

use super::reader::{Miss, Reader};
use super::{Depth, header};
use crate::image::{
    Crc16State, CrcVerdict, ImageOffset, Info, Section, SectionKind, SourceError, be32s,
};
use std::collections::BTreeSet;

/// Bytes of a GPH.
const GPH: u32 = 16;
/// A chain with more sections than this (real ones have about 20) is hostile.
const MAX_SECTIONS: usize = 1024;
/// Sections may overlap, so their sum says nothing of the file's size. A chain whose sum is this many
/// times the source is hostile: without a bound a small file could cost hours of CRCs.
const MAX_PASSES: u64 = 8;
/// `next` of the last section, beside 0.
const END: u32 = 0xFF00_0000;

/// What the walk found.
#[derive(Default)]
pub(super) struct Walk {
    /// Blocks in order, the one that stopped the walk included.
    pub(super) sections: Vec<Section>,
    /// End of the last section that was walked whole.
    pub(super) len: u32,
    /// flint's error when a block stopped the walk.
    pub(super) stopped: Option<String>,
    /// Why the walk was given up where flint would go on, perhaps for ever.
    pub(super) endless: Option<String>,
    /// Tags of all Image Info sections together, in chain order.
    pub(super) info: Option<Info>,
    /// A GUID section was blank.
    pub(super) blank: bool,
    /// Computed full image CRC, when every byte was read and the chain ended.
    pub(super) full_crc: Option<u16>,
}

impl Walk {
    /// The chain was followed to its end.
    pub(super) fn whole(&self) -> bool {
        self.stopped.is_none() && self.endless.is_none()
    }
}

/// What comes after a block.
pub(super) enum Step {
    Next(u32),
    Stop,
}

pub(super) struct Walker<'r, 's> {
    pub(super) reader: &'r mut Reader<'s>,
    pub(super) depth: Depth,
    pub(super) walk: Walk,
    pub(super) full_crc: Crc16State,
    /// flint's last error text. It is not cleared, and shows where a later failure sets none.
    stale: Option<String>,
}

/// flint's text for a failed read of something called `label`.
pub(super) fn read_error(label: &str, reason: &str) -> String {
    format!("{label} - read error ({reason})\n")
}

/// Walk the chain behind `header`, which is counted into the full image CRC as it was read at the
/// image's start.
pub(super) fn walk(
    reader: &mut Reader<'_>,
    header: &super::Header,
    depth: Depth,
) -> Result<Walk, SourceError> {
    let mut walker = Walker {
        reader,
        depth,
        walk: Walk::default(),
        full_crc: Crc16State::default(),
        stale: None,
    };
    let mut masked = header.raw;
    masked[header::FULL_CRC].fill(0xFF);
    walker.full_crc.update(&masked);
    walker.run()?;
    let mut walk = walker.walk;
    if depth == Depth::Full && walk.whole() {
        walk.full_crc = Some(walker.full_crc.finish());
    }
    Ok(walk)
}

impl Walker<'_, '_> {
    fn run(&mut self) -> Result<(), SourceError> {
        let Step::Next(mut next) = self.boot2(header::SIZE)? else {
            return Ok(());
        };
        let mut visited = BTreeSet::new();
        let mut budget = MAX_PASSES * u64::from(self.reader.source_size());
        let mut first = true;
        while next != 0 && next != END {
            let at = next;
            let gph = self.gph(at)?;
            // An unknown type is a second BOOT2 block directly behind the first, else a section.
            let step = if first && matches!(SectionKind::from_gph(gph[0]), SectionKind::Unknown(_))
            {
                self.boot2(at)?
            } else {
                if !visited.insert(at) {
                    self.give_up(format!("the chain of sections loops back to {at:#x}"));
                    return Ok(());
                }
                self.section(at, gph)?
            };
            first = false;
            let Step::Next(after) = step else {
                return Ok(());
            };
            next = after;
            let cost = self.walk.sections.last().map_or(0, |s| s.len);
            let left = budget.checked_sub(u64::from(cost));
            match left {
                Some(left) if visited.len() < MAX_SECTIONS => budget = left,
                _ => {
                    self.give_up(format!(
                        "the chain goes on at {next:#x} after {} sections",
                        visited.len()
                    ));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn give_up(&mut self, reason: String) {
        self.walk.endless = Some(reason);
    }

    /// Push the block that ends the walk. `error` is flint's text; without one it shows the last it
    /// had, or a null pointer.
    pub(super) fn stop(
        &mut self,
        mut block: Section,
        verdict: CrcVerdict,
        error: Option<String>,
    ) -> Step {
        block.crc = verdict;
        self.walk.sections.push(block);
        let error = error.or_else(|| self.stale.take());
        self.walk.stopped = Some(error.unwrap_or_else(|| "(null)".to_owned()));
        Step::Stop
    }

    /// The four words of the GPH at `at`. flint ignores that it cannot be read and works with what
    /// is in its buffer: zeros, or the part that lies inside the file.
    fn gph(&mut self, at: u32) -> Result<[u32; 4], SourceError> {
        match self.reader.read(at, GPH) {
            Ok(bytes) => {
                let mut gph = [0; 4];
                for (into, word) in gph.iter_mut().zip(be32s(bytes)) {
                    *into = word;
                }
                Ok(gph)
            }
            Err(Miss::Source(error)) => Err(error),
            Err(Miss::Text(reason)) => {
                let label = format!("     /0x{at:08x}/ (GeneralHeader)");
                self.stale = Some(read_error(&label, &reason));
                let mut gph = [0; 4];
                if reason.starts_with("Failed to read") {
                    for (into, offset) in gph.iter_mut().zip((0..).step_by(4)) {
                        match self.reader.word(at.wrapping_add(offset)) {
                            Ok(word) => *into = word,
                            Err(miss) => {
                                miss.text()?;
                                break;
                            }
                        }
                    }
                }
                Ok(gph)
            }
        }
    }

    fn section(&mut self, at: u32, gph: [u32; 4]) -> Result<Step, SourceError> {
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
        if body_len > SectionKind::MAX_BODY {
            return Ok(self.stop(section, CrcVerdict::TooBig { size: body_len }, None));
        }
        let body_at = section.body_at.0;
        if self.depth == Depth::Quick {
            if let Err(reason) = self.reader.check(body_at, body_len + 4) {
                let error = read_error(&section.flint_label(), &reason);
                return Ok(self.stop(section, CrcVerdict::Unreadable { reason }, Some(error)));
            }
        } else {
            match self.crc(&section, gph)? {
                (verdict @ (CrcVerdict::Ok | CrcVerdict::Blank), _) => section.crc = verdict,
                (verdict, error) => return Ok(self.stop(section, verdict, Some(error))),
            }
            if section.kind == SectionKind::ImageInfo
                && let Err(error) = self.take_info(body_at, body_len)?
            {
                self.walk.sections.push(section);
                self.walk.stopped = Some(format!("Failed to read the info sector: {error}\n"));
                return Ok(Step::Stop);
            }
        }
        self.walk.len = at.wrapping_add(section.len);
        self.walk.sections.push(section);
        Ok(Step::Next(next))
    }

    /// The CRC of a section, and flint's error where it is not right.
    fn crc(
        &mut self,
        section: &Section,
        gph: [u32; 4],
    ) -> Result<(CrcVerdict, String), SourceError> {
        match self.compare(section, gph) {
            Ok(verdict) => Ok((verdict, "Bad CRC.".to_owned())),
            Err(miss) => {
                let reason = miss.text()?;
                let error = read_error(&section.flint_label(), &reason);
                Ok((CrcVerdict::Unreadable { reason }, error))
            }
        }
    }

    fn compare(&mut self, section: &Section, gph: [u32; 4]) -> Result<CrcVerdict, Miss> {
        let (at, len) = (section.body_at.0, section.body_len);
        let gph = gph.map(u32::to_be_bytes);
        // Body and CRC in one piece, if they can be had; what follows then costs no reading.
        if self.reader.check(at, len + 4).is_ok() {
            self.reader.read(at, len + 4)?;
        }
        let computed = match self.reader.read(at, len) {
            Ok(body) => {
                let mut crc = Crc16State::default();
                crc.update(gph.as_flattened());
                crc.update(body);
                Some(u32::from(crc.finish()))
            }
            Err(Miss::Source(error)) => return Err(error.into()),
            // flint goes on with zeros and fails at the CRC dword behind them, which cannot be read
            // either; so does the next line, with the same reason.
            Err(Miss::Text(_)) => None,
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

    /// Take the tags of an Image Info section in; flint's text when they are inconsistent.
    fn take_info(&mut self, at: u32, len: u32) -> Result<Result<(), String>, SourceError> {
        match self.reader.read(at, len) {
            Ok(body) => Ok(self.walk.info.get_or_insert_default().take_tags(body)),
            Err(miss) => Ok(Err(miss.text()?)),
        }
    }
}
