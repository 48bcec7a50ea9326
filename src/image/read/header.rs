//! The 0x38 bytes in front (docs/fs2.md#header, docs/fs2.md#image-start).

use super::{Header, ImageError, Layout};
use crate::image::words::{AT_FAILSAFE, byte_sum};
use crate::image::{Finding, FindingId, FlashAddr, ImageOffset, MAGIC, Severity, Source, be32};

/// Bytes of the header = offset of the first BOOT2 block.
pub(super) const SIZE: u32 = 0x38;

/// Low 16 bits of the dword at 0x20 count as ones in the full image CRC (docs/fs2.md#full-image-crc).
pub(super) const FULL_CRC: std::ops::Range<usize> = 0x22..0x24;

/// Read the header at `start`.
pub(super) fn read(source: &mut dyn Source, start: FlashAddr) -> Result<Header, ImageError> {
    let left = source.size().saturating_sub(start.0);
    if left < SIZE {
        return Err(ImageError::TooShort(left));
    }
    let mut raw = [0; SIZE as usize];
    source.read_at(start, &mut raw)?;
    if !raw.starts_with(&MAGIC) {
        return Err(ImageError::NoMagic);
    }
    let word = |at: usize| be32(&raw, at).unwrap_or(0);
    let [device_revision, _, crc_high, crc_low] = word(0x20).to_be_bytes();
    let [format_version, ..] = word(0x24).to_be_bytes();
    let header = Header {
        device_revision,
        stored_full_crc: u16::from_be_bytes([crc_high, crc_low]),
        format_version,
        info_body: ImageOffset(word(0x2C) & 0xFF_FFFF),
        info_pointer_ok: byte_sum(word(0x2C)) == 0,
        declared_size: word(0x30),
        guid_body: ImageOffset(word(0x34)),
        raw,
    };
    // 3 makes flint take the image for FS3; every other value is FS2 (docs/fs2.md#header).
    if header.format_version == 3 {
        return Err(ImageError::OtherFormat(3));
    }
    Ok(header)
}

/// Failsafe or not, from the dword at 0x28.
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

/// An image may start at 0, a failsafe one also at exactly its chunk size. flint's text in the
/// finding.
pub(super) fn start_rule(layout: Layout, start: FlashAddr) -> Option<Finding> {
    let detail = match layout {
        _ if start.0 == 0 => return None,
        Layout::Failsafe { chunk_log2 } if start.0 == 1 << chunk_log2 => return None,
        Layout::NonFailsafe => format!(
            "FS2 Non Failsafe image must start at address 0. Found non-fs image at address {:#x}",
            start.0
        ),
        Layout::Failsafe { .. } => format!(
            "FS2 Failsafe image must start at address 0 or at chunk size. Found a failsafe image \
             at address {:#x}",
            start.0
        ),
    };
    Some(Finding::shared(
        FindingId::StartAddress,
        Severity::Error,
        None,
        detail,
    ))
}
