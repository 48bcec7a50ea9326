//! `sg`, `sv`, `brom`, `drom`, `reset_cfg`: the card's own image changed (docs/flint.md#set-guids, docs/fs2.md#vsd, docs/flint.md#rom-commands,
//! docs/flint.md#other-commands).

use super::card::{Ended, FAILED, OnCard, one_line};
use super::card_burn::card_end;
use super::card_ids::{self, Ids};
use super::card_progress::{FlintProgress, Stages};
use super::text;
use crate::image::{Identity, Image, MAGIC, Rom, Version};
use crate::job::{self, FirstDepth, JobError};
use crate::plan::PlanReport;
use std::path::Path;

/// Firmware from which on a ROM may be added (docs/flint.md#rom-commands).
const ROM_SINCE: Version = Version {
    major: 2,
    minor: 6,
    subminor: 1410,
};

/// What our job is asked: the questions were flint's.
fn yes(_: &PlanReport) -> bool {
    true
}

/// `sg`.
pub(super) fn set_guids(card: &mut OnCard<'_>, wanted: Ids) -> Ended {
    let old = own(card, "-E- Cannot set GUIDs: ")?;
    let waits = old.guids.as_ref().is_some_and(|g| g.blank);
    if !waits {
        card.talk
            .say("-W- GUIDs are already set, re-burning image with the new GUIDs ...\n");
    }
    if wanted.is_empty() {
        return card.fail(super::file_change::UID);
    }
    if !waits {
        let current = Ids::of(&old);
        card.talk
            .say(&card_ids::table(wanted.or(current), Some(current)));
        card.ask()?;
    }
    if let Some(why) = wanted.macs.and_then(|macs| card_ids::bad_mac(macs, true)) {
        return card.fail(&format!("-E- Cannot set GUIDs: {why}\n"));
    }
    let change = wanted.change(None);
    let dir = card.backup_dir.clone();
    let stages = if waits {
        Stages::SIGNATURE
    } else {
        Stages::BURN
    };
    let mut progress = FlintProgress::new(card.talk, Some(stages));
    let done = job::identity_set(card.device, &change, &dir, &mut yes, &mut progress);
    let done = card_end(done, progress);
    finish(card, done, "-E- Cannot set GUIDs: ")
}

/// `sv`.
pub(super) fn set_vsd(card: &mut OnCard<'_>, vsd: Option<&str>) -> Ended {
    const FAILS: &str = "-E- Failed to set the VSD: ";
    let Some(vsd) = vsd else {
        return card.fail("-E- For sv command, Please specify \"-vsd\".\n");
    };
    let old = own(card, FAILS)?;
    let tag = old.info.as_ref().is_some_and(|i| i.vsd_raw.is_some());
    if !tag {
        return card.fail(&format!("{FAILS}No info section on the image.\n"));
    }
    if vsd.len() > Identity::VSD_MAX {
        return card.fail(&format!(
            "{FAILS}VSD string is too long({}), max allowed length: {}\n",
            vsd.len(),
            Identity::VSD_MAX
        ));
    }
    let change = Ids::default().change(Some(vsd.as_bytes().to_vec()));
    let dir = card.backup_dir.clone();
    let mut progress = FlintProgress::new(card.talk, Some(Stages::VSD));
    let done = job::identity_set(card.device, &change, &dir, &mut yes, &mut progress);
    let done = card_end(done, progress);
    finish(card, done, FAILS)
}

/// `brom FILE`.
pub(super) fn burn_rom(card: &mut OnCard<'_>, path: &Path, allowed: bool) -> Ended {
    const FAILS: &str = "-E- Burn ROM failed: ";
    let name = path.display().to_string();
    let (first, error) = card.queried()?;
    if let Some(why) = error {
        let text = format!("-E- Failed to query Device: {}. {why}\n", card.name);
        return card.fail(&text);
    }
    let Ok(old) = first.image else {
        return Err(FAILED);
    };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let why = super::card_copy::reason(&error);
            return card.fail(&format!("{FAILS}Can not open file \"{name}\" - {why}\n"));
        }
    };
    if bytes.len() % 4 != 0 {
        return card.fail(&format!(
            "{FAILS}Image size should be 4-bytes aligned. Make sure file {name} is in the right format \
             (binary image)\n"
        ));
    }
    let new = Rom::parse(&bytes);
    let device = old.info.as_ref().and_then(|i| i.device_id);
    let other = new
        .blocks
        .iter()
        .find(|b| b.device_id != 0 && Some(b.device_id) != device);
    if let (Some(device), Some(block)) = (device, other) {
        card.talk.say(&format!(
            "-W- Image file ROM: FW is for device {device}, but Exp-ROM is for device {}\n",
            block.device_id
        ));
        card.ask()?;
    }
    let now = old
        .rom
        .as_ref()
        .map_or_else(|| "N/A".to_owned(), |rom| text::rom(rom, 31));
    card.talk.say(&format!(
        "\n    Current ROM info on flash: {now}\n    New ROM info:              {}\n\n-I- Preparing to burn \
         ROM ...\n",
        text::rom(&new, 31)
    ));
    let refused = if bytes.starts_with(&MAGIC) {
        Some("Expecting an expansion ROM image, received Mellanox FW image.".to_owned())
    } else {
        no_rom_change(&old, allowed, "updated").or_else(|| too_old_for_a_rom(&old))
    };
    if let Some(why) = refused {
        return card.fail(&format!("{FAILS}{why}\n"));
    }
    let rom = match job::read_rom(path) {
        Ok(rom) => rom,
        Err(error) => {
            let text = format!("{FAILS}{}\n", one_line(&error));
            return card.fail(&text);
        }
    };
    let dir = card.backup_dir.clone();
    let mut progress = FlintProgress::new(card.talk, Some(Stages::ROM));
    let done = job::rom_write(card.device, &rom, &dir, &mut yes, &mut progress);
    let done = card_end(done, progress);
    finish(card, done, FAILS)?;
    card.talk.say("\n");
    Ok(())
}

