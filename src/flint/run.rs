//! From a command line to what is done, in flint's order of complaints: number of arguments, target,
//! argument, opening, the command itself.

use super::arguments::{self, number, size};
use super::card::{Ended, FAILED, OnCard, Talk, card_text, hw_text};
use super::card_look as look;
use super::commands::{Command, Needs, Row};
use super::console::Console;
use super::file::{OnFile, bytes_of};
use super::options::Line;
use super::{
    card_burn, card_change, card_copy, card_unlock, commands, file_change, file_look, refuse,
    target,
};
use crate::host::{BorrowOptions, Host};
use crate::job::{self, Device};
use std::path::Path;

/// flint's second line when `verify` cannot begin (measured; it has no line end).
const NO_VERIFY: &str = "-E- FW image verification failed: No valid FS4 image found.Check the flash parameters, if \
                         specified..AN HCA DEVICE CAN NOT BOOT FROM THIS IMAGE";
const CACHE: &str = "\n-W- Firmware flash cache access is enabled. Running in this mode may cause the firmware to hang.\n";

/// Where a command runs.
pub(super) struct Place<'a> {
    pub(super) host: &'a Host,
    pub(super) options: &'a BorrowOptions,
    pub(super) simulated: &'a [String],
    pub(super) console: &'a mut Console<'a>,
    pub(super) opened: &'a mut dyn FnMut(&mut Device),
    /// The card this command borrowed.
    pub(super) borrowed: Option<crate::host::Borrowed>,
}

/// Do it.
pub(super) fn run(line: &Line, place: &mut Place<'_>) -> Ended {
    if line.clear_semaphore {
        return clear(line, place);
    }
    let Some(row) = line.command else {
        return Err(FAILED);
    };
    let verify = row.command == Command::Verify;
    let wrong = row
        .wrong_count(line.args.len())
        .or_else(|| row.wrong_target(line.device.is_some(), line.image.is_some()))
        .or_else(|| arguments::striped_card(line))
        .or_else(|| {
            // Said between the two by flint.
            if line.cache_override && row.needs != Needs::Nothing {
                place.console.say(CACHE);
            }
            arguments::complaint(row.command, line)
        });
    if let Some(text) = wrong {
        place.console.say(&text);
        if verify {
            place.console.say(NO_VERIFY);
        }
        return Err(FAILED);
    }
    let names = |name: &&'static str| refuse::flag(name).map(|why| (format!("-{name}"), why));
    let refused = refuse::command(row.command)
        .map(|why| {
            (
                format!("\"{}\"", row.names.first().unwrap_or(&row.title)),
                why,
            )
        })
        .or_else(|| {
            line.refused
                .iter()
                .filter(|name| refuse::concerns(name, row.command))
                .find_map(names)
        });
    if let Some((what, why)) = refused {
        place
            .console
            .say(&format!("-E- {what} is not done: {why}\n"));
        return Err(FAILED);
    }
    match (&line.device, &line.image) {
        (Some(name), _) => on_card(row, line, name, place),
        (None, Some(path)) => on_file(row, line, path, place),
        (None, None) => Err(FAILED),
    }
}

fn on_file(row: &Row, line: &Line, path: &Path, place: &mut Place<'_>) -> Ended {
    let talk = &mut *place.console;
    let out = line.args.first().map(Path::new);
    match row.command {
        Command::QueryRom => return file_look::query_rom(path, talk),
        Command::ReadWord => {
            let at = out.and_then(|w| number(w.to_str()?)).unwrap_or_default();
            return file_look::read_word(path, at, talk);
        }
        Command::ReadRom if out.is_some_and(Path::exists) => {
            talk.say("\n-W- The given ROM file is existing, you are going to overwrite it.\n");
            if !talk.ask(super::card::CONTINUE) {
                return Err(FAILED);
            }
        }
        _ => {}
    }
    let mut file = match OnFile::open(path, line.striped, talk) {
        Ok(file) => file,
        Err(why) => {
            talk.say(&format!(
                "-E- Cannot open Image: {}. {why}\n",
                path.display()
            ));
            if row.command == Command::Verify {
                talk.say(NO_VERIFY);
            }
            return Err(FAILED);
        }
    };
    let file = &mut file;
    match row.command {
        Command::Query => file_look::query(file, !line.args.is_empty(), line.quick, line.only_version),
        Command::Verify => file_look::verify(file),
        Command::DumpConfig => file_look::dump_config(file, out),
        Command::DumpHash => file_look::dump_hash(file, out),
        Command::ReadRom => out.map_or(Err(FAILED), |out| file_look::read_rom(file, out)),
        Command::Checksum => file_look::checksum(file),
        Command::ReadBlock => {
            let at = line.args.first().and_then(|w| number(w)).unwrap_or_default();
            let len = size(line).unwrap_or_default();
            file_look::read_block(file, at, len, line.args.get(2).map(Path::new))
        }
        Command::Timestamp => file_look::timestamp(file, &line.args),
        Command::SetGuids => file_change::set_guids(file, line.burn.ids),
        Command::SetVsd => {
            file_change::set_vsd(file, line.burn.vsd.as_deref().unwrap_or_default())
        }
        Command::BurnRom => file_look::burn_rom(file, out),
        Command::DropRom => file.fail(
            "\n-I- Preparing to remove ROM ...\n-E- Remove ROM failed: Delete ROM not supported for FS2 image.\n",
        ),
        // The table lets nothing else come here.
        _ => Err(FAILED),
    }
}

