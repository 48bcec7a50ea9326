//! `query`, `verify`, `hw query`, `checksum`, `rb`, `rw`, `bc` on a card.

use super::card::{Ended, FAILED, OnCard, hw_text};
use super::card_progress::FlintProgress;
use super::text::{self, QueryText};
use super::verdict::{FlintVerdict, prints_heading};
use crate::card::DeviceType;
use crate::flash::FlashChip;
use crate::image::{Image, be32, be32s};
use crate::job::{self, CardReport, FirstDepth, FirstError, JobError};
use std::fmt::Write as _;
use std::path::Path;

/// `-qq` of a card: the ROM is not read, and these lines stand in its place (docs/flint.md#query-lines).
const ROM_SKIPPED: &str = "Rom Info:              type=UEFI version=skipped cpu=skipped\n                       \
type=PXE  version=skipped devid=skipped cpu=skipped\n                       \
type=NVMe version=skipped devid=skipped cpu=skipped\n";

/// `query`, `query full`.
pub(super) fn query(card: &mut OnCard<'_>, full: bool, only_version: bool) -> Ended {
    let (first, error) = card.queried()?;
    let image = match (error, first.image) {
        (None, Ok(image)) => image,
        (Some(why), _) | (None, Err(FirstError { text: why, .. })) => {
            let text = format!("-E- Failed to query Device: {}. {why}\n", card.name);
            return card.fail(&text);
        }
    };
    let show = QueryText {
        full,
        running: first.card.running,
    };
    let text = if card.quick {
        without_rom(&image, show)
    } else {
        text::query(&image, show)
    };
    let text = if only_version {
        super::file_look::first_lines(&text)
    } else {
        text
    };
    card.talk.say(&text);
    Ok(())
}

/// The text of a query that did not look at the ROM.
pub(super) fn without_rom(image: &Image, show: QueryText) -> String {
    let image = Image {
        rom: None,
        ..image.clone()
    };
    let text = text::query(&image, show);
    let at = text.find("Device ID:").unwrap_or(text.len());
    let (above, below) = text.split_at(at);
    format!("{above}{ROM_SKIPPED}{below}")
}

/// `verify`.
pub(super) fn verify(card: &mut OnCard<'_>) -> Ended {
    let first = card.first(FirstDepth::Full)?;
    let image = match first.image {
        Ok(image) => image,
        Err(error) => {
            if error.failsafe_word {
                let text = format!("\n    Can not read failsafe info word: {}\n", error.text);
                card.talk.say(&text);
            }
            let text = text::verdict(&FlintVerdict::Failed { text: error.text });
            return card.fail(&text);
        }
    };
    let text = if prints_heading(&image) {
        text::verify(&image)
    } else {
        text::verdict(&FlintVerdict::of(&image))
    };
    card.talk.say(&text);
    match FlintVerdict::of(&image) {
        FlintVerdict::Bootable => Ok(()),
        _ => Err(FAILED),
    }
}

/// `hw query` (docs/flint.md#hardware-query). The lines `QuadEn`, `DummyCycles` are left out: they are read with
/// commands no flash work needs.
pub(super) fn hw_query(card: &mut OnCard<'_>) -> Ended {
    match job::flash_info(card.device) {
        Ok(info) => {
            card.talk.say(&hw_lines(&info.card));
            Ok(())
        }
        Err(error) => {
            let text = hw_text(&error, card.name);
            card.fail(&text)
        }
    }
}

fn hw_lines(card: &CardReport) -> String {
    let mut out = String::new();
    let part = &card.flash;
    let mut line = |label: &str, value: String| {
        let _ = writeln!(out, "  {label:24}{value}");
    };
    line("HwDevId", card.chip.hw_id.to_string());
    line("HwRevId", format!("{:#x}", card.chip.revision));
    let rest = line_break(&mut out);
    let mut line = |label: &str, value: String| {
        let _ = writeln!(rest, "  {label:24}{value}");
    };
    line("Type", part.name.to_owned());
    line("TotalSize", format!("{:#x}", part.geometry.size));
    line("Banks", "0x1".into());
    line("SectorSize", format!("{:#x}", smallest_erase(part)));
    line("WriteBlockSize", "0x10".into());
    line(
        "CmdSet",
        if part.byte_program { "0x81" } else { "0x80" }.into(),
    );
    if let Some(text) = protected(card) {
        line("Flash0.WriteProtected", text);
    }
    let [_, vendor, kind, capacity] = part.jedec.to_be_bytes();
    let id = u32::from_be_bytes([0, capacity, kind, vendor]);
    line("JEDEC_ID", format!("{id:#08x}"));
    format!("HW Info:\n{out}")
}

fn line_break(out: &mut String) -> &mut String {
    out.push_str("Flash Info:\n");
    out
}

/// flint works with the smaller of the two erases.
fn smallest_erase(part: &FlashChip) -> u32 {
    if part.geometry.erase_4k.is_some() {
        0x1000
    } else {
        0x1_0000
    }
}

/// Families of which flint knows how to read the protection.
const READS_PROTECTION: [&str; 6] = [
    "W25QxxBV",
    "W25Qxxx",
    "N25Q0XX",
    "MX25L16xxx",
    "S25FL11xx",
    "S25FLxxx",
];

