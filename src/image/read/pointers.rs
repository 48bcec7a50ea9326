//! The two sections the header points at: what flint's second pass reads (docs/flint.md#order-of-verify), and the
//! tests it lacks.

use super::chain::read_error;
use super::reader::{Miss, Reader};
use crate::image::words::byte_sum;
use crate::image::{
    Guid, GuidSection, ImageOffset, Info, Mac, SectionKind, SourceError, be32, crc16,
};

/// flint has room for this many entries.
const MAX_GUIDS: u32 = 32;
/// Bytes of a GPH, which stands in front of a body.
const GPH: u32 = 16;

/// What the header's pointers lead to.
#[derive(Default)]
pub(super) struct Pointed {
    pub(super) guids: Option<GuidSection>,
    /// flint's error with the GUIDs.
    pub(super) guid_error: Option<String>,
    pub(super) info: Option<Info>,
    /// Tags of the chain overlaid by those of `info`, as flint has them.
    pub(super) merged: Option<Info>,
    /// The pointer leads to type 10.
    pub(super) info_type_ok: bool,
    /// And its CRC holds.
    pub(super) info_crc_ok: bool,
    /// flint's error with the Image Info.
    pub(super) info_error: Option<String>,
}

/// Follow both pointers. `chain_info` is what the walk collected.
pub(super) fn follow(
    reader: &mut Reader<'_>,
    chain_info: Option<&Info>,
) -> Result<Pointed, SourceError> {
    let mut pointed = Pointed::default();
    match guids(reader) {
        Ok(section) => pointed.guids = Some(section),
        Err(miss) => pointed.guid_error = Some(miss.text()?),
    }
    match info_place(reader) {
        Ok(Some((at, len))) => info(reader, at, len, chain_info, &mut pointed)?,
        Ok(None) => {}
        Err(miss) => pointed.info_error = Some(miss.text()?),
    }
    Ok(pointed)
}

/// Turns a reader's reason into flint's text for something called `what`.
fn named<T>(what: &str, result: Result<T, Miss>) -> Result<T, Miss> {
    result.map_err(|miss| match miss {
        Miss::Text(reason) => Miss::Text(read_error(what, &reason)),
        source @ Miss::Source(_) => source,
    })
}

/// One GPH-framed section whose body is at `body_at`: whether it has this type, and whether its CRC
/// dword is right.
fn framed(
    reader: &mut Reader<'_>,
    body_at: u32,
    body_len: u32,
    kind: SectionKind,
) -> Result<(bool, bool), SourceError> {
    let (Some(at), Some(len)) = (body_at.checked_sub(GPH), body_len.checked_add(GPH + 4)) else {
        return Ok((false, false));
    };
    match reader.read(at, len) {
        Ok(bytes) => {
            let (covered, crc) = bytes.split_at(bytes.len() - 4);
            let type_word = be32(covered, 0).unwrap_or(0);
            let type_ok = SectionKind::from_gph(type_word) == kind;
            let crc_ok = be32(crc, 0) == Some(u32::from(crc16(covered)));
            Ok((type_ok, crc_ok))
        }
        Err(miss) => miss.text().map(|_| (false, false)),
    }
}

fn guids(reader: &mut Reader<'_>) -> Result<GuidSection, Miss> {
    named("FW ID", reader.word(0x20))?;
    named("FW SIZE", reader.word(0x30))?;
    let body_at = named("GUID PTR", reader.word(0x34))?;
    if body_at >= reader.source_size() {
        return Err(Miss::Text(format!(
            "Failed to read GUIDs - Illegal GUID pointer ({body_at:08x}). Probably image is corrupted"
        )));
    }
    let dwords = named("Number of GUIDs", reader.word(body_at.wrapping_sub(12)))?;
    let entries = dwords / 2;
    if entries > MAX_GUIDS {
        return Err(Miss::Text(format!(
            "Failed to read GUIDs - Illegal Number of GUIDs ({entries})"
        )));
    }
    // In one piece where it can be had: entries, CRC dword.
    let (type_ok, crc_ok) = framed(reader, body_at, dwords * 4, SectionKind::Guid)?;
    let body = named("GUIDS", reader.read(body_at, entries * 8))?;
    let raw: Vec<u64> = body
        .chunks_exact(8)
        .filter_map(|entry| entry.first_chunk().map(|e| u64::from_be_bytes(*e)))
        .collect();
    let crc_at = body_at.wrapping_add(entries * 8);
    let crc = named("GUIDS CRC", reader.word(crc_at))?;
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

/// Body and its length in bytes; `None` when the pointer is 0, which flint takes for "no info".
fn info_place(reader: &mut Reader<'_>) -> Result<Option<(u32, u32)>, Miss> {
    let pointer = named("INFO PTR", reader.word(0x2C))?;
    if byte_sum(pointer) != 0 {
        return Err(Miss::Text(format!(
            "Failed to read Info Section - Bad checksum for Info section pointer ({pointer:08x}). \
             Probably the image is corrupted."
        )));
    }
    let at = pointer & 0xFF_FFFF;
    if at == 0 {
        return Ok(None);
    }
    if at >= reader.source_size() {
        return Err(Miss::Text(format!(
            "Failed to read Info Section - Info section pointer ({at:08x}) too large. Probably the \
             image is corrupted."
        )));
    }
    let dwords = named("Info section size", reader.word(at.wrapping_sub(12)))?;
    Ok(Some((at, dwords.wrapping_mul(4))))
}

fn info(
    reader: &mut Reader<'_>,
    at: u32,
    len: u32,
    chain_info: Option<&Info>,
    pointed: &mut Pointed,
) -> Result<(), SourceError> {
    (pointed.info_type_ok, pointed.info_crc_ok) = framed(reader, at, len, SectionKind::ImageInfo)?;
    pointed.info_crc_ok &= pointed.info_type_ok;
    let body = match named("Info Section", reader.read(at, len)) {
        Ok(body) => body,
        Err(miss) => {
            pointed.info_error = Some(miss.text()?);
            return Ok(());
        }
    };
    let mut own = Info::default();
    match own.take_tags(body) {
        Ok(()) => {
            if let Some(chain_info) = chain_info {
                let mut merged = chain_info.clone();
                // The same body, which was just taken without an error.
                let _ = merged.take_tags(body);
                pointed.merged = Some(merged);
            }
            pointed.info = Some(own);
        }
        Err(text) => pointed.info_error = Some(text),
    }
    Ok(())
}