/// The device a name means, opened.
fn open(name: &str, place: &mut Place<'_>) -> Result<Device, job::JobError> {
    let found = target::resolve(name, place.simulated, place.host, place.options);
    // An mst name without a card is an unknown name like any other: its error lists what there is.
    let selector = found.unwrap_or_else(|_| name.to_owned());
    let mut device = job::open(&selector, place.host, place.options)?;
    place.borrowed = device.borrowed();
    (place.opened)(&mut device);
    Ok(device)
}

fn on_card(row: &Row, line: &Line, name: &str, place: &mut Place<'_>) -> Ended {
    let image = line.image.as_deref().unwrap_or(Path::new(""));
    let out = line.args.first().map(Path::new);
    // flint complains of the file first; and no card is borrowed for a file that is not there.
    if row.needs == Needs::Both
        && let Err(why) = bytes_of(image)
    {
        place.console.say(&format!(
            "-E- Cannot open Image: {}. {why}\n",
            image.display()
        ));
        return Err(FAILED);
    }
    let mut device = match open(name, place) {
        Ok(device) => device,
        Err(error) => {
            let text = if row.command == Command::Hw {
                hw_text(&error, name)
            } else {
                card_text(&error, name)
            };
            place.console.say(&text);
            if row.command == Command::Verify {
                place.console.say(NO_VERIFY);
            }
            return Err(FAILED);
        }
    };
    let mut card = OnCard {
        device: &mut device,
        name,
        talk: place.console,
        backup_dir: job::default_backup_dir(),
        quick: line.quick,
        silent: line.silent,
    };
    let card = &mut card;
    match row.command {
        Command::Query => look::query(card, !line.args.is_empty(), line.only_version),
        Command::Verify => look::verify(card),
        Command::Hw => look::hw_query(card),
        Command::Checksum => look::checksum(card),
        Command::ReadBlock => {
            let at = line
                .args
                .first()
                .and_then(|w| number(w))
                .unwrap_or_default();
            let len = size(line).unwrap_or_default();
            look::read_block(card, at, len, line.args.get(2).map(Path::new))
        }
        Command::ReadWord => {
            let at = line
                .args
                .first()
                .and_then(|w| number(w))
                .unwrap_or_default();
            look::read_word(card, at)
        }
        Command::BinaryCompare => look::compare(card, image),
        Command::ReadImage => out.map_or(Err(FAILED), |out| card_copy::read_image(card, out)),
        Command::DumpConfig => card_copy::dump_config(card, out),
        Command::DumpHash => card_copy::dump_hash(card, out),
        Command::ReadRom => out.map_or(Err(FAILED), |out| card_copy::read_rom(card, out)),
        Command::Burn => card_burn::burn(card, image, &line.burn),
        Command::SetGuids => card_change::set_guids(card, line.burn.ids),
        Command::SetVsd => card_change::set_vsd(card, line.burn.vsd.as_deref()),
        Command::BurnRom => out.map_or(Err(FAILED), |out| {
            card_change::burn_rom(card, out, line.allow_rom_change)
        }),
        Command::DropRom => card_change::delete_rom(card, line.allow_rom_change),
        Command::ResetConfig => card_change::reset_config(card),
        Command::ClearSemaphore => card_unlock::clear_semaphore(card),
        Command::SwReset => look::no_swreset(card),
        Command::Timestamp => look::timestamp(card, &line.args),
        // The table lets nothing else come here.
        _ => Err(FAILED),
    }
}

/// `-clear_semaphore`, which goes with no command.
fn clear(line: &Line, place: &mut Place<'_>) -> Ended {
    let refused = commands::named("clear_semaphore")
        .and_then(|row| row.wrong_target(line.device.is_some(), line.image.is_some()));
    if let Some(text) = refused {
        place.console.say(&text);
        return Err(FAILED);
    }
    if line.cache_override {
        place.console.say(CACHE);
    }
    let name = line.device.clone().unwrap_or_default();
    match open(&name, place) {
        Ok(mut device) => card_unlock::clear_semaphore(&mut OnCard {
            device: &mut device,
            name: &name,
            talk: place.console,
            backup_dir: job::default_backup_dir(),
            quick: false,
            silent: false,
        }),
        Err(error) => {
            let text = card_text(&error, &name);
            place.console.say(&text);
            Err(FAILED)
        }
    }
}
