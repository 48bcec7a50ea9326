//! What is written down.

use crate::host::{Bdf, Host, NetDev, PciCard, sysfs};
use serde::{Deserialize, Serialize};

/// One record: everything that puts the host back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::host) struct JournalRecord {
    /// The card's address.
    pub(in crate::host) bdf: Bdf,
    /// Its PCI device id; another one at the same address is another card, or the same one after it
    /// left recovery mode.
    pub(in crate::host) device_id: u16,
    /// Its subsystem vendor and device.
    pub(in crate::host) subsystem: (u16, u16),
    /// Its serial number, when it shows one.
    pub(in crate::host) serial: Option<u64>,
    /// Boot in which this was written; bindings do not outlive it.
    pub(in crate::host) boot_id: String,
    /// Process that wrote it.
    pub(in crate::host) pid: u32,
    /// What the host was like.
    #[serde(rename = "found")]
    pub(in crate::host) original: OriginalState,
    /// The change that was about to be made when this was written.
    pub(in crate::host) step: HostStep,
    /// Bridge the card hangs from: where to look for a card that the kernel was told to forget.
    pub(in crate::host) bridge: Option<Bdf>,
    /// What the card is like.
    pub(in crate::host) marks: Marks,
}

/// What the host was like before it was changed (docs/linux.md#state-to-keep).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalState {
    /// Driver of the card.
    pub driver: Option<String>,
    /// Its `driver_override`.
    pub driver_override: Option<String>,
    /// Its network devices.
    pub netdevs: Vec<NetDev>,
    /// `mlx4_port1`, `mlx4_port2` as they read.
    pub port_types: Vec<String>,
    /// Virtual functions that were enabled. They go with the driver and come back with it; what they
    /// were bound to does not (docs/linux.md#sr-iov).
    pub vfs: Vec<OriginalFunction>,
    /// Functions of the IOMMU group that are moved out of the way.
    pub siblings: Vec<MovedSibling>,
    /// Module parameter `internal_err_reset` of mlx4_core; `None` when the module is not loaded.
    pub internal_err_reset: Option<String>,
}

/// One function of the group that had to leave its driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedSibling {
    /// Address.
    pub bdf: Bdf,
    /// Its driver.
    pub driver: String,
}

/// What a virtual function was bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalFunction {
    /// Address.
    pub bdf: Bdf,
    /// Its driver.
    pub driver: Option<String>,
    /// Its `driver_override`.
    pub driver_override: Option<String>,
}

/// A change about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The kernel forgets the card and finds it anew; when it is not there, this was cut short.
    Reenumerate,
}

/// What whoever puts the host back must know of the card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Semaphores of the card may be held by the process that wrote this.
    pub semaphores_held: bool,
    /// Erasing or programming had begun.
    pub flash_touched: bool,
    /// What is on the flash boots; `None` = not looked at.
    pub boots: Option<bool>,
}

impl OriginalState {
    /// Of a card as sysfs shows it now.
    pub(in crate::host) fn of(
        host: &Host,
        card: &PciCard,
        internal_err_reset: Option<String>,
    ) -> Self {
        let vf = |bdf: &Bdf| {
            let dir = host.device(*bdf);
            OriginalFunction {
                bdf: *bdf,
                driver: sysfs::link(dir.join("driver")),
                driver_override: sysfs::text(dir.join("driver_override"))
                    .filter(|text| !text.is_empty() && text != "(null)"),
            }
        };
        Self {
            driver: card.driver.clone(),
            driver_override: card.driver_override.clone(),
            netdevs: card.netdevs.clone(),
            port_types: card.port_types.clone(),
            vfs: card.vfs.iter().map(vf).collect(),
            siblings: Vec::new(),
            internal_err_reset,
        }
    }
}
