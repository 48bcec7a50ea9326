//! Putting it together: one reading of one image.

use super::chain::{Walk, walk};
use super::header;
use super::pointers::{Pointed, follow};
use super::reader::Reader;
use super::rules::Facts;
use super::{Depth, Form, Header, Image, ImageError, Layout, rom};
use crate::image::{
    AddressMap, CrcVerdict, Finding, FlashAddr, FlintVerdict, ImageOffset, Ini, SectionKind,
    Source, SourceError,
};

/// Read the image whose magic is at `start`.
///
/// # Errors
/// When there is no image to speak of. Damage inside an image is no error but findings.
pub fn read(
    source: &mut dyn Source,
    start: FlashAddr,
    form: Form,
    depth: Depth,
) -> Result<Image, ImageError> {
    inspect(source, start, form, depth).map(|(image, _)| image)
}

/// Read the image whose magic is at `start` fully, and hand out its bytes too: offset 0 to
/// [`Image::len`], contiguous, whatever the form of the source. No byte is read twice.
///
/// # Errors
/// As [`read`]. Of a chain that was not walked to its end the bytes are what lies in the source up
/// to there.
pub fn read_whole(
    source: &mut dyn Source,
    start: FlashAddr,
    form: Form,
) -> Result<(Image, Vec<u8>), ImageError> {
    let (image, reader) = inspect(source, start, form, Depth::Full)?;
    let bytes = reader.into_bytes(image.len)?;
    Ok((image, bytes))
}

fn inspect(
    source: &mut dyn Source,
    start: FlashAddr,
    form: Form,
    depth: Depth,
) -> Result<(Image, Reader<'_>), ImageError> {
    let header = header::read(source, start)?;
    let layout = header::layout(&header)?;
    let map = AddressMap::new(layout, start, form);
    let mut reader = Reader::new(source, map);
    if map.to_flash(ImageOffset(0)) == Some(start) {
        reader.provide(0, &header.raw);
    }
    if let Some(finding) = header::start_rule(layout, start) {
        let image = not_walked(header, layout, start, map, finding);
        return Ok((image, reader));
    }
    let walk = walk(&mut reader, &header, depth)?;
    let pointed = follow(&mut reader, walk.info.as_ref())?;
    let rom = rom::read(&mut reader, &walk.sections, depth)?;
    let ini = ini(&mut reader, &walk, depth)?;
    let facts = Facts {
        header: &header,
        form,
        walk: &walk,
        pointed: &pointed,
        rom: rom.as_ref(),
        ini: ini.as_ref().and_then(|i| i.as_ref().err()),
        capacity: reader.capacity(),
    };
    let findings = facts.findings();
    let (full_crc, flint) = (
        flint_full_crc(&header, &walk),
        verdict(&walk, &pointed, depth),
    );
    let image = Image {
        start,
        map,
        layout,
        header,
        len: walk.len,
        full_crc,
        info_crc_ok: pointed.info_crc_ok,
        // Where the pointer leads to nothing flint shows what the chain had.
        chain_info: pointed
            .merged
            .or(walk.info)
            .filter(|m| Some(m) != pointed.info.as_ref()),
        info: pointed.info,
        guids: pointed.guids,
        rom,
        ini: ini.and_then(Result::ok).map(|(ini, _)| ini),
        findings,
        flint,
        sections: walk.sections,
    };
    Ok((image, reader))
}

/// flint does not look further at an image in the wrong place, and its address map would mean
/// nothing.
fn not_walked(
    header: Header,
    layout: Layout,
    start: FlashAddr,
    map: AddressMap,
    finding: Finding,
) -> Image {
    Image {
        start,
        map,
        layout,
        header,
        sections: Vec::new(),
        len: 0,
        full_crc: None,
        info: None,
        info_crc_ok: false,
        chain_info: None,
        guids: None,
        rom: None,
        ini: None,
        flint: FlintVerdict::Failed {
            text: finding.detail.clone(),
        },
        findings: vec![finding],
    }
}

type IniFound = Result<(Ini, ImageOffset), (String, ImageOffset)>;

/// The last FW Configuration section of the chain, which is the one flint's `dc` shows.
fn ini(
    reader: &mut Reader<'_>,
    walk: &Walk,
    depth: Depth,
) -> Result<Option<IniFound>, SourceError> {
    let section = walk.sections.iter().rev().find(|s| {
        depth == Depth::Full && s.kind == SectionKind::FwConfiguration && s.crc == CrcVerdict::Ok
    });
    let Some(section) = section else {
        return Ok(None);
    };
    let inflated = match reader.read(section.body_at.0, section.body_len) {
        Ok(body) => Ini::inflate(body).map_err(|e| e.to_string()),
        Err(miss) => Err(miss.text()?),
    };
    let at = section.at;
    Ok(Some(inflated.map(|i| (i, at)).map_err(|e| (e, at))))
}

/// The Full Image line: only with tag 11, only after a whole walk (docs/fs2.md#full-image-crc).
fn flint_full_crc(header: &Header, walk: &Walk) -> Option<CrcVerdict> {
    let computed = walk.full_crc?;
    walk.info.as_ref()?.mic_version?;
    let stored = header.stored_full_crc;
    Some(if walk.blank {
        CrcVerdict::Blank
    } else if computed == stored {
        CrcVerdict::Ok
    } else {
        CrcVerdict::Wrong {
            computed: u32::from(computed),
            stored: u32::from(stored),
        }
    })
}

fn verdict(walk: &Walk, pointed: &Pointed, depth: Depth) -> FlintVerdict {
    if let Some(text) = &walk.stopped {
        return FlintVerdict::Failed { text: text.clone() };
    }
    if let Some(reason) = &walk.endless {
        return FlintVerdict::Undecided {
            reason: reason.clone(),
        };
    }
    if let Some(text) = pointed.guid_error.as_ref().or(pointed.info_error.as_ref()) {
        return FlintVerdict::NoGuidStatus { text: text.clone() };
    }
    if depth == Depth::Quick {
        return FlintVerdict::Undecided {
            reason: "the image was not read fully".to_owned(),
        };
    }
    if pointed.guids.as_ref().is_some_and(|g| g.blank) {
        return FlintVerdict::BlankGuids;
    }
    FlintVerdict::Bootable
}
