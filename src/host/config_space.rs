//! Configuration space of a PCI function, through the sysfs file `config`. Only root may read
//! beyond 64 bytes (drivers/pci/pci-sysfs.c, `pci_read_config`).
//!
//! Reads are single dwords: on these cards a read of 0x5c is a CR-space access at the address in
//! 0x58, and a read of a semaphore there would take it.

use super::{Bdf, Host};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// First extended capability (PCIe).
const EXTENDED: u16 = 0x100;
/// Status register, upper half of the dword at 4: there is a list of capabilities
/// (include/uapi/linux/pci_regs.h, `PCI_STATUS_CAP_LIST`).
const STATUS_CAPABILITIES: u32 = 0x10 << 16;
/// More capabilities than fit; ends a list that forms a circle.
const STEPS: usize = 0x1000 / 4;

impl Host {
    /// Ids of a card's PCI capabilities in hexadecimal, as far as this user may read them.
    pub fn capabilities(&self, bdf: Bdf) -> Vec<String> {
        let ids = SysfsConfig::open(&self.device(bdf)).and_then(|config| config.ids());
        ids.unwrap_or_default().iter().map(|id| format!("{id:02x}")).collect()
    }
}

/// The two dwords through which registers are reached: reading them is an access to a register.
const GATEWAY: [u16; 2] = [0x58, 0x5c];

impl Host {
    /// Dwords of the first 256 bytes of a card's configuration space by offset, as far as this user may read
    /// them.
    pub fn configuration(&self, bdf: Bdf) -> Vec<(u16, u32)> {
        let Ok(config) = SysfsConfig::open(&self.device(bdf)) else {
            return Vec::new();
        };
        let offsets = (0..EXTENDED).step_by(4).filter(|at| !GATEWAY.contains(at));
        offsets.map_while(|at| Some((at, config.dword(at).ok()?))).collect()
    }
}

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
    pub(super) fn capability(&self, id: u8) -> io::Result<Option<u16>> {
        if self.dword(4)? & STATUS_CAPABILITIES == 0 {
            return Ok(None);
        }
        let first = (self.dword(0x34)? & 0xfc) as u16;
        let next = |header: u32| (header >> 8 & 0xfc) as u16;
        self.search(first, 0x40, |header| header as u8 == id, next)
    }

    /// Offset of an extended capability, if the function has it.
    pub(super) fn extended(&self, id: u16) -> io::Result<Option<u16>> {
        let next = |header: u32| (header >> 20) as u16 & !3;
        self.search(EXTENDED, EXTENDED, |header| header as u16 == id, next)
    }

    /// Ids of all capabilities, in the order of the list.
    fn ids(&self) -> io::Result<Vec<u8>> {
        let mut ids = Vec::new();
        let mut at = (self.dword(0x34)? & 0xfc) as u16;
        for _ in 0..STEPS {
            if at < 0x40 || self.dword(4)? & STATUS_CAPABILITIES == 0 {
                break;
            }
            let header = self.dword(at)?;
            ids.push(header as u8);
            at = (header >> 8 & 0xfc) as u16;
        }
        Ok(ids)
    }

    /// Follows a list of capabilities from `at`. An address below `lowest` ends it.
    fn search(
        &self,
        mut at: u16,
        lowest: u16,
        is_it: impl Fn(u32) -> bool,
        next: impl Fn(u32) -> u16,
    ) -> io::Result<Option<u16>> {
        for _ in 0..STEPS {
            if at < lowest {
                return Ok(None);
            }
            match self.dword(at)? {
                u32::MAX => return Err(io::Error::other("configuration space reads all ones")),
                header if is_it(header) => return Ok(Some(at)),
                header => at = next(header),
            }
        }
        Ok(None)
    }
}
