//! Which silicon it is and what runs on it.

use super::CardError;
use serde::Serialize;

/// Hardware ids: ConnectX-3, ConnectX-3 Pro (mstflint fw_ops.cpp, `hwDevData`).
pub const HARDWARE_IDS: [u16; 2] = [0x1F5, 0x1F7];

/// PCI device ids in recovery mode, each the hardware id plus one (mstflint tools_dev_types.c,
/// `dm_is_livefish_mode`).
pub const RECOVERY_IDS: [u16; 2] = [0x1F6, 0x1F8];

/// The hardware device id register, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Chip {
    /// 0x1f5 or 0x1f7.
    pub hw_id: u16,
    /// Revision, 0 or 1 on known cards.
    pub revision: u8,
}

/// The version block at 0x1f064.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RunningVersion {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
    /// Third number.
    pub subminor: u16,
}

impl Chip {
    /// `ConnectX-3 A0`, `ConnectX-3 A1`, `ConnectX-3Pro`, or flint's `MT501-02` form for others
    /// (mstflint fw_ops.cpp, `hwDev2Str`).
    #[must_use]
    pub fn name(self) -> String {
        match (self.hw_id, self.revision) {
            (0x1f5, 0) => "ConnectX-3 A0".into(),
            (0x1f5, 1) => "ConnectX-3 A1".into(),
            (0x1f7, 0) => "ConnectX-3Pro".into(),
            (id, rev) => format!("MT{id}-{rev:02X}"),
        }
    }
}

/// Judges the value of the device id register (mstflint mtcr_ul_com.c, `mtcr_check_signature`, and
/// mflash.c, `get_dev_info`).
pub(super) fn judge_device_id(value: u32) -> Result<Chip, CardError> {
    let register = || super::Reg::DeviceId.to_string();
    match value {
        u32::MAX => {
            return Err(CardError::Gone {
                register: register(),
            });
        }
        0xBAD0_CAFE => return Err(CardError::Locked),
        0xBADA_CCE5 => {
            return Err(CardError::BadAccess {
                register: register(),
            });
        }
        _ => {}
    }
    // Bits 31:24 are 0 on this family; a low half of 0xffff is a broken read, not a chip.
    let chip = Chip {
        hw_id: (value & 0xFFFF) as u16,
        revision: (value >> 16 & 0xFF) as u8,
    };
    match chip.hw_id {
        id if HARDWARE_IDS.contains(&id) => Ok(chip),
        0xFFFF => Err(CardError::Gone {
            register: register(),
        }),
        _ => Err(CardError::NotOurs(value)),
    }
}

impl RunningVersion {
    /// From the first two words of the block at 0x1f064; `None` when they hold no version.
    pub(super) fn decode(first: u32, second: u32) -> Option<Self> {
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
        assert!(matches!(
            judge_device_id(u32::MAX),
            Err(CardError::Gone { .. })
        ));
        assert!(matches!(
            judge_device_id(0x0001_FFFF),
            Err(CardError::Gone { .. })
        ));
        assert!(matches!(
            judge_device_id(0xBAD0_CAFE),
            Err(CardError::Locked)
        ));
        assert!(matches!(
            judge_device_id(0xBADA_CCE5),
            Err(CardError::BadAccess { .. })
        ));
        assert!(matches!(
            judge_device_id(0x00A0_0190),
            Err(CardError::NotOurs(0x00A0_0190))
        ));
    }

    #[test]
    fn known_chips_have_their_names() {
        let names = [
            (0x0000_01F5, "ConnectX-3 A0"),
            (0x0001_01F5, "ConnectX-3 A1"),
            (0x1F7, "ConnectX-3Pro"),
        ];
        for (value, name) in names {
            assert_eq!(judge_device_id(value).unwrap().name(), name);
        }
    }

    #[test]
    fn a_version_block_is_decoded() {
        let version = RunningVersion::decode(0x0002_0000, 0x002A_1388).unwrap();
        assert_eq!(
            (version.major, version.minor, version.subminor),
            (2, 42, 5000)
        );
        assert_eq!(RunningVersion::decode(0, 0), None);
        assert_eq!(RunningVersion::decode(u32::MAX, u32::MAX), None);
    }
}
