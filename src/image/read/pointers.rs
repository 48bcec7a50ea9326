//! The two sections the header points at, in the order in which mstflint reads them
//! (docs/flint.md#order-of-verify), and the checks it does not make: their types and CRCs.

use super::image::{Image, PointedField, PointerFault};
use super::reader::{ReadError, ReadFailure, Reader};
use crate::image::words::{AT_GUID_POINTER, AT_INFO_POINTER, GPH_LEN, byte_sum};
use crate::image::{
    Guid, GuidSection, ImageOffset, Info, Mac, SectionKind, SourceError, be32, crc16,
};

/// mstflint can hold this many entries.
const MAX_GUIDS: u32 = 32;

type PointerFailure = ReadFailure<PointerFault>;

/// Follows both pointers, after the walk.
pub(super) fn follow(reader: &mut Reader<'_>, image: &mut Image) -> Result<(), SourceError> {
    match guids(reader) {
        Ok(section) => image.guids = Some(section),
        Err(failure) => image.guid_fault = Some(failure.fault()?),
    }
    if let Err(failure) = info(reader, image) {
        image.info_fault = Some(failure.fault()?);
    }
    Ok(())
}

/// The failure to read this field.
fn unreadable(field: PointedField) -> impl FnOnce(ReadError) -> PointerFailure {
    move |error| match error {
        ReadFailure::Fault(error) => ReadFailure::Fault(PointerFault::Unreadable { field, error }),
        ReadFailure::Source(error) => ReadFailure::Source(error),
    }
}

/// One section with a GPH whose body is at `body_at`: whether it has this type, and whether its CRC
/// dword is right.
fn framed(
    reader: &mut Reader<'_>,
    body_at: u32,
    body_len: u32,
    kind: SectionKind,
) -> Result<(bool, bool), SourceError> {
    const GPH: u32 = GPH_LEN as u32;
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
        Err(error) => error.fault().map(|_| (false, false)),
    }
}

fn guids(reader: &mut Reader<'_>) -> Result<GuidSection, PointerFailure> {
    use PointedField::{Body, Crc, Pointer, Size};
    let pointer = reader.word(AT_GUID_POINTER as u32);
    let body_at = pointer.map_err(unreadable(Pointer))?;
    if body_at >= reader.size {
        return Err(ReadFailure::Fault(PointerFault::Outside { at: body_at }));
    }
    let size = reader.word(body_at.wrapping_sub(12));
    let dwords = size.map_err(unreadable(Size))?;
    let entries = dwords / 2;
    if entries > MAX_GUIDS {
        return Err(ReadFailure::Fault(PointerFault::TooManyGuids { entries }));
    }
    // Entries and CRC dword in one piece, if both are there.
    let (type_ok, crc_ok) = framed(reader, body_at, dwords * 4, SectionKind::Guid)?;
    let body = reader.read(body_at, entries * 8);
    let (body, _) = body.map_err(unreadable(Body))?.as_chunks();
    let raw: Vec<u64> = body.iter().map(|e| u64::from_be_bytes(*e)).collect();
    let crc = reader.word(body_at.wrapping_add(entries * 8));
    let crc = crc.map_err(unreadable(Crc))?;
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

fn info(reader: &mut Reader<'_>, image: &mut Image) -> Result<(), PointerFailure> {
    use PointedField::{Body, Pointer, Size};
    let word = reader.word(AT_INFO_POINTER as u32);
    let pointer = word.map_err(unreadable(Pointer))?;
    if byte_sum(pointer) != 0 {
        return Err(ReadFailure::Fault(PointerFault::CheckByte { pointer }));
    }
    let at = pointer & 0xFF_FFFF;
    // A pointer of 0 means that there is no Image Info.
    if at == 0 {
        return Ok(());
    }
    if at >= reader.size {
        return Err(ReadFailure::Fault(PointerFault::Outside { at }));
    }
    let size = reader.word(at.wrapping_sub(12));
    let len = size.map_err(unreadable(Size))?.wrapping_mul(4);
    let (type_ok, crc_ok) = framed(reader, at, len, SectionKind::ImageInfo)?;
    image.info_type_ok = type_ok;
    image.info_crc_ok = type_ok && crc_ok;
    let body = reader.read(at, len).map_err(unreadable(Body))?;
    let mut own = Info::default();
    let tags = own.take_tags(body);
    tags.map_err(|fault| ReadFailure::Fault(PointerFault::Tags(fault)))?;
    image.merged_info = image.chain_info.clone().map(|mut merged| {
        // The same body, which was just taken without an error.
        let _ = merged.take_tags(body);
        merged
    });
    image.info = Some(own);
    Ok(())
}
