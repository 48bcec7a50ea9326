//! Commands that only read and print: `query`, `verify`, `hw query`, `checksum`, `rb`, `rw`, `qrom`,
//! `bc`, `ts`, `swreset`.

use super::FAILED;
use super::arguments::{address, size};
use super::copy;
use super::errors::hardware_error;
use super::flags::Invocation;
use super::reading::{self, ReadDepth};
use super::target::{CommandTarget, FlintResult, Medium};
use super::text::{self, QueryText};
use super::verdict::{BAD_FAILSAFE_WORD, FlintVerdict, prints_heading};
use crate::card::DeviceType;
use crate::flash::{FlashChip, FlashError};
use crate::image::{Contents, Form, Image, Rom, be32, be32s};
use crate::job::{self, CardReport, JobError};
use std::fmt::Write as _;
use std::path::Path;

/// `-qq` of a card: these lines are printed for the ROM, which is not read (docs/flint.md#query-lines).
const ROM_SKIPPED: &str = "Rom Info:              type=UEFI version=skipped cpu=skipped\n                       \
type=PXE  version=skipped devid=skipped cpu=skipped\n                       \
type=NVMe version=skipped devid=skipped cpu=skipped\n";

/// `query`, `query full`. With `-qq` flint reads the ROM of a file all the same, but prints of a file
/// without one that it was skipped (measured).
pub(super) fn query(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    let (image, card) = target.lowest(target.query_depth())?;
    let lead = query_failed(target, "image");
    let image = target.or_fail(reading::queried(image), &lead)?;
    let show = QueryText {
        full: !line.args.is_empty(),
        running: card.and_then(|card| card.running),
        flint_dates: true,
    };
    let mut text = if target.quick && (target.is_card() || image.rom.is_none()) {
        without_rom(image, show)
    } else {
        text::query(&image, show)
    };
    if line.has("flashed_version") || line.has("next_boot_fw_ver") {
        // Type and version (measured).
        text = text
            .lines()
            .take_while(|l| l.starts_with("Image type:") || l.starts_with("FW Version"))
            .map(|l| format!("{l}\n"))
            .collect();
    }
    target.print(&text);
    Ok(())
}

/// How the text of a failed query begins; `image` is flint's word for a file.
fn query_failed(target: &CommandTarget<'_>, image: &str) -> String {
    let what = if target.is_card() { "Device" } else { image };
    format!("-E- Failed to query {what}: {}. ", target.name)
}

fn without_rom(image: Image, show: QueryText) -> String {
    let text = text::query(&Image { rom: None, ..image }, show);
    let (before, after) = text.split_at(text.find("Device ID:").unwrap_or(text.len()));
    format!("{before}{ROM_SKIPPED}{after}")
}

pub(super) fn verify(target: &mut CommandTarget<'_>, _: &Invocation) -> FlintResult {
    let image = match target.lowest(ReadDepth::Full)?.0 {
        Ok(image) => image,
        Err(error) => {
            if error == BAD_FAILSAFE_WORD {
                target.print(&format!("\n    Can not read failsafe info word: {error}\n"));
            }
            let verdict = FlintVerdict::Failed { text: error };
            return target.fail(&text::verdict(&verdict));
        }
    };
    let verdict = FlintVerdict::of(&image);
    target.print(&if prints_heading(&image) {
        text::verify(&image)
    } else {
        text::verdict(&verdict)
    });
    match verdict {
        FlintVerdict::Bootable => Ok(()),
        _ => Err(FAILED),
    }
}

/// `hw query` (docs/flint.md#hardware-query). The lines `QuadEn` and `DummyCycles` are left out: they are
/// read with commands that no flash work needs.
pub(super) fn hw_query(target: &mut CommandTarget<'_>, _: &Invocation) -> FlintResult {
    let (device, _) = target.card(None)?;
    match job::flash_info(device) {
        Ok(info) => {
            target.print(&hw_lines(&info.card));
            Ok(())
        }
        Err(error) => {
            let text = hardware_error(&error, &target.name);
            target.fail(&text)
        }
    }
}

