//! Commands that change what a card or an image file holds: `sg`, `sv`, `brom`, `drom`, `reset_cfg`,
//! `clear_semaphore` (docs/flint.md#set-guids, docs/fs2.md#vsd, docs/flint.md#rom-commands,
//! docs/flint.md#other-commands).
//!
//! flint writes into a file as it is; here a new file takes its place in one step, so that an interruption
//! leaves one of the two.

use super::FAILED;
use super::errors::{describe, system_error};
use super::flags::Invocation;
use super::ids::{self, Ids};
use super::progress::ProgressLines;
use super::reading::ReadDepth;
use super::target::{BROM_FAILS, CommandTarget, FlintResult, Medium};
use super::text;
use crate::card::CardError;
use crate::escape;
use crate::host::replace_file;
use crate::image::{Contents, Identity, Image, ImageOffset, MAGIC, PatchError, Rom, Version};
use crate::job::{self, JobError, RomFile, WriteRequest};
use std::path::Path;

pub(super) fn set_guids(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    const FAILS: &str = "-E- Cannot set GUIDs: ";
    let old = target.queried(ReadDepth::Query, FAILS)?;
    let (blank, card) = (old.guids.as_ref().is_some_and(|g| g.blank), target.is_card());
    if card && !blank {
        target.print("-W- GUIDs are already set, re-burning image with the new GUIDs ...\n");
    }
    let given = line.ids;
    if given.is_empty() {
        return target.fail("-E- -uid flag is applicable only for FS3/FS4 FW Only.\n");
    }
    let current = Ids::of(&old);
    let new = given.or(current);
    if !(card && blank) {
        let medium = if card { "device" } else { "image" };
        target.print(&ids::table(new, Some(current), medium));
        target.ask()?;
    }
    let bad = given.macs.and_then(|macs| ids::bad_mac(macs, true));
    target.refuse(bad, FAILS)?;
    if card {
        let lines = if blank { ProgressLines::SIGNATURE } else { ProgressLines::BURN };
        let change = given.change(None);
        return target.write(lines, FAILS, &WriteRequest::IdentitySet(&change));
    }
    if blank {
        return target.fail(&format!("{FAILS}Image file is not supported.\n"));
    }
    let six_entries = old.guids.as_ref().is_some_and(|g| g.entries == 6);
    change_file(target, &old, FAILS, |contents| {
        let mut changed = contents.clone();
        if let Some(guids) = new.guids {
            changed = changed.with_guids(&guids)?;
        }
        if let Some(macs) = new.macs.filter(|_| six_entries) {
            changed = changed.with_macs(&macs)?;
        }
        Ok(changed)
    })?;
    target.console.print_over("Restoring signature                     - OK\n");
    Ok(())
}

pub(super) fn set_vsd(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    const FAILS: &str = "-E- Failed to set the VSD: ";
    let vsd = line.vsd.as_deref().unwrap_or_default();
    let old = target.queried(ReadDepth::Query, FAILS)?;
    if target.is_card() && old.info.as_ref().is_none_or(|i| i.vsd_raw.is_none()) {
        return target.fail(&format!("{FAILS}No info section on the image.\n"));
    }
    if vsd.len() > Identity::VSD_MAX {
        return target.fail(&format!(
            "{FAILS}VSD string is too long({}), max allowed length: {}\n",
            vsd.len(),
            Identity::VSD_MAX
        ));
    }
    if target.is_card() {
        let change = Ids::default().change(Some(vsd.as_bytes().to_vec()));
        let request = WriteRequest::IdentitySet(&change);
        return target.write(ProgressLines::VSD, FAILS, &request);
    }
    change_file(target, &old, FAILS, |contents| contents.with_vsd(vsd.as_bytes()))?;
    target.console.print_over("Restoring signature  - OK\n");
    Ok(())
}

/// Writes a file with the changed image; what else is in the file stays.
fn change_file(
    target: &mut CommandTarget<'_>,
    old: &Image,
    lead: &str,
    change: impl FnOnce(&Contents) -> Result<Contents, PatchError>,
) -> FlintResult {
    let Medium::File(file) = &target.medium else {
        return Err(FAILED);
    };
    let new = file
        .contents(old)
        .and_then(|contents| change(&contents).map_err(|error| error.to_string()));
    let written = new.and_then(|new| {
        let mut bytes = file.bytes.clone();
        let mut rest = new.bytes();
        let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        for (at, run) in old.map.runs(ImageOffset(0), len) {
            let (piece, after) = rest.split_at((run as usize).min(rest.len()));
            let at = at.0 as usize;
            if let Some(place) = bytes.get_mut(at..at + piece.len()) {
                place.copy_from_slice(piece);
            }
            rest = after;
        }
        replace_file(&file.path, &bytes).map_err(|error| {
            let (name, why) = (escape::path(&file.path), system_error(&error));
            format!("Can not open file \"{name}\" - {why}")
        })
    });
    target.or_fail(written, lead)
}