/// `drom`.
pub(super) fn delete_rom(card: &mut OnCard<'_>, allowed: bool) -> Ended {
    const FAILS: &str = "-E- Remove ROM failed: ";
    card.talk.say("\n-I- Preparing to remove ROM ...\n");
    let old = own(card, FAILS)?;
    let refused = if old.rom.is_none() {
        Some("The FW does not contain a ROM section.".to_owned())
    } else {
        // With a line feed of its own, unlike the same of `brom` (measured).
        no_rom_change(&old, allowed, "removed").map(|why| format!("{why}\n"))
    };
    if let Some(why) = refused {
        return card.fail(&format!("{FAILS}{why}\n"));
    }
    let dir = card.backup_dir.clone();
    let mut progress = FlintProgress::new(card.talk, Some(Stages::NO_ROM));
    let done = job::rom_remove(card.device, &dir, &mut yes, &mut progress);
    let done = card_end(done, progress);
    finish(card, done, FAILS)
}

fn no_rom_change(old: &Image, allowed: bool, how: &str) -> Option<String> {
    let product = old.info.as_ref()?.product_version.as_ref()?;
    (!product.is_empty() && !allowed).then(|| {
        format!(
            "The device FW contains common FW/ROM Product Version - The ROM cannot be {how} separately."
        )
    })
}

fn too_old_for_a_rom(old: &Image) -> Option<String> {
    let version = old.info.as_ref()?.fw_version?;
    (old.rom.is_none() && version < ROM_SINCE).then(|| {
        format!(
            "It is not allowed to burn ROM on device which has fw: {}.{}.{} that doesn't contain ROM.",
            version.major, version.minor, version.subminor
        )
    })
}

/// `reset_cfg`.
pub(super) fn reset_config(card: &mut OnCard<'_>) -> Ended {
    card.talk.say(
        "-W- Resetting device configuration using Flint should be done as a last resort.\n-W- Please \
         attempt to reset configuration via mlxconfig tool if possible.\n-W- Only proceed if you know what \
         you are doing.\n",
    );
    if !card.talk.ask("reset non-volatile configuration") {
        return Err(FAILED);
    }
    card.talk.say("Resetting... ");
    let failed = |why: &str| format!("Failed!\n-E- Failed to reset Configuration: {why}\n");
    let (first, error) = card.queried()?;
    if let Some(why) = error {
        return card.fail(&failed(&why));
    }
    let sector = first.image.ok().and_then(|i| i.info?.sector_size);
    if sector.is_none() {
        return card.fail(&failed(
            "Firmware was generated with old MFT, please use MFT-3.6.0 or above",
        ));
    }
    let dir = card.backup_dir.clone();
    let mut progress = FlintProgress::new(card.talk, None);
    match job::config_reset(card.device, &dir, &mut yes, &mut progress) {
        Ok(_) => {
            card.talk.say(
                "SUCCESS!\n\n-I- Configuration were successfully reset. reboot or restart the driver is \
                 required.\n",
            );
            Ok(())
        }
        Err(error) => card.fail_as(&failed(&one_line(&error)), &error),
    }
}

/// The card's lowest image, or flint's error behind `lead`.
fn own(card: &mut OnCard<'_>, lead: &str) -> Result<Image, u8> {
    let first = card.first(FirstDepth::Query)?;
    if let Some(why) = super::card::query_error(&first) {
        return card.fail(&format!("{lead}{why}\n"));
    }
    first.image.map_err(|_| FAILED)
}

fn finish(card: &mut OnCard<'_>, done: Result<(), JobError>, lead: &str) -> Ended {
    done.or_else(|error| {
        let text = format!("{lead}{}\n", one_line(&error));
        card.fail_as(&text, &error)
    })
}
