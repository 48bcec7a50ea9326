//! The two devices of the family, ConnectX-3 and ConnectX-3 Pro: their ids and names in one table.
//!
//! Hardware ids and names of revisions: mstflint fw_ops.cpp, `hwDevData` and `hwDev2Str`. PCI ids with
//! firmware: drivers/net/ethernet/mellanox/mlx4/main.c, `mlx4_pci_table`. The recovery PCI id is the
//! hardware id plus one: mstflint tools_dev_types.c, `dm_is_livefish_mode`.

use super::CardError;
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::RangeInclusive;

/// Value of a filtered register, or of one outside of BAR0 (mstflint mtcr_ul_com.c,
/// `mtcr_check_signature`).
pub const BAD_ACCESS: u32 = 0xBADA_CCE5;
/// The hardware id of a locked card (mstflint mflash.c, `CR_LOCK_HW_ID`).
const LOCKED: u32 = 0xBAD0_CAFE;

/// Values that a failed read returns: a timeout or a card that is gone, a locked card, a filtered
/// register. One such read is no finding (docs/hardware.md#failed-reads).
pub(super) fn is_doubtful(value: u32) -> bool {
    matches!(value, u32::MAX | LOCKED | BAD_ACCESS)
}

/// One device of the family.
#[derive(Debug, PartialEq, Eq)]
pub struct DeviceType {
    /// Low half of the device id register (0xf0014).
    pub hw_id: u16,
    /// The product's name.
    pub name: &'static str,
    /// mstflint's name of the device.
    pub mstflint_name: &'static str,
    /// mstflint's names of the chip revisions.
    revisions: &'static [(u8, &'static str)],
    /// Device ids in images. 0x1004 is the id of virtual functions, and mstflint takes it here as well.
    image_ids: &'static [RangeInclusive<u16>],
    recovery_pci_id: u16,
}

static DEVICE_TYPES: [DeviceType; 2] = [
    DeviceType {
        hw_id: 0x1F5,
        name: "ConnectX-3",
        mstflint_name: "ConnectX-3",
        revisions: &[(0, "ConnectX-3 A0"), (1, "ConnectX-3 A1")],
        image_ids: &[0x1003..=0x1006, 0x1008..=0x1010],
        recovery_pci_id: 0x1F6,
    },
    DeviceType {
        hw_id: 0x1F7,
        name: "ConnectX-3 Pro",
        mstflint_name: "ConnectX-3Pro",
        revisions: &[(0, "ConnectX-3Pro")],
        image_ids: &[0x1007..=0x1007],
        recovery_pci_id: 0x1F8,
    },
];

/// PCI ids of virtual functions. 0x1002 belongs to ConnectX-2 and has the same driver.
const VIRTUAL_PCI_IDS: [u16; 2] = [0x1002, 0x1004];

impl DeviceType {
    /// The device with this hardware id.
    pub fn with_hw_id(hw_id: u16) -> Option<&'static Self> {
        DEVICE_TYPES.iter().find(|device| device.hw_id == hw_id)
    }

    /// The device that an image with this device id runs on.
    pub fn of_image(device_id: u16) -> Option<&'static Self> {
        let is_listed =
            |device: &&Self| device.image_ids.iter().any(|ids| ids.contains(&device_id));
        DEVICE_TYPES.iter().find(is_listed)
    }

    /// The device with this PCI id, with firmware or in recovery mode.
    pub fn with_pci_id(pci_id: u16) -> Option<&'static Self> {
        match Function::of(pci_id)? {
            Function::Physical => Self::of_image(pci_id),
            Function::Recovery => DEVICE_TYPES.iter().find(|d| d.recovery_pci_id == pci_id),
            Function::Virtual => None,
        }
    }
}

/// Kind of a PCI function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// A card with running firmware.
    Physical,
    /// A virtual function; never a target.
    Virtual,
    /// A card in recovery mode.
    Recovery,
}

impl Function {
    /// The function with this PCI device id; `None` for other vendors' and other families' ids.
    pub fn of(pci_id: u16) -> Option<Self> {
        if VIRTUAL_PCI_IDS.contains(&pci_id) {
            Some(Self::Virtual)
        } else if DeviceType::of_image(pci_id).is_some() {
            Some(Self::Physical)
        } else if DEVICE_TYPES.iter().any(|d| d.recovery_pci_id == pci_id) {
            Some(Self::Recovery)
        } else {
            None
        }
    }
}

/// The device id register, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Chip {
    pub hw_id: u16,
    pub revision: u8,
}

