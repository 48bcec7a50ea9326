//! Registers by name, with the public source of each.

use schemars::JsonSchema;
use serde::Serialize;

/// Byte offset in CR-space, equal to the offset in BAR0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrOffset(pub u32);

/// Every register this program touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reg {
    /// 0x1f064 + 4n, n = 0..4: running firmware version and build time
    /// (mstflint fs2_ops.cpp, `getRunningFwVer`).
    RunningVersion(u8),
    /// 0x41270: above 0xfff00000 when no firmware runs (mstflint mflash.c,
    /// `cntx_flash_init_direct_access`).
    RecoveryTest,
    /// 0x80780 + 4n, n = 0..7: the tools command interface (mstflint mtcr_tools_cif.c).
    ToolsHcr(u8),
    /// 0xe0000 + 4n, n = 0..72: its mailbox, where the firmware maps one.
    ToolsMailbox(u8),
    /// 0xf0000: boot address, image start << 8 (mstflint mflash.c,
    /// `mf_update_boot_addr`).
    BootAddress,
    /// 0xf0010: software reset (drivers/net/ethernet/mellanox/mlx4/reset.c). Written only, never
    /// read.
    SoftwareReset,
    /// 0xf0014: hardware device id and revision.
    DeviceId,
    /// 0xf0300 + 4n: hardware semaphores; a read acquires (illumos hermon.c, `hermon_sw_reset`).
    Semaphore(u8),
    /// 0xf0400: gateway command (mstflint mflash.c).
    GatewayCommand,
    /// 0xf0404: gateway address.
    GatewayAddress,
    /// 0xf0410 + 4n, n = 0..4: gateway data.
    GatewayData(u8),
    /// 0xf3834: bits 28:27, chip reset on link-down (mstflint mflash.c).
    LinkDownReset,
}

impl Reg {
    /// Offset, name, and number among registers of this name.
    fn place(self) -> (u32, &'static str, Option<u8>) {
        match self {
            Self::RunningVersion(n) => (0x1_f064, "running version", Some(n)),
            Self::RecoveryTest => (0x4_1270, "recovery test", None),
            Self::ToolsHcr(n) => (0x8_0780, "tools command word", Some(n)),
            Self::ToolsMailbox(n) => (0xe_0000, "tools mailbox", Some(n)),
            Self::BootAddress => (0xf_0000, "boot address", None),
            Self::SoftwareReset => (0xf_0010, "software reset", None),
            Self::DeviceId => (0xf_0014, "device id", None),
            Self::Semaphore(n) => (0xf_0300, "semaphore", Some(n)),
            Self::GatewayCommand => (0xf_0400, "gateway command", None),
            Self::GatewayAddress => (0xf_0404, "gateway address", None),
            Self::GatewayData(n) => (0xf_0410, "gateway data", Some(n)),
            Self::LinkDownReset => (0xf_3834, "link-down reset", None),
        }
    }

    /// The register at this offset; `None` where this program touches none.
    pub(crate) fn at(offset: CrOffset) -> Option<Self> {
        type Numbered = fn(u8) -> Reg;
        // First, registers of this name, and the register.
        let many: [(u32, u32, Numbered); 5] = [
            (0x1_f064, 4, Self::RunningVersion),
            (0x8_0780, 7, Self::ToolsHcr),
            (0xe_0000, 72, Self::ToolsMailbox),
            (0xf_0300, 64, Self::Semaphore),
            (0xf_0410, 4, Self::GatewayData),
        ];
        for (first, count, reg) in many {
            let inside = offset.0.wrapping_sub(first);
            if inside / 4 < count && inside.is_multiple_of(4) {
                return Some(reg((inside / 4) as u8));
            }
        }
        let one = [
            Self::RecoveryTest,
            Self::BootAddress,
            Self::SoftwareReset,
            Self::DeviceId,
            Self::GatewayCommand,
            Self::GatewayAddress,
            Self::LinkDownReset,
        ];
        one.into_iter().find(|reg| reg.offset() == offset)
    }

    /// Whether it carries contents of the flash or of a mailbox. Words 0 and 1 of the tools command
    /// interface are its input, words 3 and 4 its output: mailbox dwords, when commands move it, and the
    /// key of a locked card. Every register is named, so that a new one has to be classed here.
    pub(crate) fn holds_data(self) -> bool {
        match self {
            Self::GatewayData(_) | Self::ToolsMailbox(_) | Self::ToolsHcr(0 | 1 | 3 | 4) => true,
            Self::RunningVersion(_)
            | Self::RecoveryTest
            | Self::ToolsHcr(_)
            | Self::BootAddress
            | Self::SoftwareReset
            | Self::DeviceId
            | Self::Semaphore(_)
            | Self::GatewayCommand
            | Self::GatewayAddress
            | Self::LinkDownReset => false,
        }
    }

    pub fn offset(self) -> CrOffset {
        let (first, _, number) = self.place();
        CrOffset(first + 4 * u32::from(number.unwrap_or(0)))
    }

    /// All ones there again and again mean that the card does not answer, even when the device id can be
    /// read: semaphores hold 0 or 1, and the command register's upper bits are written 0;
    /// so does the control word of the tools command interface: no status is 0xff with go still set.
    /// The others may hold all ones: 0x41270 does without firmware, and flash bytes may be anything.
    pub(super) fn never_all_ones(self) -> bool {
        matches!(
            self,
            Self::DeviceId | Self::Semaphore(_) | Self::GatewayCommand | Self::ToolsHcr(6)
        )
    }
}

impl std::fmt::Display for Reg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (at, (_, name, number)) = (self.offset().0, self.place());
        match number {
            Some(n) => write!(f, "{name} {n} ({at:#x})"),
            None => write!(f, "{name} ({at:#x})"),
        }
    }
}

/// Semaphores with a meaning for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Semaphore {
    /// 40: exclusive right of flash programming between tools.
    FlashProgramming,
    /// 47: tools command interface.
    ToolsHcr,
    /// 63: flash gateway, GPIO and software reset.
    Flash,
}

impl Semaphore {
    pub fn number(self) -> u8 {
        match self {
            Self::FlashProgramming => 40,
            Self::ToolsHcr => 47,
            Self::Flash => 63,
        }
    }

    /// What it guards, in words.
    pub fn guards(self) -> &'static str {
        match self {
            Self::FlashProgramming => "flash programming",
            Self::ToolsHcr => "tools command interface",
            Self::Flash => "flash gateway and reset",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CrOffset, Reg};

    #[test]
    fn every_register_is_found_by_its_offset() {
        for reg in [
            Reg::RunningVersion(3),
            Reg::RecoveryTest,
            Reg::ToolsHcr(6),
            Reg::ToolsMailbox(71),
            Reg::BootAddress,
            Reg::SoftwareReset,
            Reg::DeviceId,
            Reg::Semaphore(63),
            Reg::GatewayCommand,
            Reg::GatewayAddress,
            Reg::GatewayData(3),
            Reg::LinkDownReset,
        ] {
            assert_eq!(Reg::at(reg.offset()), Some(reg));
        }
        for at in [0, 0xf_0411, 0xf_0420, 0x1_f060, u32::MAX] {
            assert_eq!(Reg::at(CrOffset(at)), None, "{at:#x}");
        }
    }
}
