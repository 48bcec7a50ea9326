//! Commands that copy a part of a card or an image file: `ri`, `dc`, `dh`, `rrom`.

use super::FAILED;
use super::console::Console;
use super::errors::system_error;
use super::flags::Invocation;
use super::target::{CommandTarget, FlintResult, ask};
use crate::escape;
use crate::image::{Ini, SectionKind};
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// `ri FILE`: the image, contiguous (docs/flint.md#read-image).
pub(super) fn read_image(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    let out = Path::new(line.arg(0));
    // A file that cannot be written is an error before the card is read, as with flint. Unlike with flint
    // the file keeps what it holds until the image has been read.
    let existed = out.exists();
    let opened = without_waiting().write(true).create(true).truncate(false).open(out);
    let file = match opened {
        Ok(file) => file,
        Err(error) => return target.fail(&cannot_open("-E- Can not open", out, &error)),
    };
    let read = target.all_bytes("-E- Failed to read image. ");
    if !existed && read.is_err() {
        // Created above, and empty.
        let _ = std::fs::remove_file(out);
    }
    put(target, file, out, &read?)
}

/// `dc [FILE]`: the ini.
pub(super) fn dump_config(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    let names = ("Fw Configuration", "FW configuration");
    dump(target, SectionKind::FwConfiguration, names, line)
}

/// `dh [FILE]`: the hash file.
pub(super) fn dump_hash(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    let names = ("Hash file", "Hash file");
    dump(target, SectionKind::HashFile, names, line)
}

fn dump(
    target: &mut CommandTarget<'_>,
    kind: SectionKind,
    (dumped, inflated): (&str, &str),
    line: &Invocation,
) -> FlintResult {
    let lead = format!("-E- Failed dumping {dumped} : ");
    let body = target.section(kind, &lead)?;
    let body = body.ok_or_else(|| "FW section not found in the given image.".to_owned());
    let body = target.or_fail(body, &lead)?;
    let Ok(ini) = Ini::inflate(&body) else {
        // Z_DATA_ERROR, the one a damaged stream gives.
        let text = format!("-E- Failed uncompressing {inflated} section. uncompress returns -3");
        return target.fail(&text);
    };
    let Some(path) = line.args.first().map(Path::new) else {
        target.print(&ini.text());
        return Ok(());
    };
    match create(path) {
        Ok(file) => put(target, file, path, &ini.bytes),
        Err(error) => {
            let (path, why) = (escape::path(path), system_error(&error));
            target.fail(&format!("-E- Can not open file {path} for write: {why}."))
        }
    }
}

/// flint asks about a file that exists before it opens the card or the image (measured).
pub(super) fn ask_to_overwrite(line: &Invocation, console: &mut Console) -> FlintResult {
    if !line.is("rrom") || !line.args.first().is_some_and(|out| Path::new(out).exists()) {
        return Ok(());
    }
    console.print("\n-W- The given ROM file is existing, you are going to overwrite it.\n");
    ask(console)
}

/// `rrom FILE`: the expansion ROM (docs/flint.md#rom-commands).
pub(super) fn read_rom(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    const FAILS: &str = "-E- Read ROM failed. ";
    let out = line.args.first().ok_or(FAILED)?;
    let body = target.section(SectionKind::Rom, FAILS)?;
    let body = body.ok_or_else(|| "The FW does not contain a ROM section".to_owned());
    let body = target.or_fail(body, FAILS)?;
    write_file(target, Path::new(out), &body)
}

/// Writes a file of `rrom` or `rb`.
pub(super) fn write_file(target: &mut CommandTarget<'_>, out: &Path, bytes: &[u8]) -> FlintResult {
    match create(out) {
        Ok(file) => put(target, file, out, bytes),
        Err(error) => target.fail(&cannot_open("-E- Cannot open", out, &error)),
    }
}

/// The card is borrowed: opening a FIFO without a reader is an error, and no wait.
pub(super) fn without_waiting() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    options
}

fn create(path: &Path) -> io::Result<File> {
    without_waiting().write(true).create(true).truncate(true).open(path)
}

fn cannot_open(lead: &str, path: &Path, error: &io::Error) -> String {
    format!("{lead} {}: {}\n", escape::path(path), system_error(error))
}

fn put(target: &mut CommandTarget<'_>, mut file: File, out: &Path, bytes: &[u8]) -> FlintResult {
    let wrote = file.set_len(0).and_then(|()| file.write_all(bytes)).and_then(|()| file.sync_all());
    match wrote {
        Ok(()) => Ok(()),
        Err(error) => target.fail(&cannot_open("-E- Failed to write to", out, &error)),
    }
}
