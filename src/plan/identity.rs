//! The identity of a card: what is kept, what may be changed (P4, docs/fs2.md#guid-section).

use super::ImageSlot;
use super::check::Verdict;
use crate::image::{Contents, Guid, Identity, Image, Mac, trim_zeros};
use crate::words::counted;

/// Parts of an identity that the user specified; the others stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityChange {
    /// Node, port 1, port 2, system image.
    pub guids: Option<[Guid; 4]>,
    /// Port 1, port 2.
    pub macs: Option<[Mac; 2]>,
    /// Raw, at most 208 bytes.
    pub vsd: Option<Vec<u8>>,
}

impl IdentityChange {
    /// The identity after the change.
    pub fn apply(&self, old: &Identity) -> Identity {
        Identity {
            guids: self.guids.unwrap_or(old.guids),
            macs: self.macs.unwrap_or(old.macs),
            vsd: self.vsd.clone().unwrap_or_else(|| old.vsd.clone()),
        }
    }
}

/// Old sections of four entries hold no MACs; what comes along is what mstflint and the card's own
/// firmware make of the GUIDs (docs/flint.md#guids-of-a-burn).
pub(super) fn macs_are_derived(image: &Image) -> bool {
    image.guids.as_ref().is_some_and(|g| g.entries == 4)
}

/// May a card carry this identity? Blank GUIDs beside valid MACs are normal on Ethernet cards.
pub(super) fn usable(identity: &Identity) -> Verdict {
    for (port, mac) in (1..).zip(&identity.macs) {
        // Some InfiniBand cards store zero for "none"; it is kept like a blank one.
        if !mac.is_blank() && mac.0 != 0 && !mac.is_valid() {
            return Err(format!("the MAC {mac} of port {port} is not valid"));
        }
    }
    let macs = identity.macs.iter().any(|m| m.is_valid());
    let guids = identity.guids.iter().any(|g| !g.is_blank() && *g != Guid(0));
    if !macs && !guids {
        return Err("neither GUIDs nor MACs are set".into());
    }
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(" ");
    Ok(format!(
        "MACs {}, GUIDs {}",
        list(&mut identity.macs.iter().map(ToString::to_string)),
        if guids {
            list(&mut identity.guids.iter().map(ToString::to_string))
        } else {
            "blank".into()
        },
    ))
}

/// Can the card's identity be carried over?
pub(super) fn readable(found: &ImageSlot) -> Result<Identity, String> {
    const WAY_OUT: &str = "use `recover --identity FILE`";
    let image =
        found.image().ok_or_else(|| format!("the card's image cannot be read; {WAY_OUT}"))?;
    if image.guids.as_ref().is_some_and(|g| !g.crc_ok && !g.blank) {
        return Err(format!("the GUID section on the card fails its CRC; {WAY_OUT}"));
    }
    if !image.info_crc_ok {
        return Err(format!(
            "the Image Info section on the card (VSD, PSID) fails its CRC; {WAY_OUT}"
        ));
    }
    if !found.validity().identity {
        return Err(format!("the card's identity sections are damaged; {WAY_OUT}"));
    }
    let identity = Identity::from_image(image).map_err(|why| format!("{why}; {WAY_OUT}"))?;
    usable(&identity).map_err(|why| format!("{why} on the card; {WAY_OUT}"))?;
    Ok(identity)
}

/// What a card without an identity to carry starts from when it is given one: its GUID section is
/// written blank (docs/fs2.md#blank-guids), and what is not specified stays so; or the section is
/// damaged, and GUIDs and MACs are both specified. The VSD is the card's.
pub(super) fn waiting(found: &ImageSlot, change: &IdentityChange) -> Option<Identity> {
    let image = found.image()?;
    let blank = image.guids.as_ref().is_some_and(|g| g.blank && g.type_ok);
    let enough = match (change.guids, change.macs) {
        (Some(_), Some(_)) => true,
        (None, None) => false,
        _ => blank,
    };
    if !enough || !image.info_crc_ok {
        return None;
    }
    let vsd = image.info.as_ref()?.vsd_raw.as_deref().unwrap_or_default();
    Some(Identity {
        guids: [Guid(u64::MAX); 4],
        macs: [Mac(u64::MAX); 2],
        vsd: trim_zeros(vsd).to_vec(),
    })
}

/// Can the new image hold it?
pub(super) fn fits(image: &Image, identity: &Identity) -> Verdict {
    let entries = image.guids.as_ref().map_or(0, |g| g.entries);
    if entries != 6 {
        return Err(format!(
            "the image's GUID section has {}; six are needed",
            counted(entries, "entry")
        ));
    }
    let tag = image.info.as_ref().is_some_and(|i| i.vsd_raw.is_some());
    if !tag && !identity.vsd.is_empty() {
        return Err("the image has no VSD tag to carry the card's VSD".into());
    }
    if identity.vsd.len() > 208 {
        return Err(format!("a VSD of {} bytes does not fit 208", identity.vsd.len()));
    }
    Ok("six GUID entries and space for the VSD".into())
}

/// Fields of an identity for people, in order.
pub(super) fn fields(contents: &Contents) -> Vec<(&'static str, Option<String>)> {
    let identity = Identity::from_image(contents.image()).ok();
    let text = |pick: &dyn Fn(&Identity) -> String| identity.as_ref().map(pick);
    vec![
        ("guids", text(&|i| i.guids.map(|g| g.to_string()).join(" "))),
        ("macs", text(&|i| i.macs.map(|m| m.to_string()).join(" "))),
        ("vsd", text(&|i| String::from_utf8_lossy(&i.vsd).into_owned())),
    ]
}
