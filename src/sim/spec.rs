//! What a simulated card is made of.

use super::SimChip;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Identity and silicon of a simulated card.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardSpec {
    /// Board name for people, e.g. `MCX311A-XCAT`.
    pub board: String,
    /// 0x1f5 or 0x1f7.
    pub hw_id: u16,
    /// Silicon revision.
    pub revision: u8,
    #[serde(rename = "part")]
    pub chip: SimChip,
    /// PCI address shown by `list`.
    pub bdf: String,
    /// CR-space locked (secure host): every register reads 0xbad0cafe.
    pub secure_host: bool,
    /// Configuration gateway variant with a write-only address register
    /// (docs/hardware.md#configuration-cycle-gateway).
    pub write_only_address: bool,
    /// How long the chip boots after a reset or at power-on, in ms, counted from the reset: the
    /// silence after a software reset is the first part of it. 0 = it is there at once.
    #[serde(default)]
    pub boot_ms: u32,
    /// Its PCI device id is the recovery id in the first half of a boot.
    #[serde(default = "yes")]
    pub boot_shows_recovery_id: bool,
    /// A PCI reset (function level, or through the bridge: VFIO at open and close) restarts the
    /// chip. Whether a ConnectX-3 does is UNCONFIRMED. Without a boot time such a reset clears
    /// configuration registers only.
    #[serde(default = "yes")]
    pub pci_reset_boots: bool,
    /// Its boot ROM does not compare the full image CRC. Whether a ConnectX-3 does is UNCONFIRMED.
    #[serde(default)]
    pub ignores_full_crc: bool,
    /// Of two valid images the boot ROM starts the one at the higher address. Which one a ConnectX-3
    /// takes is UNCONFIRMED (docs/fs2.md#flash-map).
    #[serde(default)]
    pub boots_highest_first: bool,
    /// After a software reset the image in the boot address register comes first. That a
    /// ConnectX-3 does so follows from what flint writes there; the order is UNCONFIRMED.
    #[serde(default = "yes")]
    pub honours_boot_address: bool,
}

/// What card files of earlier versions do not hold.
fn yes() -> bool {
    true
}

impl Default for CardSpec {
    /// MCX311A-XCAT: one SFP+ port, A1 silicon, M25PX16.
    fn default() -> Self {
        Self {
            board: "MCX311A-XCAT".into(),
            hw_id: 0x1f5,
            revision: 1,
            chip: SimChip::M25px16,
            bdf: "0000:01:00.0".into(),
            secure_host: false,
            write_only_address: false,
            boot_ms: 0,
            boot_shows_recovery_id: true,
            pci_reset_boots: true,
            ignores_full_crc: false,
            boots_highest_first: false,
            honours_boot_address: true,
        }
    }
}

/// (name on the command line, board, HW id, revision, flash). Which flash sits on which board is
/// UNCONFIRMED except for the M25PX16 (docs/hardware.md#chips-on-known-boards); the others are
/// there for variety.
const BOARDS: [(&str, &str, u16, u8, SimChip); 8] = [
    ("mcx311a", "MCX311A-XCAT", 0x1f5, 1, SimChip::M25px16),
    ("mcx311a-a0", "MCX311A-XCAT", 0x1f5, 0, SimChip::M25px16),
    ("mcx312b", "MCX312B-XCCT", 0x1f7, 0, SimChip::W25q16),
    ("mcx341a", "MCX341A-XCAN", 0x1f5, 1, SimChip::M25px16),
    ("mcx353a", "MCX353A-FCBT", 0x1f5, 1, SimChip::M25p16),
    ("mcx354a", "MCX354A-FCBT", 0x1f5, 1, SimChip::Mx25l1606),
    ("mcx354a-pro", "MCX354A-FCCT", 0x1f7, 0, SimChip::N25q032),
    ("mcx314a-pro", "MCX314A-BCCT", 0x1f7, 0, SimChip::Sst25vf016b),
];

impl CardSpec {
    /// Names [`CardSpec::named`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BOARDS.iter().map(|b| b.0)
    }

    /// The card called `name` (`mcx311a`, `mcx312b` …); upper or lower case.
    pub fn named(name: &str) -> Option<Self> {
        let (_, board, hw_id, revision, chip) =
            BOARDS.into_iter().find(|b| b.0.eq_ignore_ascii_case(name))?;
        Some(Self { board: board.into(), hw_id, revision, chip, ..Self::default() })
    }

    /// The first address with function 0 on a bus of its own that is not taken; that of the default card when
    /// every one is.
    pub fn free_address(taken: &[String]) -> String {
        let mut addresses = (1..=u8::MAX).map(|bus| format!("0000:{bus:02x}:00.0"));
        addresses.find(|bdf| !taken.contains(bdf)).unwrap_or_else(|| Self::default().bdf)
    }

    /// PCI device id when no firmware runs: HW id + 1 (docs/hardware.md#recovery-mode).
    pub fn recovery_id(&self) -> u16 {
        self.hw_id.wrapping_add(1)
    }

    /// PCI subsystem id, vendor 15b3, as the public PCI id list has it for the board; boards it
    /// does not have get the one of the MCX311A.
    pub fn subsystem_id(&self) -> u16 {
        let board = self.board.get(..7).unwrap_or(&self.board);
        match (board, self.hw_id) {
            ("MCX312B" | "MCX312C", _) => 0x0080,
            ("MCX314A", 0x1f7) => 0x0006,
            ("MCX354A", 0x1f7) => 0x0079,
            ("MCX353A", _) => 0x0067,
            ("MCX354A", _) => 0x0065,
            ("MCX313A", _) => 0x0064,
            _ => 0x0055,
        }
    }

    /// Ports of the board: the third digit of its number, odd for one (`MCX311A`, `MCX353A`), even
    /// for two (`MCX312B`, `MCX354A`).
    pub fn ports(&self) -> u8 {
        match self.board.as_bytes().get(5) {
            Some(digit) if digit.is_ascii_digit() && digit % 2 == 0 => 2,
            _ => 1,
        }
    }

    /// PCI device id of a running image without one: 0x1003, or 0x1007 for the Pro.
    pub fn usual_id(&self) -> u16 {
        if self.hw_id == 0x1f7 { 0x1007 } else { 0x1003 }
    }
}

#[cfg(test)]
mod tests {
    use super::CardSpec;

    #[test]
    fn recovery_ids_are_those_of_the_family() {
        let ids = |name| {
            let spec = CardSpec::named(name).expect(name);
            (spec.usual_id(), spec.recovery_id())
        };
        assert_eq!(ids("MCX311A"), (0x1003, 0x1f6));
        assert_eq!(ids("mcx312b"), (0x1007, 0x1f8));
        assert!(CardSpec::named("mcx999").is_none());
        assert!(CardSpec::names().all(|name| CardSpec::named(name).is_some()));
    }
}
