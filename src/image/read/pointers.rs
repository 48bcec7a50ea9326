//! The two sections the header points at, in the order in which mstflint reads them
//! (docs/flint.md#order-of-verify), and the checks it does not make: their types and CRCs.

use super::image::{PointedField, PointerFault};
use super::reader::{ReadError, Reader};
use super::walk::GPH;
use crate::image::words::{AT_GUID_POINTER, AT_INFO_POINTER, byte_sum};
use crate::image::{
    Guid, GuidSection, ImageOffset, Info, Mac, SectionKind, SourceError, be32, crc16,
};

/// mstflint can hold this many entries.
const MAX_GUIDS: u32 = 32;

/// What the header's pointers lead to.
#[derive(Default)]
pub(super) struct Pointed {
    pub(super) guids: Option<GuidSection>,
    pub(super) guid_fault: Option<PointerFault>,
    pub(super) info: Option<Info>,
    /// Tags of the chain, then those of `info`.
    pub(super) merged: Option<Info>,
    /// The pointer leads to type 10.
    pub(super) info_type_ok: bool,
    /// And its CRC is right.
    pub(super) info_crc_ok: bool,
    pub(super) info_fault: Option<PointerFault>,
}

/// Why a section that the header points at was not read.
enum PointerFailure {
    Fault(PointerFault),
    /// The device failed; the reading ends.
    Source(SourceError),
}

/// Follows both pointers. `chain_info` is what the walk collected.
pub(super) fn follow(
    reader: &mut Reader<'_>,
    chain_info: Option<&Info>,
) -> Result<Pointed, SourceError> {
    let mut pointed = Pointed::default();
    match guids(reader) {
        Ok(section) => pointed.guids = Some(section),
        Err(failure) => pointed.guid_fault = Some(failure.fault()?),
    }
    if let Err(failure) = info(reader, chain_info, &mut pointed) {
        pointed.info_fault = Some(failure.fault()?);
    }
    Ok(pointed)
}

impl PointerFailure {
    fn fault(self) -> Result<PointerFault, SourceError> {
        match self {
            Self::Fault(fault) => Ok(fault),
            Self::Source(error) => Err(error),
        }
    }

    fn of(field: PointedField) -> impl FnOnce(ReadError) -> Self {
        move |error| match error {
            ReadError::Range(error) => Self::Fault(PointerFault::Unreadable { field, error }),
            ReadError::Source(error) => Self::Source(error),
        }
    }
}

/// One section with a GPH whose body is at `body_at`: whether it has this type, and whether its CRC
/// dword is right.
fn framed(
    reader: &mut Reader<'_>,
    body_at: u32,
    body_len: u32,
    kind: SectionKind,
) -> Result<(bool, bool), PointerFailure> {
    let (Some(at), Some(len)) = (body_at.checked_sub(GPH), body_len.checked_add(GPH + 4)) else {
        return Ok((false, false));
    };
    match reader.read(at, len) {
        Ok(bytes) => {
            let (covered, crc) = bytes.split_at(bytes.len() - 4);
            let type_ok = SectionKind::from_gph(be32(covered, 0).unwrap_or(0)) == kind;
            let crc_ok = be32(crc, 0) == Some(u32::from(crc16(covered)));
            Ok((type_ok, crc_ok))
        }
        Err(ReadError::Range(_)) => Ok((false, false)),
        Err(ReadError::Source(error)) => Err(PointerFailure::Source(error)),
    }
}

fn guids(reader: &mut Reader<'_>) -> Result<GuidSection, PointerFailure> {
    use PointedField::{Body, Crc, Pointer, Size};
    let pointer = reader.word(AT_GUID_POINTER as u32);
    let body_at = pointer.map_err(PointerFailure::of(Pointer))?;
    if body_at >= reader.source_size() {
        return Err(PointerFailure::Fault(PointerFault::Outside { at: body_at }));
    }
    let size = reader.word(body_at.wrapping_sub(12));
    let dwords = size.map_err(PointerFailure::of(Size))?;
    let entries = dwords / 2;
    if entries > MAX_GUIDS {
        return Err(PointerFailure::Fault(PointerFault::TooManyGuids {
            entries,
        }));
    }
    // Entries and CRC dword in one piece, if both are there.
    let (type_ok, crc_ok) = framed(reader, body_at, dwords * 4, SectionKind::Guid)?;
    let body = reader.read(body_at, entries * 8);
    let body = body.map_err(PointerFailure::of(Body))?;
    let raw: Vec<u64> = body
        .as_chunks()
        .0
        .iter()
        .map(|e| u64::from_be_bytes(*e))
        .collect();
    let crc = reader.word(body_at.wrapping_add(entries * 8));
    let crc = crc.map_err(PointerFailure::of(Crc))?;
    Ok(GuidSection {
        body_at: ImageOffset(body_at),
        guids: raw.iter().take(4).copied().map(Guid).collect(),
        macs: raw.iter().skip(4).take(2).copied().map(Mac).collect(),
        entries,
        blank: crc & 0xFFFF == 0xFFFF && raw.iter().all(|&e| e == u64::MAX),
        crc_ok,
        type_ok,
        raw,
    })
}

fn info(
    reader: &mut Reader<'_>,
    chain_info: Option<&Info>,
    pointed: &mut Pointed,
) -> Result<(), PointerFailure> {
    let word = reader.word(AT_INFO_POINTER as u32);
    let pointer = word.map_err(PointerFailure::of(PointedField::Pointer))?;
    if byte_sum(pointer) != 0 {
        return Err(PointerFailure::Fault(PointerFault::CheckByte { pointer }));
    }
    let at = pointer & 0xFF_FFFF;
    // A pointer of 0 means that there is no Image Info.
    if at == 0 {
        return Ok(());
    }
    if at >= reader.source_size() {
        return Err(PointerFailure::Fault(PointerFault::Outside { at }));
    }
    let size = reader.word(at.wrapping_sub(12));
    let len = size
        .map_err(PointerFailure::of(PointedField::Size))?
        .wrapping_mul(4);
    let (type_ok, crc_ok) = framed(reader, at, len, SectionKind::ImageInfo)?;
    pointed.info_type_ok = type_ok;
    pointed.info_crc_ok = type_ok && crc_ok;
    let body = reader.read(at, len);
    let body = body.map_err(PointerFailure::of(PointedField::Body))?;
    let mut own = Info::default();
    let tags = own.take_tags(body);
    tags.map_err(|fault| PointerFailure::Fault(PointerFault::Tags(fault)))?;
    pointed.merged = chain_info.cloned().map(|mut merged| {
        // The same body, which was just taken without an error.
        let _ = merged.take_tags(body);
        merged
    });
    pointed.info = Some(own);
    Ok(())
}