/// `Disabled`, or which sectors, as measured: 2^(BP-1) of the 64K ones, or of the 4K ones with SEC.
fn protected(card: &CardReport) -> Option<String> {
    let name = card.flash.name;
    if !READS_PROTECTION.contains(&name) {
        return None;
    }
    let status = card.protection.status;
    let bp = status >> 2 & 7;
    if bp == 0 {
        return Some("Disabled".into());
    }
    let bottom = status & 1 << 5 != 0 && !name.starts_with("MX25");
    let small = status & 1 << 6 != 0 && name.starts_with("W25Q");
    Some(format!(
        "{},{}-{}",
        if bottom { "Bottom" } else { "Top" },
        1_u32 << (bp - 1),
        if small { "SubSectors" } else { "Sectors" },
    ))
}

/// `checksum` (docs/flint.md#checksum).
pub(super) fn checksum(card: &mut OnCard<'_>) -> Ended {
    card.talk.say("-I- Calculating Checksum ...\n");
    let failed = |why: &str| format!("-E- Failed to calculate checksum on device: {why}\n");
    let (_, error) = card.queried()?;
    if let Some(why) = error {
        return card.fail(&failed(&why));
    }
    let bytes = match job::first_bytes(card.device, &mut FlintProgress::new(card.talk, None)) {
        Ok(Ok(found)) => found.bytes,
        Ok(Err(error)) => return card.fail(&failed(&error.text)),
        Err(error) => return card.broken(&error),
    };
    match job::checksum_of(&bytes) {
        Ok(sum) => {
            card.talk.say(&format!("Checksum: {sum}\n"));
            Ok(())
        }
        Err(error) => card.fail(&failed(&error.to_string())),
    }
}

/// `rb ADDR SIZE [FILE]`: raw bytes, as words on the screen or into a file.
pub(super) fn read_block(card: &mut OnCard<'_>, at: u32, len: u32, out: Option<&Path>) -> Ended {
    if !at.is_multiple_of(4) {
        return card.fail("-E- Failed to read image. Address should be 4-bytes aligned.\n");
    }
    let mut events = FlintProgress::new(card.talk, None);
    let bytes = match job::flash_bytes(card.device, at, len, &mut events) {
        Ok(bytes) => bytes,
        Err(JobError::Flash(crate::flash::FlashError::Outside { size, .. })) => {
            return card.fail(&format!(
                "-E- Failed to read image. Reading {len:#x} bytes from address {at:#x} is out of flash \
                 limits ({size:#x} bytes)\n\n"
            ));
        }
        Err(error) => return card.broken(&error),
    };
    match out {
        Some(path) => super::card_copy::write_file(card, path, &bytes),
        None => {
            let mut text: String = be32s(&bytes).map(|w| format!("{w:#010x} ")).collect();
            text.push('\n');
            card.talk.say(&text);
            Ok(())
        }
    }
}

/// `rw ADDR`: one word.
pub(super) fn read_word(card: &mut OnCard<'_>, at: u32) -> Ended {
    let mut events = FlintProgress::new(card.talk, None);
    match job::flash_bytes(card.device, at, 4, &mut events) {
        Ok(bytes) => {
            let word = be32(&bytes, 0).unwrap_or_default();
            card.talk.say(&format!("{word:#010x}\n"));
            Ok(())
        }
        Err(JobError::Flash(crate::flash::FlashError::Outside { .. })) => card.fail(&format!(
            "-E- Flash read failed. Flash read failed at address {at:#x} : MFE_OUT_OF_RANGE\n"
        )),
        Err(error) => card.broken(&error),
    }
}

/// `bc`, the binary comparison of 4.21: never gives an answer for this generation. It says so after
/// it compared the versions (measured).
pub(super) fn compare(card: &mut OnCard<'_>, path: &Path) -> Ended {
    let file = card.image_file(path)?;
    let (first, error) = card.queried()?;
    if let Some(why) = error {
        let text = format!("-E- Failed to query Device: {}. {why}\n", card.name);
        return card.fail(&text);
    }
    card.talk
        .remark("`cx3flash verify --against FILE` compares a card with a file");
    let version = |image: &Image| image.info.as_ref().and_then(|i| i.fw_version);
    let on_card = first.image.ok().and_then(|i| version(&i));
    if on_card == version(file.contents.image()) {
        card.fail("-E- Failed to read image. Operation not supported\n")
    } else {
        card.fail("\u{1b}[2K\r-E- Binary comparison failed - versions mismatch.\n")
    }
}

/// `swreset` is for switches (docs/flint.md#after-the-burn).
pub(super) fn no_swreset(card: &mut OnCard<'_>) -> Ended {
    let device = DeviceType::with_hw_id(card.device.card.chip().hw_id);
    let name = device.map_or(String::new(), |device| device.flint_name.replace('-', ""));
    card.fail(&format!(
        "-E- Device {name} doesn't support swreset command.\n"
    ))
}

/// `ts query|set|reset`: FS2 has no time stamps (docs/flint.md#other-commands).
pub(super) fn timestamp(card: &mut OnCard<'_>, args: &[String]) -> Ended {
    let (_, error) = card.queried()?;
    if let Some(why) = error {
        let text = format!("-E- Failed to query Device: {}. {why}\n", card.name);
        return card.fail(&text);
    }
    let text = super::file_look::no_timestamp(args);
    card.fail(&text)
}
