//! Why a card could not be opened or closed: one name for each errno of VFIO (drivers/vfio/group.c,
//! drivers/vfio/container.c, drivers/vfio/vfio_iommu_type1.c).

use crate::host::{Bdf, Sibling};
use std::io;
use std::path::PathBuf;

/// Errors of the VFIO module.
#[derive(Debug, thiserror::Error)]
pub enum VfioError {
    /// A host made of files has no devices.
    #[error("{bdf} cannot be opened: this host is a directory, not the machine")]
    NotThisMachine {
        /// The card.
        bdf: Bdf,
    },
    /// No IOMMU group: there is no IOMMU, or it is switched off. No-IOMMU mode is not used
    /// because it does not stop DMA.
    #[error("{bdf} has no IOMMU group")]
    NoIommu {
        /// The card.
        bdf: Bdf,
    },
    /// The card is not on vfio-pci.
    #[error("{bdf} is bound to {}, not to vfio-pci", driver.as_deref().unwrap_or("no driver"))]
    WrongDriver {
        /// The card.
        bdf: Bdf,
        /// Its driver now.
        driver: Option<String>,
    },
    /// ENOENT or ENODEV at the container node: the module vfio is not loaded.
    #[error("{} cannot be opened: VFIO is not loaded", path.display())]
    NotLoaded {
        /// The container node.
        path: PathBuf,
        /// What the kernel reported.
        source: io::Error,
    },
    /// The kernel's VFIO has another interface version or no TYPE1v2 IOMMU.
    #[error("the kernel's VFIO does not serve: {what}")]
    Unfit {
        /// What is missing.
        what: &'static str,
    },
    /// EACCES or EPERM at a node: file mode.
    #[error("no right to open {}", path.display())]
    NoRights {
        /// The node.
        path: PathBuf,
        /// What the kernel reported.
        source: io::Error,
    },
    /// ENOENT: nothing in the group is bound to a VFIO driver.
    #[error("{} does not exist: no device of IOMMU group {group} is on a VFIO driver", path.display())]
    NoGroupNode {
        /// IOMMU group.
        group: u32,
        /// The node that should be there.
        path: PathBuf,
    },
    /// Only the character device is offered, and this build has no use for it.
    #[error("the kernel offers the card as {} only, and cx3flash was built without `cdev`", path.display())]
    OnlyCdev {
        /// The node.
        path: PathBuf,
    },
    /// EBUSY: another program, maybe a virtual machine, has the group or its character device open.
    #[error("{} is held by another program", path.display())]
    Busy {
        /// IOMMU group.
        group: u32,
        /// The node.
        path: PathBuf,
    },
    /// A sibling in the group is bound to an ordinary driver.
    #[error(
        "IOMMU group {group} is not viable: {}",
        siblings.iter().map(|s| format!("{} is on {}", s.bdf, s.driver.as_deref().unwrap_or("no driver")))
            .collect::<Vec<_>>().join(", ")
    )]
    NotViable {
        /// IOMMU group.
        group: u32,
        /// Who spoils it; empty when sysfs does not show it.
        siblings: Vec<Sibling>,
    },
    /// EPERM at `VFIO_GROUP_SET_CONTAINER`: DMA ownership refused; a sibling's driver, or a kernel of
    /// before 2022 that refuses RMRR devices this way.
    #[error("the kernel does not hand over the DMA of IOMMU group {group}")]
    NoDmaOwnership {
        /// IOMMU group.
        group: u32,
    },
    /// EINVAL at `VFIO_GROUP_SET_CONTAINER`: the platform's firmware demands a 1:1 mapping (RMRR).
    #[error(
        "the platform's firmware demands a fixed memory mapping (RMRR) for IOMMU group {group}"
    )]
    FirmwareMapping {
        /// IOMMU group.
        group: u32,
    },
    /// Another errno at `VFIO_GROUP_SET_CONTAINER`.
    #[error("IOMMU group {group} cannot join a container")]
    Attach {
        /// IOMMU group.
        group: u32,
        /// What the kernel reported.
        source: io::Error,
    },
    /// EPERM at `VFIO_SET_IOMMU`: the IOMMU has no interrupt remapping.
    #[error("the IOMMU cannot remap interrupts")]
    NoInterruptRemapping {
        /// IOMMU group.
        group: u32,
    },
    /// Another errno at `VFIO_SET_IOMMU`.
    #[error("the container takes no TYPE1v2 IOMMU for group {group}")]
    SetIommu {
        /// IOMMU group.
        group: u32,
        /// What the kernel reported.
        source: io::Error,
    },
    /// EAGAIN at `VFIO_GROUP_GET_DEVICE_FD`, again and again: somebody holds the device's lock.
    #[error("{bdf} stayed locked during its reset, {tries} tries long")]
    ResetBusy {
        /// The card.
        bdf: Bdf,
        /// Tries made.
        tries: u32,
    },
    /// ENODEV at `VFIO_GROUP_GET_DEVICE_FD`: the card left the group.
    #[error("{bdf} is not in IOMMU group {group} any more")]
    Left {
        /// The card.
        bdf: Bdf,
        /// IOMMU group.
        group: u32,
    },
    /// Another errno at `VFIO_GROUP_GET_DEVICE_FD`: enabling the card failed.
    #[error("{bdf} cannot be enabled")]
    Enable {
        /// The card.
        bdf: Bdf,
        /// What the kernel reported.
        source: io::Error,
    },
    /// An errno at a node that has no name here.
    #[error("{} cannot be opened", path.display())]
    Node {
        /// The node.
        path: PathBuf,
        /// What the kernel reported.
        source: io::Error,
    },
    /// An ioctl of VFIO failed that normally does not.
    #[error("{call} failed")]
    Ioctl {
        /// Its name.
        call: &'static str,
        /// What the kernel reported; none when the crate lost it.
        source: Option<io::Error>,
    },
    /// The table of regions in vfio-ioctls is not the kernel's.
    #[error("region {index}: offset {listed:#x} in vfio-ioctls, {reported:#x} in the kernel")]
    Regions {
        /// Region.
        index: u32,
        /// What vfio-ioctls keeps.
        listed: u64,
        /// What the kernel answers.
        reported: u64,
    },
    /// Configuration space cannot be read and written.
    #[error("configuration space of {bdf} is not usable: {size} bytes, flags {flags:#x}")]
    NoConfig {
        /// The card.
        bdf: Bdf,
        /// Size in bytes.
        size: u64,
        /// Region flags.
        flags: u32,
    },
    /// BAR0 cannot be used as requested.
    #[error("BAR0 of {bdf} is not usable: {fault}")]
    Bar {
        /// The card.
        bdf: Bdf,
        /// What is wrong.
        fault: BarFault,
    },
    /// BAR0 cannot be mapped.
    #[error("BAR0 of {bdf} cannot be mapped")]
    Map {
        /// The card.
        bdf: Bdf,
        /// What the kernel reported.
        source: io::Error,
    },
    /// An access to configuration space failed.
    #[error("configuration space of {bdf} at {at:#x}")]
    Config {
        /// The card.
        bdf: Bdf,
        /// Offset.
        at: u16,
        /// What the kernel reported.
        source: io::Error,
    },
    /// Everything is closed on our side, and the group is still not free.
    #[error("{} is still not free {waited_ms} ms after closing it", path.display())]
    StillBusy {
        /// The node.
        path: PathBuf,
        /// How long we waited.
        waited_ms: u64,
    },
}

/// What is wrong with BAR0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BarFault {
    /// The device shows none.
    #[error("the card shows none")]
    Missing,
    /// Less than the CR-space of 1 MiB.
    #[error("{0:#x} bytes are less than the CR-space of 0x100000 bytes")]
    Small(u64),
    /// Not for reading and writing.
    #[error("the kernel does not let it be read and written (flags {0:#x})")]
    Flags(u32),
    /// Not for mapping, or not as a whole.
    #[error("the kernel does not let it be mapped as a whole")]
    NotMappable,
}
