//! GUIDs and MACs: whose they will be, flint's table of the change, flint's test of the MACs
//! (docs/fs2.md#guid-flags, docs/flint.md#guids-of-a-burn, docs/flint.md#table-of-guid-changes).

use crate::image::{Guid, Identity, Image, Mac};
use crate::plan::IdentityChange;
use std::fmt::Write as _;

/// GUIDs and MACs, each part if there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) guids: Option<[Guid; 4]>,
    pub(super) macs: Option<[Mac; 2]>,
}

impl Ids {
    /// Those an image holds, whatever its CRC says; flint does not look (docs/flint.md#guids-of-a-burn).
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

    /// With the parts of `self` where there are such, else those of `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            guids: self.guids.or(other.guids),
            macs: self.macs.or(other.macs),
        }
    }

    /// Nothing.
    pub(super) fn is_empty(self) -> bool {
        self.guids.is_none() && self.macs.is_none()
    }

    /// For the plan.
    pub(super) fn change(self, vsd: Option<Vec<u8>>) -> IdentityChange {
        IdentityChange {
            guids: self.guids,
            macs: self.macs,
            vsd,
        }
    }
}

/// The table, without the question.
pub(super) fn table(new: Ids, current: Option<Ids>) -> String {
    let mut out = String::from(
        "    You are about to change the Guids/Macs/Uids on the device:\n\n                        New \
         Values              Current Values\n",
    );
    let guids = new.guids.unwrap_or([Guid(0); 4]);
    let old = current.and_then(|c| c.guids);
    for (n, label) in [
        "Node  GUID:",
        "Port1 GUID:",
        "Port2 GUID:",
        "Sys.Image GUID:",
    ]
    .iter()
    .enumerate()
    {
        let was = old
            .and_then(|o| o.get(n).copied())
            .map_or_else(|| "      N/A".to_owned(), |g| g.to_string());
        let is = guids.get(n).copied().unwrap_or(Guid(0));
        let _ = writeln!(out, "        {label:16}{is}        {was}");
    }
    let macs = new.macs.unwrap_or([Mac(0); 2]);
    let old = current.and_then(|c| c.macs);
    for (n, label) in ["Port1 MAC:", "Port2 MAC:"].iter().enumerate() {
        let was = old
            .and_then(|o| o.get(n).copied())
            .map_or_else(|| "  N/A".to_owned(), |m| m.to_string());
        let is = macs.get(n).copied().unwrap_or(Mac(0));
        let _ = writeln!(out, "        {label:16}    {is}            {was}");
    }
    out
}

/// flint's error for MACs that cannot be (docs/flint.md#guids-of-a-burn step 4).
pub(super) fn bad_mac(macs: [Mac; 2], given: bool) -> Option<String> {
    let whence = if given { "given" } else { "found on flash" };
    macs.iter().find_map(|mac| {
        let why = if mac.0 & 1 << 40 != 0 {
            "Multicast bit (bit 40) is set"
        } else if mac.0 >> 48 != 0 {
            "More than 48 bits are used"
        } else {
            return None;
        };
        Some(format!(
            "Bad mac ({mac}) {whence}: {why}. Please re-burn with a valid -mac flag value."
        ))
    })
}

/// MACs a burn takes from the flash: an old section without any, or with blank ones, gets them from
/// its port GUIDs (docs/flint.md#guids-of-a-burn step 3).
pub(super) fn carried_macs(image: &Image) -> Option<[Mac; 2]> {
    let Ids {
        guids: Some(guids),
        macs: Some(macs),
    } = Ids::of(image)
    else {
        return None;
    };
    let entries = image.guids.as_ref().map_or(0, |g| g.entries);
    let blank = macs.iter().all(|m| m.is_blank());
    Some(if entries == 4 || blank {
        Identity::macs_of(&guids)
    } else {
        macs
    })
}

/// VSD an image holds, raw.
pub(super) fn vsd(image: &Image) -> Vec<u8> {
    let raw = image.info.as_ref().and_then(|i| i.vsd_raw.clone());
    let raw = raw.unwrap_or_default();
    let used = raw.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    raw.get(..used).unwrap_or_default().to_vec()
}
