//! BOOT2 blocks (docs/fs2.md#boot2-blocks).

use super::Depth;
use super::chain::{Step, Walker, read_error};
use super::reader::Miss;
use crate::image::{CrcVerdict, ImageOffset, Section, SectionKind, SourceError, be32, crc16};

/// Number of code dwords a block may claim.
const CODE_DWORDS: std::ops::RangeInclusive<u32> = 4..=1_048_576;
/// Dwords beside the code: load address, count, entry address, CRC.
const OTHER_DWORDS: u32 = 4;

impl Walker<'_, '_> {
    /// The block at `at`; what follows it is looked at next.
    pub(super) fn boot2(&mut self, at: u32) -> Result<Step, SourceError> {
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
        let code = match self.reader.word(at.wrapping_add(4)) {
            Ok(code) => code,
            Err(miss) => {
                let reason = miss.text()?;
                let error = read_error(&format!("     /0x{at:08x}/ (BOOT2)"), &reason);
                return Ok(self.stop(block, CrcVerdict::Unreadable { reason }, Some(error)));
            }
        };
        if !CODE_DWORDS.contains(&code) {
            return Ok(self.stop(block, CrcVerdict::UnexpectedSize { size: code }, None));
        }
        block.len = (code + OTHER_DWORDS) * 4;
        block.body_len = block.len - 4;
        let label = block.flint_label();
        match self.depth {
            Depth::Quick => {
                if let Err(reason) = self.reader.check(at, block.len) {
                    let error = read_error(&label, &reason);
                    return Ok(self.stop(block, CrcVerdict::Unreadable { reason }, Some(error)));
                }
            }
            Depth::Full => match self.reader.read(at, block.len) {
                Ok(bytes) => {
                    let (code, tail) = bytes.split_at(bytes.len() - 4);
                    let computed = u32::from(crc16(code));
                    let stored = be32(tail, 0).unwrap_or(0);
                    if computed != stored {
                        let verdict = CrcVerdict::Wrong { computed, stored };
                        return Ok(self.stop(block, verdict, Some("Bad CRC.".to_owned())));
                    }
                    self.full_crc.update(bytes);
                    block.crc = CrcVerdict::Ok;
                }
                Err(Miss::Text(reason)) => {
                    let error = read_error(&label, &reason);
                    return Ok(self.stop(block, CrcVerdict::Unreadable { reason }, Some(error)));
                }
                Err(Miss::Source(error)) => return Err(error),
            },
        }
        let next = at.wrapping_add(block.len);
        self.walk.sections.push(block);
        Ok(Step::Next(next))
    }
}
