//! `burn`: flint's checks and questions in flint's order (docs/flint.md#checks-before-the-first-erase),
//! then our burn.

use super::errors::image_error;
use super::flags::Invocation;
use super::ids::{self, Ids};
use super::progress::ProgressLines;
use super::reading::{self, ReadDepth};
use super::rules;
use super::target::{CommandTarget, FlintResult};
use crate::image::{Guid, Identity, Image, Layout, Mac};
use crate::job::{self, CardReport, ImageFile, WriteRequest};
use crate::plan::{BurnOptions, CheckId, IdentityChange, PlanReport, RomChoice};
use std::path::Path;

/// flint's exit code when the question about the version is answered with no.
const VERSION_DECLINED: u8 = 7;
const FAILS: &str = "-E- Burning FS2 image failed: ";

/// What the checks and questions found out for the burn.
struct BurnState {
    card: CardReport,
    /// The card's lowest image, when it passes flint's query.
    old: Option<Image>,
    /// The burn will not be failsafe.
    nofs: bool,
    /// The identity that is not carried over.
    change: IdentityChange,
    /// Change of the PSID, from and to.
    psid: Option<(String, String)>,
}

pub(super) fn burn(target: &mut CommandTarget<'_>, line: &Invocation) -> FlintResult {
    let path = line.image.as_deref().unwrap_or(Path::new(""));
    let file = match job::read_image(path) {
        Ok(file) => file,
        Err(error) => return target.fail(&image_error(&error, &path.display().to_string())),
    };
    let image = file.contents.image();
    // The ROM of the card counts, whatever `-qq`.
    let (old, Some(card)) = target.lowest(ReadDepth::Query)? else {
        return Err(super::FAILED);
    };
    let (old, error) = match reading::queried(old) {
        Ok(old) => (Some(old), None),
        Err(why) => (None, Some(why)),
    };
    if let Err(why) = reading::queried(Ok(image.clone())) {
        let name = path.display();
        return target.fail(&format!("-E- Failed to query image: {name}. {why}\n"));
    }
    if let Some((fw, rom)) = rules::rom_mismatch(image) {
        target.print(&format!(
            "Image file ROM: FW is for device {fw}, but Exp-ROM is for device {rom}\n"
        ));
        target.ask()?;
    }
    let mut state = BurnState {
        card,
        old,
        nofs: line.nofs,
        change: IdentityChange::default(),
        psid: None,
    };
    guids(target, image, line, &mut state, error.as_deref())?;
    layout(target, image, line, &mut state)?;
    vsd(target, image, line, &mut state)?;
    versions(target, image, state.old.as_ref())?;
    psid(target, image, line, &mut state)?;
    if state.nofs {
        target.print(
            "Burn process will not be failsafe. No checks will be performed.\nALL flash, including the \
             Invariant Sector will be overwritten.\nIf this process fails, computer may remain in an \
             inoperable state.\n",
        );
        target.ask()?;
    }
    let size = state.card.flash.geometry.size;
    let old = state.old.as_ref();
    let refused = rules::silicon(state.card.chip, image)
        .or_else(|| rules::no_psid(old, image, line.allow_psid_change))
        .or_else(|| macs(old, line))
        .or_else(|| rules::chunks(old, image))
        .or_else(|| rules::size(old, image, size));
    if let Some(why) = refused {
        return target.fail(&format!("{FAILS}{why}\n"));
    }
    if line.blank_guids {
        return target.fail(
            "-E- Burning FS2 image failed: a card keeps its GUIDs and MACs; give others with -guid and \
             -mac, or with `cx3flash identity set`\n",
        );
    }
    let no_rom = |image: Option<&Image>| image.is_some_and(|i| i.rom.is_none());
    if no_rom(Some(image)) && no_rom(old) && !line.use_image_rom {
        target.print("-W- Skipping ROM section handling (ROM section is empty)\n");
    }
    write(target, &file, line, state)
}