fn hw_lines(card: &CardReport) -> String {
    let chip = &card.flash;
    let mut out = format!(
        "HW Info:\n  {:24}{}\n  {:24}{:#x}\nFlash Info:\n",
        "HwDevId", card.chip.hw_id, "HwRevId", card.chip.revision
    );
    let mut line = |label: &str, value: String| {
        let _ = writeln!(out, "  {label:24}{value}");
    };
    line("Type", chip.name.to_owned());
    line("TotalSize", format!("{:#x}", chip.geometry.size));
    line("Banks", "0x1".into());
    // flint works with the smaller of the two erases.
    let sector = chip.geometry.erase_4k.map_or(0x1_0000, |_| 0x1000);
    line("SectorSize", format!("{sector:#x}"));
    line("WriteBlockSize", "0x10".into());
    let set = if chip.byte_program { "0x81" } else { "0x80" };
    line("CmdSet", set.into());
    if let Some(text) = protection(chip, card.protection.status) {
        line("Flash0.WriteProtected", text);
    }
    let id = (chip.jedec << 8).swap_bytes();
    line("JEDEC_ID", format!("{id:#08x}"));
    out
}

/// Families whose protection flint reads.
const READS_PROTECTION: [&str; 6] =
    ["W25QxxBV", "W25Qxxx", "N25Q0XX", "MX25L16xxx", "S25FL11xx", "S25FLxxx"];

