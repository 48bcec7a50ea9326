//! Configuration space of a PCI function, through the file `config` in sysfs. Reading beyond 64 bytes
//! takes root (kernel drivers/pci/pci-sysfs.c, `pci_read_config`).
//!
//! Single dwords only: on a card of this family a read of 0x5c is a CR-space access at whatever
//! address was left in 0x58, and on a semaphore that would take it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// First extended capability (PCIe).
const EXTENDED: u16 = 0x100;
/// Extended capabilities that fit: a list that runs in a circle ends after so many steps.
const EXTENDED_STEPS: usize = (0x1000 - 0x100) / 8;
/// Status register, upper half of the dword at 4: there is a list of capabilities
/// (include/uapi/linux/pci_regs.h, `PCI_STATUS_CAP_LIST`).
const STATUS_CAPABILITIES: u32 = 0x10 << 16;
/// Capabilities that fit between 0x40 and 0x100.
const STEPS: usize = (0x100 - 0x40) / 4;

/// An open `config` file.
pub(super) struct SysfsConfig(File);

impl SysfsConfig {
    /// Opens the configuration space of the function whose sysfs directory is `dir`.
    pub(super) fn open(dir: &Path) -> Option<Self> {
        File::open(dir.join("config")).ok().map(Self)
    }

    /// Reads one dword; `None` beyond what this user may read.
    pub(super) fn dword(&self, at: u16) -> Option<u32> {
        let mut bytes = [0; 4];
        self.0.read_exact_at(&mut bytes, u64::from(at)).ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    /// Offset of a capability; `Ok(None)` when the function has none of that id.
    ///
    /// # Errors
    /// `Unreadable` when the list cannot be read to its end.
    pub(super) fn capability(&self, id: u8) -> Result<Option<u16>, Unreadable> {
        let read = |at| self.dword(at).ok_or(Unreadable);
        if read(4)? & STATUS_CAPABILITIES == 0 {
            return Ok(None);
        }
        let mut at = (read(0x34)? & 0xfc) as u16;
        for _ in 0..STEPS {
            if at < 0x40 {
                return Ok(None);
            }
            let header = read(at)?;
            if header == u32::MAX {
                return Err(Unreadable);
            }
            if header as u8 == id {
                return Ok(Some(at));
            }
            at = (header >> 8 & 0xfc) as u16;
        }
        Ok(None)
    }

    /// Offset of an extended capability; `Ok(None)` when the function has none of that id.
    ///
    /// # Errors
    /// `Unreadable` when the list cannot be read to its end.
    pub(super) fn extended(&self, id: u16) -> Result<Option<u16>, Unreadable> {
        let mut at = EXTENDED;
        for _ in 0..EXTENDED_STEPS {
            let header = self.dword(at).ok_or(Unreadable)?;
            if header == u32::MAX {
                return Err(Unreadable);
            }
            if header == 0 {
                return Ok(None);
            }
            if header as u16 == id {
                return Ok(Some(at));
            }
            at = (header >> 20) as u16 & !3;
            if at < EXTENDED {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

/// Configuration space cannot be read: not by this user, or it reads all ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;
