//! Why a card cannot be opened or closed: one variant for each errno of VFIO (drivers/vfio/group.c,
//! drivers/vfio/container.c, drivers/vfio/vfio_iommu_type1.c).

use crate::escape;
use crate::host::{Bdf, Sibling};
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum VfioError {
    /// A host that is a directory has no devices.
    #[error("{bdf} cannot be opened: this host is a directory, not the machine")]
    NotThisMachine { bdf: Bdf },
    /// No IOMMU group: there is no IOMMU, or it is switched off. No-IOMMU mode is not used
    /// because it does not stop DMA.
    #[error("{bdf} has no IOMMU group")]
    NoIommu { bdf: Bdf },
    #[error("{bdf} is bound to {}, not to vfio-pci", driver.as_deref().unwrap_or("no driver"))]
    WrongDriver { bdf: Bdf, driver: Option<String> },
    /// ENOENT or ENODEV at the container node: the module vfio is not loaded.
    #[error("{} cannot be opened: VFIO is not loaded", escape::path(path))]
    NotLoaded { path: PathBuf, source: io::Error },
    /// The kernel's VFIO has another interface version or no TYPE1v2 IOMMU.
    #[error("the kernel's VFIO is not usable: {what}")]
    Unfit { what: &'static str },
    /// EACCES or EPERM at a node: file mode.
    #[error("no right to open {}", escape::path(path))]
    NoRights { path: PathBuf, source: io::Error },
    /// ENOENT: nothing in the group is bound to a VFIO driver.
    #[error(
        "{} does not exist: no device of IOMMU group {group} is on a VFIO driver",
        escape::path(path)
    )]
    NoGroupNode { group: u32, path: PathBuf },
    /// The kernel offers only the character device, which this build does not support.
    #[error(
        "the kernel offers the card as {} only, and cx3flash was built without `cdev`",
        escape::path(path)
    )]
    OnlyCdev { path: PathBuf },
    /// EBUSY: another program, maybe a virtual machine, has the group or its character device open.
    #[error("{} is held by another program", escape::path(path))]
    Busy { group: u32, path: PathBuf },
    /// A sibling in the group is bound to an ordinary driver.
    #[error(
        "IOMMU group {group} is not viable: {}",
        siblings.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    NotViable {
        group: u32,
        /// The siblings that block it; empty when sysfs does not show them.
        siblings: Vec<Sibling>,
    },
    /// EPERM at `VFIO_GROUP_SET_CONTAINER`: DMA ownership refused; a sibling's driver, or a kernel
    /// of before 2022 that refuses RMRR devices this way.
    #[error("the kernel does not hand over the DMA of IOMMU group {group}")]
    NoDmaOwnership { group: u32 },
    /// EINVAL at `VFIO_GROUP_SET_CONTAINER`: the platform's firmware requires a 1:1 mapping (RMRR).
    #[error(
        "the platform's firmware requires a fixed memory mapping (RMRR) for IOMMU group {group}"
    )]
    FirmwareMapping { group: u32 },
    /// Another errno at `VFIO_GROUP_SET_CONTAINER`.
    #[error("IOMMU group {group} cannot join a container")]
    Attach { group: u32, source: io::Error },
    /// EPERM at `VFIO_SET_IOMMU`: the IOMMU has no interrupt remapping.
    #[error("the IOMMU cannot remap interrupts")]
    NoInterruptRemapping { group: u32 },
    /// Another errno at `VFIO_SET_IOMMU`.
    #[error("the container does not accept a TYPE1v2 IOMMU for group {group}")]
    SetIommu { group: u32, source: io::Error },
    /// EAGAIN at every `VFIO_GROUP_GET_DEVICE_FD`: the device's lock is held.
    #[error("{bdf} stayed locked during its reset for {tries} tries")]
    ResetBusy { bdf: Bdf, tries: u32 },
    /// ENODEV at `VFIO_GROUP_GET_DEVICE_FD`: the card left the group.
    #[error("{bdf} is no longer in IOMMU group {group}")]
    Left { bdf: Bdf, group: u32 },
    /// Another errno at `VFIO_GROUP_GET_DEVICE_FD`: enabling the card failed.
    #[error("{bdf} cannot be enabled")]
    Enable { bdf: Bdf, source: io::Error },
    /// Another errno at a node.
    #[error("{} cannot be opened", escape::path(path))]
    Node { path: PathBuf, source: io::Error },
    #[error("{call} failed")]
    Ioctl {
        call: &'static str,
        /// `None` when vfio-ioctls drops it.
        source: Option<io::Error>,
    },
    /// Configuration space cannot be read and written.
    #[error("configuration space of {bdf} is not usable: {size} bytes, flags {flags:#x}")]
    NoConfig { bdf: Bdf, size: u64, flags: u32 },
    #[error("BAR0 of {bdf} is not usable: {fault}")]
    Bar { bdf: Bdf, fault: BarFault },
    #[error("BAR0 of {bdf} cannot be mapped")]
    Map { bdf: Bdf, source: io::Error },
    #[error("configuration space of {bdf} at {at:#x}")]
    Config { bdf: Bdf, at: u16, source: io::Error },
    /// This process has closed everything, and the group is still busy.
    #[error("{} is still busy {waited_ms} ms after it was closed", escape::path(path))]
    StillBusy { path: PathBuf, waited_ms: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BarFault {
    #[error("the card has none")]
    Missing,
    #[error("{0:#x} bytes, the CR-space needs 0x100000")]
    Small(u64),
    #[error("the kernel does not allow reading and writing it (flags {0:#x})")]
    Flags(u32),
    #[error("the kernel does not allow mapping all of it")]
    NotMappable,
}
