//! One reading of one image.

use super::findings::findings;
use super::image::{Depth, Header, Image, ImageError, WalkEnd};
use super::pointers::follow;
use super::reader::Reader;
use super::rom;
use super::walk::walk;
use crate::image::words::{
    AT_FAILSAFE, AT_FULL_CRC, AT_GUID_POINTER, AT_INFO_POINTER, AT_SIZE, HEADER_LEN, byte_sum,
};
use crate::image::{
    AddressMap, Finding, FindingId, FlashAddr, Form, ImageOffset, Ini, Layout, MAGIC, Section,
    SectionKind, Severity, Source, SourceError, be32,
};

/// Bytes of an ini's stream that a query reads first; a multiple of 4.
const INI_START: u32 = 320;

/// Reads the image whose signature is at `start`.
///
/// # Errors
/// When there is no image to report on. Damage inside an image is no error but findings.
pub fn read(
    source: &mut dyn Source,
    start: FlashAddr,
    form: Form,
    depth: Depth,
) -> Result<Image, ImageError> {
    let header = header(source, start)?;
    let layout = layout(&header)?;
    let map = match form {
        Form::Contiguous => AddressMap::Contiguous,
        Form::Striped => AddressMap::on_flash(layout, start),
    };
    let mut image = Image {
        start,
        map,
        layout,
        sections: Vec::new(),
        len: 0,
        walk_end: WalkEnd::WrongStart,
        unread_gph: None,
        valid_behind: false,
        computed_crc: None,
        blank_in_chain: false,
        info: None,
        info_fault: None,
        info_type_ok: false,
        info_crc_ok: false,
        chain_info: None,
        merged_info: None,
        guids: None,
        guid_fault: None,
        rom: None,
        part_number: None,
        description: None,
        ini: None,
        findings: Vec::new(),
        header,
    };
    // The address map of an image in the wrong place would mean nothing.
    if !layout.may_start(start) {
        let detail = format!("an image of this layout must not start at {:#x}", start.0);
        let finding = Finding::new(FindingId::StartAddress, Severity::Error, None, detail);
        image.findings.push(finding);
        return Ok(image);
    }
    let mut reader = Reader::new(source, map);
    if map.to_flash(ImageOffset(0)) == Some(start) {
        reader.provide_header(&image.header.raw);
    }
    walk(&mut reader, &mut image, depth)?;
    follow(&mut reader, &mut image)?;
    image.rom = rom::read(&mut reader, &image, depth)?;
    let ini_fault = match depth {
        Depth::Full => ini(&mut reader, &mut image)?,
        Depth::Query => board(&mut reader, &mut image)?,
        Depth::Quick => None,
    };
    image.findings = findings(&image, form, reader.capacity, ini_fault);
    Ok(image)
}

/// Reads the header (docs/fs2.md#header, docs/fs2.md#image-start).
fn header(source: &mut dyn Source, start: FlashAddr) -> Result<Header, ImageError> {
    let left = source.size().saturating_sub(start.0);
    if left < HEADER_LEN as u32 {
        return Err(ImageError::TooShort(left));
    }
    let mut raw = [0; HEADER_LEN];
    source.read_at(start, &mut raw)?;
    if !raw.starts_with(&MAGIC) {
        return Err(ImageError::NoMagic);
    }
    // Bits 31:24 of the word at 0x24: 3 is FS3; mstflint takes every other value for FS2
    // (docs/fs2.md#header).
    if raw[0x24] == 3 {
        return Err(ImageError::OtherFormat(3));
    }
    let word = |at: usize| be32(&raw, at).unwrap_or(0);
    Ok(Header {
        stored_full_crc: word(AT_FULL_CRC) as u16,
        info_body: ImageOffset(word(AT_INFO_POINTER) & 0xFF_FFFF),
        declared_size: word(AT_SIZE),
        guid_body: ImageOffset(word(AT_GUID_POINTER)),
        raw,
    })
}

fn layout(header: &Header) -> Result<Layout, ImageError> {
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

/// The last FW Configuration section of the chain, which mstflint shows too.
fn ini_section(image: &Image) -> Option<Section> {
    let mut last_first = image.sections.iter().rev();
    let is_ini = |s: &&Section| s.kind == SectionKind::FwConfiguration;
    last_first.find(|s| is_ini(s) && s.crc_is_right_or_unread()).copied()
}

/// What is wrong with the ini, and the offset of its section.
type IniFault = Option<(String, ImageOffset)>;

/// Reads part number and description, which the first bytes of the ini's stream hold as a rule. Without
/// its CRC, which is not read, a fault proves nothing.
fn board(reader: &mut Reader<'_>, image: &mut Image) -> Result<IniFault, SourceError> {
    let Some(section) = ini_section(image) else {
        return Ok(None);
    };
    for len in [INI_START.min(section.body_len), section.body_len] {
        let start = match reader.read(section.body_at.0, len) {
            Ok(body) => Ini::start(body),
            Err(error) => return error.fault().map(|_| None),
        };
        image.describe(&start);
        if image.part_number.is_some() && image.description.is_some() {
            break;
        }
    }
    Ok(None)
}

/// Inflates the ini.
fn ini(reader: &mut Reader<'_>, image: &mut Image) -> Result<IniFault, SourceError> {
    let Some(section) = ini_section(image) else {
        return Ok(None);
    };
    let inflated = match reader.read(section.body_at.0, section.body_len) {
        Ok(body) => Ini::inflate(body).map_err(|e| e.to_string()),
        Err(error) => Err(error.fault()?.to_string()),
    };
    let fault = match inflated {
        Ok(ini) => {
            image.describe(&ini);
            image.ini = Some(ini);
            None
        }
        Err(why) => Some((why, section.at)),
    };
    Ok(fault)
}
