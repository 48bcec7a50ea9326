//! What would start, judged from the bytes of the flash alone.

use super::ImageSlot;
use super::snapshot::{half_at, version_of};
use crate::flash::Boots;
use crate::image::{Contents, FlashAddr, Half, Version, scan};

/// What would start at the next power-on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootView {
    /// Old, new or nothing.
    pub boots: Boots,
    /// Where its signature is.
    pub start: Option<FlashAddr>,
    /// Which half.
    pub half: Option<Half>,
    /// Its version.
    pub version: Option<Version>,
    /// Its PSID.
    pub psid: Option<String>,
}

/// Judge. `new` is the image a job wants to stand there. Of several whole images the lowest is
/// named, as flint does; which one the boot ROM prefers is UNCONFIRMED, and every one is whole.
#[must_use]
pub fn would_boot(flash: &[u8], new: Option<&[u8]>) -> BootView {
    let mut source = flash;
    let magics = scan(&mut source).map(|s| s.magics).unwrap_or_default();
    let found = magics
        .into_iter()
        .map(|start| ImageSlot {
            start,
            contents: Contents::from_dump(flash, start).map_err(|e| e.to_string()),
        })
        .find(ImageSlot::boots);
    let Some(found) = found else {
        return BootView {
            boots: Boots::Nothing,
            start: None,
            half: None,
            version: None,
            psid: None,
        };
    };
    let is_new = matches!((&found.contents, new), (Ok(c), Some(new)) if c.bytes() == new);
    let image = found.image();
    BootView {
        boots: if is_new {
            Boots::NewImage
        } else {
            Boots::OldImage
        },
        start: Some(found.start),
        half: image.and_then(|i| half_at(i.layout, found.start)),
        version: version_of(image),
        psid: image.and_then(|i| i.info.as_ref()?.psid.clone()),
    }
}
