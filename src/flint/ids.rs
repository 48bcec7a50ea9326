//! The GUIDs and MACs of a burn: where they come from, flint's table of the change, flint's check of the
//! MACs (docs/fs2.md#guid-flags, docs/flint.md#guids-of-a-burn, docs/flint.md#table-of-guid-changes).

use crate::image::{Guid, Identity, Image, Mac, trim_zeros};
use crate::plan::IdentityChange;
use std::fmt::Write as _;

/// GUIDs and MACs, each if there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) guids: Option<[Guid; 4]>,
    pub(super) macs: Option<[Mac; 2]>,
}

impl Ids {
    /// Those an image holds, whatever its CRC; flint does not check it (docs/flint.md#guids-of-a-burn).
    pub(super) fn of(image: &Image) -> Self {
        let Some(section) = &image.guids else {
            return Self::default();
        };
        let raw = |i: usize| section.raw.get(i).copied().unwrap_or(0);
        Self {
            guids: Some([0, 1, 2, 3].map(|i| Guid(raw(i)))),
            macs: Some([4, 5].map(|i| Mac(raw(i)))),
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self { guids: self.guids.or(other.guids), macs: self.macs.or(other.macs) }
    }

    pub(super) fn is_empty(self) -> bool {
        self.guids.is_none() && self.macs.is_none()
    }

    /// The change of an identity to these, and to this VSD.
    pub(super) fn change(self, vsd: Option<Vec<u8>>) -> IdentityChange {
        IdentityChange { guids: self.guids, macs: self.macs, vsd }
    }
}

/// The table, without the question.
pub(super) fn table(new: Ids, current: Option<Ids>, medium: &str) -> String {
    let mut out = format!(
        "    You are about to change the Guids/Macs/Uids on the {medium}:\n\n                        New \
         Values              Current Values\n"
    );
    let guids = new.guids.unwrap_or([Guid(0); 4]);
    let old = current.and_then(|c| c.guids);
    let labels = ["Node  GUID:", "Port1 GUID:", "Port2 GUID:", "Sys.Image GUID:"];
    for (n, (label, guid)) in labels.iter().zip(guids).enumerate() {
        let was = old.map_or_else(|| "      N/A".to_owned(), |old| old[n].to_string());
        let _ = writeln!(out, "        {label:16}{guid}        {was}");
    }
    let macs = new.macs.unwrap_or([Mac(0); 2]);
    let old = current.and_then(|c| c.macs);
    for (n, (label, mac)) in ["Port1 MAC:", "Port2 MAC:"].iter().zip(macs).enumerate() {
        let was = old.map_or_else(|| "  N/A".to_owned(), |old| old[n].to_string());
        let _ = writeln!(out, "        {label:16}    {mac}            {was}");
    }
    out
}

/// What flint finds wrong with a MAC.
pub(super) fn mac_fault(mac: Mac) -> Option<&'static str> {
    if mac.0 & 1 << 40 != 0 {
        Some("Multicast bit (bit 40) is set")
    } else if mac.0 >> 48 != 0 {
        Some("More than 48 bits are used")
    } else {
        None
    }
}

/// flint's error for invalid MACs (docs/flint.md#guids-of-a-burn step 4).
pub(super) fn bad_mac(macs: [Mac; 2], given: bool) -> Option<String> {
    let origin = if given { "given" } else { "found on flash" };
    let (mac, why) = macs.into_iter().find_map(|mac| Some((mac, mac_fault(mac)?)))?;
    Some(format!("Bad mac ({mac}) {origin}: {why}. Please re-burn with a valid -mac flag value."))
}

/// MACs that a burn takes from the flash: an old section without any, or with blank ones, gets them from
/// its port GUIDs (docs/flint.md#guids-of-a-burn step 3).
pub(super) fn carried_macs(image: &Image) -> Option<[Mac; 2]> {
    let Ids { guids, macs } = Ids::of(image);
    let (guids, macs) = (guids?, macs?);
    let entries = image.guids.as_ref().map_or(0, |g| g.entries);
    let blank = macs.iter().all(|m| m.is_blank());
    Some(if entries == 4 || blank { Identity::macs_of(&guids) } else { macs })
}

/// The VSD of an image, without the zeros behind it.
pub(super) fn vsd(image: &Image) -> Vec<u8> {
    let raw = image.info.as_ref().and_then(|info| info.vsd_raw.as_deref());
    trim_zeros(raw.unwrap_or_default()).to_vec()
}
