//! What a simulated card is made of.

use super::SimPart;
use serde::{Deserialize, Serialize};

/// Identity and silicon of a simulated card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardSpec {
    /// Board name for people, e.g. `MCX311A-XCAT`.
    pub board: String,
    /// 0x1f5 or 0x1f7.
    pub hw_id: u16,
    /// Silicon revision.
    pub revision: u8,
    /// Flash chip.
    pub part: SimPart,
    /// PCI address shown by `list`.
    pub bdf: String,
    /// CR-space locked (secure host): every register reads 0xbad0cafe.
    pub secure_host: bool,
    /// Configuration gateway variant with a write-only address register (flash-hardware §2.4).
    pub write_only_address: bool,
}

impl Default for CardSpec {
    /// MCX311A-XCAT: one SFP+ port, A1 silicon, M25PX16 (owner-story.md).
    fn default() -> Self {
        Self {
            board: "MCX311A-XCAT".into(),
            hw_id: 0x1f5,
            revision: 1,
            part: SimPart::M25px16,
            bdf: "0000:01:00.0".into(),
            secure_host: false,
            write_only_address: false,
        }
    }
}
