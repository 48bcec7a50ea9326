//! Configuration space of a PCI function, through the sysfs file `config`. Only root may read
//! beyond 64 bytes (drivers/pci/pci-sysfs.c, `pci_read_config`).
//!
//! Reads are single dwords: on these cards a read of 0x5c is a CR-space access at the address in
//! 0x58, and a read of a semaphore there would take it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// First extended capability (PCIe).
const EXTENDED: u16 = 0x100;
/// Extended capabilities that fit; ends a list that forms a circle.
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
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        File::open(dir.join("config")).map(Self)
    }

    pub(super) fn dword(&self, at: u16) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.0.read_exact_at(&mut bytes, u64::from(at))?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Offset of a capability, if the function has it.
    ///
    /// # Errors
    /// The list cannot be read to its end, or reads all ones.
    pub(super) fn capability(&self, id: u8) -> io::Result<Option<u16>> {
        if self.dword(4)? & STATUS_CAPABILITIES == 0 {
            return Ok(None);
        }
        let mut at = (self.dword(0x34)? & 0xfc) as u16;
        for _ in 0..STEPS {
            if at < 0x40 {
                return Ok(None);
            }
            let header = self.present(at)?;
            if header as u8 == id {
                return Ok(Some(at));
            }
            at = (header >> 8 & 0xfc) as u16;
        }
        Ok(None)
    }

    /// Offset of an extended capability, if the function has it.
    ///
    /// # Errors
    /// As for [`capability`](Self::capability).
    pub(super) fn extended(&self, id: u16) -> io::Result<Option<u16>> {
        let mut at = EXTENDED;
        for _ in 0..EXTENDED_STEPS {
            let header = self.present(at)?;
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

    /// A header of a capability; all ones is a device that does not answer.
    fn present(&self, at: u16) -> io::Result<u32> {
        match self.dword(at)? {
            u32::MAX => Err(io::Error::other("configuration space reads all ones")),
            header => Ok(header),
        }
    }
}
