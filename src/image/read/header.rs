//! Reading the header (docs/fs2.md#header, docs/fs2.md#image-start).

use super::image::{Header, ImageError};
use crate::image::words::{
    AT_FAILSAFE, AT_FULL_CRC, AT_GUID_POINTER, AT_INFO_POINTER, AT_SIZE, HEADER_LEN, byte_sum,
};
use crate::image::{FlashAddr, ImageOffset, Layout, MAGIC, Source, be32};

pub(super) fn read(source: &mut dyn Source, start: FlashAddr) -> Result<Header, ImageError> {
    let left = source.size().saturating_sub(start.0);
    if left < HEADER_LEN as u32 {
        return Err(ImageError::TooShort(left));
    }
    let mut raw = [0; HEADER_LEN];
    source.read_at(start, &mut raw)?;
    if !raw.starts_with(&MAGIC) {
        return Err(ImageError::NoMagic);
    }
    let word = |at: usize| be32(&raw, at).unwrap_or(0);
    let [device_revision, _, crc_high, crc_low] = word(AT_FULL_CRC).to_be_bytes();
    let [format_version, ..] = word(0x24).to_be_bytes();
    let header = Header {
        device_revision,
        stored_full_crc: u16::from_be_bytes([crc_high, crc_low]),
        format_version,
        info_body: ImageOffset(word(AT_INFO_POINTER) & 0xFF_FFFF),
        info_pointer_ok: byte_sum(word(AT_INFO_POINTER)) == 0,
        declared_size: word(AT_SIZE),
        guid_body: ImageOffset(word(AT_GUID_POINTER)),
        raw,
    };
    // 3 is FS3; mstflint takes every other value for FS2 (docs/fs2.md#header).
    if header.format_version == 3 {
        return Err(ImageError::OtherFormat(3));
    }
    Ok(header)
}

pub(super) fn layout(header: &Header) -> Result<Layout, ImageError> {
    let word = be32(&header.raw, AT_FAILSAFE).unwrap_or(0);
    if byte_sum(word) != 0 {
        return Err(ImageError::FailsafeWord(word));
    }
    Ok(if word & 8 == 0 {
        Layout::NonFailsafe
    } else {
        Layout::Failsafe {
            // Three bits, so 16 to 23.
            chunk_log2: (word & 7) as u8 + 16,
        }
    })
}
