//! One reading of one image.

use super::findings::WalkFacts;
use super::header;
use super::image::{Depth, Image, ImageError, WalkEnd};
use super::pointers::follow;
use super::reader::Reader;
use super::rom;
use super::walk::{Walk, walk};
use crate::image::{
    AddressMap, CrcVerdict, Finding, FindingId, FlashAddr, Form, ImageOffset, Ini, SectionKind,
    Severity, Source, SourceError,
};

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
    let header = header::read(source, start)?;
    let layout = header::layout(&header)?;
    let map = AddressMap::new(layout, start, form);
    // The address map of an image in the wrong place would mean nothing.
    let walked = layout.may_start(start);
    let mut image = Image {
        start,
        map,
        layout,
        sections: Vec::new(),
        len: 0,
        walk_end: WalkEnd::WrongStart,
        unread_gph: None,
        computed_crc: None,
        blank_in_chain: false,
        info: None,
        info_fault: None,
        info_crc_ok: false,
        chain_info: None,
        merged_info: None,
        guids: None,
        guid_fault: None,
        rom: None,
        ini: None,
        findings: Vec::new(),
        header,
    };
    if !walked {
        let detail = format!("an image of this layout must not start at {:#x}", start.0);
        let finding = Finding::new(FindingId::StartAddress, Severity::Error, None, detail);
        image.findings.push(finding);
        return Ok(image);
    }
    let mut reader = Reader::new(source, map);
    if map.to_flash(ImageOffset(0)) == Some(start) {
        reader.provide_header(&image.header.raw);
    }
    let walk = walk(&mut reader, &image.header, depth)?;
    let pointed = follow(&mut reader, walk.info.as_ref())?;
    let rom = rom::read(&mut reader, &walk.sections, depth)?;
    let ini = ini(&mut reader, &walk, depth)?;
    let evidence = WalkFacts {
        header: &image.header,
        form,
        walk: &walk,
        pointed: &pointed,
        rom: rom.as_ref(),
        ini: ini.as_ref().and_then(|i| i.as_ref().err()),
        capacity: reader.capacity(),
    };
    image.findings = evidence.findings();
    image.rom = rom;
    image.ini = ini.and_then(Result::ok);
    (image.info, image.merged_info, image.info_fault) =
        (pointed.info, pointed.merged, pointed.info_fault);
    (image.guids, image.guid_fault) = (pointed.guids, pointed.guid_fault);
    image.info_crc_ok = pointed.info_crc_ok;
    (image.sections, image.len, image.walk_end) = (walk.sections, walk.len, walk.end);
    (image.unread_gph, image.computed_crc) = (walk.unread_gph, walk.full_crc);
    (image.blank_in_chain, image.chain_info) = (walk.blank, walk.info);
    Ok(image)
}

/// The ini, or what is wrong with the section at this offset.
type InflatedIni = Result<Ini, (String, ImageOffset)>;

/// The last FW Configuration section of the chain, which mstflint shows too; an error with the
/// offset of the section.
fn ini(
    reader: &mut Reader<'_>,
    walk: &Walk,
    depth: Depth,
) -> Result<Option<InflatedIni>, SourceError> {
    let section = walk.sections.iter().rev().find(|s| {
        depth == Depth::Full && s.kind == SectionKind::FwConfiguration && s.crc == CrcVerdict::Ok
    });
    let Some(section) = section else {
        return Ok(None);
    };
    let inflated = match reader.read(section.body_at.0, section.body_len) {
        Ok(body) => Ini::inflate(body).map_err(|e| e.to_string()),
        Err(error) => Err(error.range()?.to_string()),
    };
    Ok(Some(inflated.map_err(|error| (error, section.at))))
}
