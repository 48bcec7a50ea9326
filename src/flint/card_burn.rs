//! `burn`: flint's checks and questions in flint's order (docs/flint.md#checks-before-the-first-erase), then our burn.

use super::card::{CONTINUE, Ended, OnCard, one_line};
use super::card_ids::{self, Ids};
use super::card_progress::{FlintProgress, Stages};
use super::card_rules as rules;
use crate::image::{Guid, Identity, Image, Layout, Mac};
use crate::job::{
    self, BurnRequest, CardReport, ImageFile, JobError, RecoverRequest, WriteOutcome,
};
use crate::plan::{BurnOptions, CheckId, IdentityChange, PlanReport, RomChoice};
use std::path::Path;

/// flint's exit code when the question about the version is answered with no.
const VERSION_DECLINED: u8 = 7;

/// Flags of a burn.
#[derive(Clone, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are flags of a command line"
)]
pub(super) struct BurnFlags {
    /// `-guid(s)`, `-mac(s)`.
    pub(super) ids: Ids,
    /// `-vsd`.
    pub(super) vsd: Option<String>,
    /// `-blank_guids`.
    pub(super) blank_guids: bool,
    /// `-nofs`.
    pub(super) nofs: bool,
    /// `-allow_psid_change`.
    pub(super) allow_psid_change: bool,
    /// `-use_image_ps`.
    pub(super) use_image_ps: bool,
    /// `-use_image_guids`.
    pub(super) use_image_guids: bool,
    /// `-use_image_rom`.
    pub(super) use_image_rom: bool,
}

/// What was found out on the way.
struct Way {
    /// The card.
    report: CardReport,
    /// Its lowest image, as far as flint can query it.
    old: Option<Image>,
    /// The burn will not be failsafe.
    nofs: bool,
    /// Identity: what is not carried over.
    change: IdentityChange,
    /// The PSID is to change, as asked.
    psid: Option<(String, String)>,
}

/// `burn`.
pub(super) fn burn(card: &mut OnCard<'_>, path: &Path, flags: &BurnFlags) -> Ended {
    let file = &card.image_file(path)?;
    let image = file.contents.image();
    // The ROM of the card counts, whatever `-qq` says.
    card.quick = false;
    let (first, error) = card.queried()?;
    if let Some(why) = super::verdict::query_error(image) {
        let text = format!(
            "-E- Failed to query image: {}. {why}\n",
            file.path.display()
        );
        return card.fail(&text);
    }
    if let Some((fw, rom)) = rules::rom_mismatch(image) {
        card.talk.say(&format!(
            "Image file ROM: FW is for device {fw}, but Exp-ROM is for device {rom}\n"
        ));
        card.ask()?;
    }
    let mut way = Way {
        report: first.card,
        old: first.image.ok().filter(|_| error.is_none()),
        nofs: flags.nofs,
        change: IdentityChange::default(),
        psid: None,
    };
    ids(card, image, flags, &mut way, error.as_deref())?;
    kind(card, image, flags, &mut way)?;
    vsd(card, image, flags, &mut way)?;
    versions(card, image, way.old.as_ref())?;
    psid(card, image, flags, &mut way)?;
    if way.nofs {
        card.talk.say(
            "Burn process will not be failsafe. No checks will be performed.\nALL flash, including the \
             Invariant Sector will be overwritten.\nIf this process fails, computer may remain in an \
             inoperable state.\n",
        );
        card.ask()?;
    }
    let size = way.report.flash.geometry.size;
    let old = way.old.as_ref();
    let refused = rules::silicon(way.report.chip, image)
        .or_else(|| rules::no_psid(old, image, flags.allow_psid_change))
        .or_else(|| macs(old, flags))
        .or_else(|| rules::chunks(old, image))
        .or_else(|| rules::size(old, image, size));
    if let Some(why) = refused {
        return card.fail(&format!("-E- Burning FS2 image failed: {why}\n"));
    }
    if flags.blank_guids {
        return card.fail(
            "-E- Burning FS2 image failed: a card keeps its GUIDs and MACs; give others with -guid and \
             -mac, or with `cx3flash identity set`\n",
        );
    }
    let no_rom = |image: Option<&Image>| image.is_some_and(|i| i.rom.is_none());
    if no_rom(Some(image)) && no_rom(old) && !flags.use_image_rom {
        card.talk
            .say("-W- Skipping ROM section handling (ROM section is empty)\n");
    }
    write(card, file, flags, way)
}