/// `brom FILE`. Of a file flint shows both ROMs, and refuses.
pub(super) fn burn_rom(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    const FAILS: &str = BROM_FAILS;
    // Both values begin at this column.
    const COLUMN: usize = 31;
    let path = Path::new(line.arg(0));
    // Of a file flint prints a device without a name (measured).
    let name = if target.is_card() { target.name.to_string() } else { String::new() };
    let lead = format!("-E- Failed to query Device: {name}. ");
    let old = target.queried(target.query_depth(), &lead)?;
    let bytes = target.rom_file(path)?;
    let new = Rom::parse(&bytes);
    let device = old.info.as_ref().and_then(|info| info.device_id);
    let other = match target.medium {
        Medium::Card(_) => super::rules::other_device(&new, device),
        Medium::File(_) => new.device_id().filter(|id| Some(*id) != device),
    };
    if let (Some(device), Some(other)) = (device, other) {
        target.print(&format!(
            "-W- Image file ROM: FW is for device {device}, but Exp-ROM is for device {other}\n"
        ));
        target.ask()?;
    }
    let now = old.rom.as_ref().map_or_else(|| "N/A".to_owned(), |rom| text::rom(rom, COLUMN));
    target.print(&format!(
        "\n    Current ROM info on flash: {now}\n    New ROM info:              {}\n\n-I- Preparing to burn \
         ROM ...\n",
        text::rom(&new, COLUMN)
    ));
    let refused = if !target.is_card() {
        Some("Burn ROM not supported for FS2 image.".to_owned())
    } else if bytes.starts_with(&MAGIC) {
        Some("Expecting an expansion ROM image, received Mellanox FW image.".to_owned())
    } else {
        no_rom_change(&old, line, "updated").or_else(|| too_old_for_a_rom(&old))
    };
    target.refuse(refused, FAILS)?;
    let rom = match RomFile::parse(path, bytes) {
        Ok(rom) => rom,
        Err(error) => return target.finish(Err(error), FAILS),
    };
    target.write(ProgressLines::ROM, FAILS, &WriteRequest::RomWrite(&rom))?;
    target.print("\n");
    Ok(())
}

pub(super) fn delete_rom(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    const FAILS: &str = "-E- Remove ROM failed: ";
    target.print("\n-I- Preparing to remove ROM ...\n");
    if !target.is_card() {
        return target.fail(&format!("{FAILS}Delete ROM not supported for FS2 image.\n"));
    }
    let old = target.queried(ReadDepth::Query, FAILS)?;
    let refused = if old.rom.is_none() {
        Some("The FW does not contain a ROM section.".to_owned())
    } else {
        // With a line feed of its own, unlike the same of `brom` (measured).
        no_rom_change(&old, line, "removed").map(|why| format!("{why}\n"))
    };
    target.refuse(refused, FAILS)?;
    target.write(ProgressLines::NO_ROM, FAILS, &WriteRequest::RomRemove)
}

fn no_rom_change(old: &Image, line: &Invocation, how: &str) -> Option<String> {
    let product = old.info.as_ref()?.product_version.as_ref()?;
    (!product.is_empty() && !line.has("allow_rom_change")).then(|| {
        format!(
            "The device FW contains common FW/ROM Product Version - The ROM cannot be {how} separately."
        )
    })
}

/// From 2.6.1410 on a ROM may be added (docs/flint.md#rom-commands).
fn too_old_for_a_rom(old: &Image) -> Option<String> {
    const SINCE: Version = Version { major: 2, minor: 6, subminor: 1410 };
    let version = old.fw_version()?;
    (old.rom.is_none() && version < SINCE).then(|| {
        let fw = version.unpadded();
        format!(
            "It is not allowed to burn ROM on device which has fw: {fw} that doesn't contain ROM."
        )
    })
}

pub(super) fn reset_config(target: &mut CommandTarget<'_>, _: &Invocation) -> FlintResult {
    const FAILS: &str = "Failed!\n-E- Failed to reset Configuration: ";
    target.print(
        "-W- Resetting device configuration using Flint should be done as a last resort.\n-W- Please \
         attempt to reset configuration via mlxconfig tool if possible.\n-W- Only proceed if you know what \
         you are doing.\n",
    );
    if !target.console.ask("reset non-volatile configuration") {
        return Err(FAILED);
    }
    target.print("Resetting... ");
    let image = target.queried(target.query_depth(), FAILS)?;
    if image.info.is_none_or(|info| info.sector_size.is_none()) {
        return target.fail(&format!(
            "{FAILS}Firmware was generated with old MFT, please use MFT-3.6.0 or above\n"
        ));
    }
    let (device, mut progress) = target.card(None)?;
    let done = progress.write(device, &WriteRequest::ConfigReset);
    target.finish(done.map(|_| ()), FAILS)?;
    target.print(
        "SUCCESS!\n\n-I- Configuration were successfully reset. reboot or restart the driver is required.\n",
    );
    Ok(())
}

/// `-clear_semaphore`: only what no owner holds is freed, as `unlock` does
/// (docs/hardware.md#clearing-a-semaphore). flint prints nothing when it is done.
pub(super) fn clear_semaphore(target: &mut CommandTarget<'_>, _: &Invocation) -> FlintResult {
    let (device, mut progress) = target.card(None)?;
    match job::unlock(device, &mut |_| true, &mut progress) {
        Ok(outcome) => {
            for line in outcome.proof {
                target.console.remark(&line);
            }
            Ok(())
        }
        Err(error @ JobError::Card(CardError::Locked)) => target.broken(&error),
        Err(error) => {
            let why = describe(&error, &target.name);
            target.fail(&format!("-E- Failed to clear the flash semaphore: {why}\n"))
        }
    }
}
