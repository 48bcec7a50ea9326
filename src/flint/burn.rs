//! `burn`: flint's checks and questions in flint's order (docs/flint.md#checks-before-the-first-erase),
//! then our burn.

use super::flags::Invocation;
use super::ids::{self, Ids};
use super::progress::ProgressLines;
use super::reading::{self, ReadDepth};
use super::rules;
use super::target::{CommandTarget, FlintResult};
use super::verdict::query_error;
use crate::escape::{self, ForeignText};
use crate::image::{Guid, Identity, Image, Layout, Mac};
use crate::job::{CardReport, ImageFile, WriteRequest};
use crate::plan::{BurnOptions, CheckId, IdentityChange, RomChoice};
use std::path::Path;

/// flint's exit code when the question about the version is answered with no.
const VERSION_DECLINED: u8 = 7;
const FAILS: &str = "-E- Burning FS2 image failed: ";

/// A burn, with what the checks and questions found out for it.
struct Burn<'b, 'a> {
    target: &'b mut CommandTarget<'a>,
    line: &'b Invocation,
    image: &'b Image,
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
    let file = target.image_file(line)?;
    let image = file.contents.image();
    // The ROM of the card counts, whatever `-qq`.
    let (old, Some(card)) = target.lowest(ReadDepth::Query)? else {
        return Err(super::FAILED);
    };
    let (old, error) = match reading::queried(old) {
        Ok(old) => (Some(old), None),
        Err(why) => (None, Some(why)),
    };
    let path = escape::path(line.image.as_deref().unwrap_or(Path::new("")));
    let lead = format!("-E- Failed to query image: {path}. ");
    target.refuse(query_error(image), &lead)?;
    if let Some((fw, rom)) = rules::rom_mismatch(image) {
        target.print(&format!(
            "Image file ROM: FW is for device {fw}, but Exp-ROM is for device {rom}\n"
        ));
        target.ask()?;
    }
    let mut burn = Burn {
        target,
        line,
        image,
        card,
        old,
        nofs: line.has("nofs"),
        change: IdentityChange::default(),
        psid: None,
    };
    burn.guids(error.as_deref())?;
    burn.layout()?;
    burn.vsd()?;
    burn.versions()?;
    burn.change_psid()?;
    burn.last_checks()?;
    burn.write(&file)
}

