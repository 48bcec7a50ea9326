//! `query`, `verify`, `dc`, `dh`, `rrom`, `qrom`, `checksum`, `rb`, `rw`, `ts` on a file.

use super::card::{Ended, FAILED, Talk};
use super::card_copy::reason;
use super::card_look::without_rom;
use super::file::{OnFile, bytes_of};
use super::text::{self, QueryText};
use super::verdict::{FlintVerdict, prints_heading};
use crate::image::{Contents, Form, Image, ImageOffset, Ini, Rom, SectionKind, be32, be32s};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// `query`, `query full`.
///
/// `quick`: flint reads the ROM of a file all the same, but of a file without one it says that it was
/// skipped (measured).
pub(super) fn query(file: &mut OnFile<'_>, full: bool, quick: bool, only_version: bool) -> Ended {
    match file.queried() {
        Ok(image) => {
            let show = QueryText {
                full,
                running: None,
            };
            let mut text = if quick && image.rom.is_none() {
                without_rom(&image, show)
            } else {
                text::query(&image, show)
            };
            if only_version {
                text = first_lines(&text);
            }
            file.talk.say(&text);
            Ok(())
        }
        Err(why) => {
            let name = file.path.display().to_string();
            file.fail(&format!("-E- Failed to query image: {name}. {why}\n"))
        }
    }
}

/// `-flashed_version`: type and version (measured).
pub(super) fn first_lines(text: &str) -> String {
    text.lines()
        .take_while(|l| l.starts_with("Image type:") || l.starts_with("FW Version"))
        .map(|l| format!("{l}\n"))
        .collect()
}

/// `verify`.
pub(super) fn verify(file: &mut OnFile<'_>) -> Ended {
    let image = match file.look() {
        Ok(image) => image,
        Err(error) => {
            if error.failsafe_word {
                let text = format!("\n    Can not read failsafe info word: {}\n", error.text);
                file.talk.say(&text);
            }
            return file.fail(&text::verdict(&FlintVerdict::Failed { text: error.text }));
        }
    };
    let text = if prints_heading(&image) {
        text::verify(&image)
    } else {
        text::verdict(&FlintVerdict::of(&image))
    };
    file.talk.say(&text);
    match FlintVerdict::of(&image) {
        FlintVerdict::Bootable => Ok(()),
        _ => Err(FAILED),
    }
}

/// The last section of a kind; the first ROM (docs/fs2.md#fw-configuration-and-hash-file, docs/fs2.md#rom-content). For `dc` and `dh` flint follows the
/// chain only; for `rrom` it queries too, and then minds the two pointers of the header (measured).
fn section(file: &OnFile<'_>, kind: SectionKind) -> Result<Option<Vec<u8>>, String> {
    let image = if kind == SectionKind::Rom {
        file.queried()?
    } else {
        file.walked()?
    };
    let mut all = image.sections.iter().filter(|s| s.kind == kind);
    let section = if kind == SectionKind::Rom {
        all.next()
    } else {
        all.next_back()
    };
    Ok(section.map(|s| part(file, &image, s.body_at, s.body_len)))
}

fn part(file: &OnFile<'_>, image: &Image, from: ImageOffset, len: u32) -> Vec<u8> {
    image
        .map
        .runs(from, len)
        .filter_map(|(at, run)| {
            let at = at.0 as usize;
            file.bytes.get(at..at + run as usize)
        })
        .flatten()
        .copied()
        .collect()
}

/// `dc [FILE]`.
pub(super) fn dump_config(file: &mut OnFile<'_>, out: Option<&Path>) -> Ended {
    let words = ("Fw Configuration", "FW configuration");
    dump(file, SectionKind::FwConfiguration, words, out)
}

/// `dh [FILE]`.
pub(super) fn dump_hash(file: &mut OnFile<'_>, out: Option<&Path>) -> Ended {
    dump(file, SectionKind::HashFile, ("Hash file", "Hash file"), out)
}