impl Chip {
    /// `ConnectX-3 A0`, `ConnectX-3 A1`, `ConnectX-3Pro`, or mstflint's `MT501-02` form for others.
    pub fn name(self) -> String {
        let revisions = DeviceType::with_hw_id(self.hw_id).map_or(&[][..], |d| d.revisions);
        match revisions.iter().find(|(number, _)| *number == self.revision) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("MT{}-{:02X}", self.hw_id, self.revision),
        }
    }

    /// Names of the chips that an image lists as supported.
    pub fn names(list: &[(u16, u8)]) -> String {
        let name = |&(hw_id, revision): &(u16, u8)| Self { hw_id, revision }.name();
        list.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    /// Decodes the value of the device id register (mstflint mtcr_ul_com.c, `mtcr_check_signature`, and
    /// mflash.c, `get_dev_info`).
    pub fn decode(value: u32) -> Result<Self, CardError> {
        let register = super::Reg::DeviceId;
        // Bits 31:24 are 0 on this family; a low half of 0xffff is a broken read, not a chip.
        let chip = Self { hw_id: (value & 0xFFFF) as u16, revision: (value >> 16 & 0xFF) as u8 };
        match value {
            LOCKED => Err(CardError::Locked),
            BAD_ACCESS => Err(CardError::BadAccess { register }),
            _ if chip.hw_id == 0xFFFF => Err(CardError::Gone { register }),
            _ if DeviceType::with_hw_id(chip.hw_id).is_some() => Ok(chip),
            _ => Err(CardError::NotOurs(value)),
        }
    }
}

/// The version block at 0x1f064.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RunningVersion {
    pub major: u16,
    pub minor: u16,
    pub subminor: u16,
}

impl RunningVersion {
    /// Decodes the first two words of the block at 0x1f064; `None` when they hold no version.
    pub(crate) fn decode(first: u32, second: u32) -> Option<Self> {
        let version = Self {
            major: (first >> 16) as u16,
            minor: (second >> 16) as u16,
            subminor: (second & 0xFFFF) as u16,
        };
        // All ConnectX-3 firmware is 2.x; zeros and ones mean that nothing was written there.
        (version.major != 0 && version.major != 0xFFFF).then_some(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_values_are_never_a_chip() {
        for value in [u32::MAX, 0x0001_FFFF] {
            assert!(matches!(Chip::decode(value), Err(CardError::Gone { .. })));
        }
        assert!(matches!(Chip::decode(LOCKED), Err(CardError::Locked)));
        assert!(matches!(Chip::decode(BAD_ACCESS), Err(CardError::BadAccess { .. })));
        assert!(matches!(Chip::decode(0x00A0_0190), Err(CardError::NotOurs(0x00A0_0190))));
    }

    #[test]
    fn known_chips_have_their_names() {
        let names = [
            (0x0000_01F5, "ConnectX-3 A0"),
            (0x0001_01F5, "ConnectX-3 A1"),
            (0x0002_01F5, "MT501-02"),
            (0x1F7, "ConnectX-3Pro"),
        ];
        for (value, name) in names {
            assert_eq!(Chip::decode(value).unwrap().name(), name);
        }
    }

    #[test]
    fn pci_ids_of_the_family_name_function_and_device() {
        let ids = [
            (0x1002, Some(Function::Virtual), None),
            (0x1003, Some(Function::Physical), Some(0x1F5)),
            (0x1004, Some(Function::Virtual), None),
            (0x1007, Some(Function::Physical), Some(0x1F7)),
            (0x1010, Some(Function::Physical), Some(0x1F5)),
            (0x1011, None, None),
            (0x1F5, None, None),
            (0x1F6, Some(Function::Recovery), Some(0x1F5)),
            (0x1F8, Some(Function::Recovery), Some(0x1F7)),
        ];
        for (id, function, hw_id) in ids {
            assert_eq!(Function::of(id), function, "{id:#x}");
            let device = DeviceType::with_pci_id(id).map(|device| device.hw_id);
            assert_eq!(device, hw_id, "{id:#x}");
        }
    }

    #[test]
    fn a_version_block_is_decoded() {
        let version = RunningVersion::decode(0x0002_0000, 0x002A_1388).unwrap();
        assert_eq!((version.major, version.minor, version.subminor), (2, 42, 5000));
        assert_eq!(RunningVersion::decode(0, 0), None);
        assert_eq!(RunningVersion::decode(u32::MAX, u32::MAX), None);
    }
}