/// Steps 6 and 7: whose GUIDs.
fn ids(
    card: &mut OnCard<'_>,
    image: &Image,
    flags: &BurnFlags,
    way: &mut Way,
    error: Option<&str>,
) -> Ended {
    let wanted = if flags.use_image_guids {
        Ids::of(image)
    } else {
        flags.ids
    };
    if let Some(why) = error
        && wanted.is_empty()
        && !flags.blank_guids
    {
        let lead = format!("-E- Can not extract GUIDs/MACs info from flash, {why}");
        return card.fail(&if flags.nofs {
            format!(
                "{lead}Please specify GUIDs / MACs (using command line flags -guid(s) / -mac(s) ).\n"
            )
        } else {
            format!(
                "{lead}\n    Can not burn in a failsafe mode.\n    If you want to burn in non failsafe mode, \
                 use the \"-nofs\" switch.\n"
            )
        });
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let current = way.old.as_ref().map(Ids::of);
    let new = wanted.or(current.unwrap_or_default());
    card.talk.say(&card_ids::table(new, current));
    card.ask()?;
    way.change = wanted.change(None);
    Ok(())
}

/// Step 8: failsafe onto failsafe, or not at all.
fn kind(card: &mut OnCard<'_>, image: &Image, flags: &BurnFlags, way: &mut Way) -> Ended {
    let failsafe = |image: &Image| image.layout != Layout::NonFailsafe;
    let old = way.old.as_ref().is_some_and(failsafe);
    let new = failsafe(image);
    if flags.nofs || (old && new) {
        return Ok(());
    }
    if !old && !new {
        way.nofs = true;
        return Ok(());
    }
    let (place, a, b) = if old {
        ("given file", " non", "")
    } else {
        ("flash", "", " non")
    };
    card.fail(&format!(
        "-E- Failsafe burn failed: FW image in the {place} is non failsafe.\n    you cannot burn a{a} failsafe \
         image over a{b} failsafe image in a failsafe mode.\n    If you want to burn in non failsafe mode, use \
         the \"-nofs\" switch.\n"
    ))
}

/// Step 9: VSD and PSID of the flash.
fn vsd(card: &mut OnCard<'_>, image: &Image, flags: &BurnFlags, way: &mut Way) -> Ended {
    // Longer ones are not taken, without a word (measured).
    let given = flags
        .vsd
        .as_deref()
        .filter(|v| v.len() <= Identity::VSD_MAX);
    way.change.vsd = if flags.use_image_ps {
        Some(card_ids::vsd(image))
    } else {
        given.map(|v| v.as_bytes().to_vec())
    };
    let readable = way
        .old
        .as_ref()
        .is_some_and(|i| rules::psid_of(i).is_some());
    if readable || flags.use_image_ps || flags.vsd.is_some() {
        return Ok(());
    }
    if !way.nofs {
        return card.fail(
            "\n-E- Can not extract VSD/PSID info from flash.\n    Can not burn in a failsafe mode. Please use \
             \"-nofs\" flag to burn in a non failsafe mode.\n",
        );
    }
    card.talk.say(
        "\n-W- Can not extract VSD/PSID info from flash.\n\n    To use a specific VSD, abort and re-burn \
         specifying the\n    needed info (using command line flags -vsd / -use_image_ps).\n    You can also \
         continue burn using blank VSD.\n",
    );
    card.ask()?;
    way.change.vsd = Some(Vec::new());
    Ok(())
}

/// Step 10.
fn versions(card: &mut OnCard<'_>, image: &Image, old: Option<&Image>) -> Ended {
    let version = |image: &Image| image.info.as_ref().and_then(|i| i.fw_version);
    let (new, old) = (version(image), old.and_then(version));
    let text = |v: Option<crate::image::Version>| v.map_or("N/A".to_owned(), |v| v.to_string());
    card.talk.say(&format!(
        "\n    Current FW version on flash:  {}\n    New FW version:               {}\n",
        text(old),
        text(new)
    ));
    if let (Some(old), Some(new)) = (old, new)
        && new <= old
    {
        let how = if new == old {
            "the same as"
        } else {
            "older than"
        };
        card.talk.say(&format!(
            "\n    Note: The new FW version is {how} the current FW version on flash.\n"
        ));
        if !card.talk.ask(CONTINUE) {
            return Err(VERSION_DECLINED);
        }
    }
    card.talk.say("\n");
    Ok(())
}

/// Steps 11 and 12: PSID and config pad.
fn psid(card: &mut OnCard<'_>, image: &Image, flags: &BurnFlags, way: &mut Way) -> Ended {
    let Some(old) = &way.old else {
        return Ok(());
    };
    let (from, to) = (rules::psid_of(old), rules::psid_of(image));
    let pads = (rules::pad(old), rules::pad(image));
    if let (Some(from), Some(to)) = (&from, &to)
        && from != to
    {
        if !flags.allow_psid_change {
            return card.fail(&format!(
                "\n-E- PSID mismatch. The PSID on flash ({from}) differs from the PSID in the given image \
                 ({to}).\n"
            ));
        }
        card.talk.say(&format!(
            "\n    You are about to replace current PSID on flash - \"{from}\" with a different PSID - \
             \"{to}\".\n    Note: It is highly recommended not to change the PSID.\n"
        ));
        card.ask()?;
    }
    if pads.0 != pads.1 {
        card.talk.say(&format!(
            "\n-W- Configuration section offset on flash ({} sectors) differs from the Configuration section \
             offset in the given image ({} sectors). Current device configuration (if exists) will be \
             deleted.\n",
            pads.0, pads.1
        ));
        if !flags.allow_psid_change {
            return card.fail("-E- Use the '-allow_psid_change' flag to force this change.\n");
        }
        card.ask()?;
    }
    // Both are named in the question above; a card that states none was asked about in step 9.
    if from != to || pads.0 != pads.1 {
        way.psid = to.map(|to| (from.unwrap_or_else(|| "none".into()), to));
    }
    Ok(())
}

/// Step 18. flint does not look at MACs that come with the image.
fn macs(old: Option<&Image>, flags: &BurnFlags) -> Option<String> {
    if flags.use_image_guids || flags.blank_guids {
        return None;
    }
    match flags.ids.macs {
        Some(macs) => card_ids::bad_mac(macs, true),
        None if flags.ids.guids.is_some() => card_ids::bad_mac(Ids::of(old?).macs?, false),
        None => card_ids::bad_mac(card_ids::carried_macs(old?)?, false),
    }
}

/// Our burn. A card without any image is recovered.
fn write(card: &mut OnCard<'_>, file: &ImageFile, flags: &BurnFlags, way: Way) -> Ended {
    let stages = (!card.silent).then_some(Stages::BURN);
    let mut progress = FlintProgress::new(card.talk, stages);
    let request = BurnRequest {
        options: BurnOptions {
            change_psid: way.psid,
            rom: flags.use_image_rom.then_some(RomChoice::Image),
        },
        backup_dir: card.backup_dir.clone(),
        activate: false,
    };
    let mut yes = |_: &PlanReport| true;
    let mut done = job::burn_as(
        card.device,
        file,
        &request,
        &way.change,
        &mut yes,
        &mut progress,
    );
    if let Err(error) = &done
        && error.refused_by().contains(&CheckId::OldImage)
        && (way.change.guids.is_some() || way.change.macs.is_some())
    {
        let request = RecoverRequest {
            identity: spelled(&way.change),
            backup_dir: request.backup_dir,
            activate: false,
        };
        done = job::recover(card.device, file, &request, &mut yes, &mut progress);
    }
    finish(card_end(done, progress), card)
}

/// The identity of a card that has none: what was given, the rest as flint writes it.
fn spelled(change: &IdentityChange) -> Identity {
    Identity {
        guids: change.guids.unwrap_or([Guid(0); 4]),
        macs: change.macs.unwrap_or([Mac(0); 2]),
        vsd: change.vsd.clone().unwrap_or_default(),
    }
}

/// How the progress ends, and what is left to say.
pub(super) fn card_end(
    done: Result<WriteOutcome, JobError>,
    progress: FlintProgress<'_>,
) -> Result<(), JobError> {
    match done {
        Ok(outcome) if outcome.nothing_to_do => {
            progress.nothing();
            Ok(())
        }
        Ok(_) => {
            progress.end();
            Ok(())
        }
        Err(error) => {
            progress.broken();
            Err(error)
        }
    }
}

fn finish(done: Result<(), JobError>, card: &mut OnCard<'_>) -> Ended {
    done.or_else(|error| {
        let text = format!("-E- Burning FS2 image failed: {}\n", one_line(&error));
        card.fail_as(&text, &error)
    })
}
