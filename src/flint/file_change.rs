//! `sg` and `sv` on a file. flint writes into the file as it stands; here the new file takes the place
//! of the old one in one step, so that a cut leaves one of the two.

use super::card::Ended;
use super::card_copy::reason;
use super::card_ids::{self, Ids};
use super::file::OnFile;
use crate::host::replace_file;
use crate::image::{Contents, Form, Identity, Image, ImageOffset, PatchError};

/// `sg` with nothing but `-uid`, which flint notices when it has looked at the image.
pub(super) const UID: &str = "-E- -uid flag is applicable only for FS3/FS4 FW Only.\n";

/// `sg`.
pub(super) fn set_guids(file: &mut OnFile<'_>, wanted: Ids) -> Ended {
    const FAILS: &str = "-E- Cannot set GUIDs: ";
    let old = match file.queried() {
        Ok(image) => image,
        Err(why) => return file.fail(&format!("{FAILS}{why}\n")),
    };
    if wanted.is_empty() {
        return file.fail(UID);
    }
    let current = Ids::of(&old);
    let table = card_ids::table(wanted.or(current), Some(current));
    // The words of the card's table, of an image.
    file.talk
        .say(&table.replacen("on the device:", "on the image:", 1));
    file.ask()?;
    if let Some(why) = wanted.macs.and_then(|macs| card_ids::bad_mac(macs, true)) {
        return file.fail(&format!("{FAILS}{why}\n"));
    }
    if old.guids.as_ref().is_some_and(|g| g.blank) {
        return file.fail(&format!("{FAILS}Image file is not supported.\n"));
    }
    let new = wanted.or(current);
    change(file, &old, FAILS, |contents| {
        let with = match new.guids {
            Some(guids) => contents.with_guids(&guids)?,
            None => contents.clone(),
        };
        match new
            .macs
            .filter(|_| old.guids.as_ref().is_some_and(|g| g.entries == 6))
        {
            Some(macs) => with.with_macs(&macs),
            None => Ok(with),
        }
    })?;
    file.talk
        .say("\rRestoring signature                     - OK\n");
    Ok(())
}

/// `sv`.
pub(super) fn set_vsd(file: &mut OnFile<'_>, vsd: &str) -> Ended {
    const FAILS: &str = "-E- Failed to set the VSD: ";
    let old = match file.queried() {
        Ok(image) => image,
        Err(why) => return file.fail(&format!("{FAILS}{why}\n")),
    };
    if vsd.len() > Identity::VSD_MAX {
        return file.fail(&format!(
            "{FAILS}VSD string is too long({}), max allowed length: {}\n",
            vsd.len(),
            Identity::VSD_MAX
        ));
    }
    change(file, &old, FAILS, |contents| {
        contents.with_vsd(vsd.as_bytes())
    })?;
    file.talk.say("\rRestoring signature  - OK\n");
    Ok(())
}

/// Change the image, keep what else is in the file.
fn change(
    file: &mut OnFile<'_>,
    old: &Image,
    fails: &str,
    with: impl FnOnce(&Contents) -> Result<Contents, PatchError>,
) -> Ended {
    let contents = match file.form {
        Form::Contiguous => Contents::from_file(&file.bytes),
        Form::Striped => Contents::from_dump(&file.bytes, old.start),
    };
    let contents = match contents {
        Ok(contents) => contents,
        Err(error) => return file.fail(&format!("{fails}{error}\n")),
    };
    let new = match with(&contents) {
        Ok(new) => new,
        Err(error) => return file.fail(&format!("{fails}{error}\n")),
    };
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
    match replace_file(&file.path, &bytes) {
        Ok(()) => Ok(()),
        Err(error) => {
            let (name, why) = (file.path.display().to_string(), reason(&error));
            file.fail(&format!("{fails}Can not open file \"{name}\" - {why}\n"))
        }
    }
}