impl Burn<'_, '_> {
    /// Steps 6 and 7: GUIDs and MACs.
    fn guids(&mut self, error: Option<&str>) -> FlintResult {
        let wanted =
            if self.line.has("use_image_guids") { Ids::of(self.image) } else { self.line.ids };
        if let Some(why) = error
            && wanted.is_empty()
            && !self.line.has("blank_guids")
        {
            let rest = if self.line.has("nofs") {
                "Please specify GUIDs / MACs (using command line flags -guid(s) / -mac(s) ).\n"
            } else {
                "\n    Can not burn in a failsafe mode.\n    If you want to burn in non failsafe mode, use the \
                 \"-nofs\" switch.\n"
            };
            return self
                .target
                .fail(&format!("-E- Can not extract GUIDs/MACs info from flash, {why}{rest}"));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let current = self.old.as_ref().map(Ids::of);
        let new = wanted.or(current.unwrap_or_default());
        self.target.print(&ids::table(new, current, "device"));
        self.target.ask()?;
        self.change = wanted.change(None);
        Ok(())
    }

    /// Step 8: failsafe onto failsafe, or not failsafe at all.
    fn layout(&mut self) -> FlintResult {
        let failsafe = |image: &Image| image.layout != Layout::NonFailsafe;
        let old = self.old.as_ref().is_some_and(failsafe);
        let new = failsafe(self.image);
        if self.line.has("nofs") || (old && new) {
            return Ok(());
        }
        if !old && !new {
            self.nofs = true;
            return Ok(());
        }
        let (place, a, b) = if old { ("given file", " non", "") } else { ("flash", "", " non") };
        self.target.fail(&format!(
            "-E- Failsafe burn failed: FW image in the {place} is non failsafe.\n    you cannot burn a{a} failsafe \
             image over a{b} failsafe image in a failsafe mode.\n    If you want to burn in non failsafe mode, use \
             the \"-nofs\" switch.\n"
        ))
    }

    /// Step 9: VSD and PSID of the flash.
    fn vsd(&mut self) -> FlintResult {
        // Longer ones are ignored without a message (measured).
        let given = self.line.vsd.as_deref().filter(|v| v.len() <= Identity::VSD_MAX);
        self.change.vsd = if self.line.has("use_image_ps") {
            Some(ids::vsd(self.image))
        } else {
            given.map(|v| v.as_bytes().to_vec())
        };
        let readable = self.old.as_ref().is_some_and(|i| i.psid().is_some());
        if readable || self.line.has("use_image_ps") || self.line.vsd.is_some() {
            return Ok(());
        }
        if !self.nofs {
            return self.target.fail(
                "\n-E- Can not extract VSD/PSID info from flash.\n    Can not burn in a failsafe mode. Please use \
                 \"-nofs\" flag to burn in a non failsafe mode.\n",
            );
        }
        self.target.print(
            "\n-W- Can not extract VSD/PSID info from flash.\n\n    To use a specific VSD, abort and re-burn \
             specifying the\n    needed info (using command line flags -vsd / -use_image_ps).\n    You can also \
             continue burn using blank VSD.\n",
        );
        self.target.ask()?;
        self.change.vsd = Some(Vec::new());
        Ok(())
    }

    /// Step 10.
    fn versions(&mut self) -> FlintResult {
        let new = self.image.fw_version();
        let old = self.old.as_ref().and_then(Image::fw_version);
        let text = |v: Option<crate::image::Version>| v.map_or("N/A".to_owned(), |v| v.to_string());
        self.target.print(&format!(
            "\n    Current FW version on flash:  {}\n    New FW version:               {}\n",
            text(old),
            text(new)
        ));
        if let (Some(old), Some(new)) = (old, new)
            && new <= old
        {
            let how = if new == old { "the same as" } else { "older than" };
            self.target.print(&format!(
                "\n    Note: The new FW version is {how} the current FW version on flash.\n"
            ));
            self.target.ask().map_err(|_| VERSION_DECLINED)?;
        }
        self.target.print("\n");
        Ok(())
    }

    /// Steps 11 and 12: PSID and config pad.
    fn change_psid(&mut self) -> FlintResult {
        let Some(old) = &self.old else {
            return Ok(());
        };
        let (from, to) = (old.psid(), self.image.psid());
        let pads = (rules::pad(old), rules::pad(self.image));
        if let (Some(from), Some(to)) = (&from, &to)
            && from != to
        {
            if !self.line.has("allow_psid_change") {
                return self.target.fail(&format!(
                    "\n-E- PSID mismatch. The PSID on flash ({from}) differs from the PSID in the given image \
                     ({to}).\n"
                ));
            }
            self.target.print(&format!(
                "\n    You are about to replace current PSID on flash - \"{from}\" with a different PSID - \
                 \"{to}\".\n    Note: It is highly recommended not to change the PSID.\n"
            ));
            self.target.ask()?;
        }
        if pads.0 != pads.1 {
            self.target.print(&format!(
                "\n-W- Configuration section offset on flash ({} sectors) differs from the Configuration section \
                 offset in the given image ({} sectors). Current device configuration (if exists) will be \
                 deleted.\n",
                pads.0, pads.1
            ));
            if !self.line.has("allow_psid_change") {
                return self
                    .target
                    .fail("-E- Use the '-allow_psid_change' flag to force this change.\n");
            }
            self.target.ask()?;
        }
        // Both are named in the question above; a card that states none was asked about in step 9.
        if from != to || pads.0 != pads.1 {
            let from = from.map_or("none", ForeignText::as_str);
            self.psid = to.map(|to| (from.to_owned(), to.as_str().to_owned()));
        }
        Ok(())
    }

    /// Step 18. flint does not look at MACs that come with the image.
    fn bad_macs(&self) -> Option<String> {
        if self.line.has("use_image_guids") || self.line.has("blank_guids") {
            return None;
        }
        match self.line.ids.macs {
            Some(macs) => ids::bad_mac(macs, true),
            None if self.line.ids.guids.is_some() => {
                ids::bad_mac(Ids::of(self.old.as_ref()?).macs?, false)
            }
            None => ids::bad_mac(ids::carried_macs(self.old.as_ref()?)?, false),
        }
    }

    /// Our burn. A card without any image is recovered.
    fn write(self, file: &ImageFile) -> FlintResult {
        let lines = (!self.line.has("silent")).then_some(ProgressLines::BURN);
        let options = BurnOptions {
            change_psid: self.psid,
            rom: self.line.has("use_image_rom").then_some(RomChoice::Image),
            identity: self.change,
            // Asked about in step 10.
            allow_older: true,
            ..BurnOptions::default()
        };
        let (device, mut progress) = self.target.card(lines)?;
        let mut done = progress.write(device, &WriteRequest::Burn(file, &options));
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
            done = progress.write(device, &WriteRequest::Recover(file, &identity));
        }
        let done = progress.end(done);
        self.target.finish(done, FAILS)
    }

    /// The question about a burn that is not failsafe, and the checks from step 15 on.
    fn last_checks(&mut self) -> FlintResult {
        if self.nofs {
            self.target.print(
                "Burn process will not be failsafe. No checks will be performed.\nALL flash, including the \
                 Invariant Sector will be overwritten.\nIf this process fails, computer may remain in an \
                 inoperable state.\n",
            );
            self.target.ask()?;
        }
        let (image, old) = (self.image, self.old.as_ref());
        let refused = rules::silicon(self.card.chip, image)
            .or_else(|| rules::no_psid(old, image, self.line.has("allow_psid_change")))
            .or_else(|| self.bad_macs())
            .or_else(|| rules::chunks(old, image))
            .or_else(|| rules::size(old, image, self.card.flash.geometry.size));
        self.target.refuse(refused, FAILS)?;
        if self.line.has("blank_guids") {
            return self.target.fail(
                "-E- Burning FS2 image failed: a card keeps its GUIDs and MACs; give others with -guid and \
                 -mac, or with `cx3flash identity set`\n",
            );
        }
        let no_rom = |image: Option<&Image>| image.is_some_and(|i| i.rom.is_none());
        if no_rom(Some(image)) && no_rom(old) && !self.line.has("use_image_rom") {
            self.target.print("-W- Skipping ROM section handling (ROM section is empty)\n");
        }
        Ok(())
    }
}
