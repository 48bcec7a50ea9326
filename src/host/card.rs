//! A PCI function of the family, as sysfs shows it. Looking changes nothing on the card or the host.

use super::Bdf;
use crate::card::Function;
use serde::{Deserialize, Serialize};

/// One network device of a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetDev {
    /// Its name now.
    pub name: String,
    /// MAC address as sysfs writes it.
    pub mac: String,
    /// `operstate`.
    pub state: String,
    /// `dev_port`: 0 is port 1.
    pub port: u32,
}

/// Another function in the card's IOMMU group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sibling {
    /// Address.
    pub bdf: Bdf,
    /// Driver bound to it.
    pub driver: Option<String>,
    /// Keeps the group from being viable (docs/linux.md#vfio-errors: bound, and its driver does not manage DMA
    /// ownership itself).
    pub blocks: bool,
}

/// A card of the family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PciCard {
    /// Address.
    pub bdf: Bdf,
    /// PCI device id; the vendor is 15b3.
    pub device_id: u16,
    /// Kind of function.
    pub function: Function,
    /// PCI revision.
    pub revision: u8,
    /// Subsystem vendor and device.
    pub subsystem: (u16, u16),
    /// Serial number capability, when configuration space shows one.
    pub serial: Option<u64>,
    /// Driver bound now.
    pub driver: Option<String>,
    /// `driver_override`; `None` when it reads `(null)`.
    pub driver_override: Option<String>,
    /// Number of its IOMMU group; `None` without an IOMMU.
    pub iommu_group: Option<u32>,
    /// Other functions in that group.
    pub siblings: Vec<Sibling>,
    /// Length of BAR0 in bytes; `None` when it has none.
    pub bar0: Option<u64>,
    /// `reset_method`, word by word.
    pub reset_methods: Vec<String>,
    /// Virtual functions enabled on it.
    pub vfs: Vec<Bdf>,
    /// Its network devices, by port.
    pub netdevs: Vec<NetDev>,
    /// Its RDMA devices.
    pub rdma: Vec<String>,
    /// `mlx4_port1`, `mlx4_port2`: `ib`, `eth`, `auto (eth)` …
    pub port_types: Vec<String>,
    /// PSID the running firmware reports (`board_id`), through mlx4_ib.
    pub board_id: Option<String>,
    /// Version of the running firmware, through mlx4_ib (`fw_ver`).
    pub fw_version: Option<String>,
}

impl PciCard {
    /// The serial number as lspci shows it (`e4-1d-2d-03-00-ab-cd-ef`, the high dword first); `None`
    /// when configuration space shows none, or may not be read by this user.
    #[must_use]
    pub fn serial_number(&self) -> Option<String> {
        let bytes = self.serial?.to_be_bytes();
        Some(bytes.map(|byte| format!("{byte:02x}")).join("-"))
    }
}
