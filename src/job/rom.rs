//! `rom`: the expansion ROM inside the image.

use super::file::{image_bytes, read_named};
use super::store::{OutputFile, digest};
use super::{CardReport, Device, ImageFile, JobError, RomFile};
use crate::flash::Events;
use crate::image::{Contents, Rom};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;

/// Answer of `rom info` and `rom read`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct RomOutcome {
    /// The card; `None` for a file.
    pub card: Option<CardReport>,
    /// What the ROM's own header describes; `None` when the image has none.
    pub rom: Option<Rom>,
    /// SHA-256 of its bytes, lower-case hex.
    pub sha256: Option<String>,
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// The ROM of the image that would boot.
pub fn rom_info(device: &mut Device) -> Result<RomOutcome, JobError> {
    let (card, contents) = device.active_contents()?;
    Ok(rom_of(Some(card), &contents))
}

/// The ROM in an image file or of a ROM file.
pub fn rom_info_file(path: &Path, events: &dyn Events) -> Result<RomOutcome, JobError> {
    let (path, bytes) = image_bytes(read_named(path, events)?)?;
    if bytes.starts_with(&[0x55, 0xAA]) {
        let file = RomFile::parse(&path, bytes)?;
        return Ok(RomOutcome {
            card: None,
            rom: Some(file.rom),
            sha256: Some(digest(&file.bytes)),
            bytes: file.bytes,
        });
    }
    Ok(rom_of(None, &ImageFile::parse(&path, &bytes)?.contents))
}

/// Copy the card's ROM to a new file.
pub fn rom_read(device: &mut Device, out: OutputFile) -> Result<RomOutcome, JobError> {
    let outcome = rom_info(device)?;
    copy_out(outcome, out)
}

/// Copy an image file's ROM to a new file.
pub fn rom_read_image(file: &ImageFile, out: OutputFile) -> Result<RomOutcome, JobError> {
    copy_out(rom_of(None, &file.contents), out)
}

fn rom_of(card: Option<CardReport>, contents: &Contents) -> RomOutcome {
    let bytes = contents.rom().unwrap_or_default().to_vec();
    let rom = contents.image().rom.clone();
    RomOutcome { card, rom, sha256: contents.rom().map(digest), bytes }
}

fn copy_out(outcome: RomOutcome, out: OutputFile) -> Result<RomOutcome, JobError> {
    if outcome.sha256.is_none() {
        return Err(JobError::NoPart("expansion ROM"));
    }
    out.write(&outcome.bytes)?;
    Ok(outcome)
}