/// Steps 6 and 7: GUIDs and MACs.
fn guids(
    target: &mut CommandTarget<'_>,
    image: &Image,
    line: &Invocation,
    state: &mut BurnState,
    error: Option<&str>,
) -> FlintResult {
    let wanted = if line.use_image_guids {
        Ids::of(image)
    } else {
        Ids::given(line)
    };
    if let Some(why) = error
        && wanted.is_empty()
        && !line.blank_guids
    {
        let lead = format!("-E- Can not extract GUIDs/MACs info from flash, {why}");
        return target.fail(&if line.nofs {
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
    let current = state.old.as_ref().map(Ids::of);
    let new = wanted.or(current.unwrap_or_default());
    target.print(&ids::table(new, current, "device"));
    target.ask()?;
    state.change = wanted.change(None);
    Ok(())
}

/// Step 8: failsafe onto failsafe, or not failsafe at all.
fn layout(
    target: &mut CommandTarget<'_>,
    image: &Image,
    line: &Invocation,
    state: &mut BurnState,
) -> FlintResult {
    let failsafe = |image: &Image| image.layout != Layout::NonFailsafe;
    let old = state.old.as_ref().is_some_and(failsafe);
    let new = failsafe(image);
    if line.nofs || (old && new) {
        return Ok(());
    }
    if !old && !new {
        state.nofs = true;
        return Ok(());
    }
    let (place, a, b) = if old {
        ("given file", " non", "")
    } else {
        ("flash", "", " non")
    };
    target.fail(&format!(
        "-E- Failsafe burn failed: FW image in the {place} is non failsafe.\n    you cannot burn a{a} failsafe \
         image over a{b} failsafe image in a failsafe mode.\n    If you want to burn in non failsafe mode, use \
         the \"-nofs\" switch.\n"
    ))
}

/// Step 9: VSD and PSID of the flash.
fn vsd(
    target: &mut CommandTarget<'_>,
    image: &Image,
    line: &Invocation,
    state: &mut BurnState,
) -> FlintResult {
    // Longer ones are ignored without a message (measured).
    let given = line.vsd.as_deref().filter(|v| v.len() <= Identity::VSD_MAX);
    state.change.vsd = if line.use_image_ps {
        Some(ids::vsd(image))
    } else {
        given.map(|v| v.as_bytes().to_vec())
    };
    let readable = state
        .old
        .as_ref()
        .is_some_and(|i| rules::psid_of(i).is_some());
    if readable || line.use_image_ps || line.vsd.is_some() {
        return Ok(());
    }
    if !state.nofs {
        return target.fail(
            "\n-E- Can not extract VSD/PSID info from flash.\n    Can not burn in a failsafe mode. Please use \
             \"-nofs\" flag to burn in a non failsafe mode.\n",
        );
    }
    target.print(
        "\n-W- Can not extract VSD/PSID info from flash.\n\n    To use a specific VSD, abort and re-burn \
         specifying the\n    needed info (using command line flags -vsd / -use_image_ps).\n    You can also \
         continue burn using blank VSD.\n",
    );
    target.ask()?;
    state.change.vsd = Some(Vec::new());
    Ok(())
}

/// Step 10.
fn versions(target: &mut CommandTarget<'_>, image: &Image, old: Option<&Image>) -> FlintResult {
    let version = |image: &Image| image.info.as_ref().and_then(|i| i.fw_version);
    let (new, old) = (version(image), old.and_then(version));
    let text = |v: Option<crate::image::Version>| v.map_or("N/A".to_owned(), |v| v.to_string());
    target.print(&format!(
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
        target.print(&format!(
            "\n    Note: The new FW version is {how} the current FW version on flash.\n"
        ));
        target.ask().map_err(|_| VERSION_DECLINED)?;
    }
    target.print("\n");
    Ok(())
}

/// Steps 11 and 12: PSID and config pad.
fn psid(
    target: &mut CommandTarget<'_>,
    image: &Image,
    line: &Invocation,
    state: &mut BurnState,
) -> FlintResult {
    let Some(old) = &state.old else {
        return Ok(());
    };
    let (from, to) = (rules::psid_of(old), rules::psid_of(image));
    let pads = (rules::pad(old), rules::pad(image));
    if let (Some(from), Some(to)) = (&from, &to)
        && from != to
    {
        if !line.allow_psid_change {
            return target.fail(&format!(
                "\n-E- PSID mismatch. The PSID on flash ({from}) differs from the PSID in the given image \
                 ({to}).\n"
            ));
        }
        target.print(&format!(
            "\n    You are about to replace current PSID on flash - \"{from}\" with a different PSID - \
             \"{to}\".\n    Note: It is highly recommended not to change the PSID.\n"
        ));
        target.ask()?;
    }
    if pads.0 != pads.1 {
        target.print(&format!(
            "\n-W- Configuration section offset on flash ({} sectors) differs from the Configuration section \
             offset in the given image ({} sectors). Current device configuration (if exists) will be \
             deleted.\n",
            pads.0, pads.1
        ));
        if !line.allow_psid_change {
            return target.fail("-E- Use the '-allow_psid_change' flag to force this change.\n");
        }
        target.ask()?;
    }
    // Both are named in the question above; a card that states none was asked about in step 9.
    if from != to || pads.0 != pads.1 {
        state.psid = to.map(|to| (from.unwrap_or_else(|| "none".into()), to));
    }
    Ok(())
}

/// Step 18. flint does not look at MACs that come with the image.
fn macs(old: Option<&Image>, line: &Invocation) -> Option<String> {
    if line.use_image_guids || line.blank_guids {
        return None;
    }
    match line.macs {
        Some(macs) => ids::bad_mac(macs, true),
        None if line.guids.is_some() => ids::bad_mac(Ids::of(old?).macs?, false),
        None => ids::bad_mac(ids::carried_macs(old?)?, false),
    }
}

/// Our burn. A card without any image is recovered.
fn write(
    target: &mut CommandTarget<'_>,
    file: &ImageFile,
    line: &Invocation,
    state: BurnState,
) -> FlintResult {
    let dir = target.backup_dir.clone();
    let lines = (!line.silent).then_some(ProgressLines::BURN);
    let (device, mut progress) = target.card(lines)?;
    let options = BurnOptions {
        change_psid: state.psid,
        rom: line.use_image_rom.then_some(RomChoice::Image),
        identity: state.change,
    };
    let mut yes = |_: &PlanReport| true;
    let burn = WriteRequest::Burn(file, &options);
    let mut done = job::write(device, &burn, &dir, false, &mut yes, &mut progress);
    let change = options.identity.clone();
    if let Err(error) = &done
        && error.refused_by().contains(&CheckId::OldImage)
        && (change.guids.is_some() || change.macs.is_some())
    {
        // What was given; the rest as flint writes it.
        let identity = Identity {
            guids: change.guids.unwrap_or([Guid(0); 4]),
            macs: change.macs.unwrap_or([Mac(0); 2]),
            vsd: change.vsd.unwrap_or_default(),
        };
        let recover = WriteRequest::Recover(file, &identity);
        done = job::write(device, &recover, &dir, false, &mut yes, &mut progress);
    }
    let done = progress.end(done);
    target.finish(done, FAILS)
}