fn dump(
    file: &mut OnFile<'_>,
    kind: SectionKind,
    (dumped, inflated): (&str, &str),
    out: Option<&Path>,
) -> Ended {
    let failed = |why: &str| format!("-E- Failed dumping {dumped} : {why}\n");
    let body = match section(file, kind) {
        Ok(Some(body)) => body,
        Ok(None) => return file.fail(&failed("FW section not found in the given image.")),
        Err(why) => return file.fail(&failed(&why)),
    };
    let Ok(ini) = Ini::inflate(&body) else {
        // Z_DATA_ERROR, the one a damaged stream gives.
        return file.fail(&format!(
            "-E- Failed uncompressing {inflated} section. uncompress returns -3"
        ));
    };
    let Some(path) = out else {
        file.talk.say(&String::from_utf8_lossy(&ini.bytes));
        return Ok(());
    };
    match put(path, &ini.bytes) {
        Ok(()) => Ok(()),
        Err(error) => {
            let (path, why) = (path.display(), reason(&error));
            file.fail(&format!("-E- Can not open file {path} for write: {why}."))
        }
    }
}

/// `rrom FILE`. flint asks about a file that exists before it opens the image.
pub(super) fn read_rom(file: &mut OnFile<'_>, out: &Path) -> Ended {
    match section(file, SectionKind::Rom) {
        Ok(Some(body)) => write(file, out, &body),
        Ok(None) => file.fail("-E- Read ROM failed. The FW does not contain a ROM section\n"),
        Err(why) => file.fail(&format!("-E- Read ROM failed. {why}\n")),
    }
}

fn write(file: &mut OnFile<'_>, out: &Path, bytes: &[u8]) -> Ended {
    match put(out, bytes) {
        Ok(()) => Ok(()),
        Err(error) => {
            let (path, why) = (out.display(), reason(&error));
            file.fail(&format!("-E- Cannot open {path}: {why}\n"))
        }
    }
}

