//! What each errno of VFIO means.

use super::VfioError;
use crate::host::{Bdf, Host, Sibling};
use nix::libc;
use std::io;
use std::path::{Path, PathBuf};
use vfio_ioctls::VfioError as CrateError;

pub(super) const CONTAINER: &str = "dev/vfio/vfio";

/// Node of an IOMMU group.
pub(super) fn group_node(host: &Host, group: u32) -> PathBuf {
    host.path("dev/vfio").join(group.to_string())
}

/// Siblings that keep the group from being viable, as sysfs shows them now.
pub(super) fn blocking_siblings(host: &Host, bdf: Bdf) -> Vec<Sibling> {
    let mut siblings = host.siblings(bdf);
    siblings.retain(|sibling| sibling.blocks);
    siblings
}

/// What an errno at a node of VFIO means.
pub(super) fn node_error(path: &Path, group: u32, source: io::Error) -> VfioError {
    let path = path.to_owned();
    match source.raw_os_error() {
        Some(libc::EBUSY) => VfioError::Busy { group, path },
        Some(libc::EACCES | libc::EPERM) => VfioError::NoRights { path, source },
        Some(libc::ENOENT) => VfioError::NoGroupNode { group, path },
        _ => VfioError::Node { path, source },
    }
}

/// What an errno of `VFIO_GROUP_SET_CONTAINER` means. The group is in no container of ours,
/// so that EINVAL leaves RMRR.
pub(super) fn attach_error(group: u32, source: io::Error) -> VfioError {
    match source.raw_os_error() {
        Some(libc::EPERM) => VfioError::NoDmaOwnership { group },
        Some(libc::EINVAL) => VfioError::FirmwareMapping { group },
        _ => VfioError::Attach { group, source },
    }
}

/// The errors of vfio-ioctls.
pub(super) fn crate_error(host: &Host, bdf: Bdf, group: u32, error: CrateError) -> VfioError {
    let unfit = |what| VfioError::Unfit { what };
    let ioctl = |call, errno: Option<i32>| VfioError::Ioctl {
        call,
        source: errno.map(io::Error::from_raw_os_error),
    };
    match error {
        CrateError::OpenContainer(source) => {
            let path = host.path(CONTAINER);
            match source.raw_os_error() {
                Some(libc::ENOENT | libc::ENODEV) => VfioError::NotLoaded { path, source },
                _ => node_error(&path, group, source),
            }
        }
        CrateError::VfioApiVersion => unfit("its interface version is not 0"),
        CrateError::VfioExtension | CrateError::VfioInvalidType | CrateError::VfioType1V2 => {
            unfit("it has no TYPE1v2 IOMMU (module vfio_iommu_type1)")
        }
        CrateError::OpenGroup(source, _) => node_error(&group_node(host, group), group, source),
        CrateError::GetGroupStatus => ioctl("VFIO_GROUP_GET_STATUS", None),
        // It was viable a moment ago: a driver was bound since.
        CrateError::GroupViable => {
            VfioError::NotViable { group, siblings: blocking_siblings(host, bdf) }
        }
        CrateError::ContainerSetIOMMU(errno) => match errno.errno() {
            libc::EPERM => VfioError::NoInterruptRemapping { group },
            other => VfioError::SetIommu { group, source: io::Error::from_raw_os_error(other) },
        },
        CrateError::GroupGetDeviceFD(errno) => match errno.errno() {
            libc::EAGAIN => VfioError::ResetBusy { bdf, tries: 1 },
            libc::ENODEV => VfioError::Left { bdf, group },
            other => VfioError::Enable { bdf, source: io::Error::from_raw_os_error(other) },
        },
        CrateError::VfioDeviceGetInfo(errno) => ioctl("VFIO_DEVICE_GET_INFO", Some(errno.errno())),
        CrateError::VfioDeviceGetRegionInfo(errno) => {
            ioctl("VFIO_DEVICE_GET_REGION_INFO", Some(errno.errno()))
        }
        CrateError::VfioDeviceGetIrqInfo => ioctl("VFIO_DEVICE_GET_IRQ_INFO", None),
        CrateError::VfioDeviceGetInfoPCI | CrateError::VfioDeviceGetInfoOther => {
            unfit("it does not offer the card as a PCI device")
        }
        // The link was read a moment ago.
        CrateError::InvalidPath => VfioError::Left { bdf, group },
        #[cfg(feature = "cdev")]
        CrateError::OpenDeviceCdev(source) => node_error(&host.path("dev/vfio"), group, source),
        #[cfg(feature = "cdev")]
        CrateError::VfioDeviceBindIommufd(errno) => {
            bind_error(host, bdf, group, io::Error::from_raw_os_error(errno.errno()))
        }
        _ => ioctl("a call of vfio-ioctls", None),
    }
}

/// What an errno of `VFIO_DEVICE_BIND_IOMMUFD` means. By analogy with the group's: the kernel
/// takes DMA ownership, enables and resets the device in this one call.
#[cfg(feature = "cdev")]
fn bind_error(host: &Host, bdf: Bdf, group: u32, source: io::Error) -> VfioError {
    let path = host.path("dev/vfio/devices");
    match source.raw_os_error() {
        Some(libc::EBUSY) => VfioError::Busy { group, path },
        Some(libc::EPERM) => VfioError::NoDmaOwnership { group },
        Some(libc::EAGAIN) => VfioError::ResetBusy { bdf, tries: 1 },
        Some(libc::ENODEV) => VfioError::Left { bdf, group },
        _ => VfioError::Enable { bdf, source },
    }
}