/// `Disabled`, or which sectors, as measured: 2^(BP-1) of the 64K ones, or of the 4K ones with SEC.
fn protection(chip: &FlashChip, status: u8) -> Option<String> {
    let name = chip.name;
    if !READS_PROTECTION.contains(&name) {
        return None;
    }
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
pub(super) fn checksum(target: &mut CommandTarget<'_>, _: &Invocation) -> FlintResult {
    target.print("-I- Calculating Checksum ...\n");
    let place = if target.is_card() { "device" } else { "image" };
    if let Medium::File(file) = &mut target.medium {
        // flint ignores `-striped_image` here (docs/flint.md#checksum).
        file.form = Form::Contiguous;
    }
    let failed = format!("-E- Failed to calculate checksum on {place}: ");
    target.queried(target.query_depth(), &failed)?;
    let bytes = target.all_bytes(&failed)?;
    let sum = Contents::from_file(&bytes).map(|contents| contents.checksum());
    let sum = target.or_fail(sum.map_err(|error| error.to_string()), &failed)?;
    target.print(&format!("Checksum: {sum}\n"));
    Ok(())
}

/// Raw bytes of the flash or the file; the inner error is its size in bytes.
fn raw_bytes(
    target: &mut CommandTarget<'_>,
    at: u32,
    len: u32,
) -> FlintResult<Result<Vec<u8>, usize>> {
    if let Medium::File(file) = &target.medium {
        let from = at as usize;
        let range = from..from.saturating_add(len as usize);
        let bytes = file.bytes.get(range).map(<[u8]>::to_vec);
        return Ok(bytes.ok_or(file.bytes.len()));
    }
    let (device, mut events) = target.card(None)?;
    match job::flash_bytes(device, at, len, &mut events) {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(JobError::Flash(FlashError::Outside { size, .. })) => Ok(Err(size as usize)),
        Err(error) => target.broken(&error),
    }
}

/// `rb ADDR SIZE [FILE]`: raw bytes, as words on the screen or into a file.
pub(super) fn read_block(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    let (at, len) = (address(line).unwrap_or_default(), size(line).unwrap_or_default());
    if !at.is_multiple_of(4) {
        return target.fail("-E- Failed to read image. Address should be 4-bytes aligned.\n");
    }
    let bytes = match raw_bytes(target, at, len)? {
        Ok(bytes) => bytes,
        Err(size) => {
            return target.fail(&format!(
                "-E- Failed to read image. Reading {len:#x} bytes from address {at:#x} is out of flash limits \
                 ({size:#x} bytes)\n\n"
            ));
        }
    };
    match line.args.get(2) {
        Some(path) => copy::write_file(target, Path::new(path), &bytes),
        None => {
            let text: String = be32s(&bytes).map(|w| format!("{w:#010x} ")).collect();
            target.print(&format!("{text}\n"));
            Ok(())
        }
    }
}

/// `rw ADDR`: one word. Any file of complete words is accepted.
pub(super) fn read_word(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    let at = address(line).unwrap_or_default();
    if !target.is_card() && !at.is_multiple_of(4) {
        return target.fail("-E- Flash read failed. Address should be 4-bytes aligned.\n");
    }
    let text = match raw_bytes(target, at, 4)? {
        Ok(bytes) => {
            let word = be32(&bytes, 0).unwrap_or_default();
            target.print(&format!("{word:#010x}\n"));
            return Ok(());
        }
        Err(_) if target.is_card() => {
            format!("Flash read failed at address {at:#x} : MFE_OUT_OF_RANGE")
        }
        Err(size) => format!(
            "Reading 0x4 bytes from  address {at:#x} is out of image limits ({size:#x} bytes)"
        ),
    };
    target.fail(&format!("-E- Flash read failed. {text}\n"))
}

/// `qrom`: a file that holds only a ROM; any file is accepted.
pub(super) fn query_rom(target: &mut CommandTarget<'_>, _: &Invocation) -> FlintResult {
    const PREFIX: &str = "Rom Info: ";
    let Medium::File(file) = &target.medium else {
        return Err(FAILED);
    };
    let rom = Rom::parse(&file.bytes);
    // Here an error counts although blocks were found (measured; a section differs, docs/flint.md#rom-lines).
    let why = if file.bytes.is_empty() {
        Some("Expansion Rom section not found.".to_owned())
    } else {
        rom.error.map(text::rom_fault)
    };
    let lead = format!("-E- Image file rom ({}) query failed. ", target.name);
    target.refuse(why, &lead)?;
    target.print(&format!("{PREFIX}{}\n", text::rom(&rom, PREFIX.len())));
    Ok(())
}

/// `bc`, the binary comparison of 4.21: gives no answer for this generation, and prints so after it
/// compared the versions (measured).
pub(super) fn compare(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    let file = target.image_file(line)?;
    let failed = query_failed(target, "image");
    let image = target.queried(target.query_depth(), &failed)?;
    target.console.remark("`cx3flash verify --against FILE` compares a card with a file");
    if image.fw_version() == file.contents.image().fw_version() {
        target.fail("-E- Failed to read image. Operation not supported\n")
    } else {
        target.console.replace_line("-E- Binary comparison failed - versions mismatch.\n");
        Err(FAILED)
    }
}

/// `swreset` is for switches (docs/flint.md#after-the-burn).
pub(super) fn no_swreset(target: &mut CommandTarget<'_>, _: &Invocation) -> FlintResult {
    let (device, _) = target.card(None)?;
    let device = DeviceType::with_hw_id(device.card.chip().hw_id);
    let name = device.map_or(String::new(), |device| device.mstflint_name.replace('-', ""));
    target.fail(&format!("-E- Device {name} doesn't support swreset command.\n"))
}

/// `ts query|set|reset`: FS2 has no time stamps (docs/flint.md#other-commands).
pub(super) fn timestamp(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    const NONE: &str = "Time stamping not supported by FW.";
    let failed = query_failed(target, "Image");
    target.queried(target.query_depth(), &failed)?;
    target.fail(&match line.arg(0) {
        "query" => format!(
            "Current timestamp : N/A. Failed to query timestamp. {NONE}\nNext timestamp :    N/A. Failed to query \
             timestamp. {NONE}\n"
        ),
        word => {
            format!("-E- Failed to perform timestamp {word} operation. Failed to {word} timestamp. {NONE}\n")
        }
    })
}
