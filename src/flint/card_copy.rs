//! `ri`, `dc`, `dh`, `rrom` on a card: parts of it into a file.

use super::card::{Ended, OnCard};
use super::card_progress::FlintProgress;
use crate::image::{Ini, SectionKind};
use crate::job::{self, FirstError, JobError};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// `ri FILE`: the image, contiguous (docs/flint.md#read-image).
pub(super) fn read_image(card: &mut OnCard<'_>, out: &Path) -> Ended {
    // As flint: a file that cannot be written is found before the card is read. Unlike flint the
    // file keeps what it holds until there is something to put in its place.
    let existed = out.exists();
    let file = match File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(out)
    {
        Ok(file) => file,
        Err(error) => {
            let text = format!("-E- Can not open {}: {}\n", out.display(), reason(&error));
            return card.fail(&text);
        }
    };
    let found = job::first_bytes(card.device, &mut FlintProgress::new(card.talk, None));
    if !existed && !matches!(found, Ok(Ok(_))) {
        // Made by us a moment ago and empty.
        let _ = std::fs::remove_file(out);
    }
    match found {
        Ok(Ok(found)) => put(card, file, out, &found.bytes),
        Ok(Err(error)) => card.fail(&format!("-E- Failed to read image. {}\n", error.text)),
        Err(error) => card.broken(&error),
    }
}

/// `dc [FILE]`: the ini.
pub(super) fn dump_config(card: &mut OnCard<'_>, out: Option<&Path>) -> Ended {
    dump(
        card,
        SectionKind::FwConfiguration,
        ("Fw Configuration", "FW configuration"),
        out,
    )
}

/// `dh [FILE]`: the hash file.
pub(super) fn dump_hash(card: &mut OnCard<'_>, out: Option<&Path>) -> Ended {
    dump(card, SectionKind::HashFile, ("Hash file", "Hash file"), out)
}

fn dump(
    card: &mut OnCard<'_>,
    kind: SectionKind,
    (dumped, inflated): (&str, &str),
    out: Option<&Path>,
) -> Ended {
    let failed = |why: &str| format!("-E- Failed dumping {dumped} : {why}\n");
    let body = match section(card, kind)? {
        Ok(Some(body)) => body,
        Ok(None) => return card.fail(&failed("FW section not found in the given image.")),
        Err(error) => return card.fail(&failed(&error.text)),
    };
    let Ok(ini) = Ini::inflate(&body) else {
        // Z_DATA_ERROR, the one a damaged stream gives.
        let text = format!("-E- Failed uncompressing {inflated} section. uncompress returns -3");
        return card.fail(&text);
    };
    match out {
        Some(path) => match File::create(path) {
            Ok(file) => put(card, file, path, &ini.bytes),
            Err(error) => {
                let (path, why) = (path.display(), reason(&error));
                card.fail(&format!("-E- Can not open file {path} for write: {why}."))
            }
        },
        None => {
            card.talk.say(&String::from_utf8_lossy(&ini.bytes));
            Ok(())
        }
    }
}

/// `rrom FILE`: the expansion ROM (docs/flint.md#rom-commands).
pub(super) fn read_rom(card: &mut OnCard<'_>, out: &Path) -> Ended {
    if out.exists() {
        card.talk
            .say("\n-W- The given ROM file is existing, you are going to overwrite it.\n");
        card.ask()?;
    }
    match section(card, SectionKind::Rom)? {
        Ok(Some(body)) => write_file(card, out, &body),
        Ok(None) => card.fail("-E- Read ROM failed. The FW does not contain a ROM section\n"),
        Err(error) => card.fail(&format!("-E- Read ROM failed. {}\n", error.text)),
    }
}

fn section(
    card: &mut OnCard<'_>,
    kind: SectionKind,
) -> Result<Result<Option<Vec<u8>>, FirstError>, u8> {
    let mut events = FlintProgress::new(card.talk, None);
    job::first_section(card.device, kind, &mut events)
        .or_else(|error: JobError| card.broken(&error))
}

/// A file in one piece.
pub(super) fn write_file(card: &mut OnCard<'_>, out: &Path, bytes: &[u8]) -> Ended {
    match File::create(out) {
        Ok(file) => put(card, file, out, bytes),
        Err(error) => {
            let text = format!("-E- Can not open {}: {}\n", out.display(), reason(&error));
            card.fail(&text)
        }
    }
}

fn put(card: &mut OnCard<'_>, mut file: File, out: &Path, bytes: &[u8]) -> Ended {
    let wrote = file
        .set_len(0)
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all());
    match wrote {
        Ok(()) => Ok(()),
        Err(error) => {
            let text = format!(
                "-E- Failed to write to {}: {}\n",
                out.display(),
                reason(&error)
            );
            card.fail(&text)
        }
    }
}

/// The system's reason without the number Rust adds, as C programs print it.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((plain, _)) => plain.to_owned(),
        None => text,
    }
}