fn put(out: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(out)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// `qrom`: a bare ROM file; any file, in fact.
pub(super) fn query_rom(path: &Path, talk: &mut dyn Talk) -> Ended {
    let bytes = match bytes_of(path) {
        Ok(bytes) => bytes,
        Err(why) => {
            talk.say(&format!("-E- Failed to open Image: {why}\n"));
            return Err(FAILED);
        }
    };
    let rom = Rom::parse(&bytes);
    // On a bare ROM an error counts although blocks were found (measured; a section differs, docs/flint.md#rom-lines).
    let why = if bytes.is_empty() {
        Some("Expansion Rom section not found.".to_owned())
    } else {
        rom.error.map(text::rom_fault)
    };
    if let Some(why) = why {
        talk.say(&format!(
            "-E- Image file rom ({}) query failed. {why}\n",
            path.display()
        ));
        return Err(FAILED);
    }
    let prefix = "Rom Info: ";
    talk.say(&format!("{prefix}{}\n", text::rom(&rom, prefix.len())));
    Ok(())
}

/// `checksum`.
pub(super) fn checksum(file: &mut OnFile<'_>) -> Ended {
    file.talk.say("-I- Calculating Checksum ...\n");
    // flint does not honour `-striped_image` here (docs/flint.md#checksum).
    file.form = Form::Contiguous;
    let sum = file.queried().and_then(|_| {
        Contents::from_file(&file.bytes)
            .map(|contents| contents.checksum())
            .map_err(|error| error.to_string())
    });
    match sum {
        Ok(sum) => {
            file.talk.say(&format!("Checksum: {sum}\n"));
            Ok(())
        }
        Err(why) => file.fail(&format!(
            "-E- Failed to calculate checksum on image: {why}\n"
        )),
    }
}

/// `rb ADDR SIZE [FILE]`.
pub(super) fn read_block(file: &mut OnFile<'_>, at: u32, len: u32, out: Option<&Path>) -> Ended {
    if !at.is_multiple_of(4) {
        return file.fail("-E- Failed to read image. Address should be 4-bytes aligned.\n");
    }
    let from = at as usize;
    let Some(bytes) = from
        .checked_add(len as usize)
        .and_then(|end| file.bytes.get(from..end))
        .map(<[u8]>::to_vec)
    else {
        let size = file.bytes.len();
        return file.fail(&format!(
            "-E- Failed to read image. Reading {len:#x} bytes from address {at:#x} is out of flash limits \
             ({size:#x} bytes)\n\n"
        ));
    };
    match out {
        Some(path) => write(file, path, &bytes),
        None => {
            let mut text: String = be32s(&bytes).map(|w| format!("{w:#010x} ")).collect();
            text.push('\n');
            file.talk.say(&text);
            Ok(())
        }
    }
}

/// `rw ADDR`. Any file of whole words will do.
pub(super) fn read_word(path: &Path, at: u32, talk: &mut dyn Talk) -> Ended {
    let mut fail = |text: String| {
        talk.say(&text);
        Err(FAILED)
    };
    let bytes = match bytes_of(path) {
        Ok(bytes) => bytes,
        Err(why) => return fail(format!("-E- Failed to open Image: {why}\n")),
    };
    if !at.is_multiple_of(4) {
        return fail("-E- Flash read failed. Address should be 4-bytes aligned.\n".into());
    }
    let found = be32(&bytes, at as usize);
    match found {
        Some(word) => {
            talk.say(&format!("{word:#010x}\n"));
            Ok(())
        }
        None => fail(format!(
            "-E- Flash read failed. Reading 0x4 bytes from  address {at:#x} is out of image limits ({:#x} bytes)\n",
            bytes.len()
        )),
    }
}

/// `ts query|set|reset`: FS2 has no time stamps (docs/flint.md#other-commands).
pub(super) fn timestamp(file: &mut OnFile<'_>, args: &[String]) -> Ended {
    if let Err(why) = file.queried() {
        let name = file.path.display().to_string();
        return file.fail(&format!("-E- Failed to query Image: {name}. {why}\n"));
    }
    file.fail(&no_timestamp(args))
}

/// What flint says where there are none.
pub(super) fn no_timestamp(args: &[String]) -> String {
    const NONE: &str = "Time stamping not supported by FW.";
    match args.first().map_or("", String::as_str) {
        "query" => format!(
            "Current timestamp : N/A. Failed to query timestamp. {NONE}\nNext timestamp :    N/A. Failed to query \
             timestamp. {NONE}\n"
        ),
        word => {
            format!(
                "-E- Failed to perform timestamp {word} operation. Failed to {word} timestamp. {NONE}\n"
            )
        }
    }
}

/// `brom FILE` on an image file: flint shows both ROMs, and refuses.
pub(super) fn burn_rom(file: &mut OnFile<'_>, rom: Option<&Path>) -> Ended {
    const FAILS: &str = "-E- Burn ROM failed: ";
    let image = match file.queried() {
        Ok(image) => image,
        // A device without a name: flint's words (measured).
        Err(why) => return file.fail(&format!("-E- Failed to query Device: . {why}\n")),
    };
    let bytes = match bytes_of(rom.unwrap_or(Path::new(""))) {
        Ok(bytes) => bytes,
        Err(why) => return file.fail(&format!("{FAILS}{why}\n")),
    };
    // Both values begin at the same column.
    const COLUMN: usize = 31;
    let new = Rom::parse(&bytes);
    let device = image.info.as_ref().and_then(|info| info.device_id);
    if let (Some(device), Some(other)) = (device, new.device_id())
        && device != other
    {
        file.talk.say(&format!(
            "-W- Image file ROM: FW is for device {device}, but Exp-ROM is for device {other}\n"
        ));
        file.ask()?;
    }
    let old = image
        .rom
        .as_ref()
        .map_or_else(|| "N/A".to_owned(), |rom| text::rom(rom, COLUMN));
    file.fail(&format!(
        "\n    Current ROM info on flash: {old}\n    New ROM info:              {}\n\n-I- Preparing to burn ROM \
         ...\n{FAILS}Burn ROM not supported for FS2 image.\n",
        text::rom(&new, COLUMN)
    ))
}
