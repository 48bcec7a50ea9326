//! One record of the journal.

use crate::host::{Bdf, NetDev, PciIds, VFIO_PCI};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that is needed to restore the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::host) struct JournalRecord {
    pub(in crate::host) bdf: Bdf,
    /// PCI device id. A different id at the same address is another card, or the same one after it
    /// left recovery mode.
    pub(in crate::host) device_id: u16,
    /// Subsystem vendor and device.
    pub(in crate::host) subsystem: (u16, u16),
    /// `None` also where another card shows the same one.
    pub(in crate::host) serial: Option<u64>,
    /// Serial numbers that the card may show later: node GUIDs of images on its flash, and of one that the job
    /// writes.
    #[serde(default)]
    pub(in crate::host) new_serials: Vec<u64>,
    /// Bridges above the card and its address, as sysfs has them.
    pub(in crate::host) slot: Option<String>,
    /// Boot in which this was written; driver bindings do not survive a reboot.
    pub(in crate::host) boot_id: String,
    /// Process that wrote it.
    pub(in crate::host) pid: u32,
    #[serde(rename = "found")]
    pub(in crate::host) original: OriginalState,
    /// The change that was about to be made when this was written.
    pub(in crate::host) step: HostStep,
    /// The kernel was made to enumerate the card again, and may have chosen another driver.
    #[serde(default)]
    pub(in crate::host) reenumerated: bool,
    /// Bridge above the card: rescanned when the kernel was made to forget the card.
    pub(in crate::host) bridge: Option<Bdf>,
    pub(in crate::host) marks: Marks,
}

impl JournalRecord {
    /// Whether the host was changed for it, as far as this boot is concerned. A card that was on vfio-pci
    /// already is left there, unless the kernel had to enumerate it again.
    pub(in crate::host) fn changed_host(&self) -> bool {
        !self.original.on_vfio() || self.reenumerated
    }
}

/// State of the host before it was changed (docs/linux.md#state-to-keep).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalState {
    pub driver: Option<String>,
    pub driver_override: Option<String>,
    pub netdevs: Vec<NetDev>,
    /// `mlx4_port1`, `mlx4_port2` as they read.
    pub port_types: Vec<String>,
    /// Virtual functions that were enabled. They go with the driver and come back with it; what
    /// they were bound to does not (docs/linux.md#sr-iov).
    pub vfs: Vec<OriginalFunction>,
    /// Functions of the IOMMU group that were unbound.
    pub siblings: Vec<MovedSibling>,
    /// Module parameter `internal_err_reset` of mlx4_core; `None` when the module is not loaded.
    pub internal_err_reset: Option<String>,
}

impl OriginalState {
    /// Whether the card was on vfio-pci already, as on a passthrough host.
    pub fn on_vfio(&self) -> bool {
        self.driver.as_deref() == Some(VFIO_PCI)
    }
}

/// A function of the group that had to leave its driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedSibling {
    pub bdf: Bdf,
    /// Another device at this address does not get its driver.
    pub ids: Option<PciIds>,
    pub driver: String,
}

/// What a virtual function was bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalFunction {
    pub bdf: Bdf,
    pub ids: Option<PciIds>,
    pub driver: Option<String>,
    pub driver_override: Option<String>,
}

/// A change about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostStep {
    /// Nothing is changed yet.
    Begin,
    /// Siblings are unbound.
    Siblings,
    /// `driver_override` is set.
    Override,
    /// The card is unbound.
    Unbind,
    /// The card is bound to vfio-pci.
    Bind,
    /// The card is in use through VFIO.
    Borrowed,
    /// The card is given back.
    GiveBack,
    /// The card is removed and the bus rescanned. If the card is missing, the rescan was not
    /// reached.
    Reenumerate,
}

/// What a process that restores the host must know about the card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Marks {
    /// Semaphores of the card may be held by the process that wrote this.
    pub semaphores_held: bool,
    /// An erase or program had begun.
    pub flash_touched: bool,
    /// Whether the flash boots; `None` when that was not checked.
    pub boots: Option<bool>,
    /// No firmware was seen running on it, whatever its flash holds.
    #[serde(default)]
    pub no_firmware: bool,
    /// What the boot address register is set back to while the image there is complete: the new one was not
    /// seen running.
    #[serde(default)]
    pub back_address: Option<u32>,
    /// The firmware that ran before showed no life by a register.
    #[serde(default)]
    pub no_life: bool,
}
