//! Opening a card: group, container, device (Documentation/driver-api/vfio.rst), with the reason when
//! it fails.
//!
//! vfio-ioctls does the opening. Own ioctls on the same nodes get what it hides: the group's status
//! before, the reason of a refused container after, the regions at the end.

use super::regions::Regions;
use super::session::{VfioSession, group_of, open_node};
use super::space::{Bar, CR_SPACE, Open};
use super::sys::{self, Region};
use super::{BarAccess, BarFault, VfioError};
use crate::card::{Patience, WallClock, wait_for};
use crate::host::{Bdf, Host, PciCard, Sibling};
use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use vfio_bindings::bindings::vfio::{
    VFIO_GROUP_FLAGS_VIABLE, VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX,
    VFIO_REGION_INFO_FLAG_MMAP, VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
};
use vfio_ioctls::{VfioContainer, VfioDevice, VfioError as CrateError, VfioRegionInfoCap};

/// While the device's lock is busy: a bus reset by somebody else takes about a second.
const LOCK_BUSY: Patience = Patience::every(Duration::from_secs(20), Duration::from_millis(100));

/// The driver that gives a card to VFIO.
const DRIVER: &str = "vfio-pci";
/// Drivers that manage DMA ownership themselves, so that a sibling on them does no harm.
const HARMLESS_DRIVERS: [&str; 3] = [DRIVER, "pci-stub", "pcieport"];
const CONTAINER: &str = "dev/vfio/vfio";
/// Length of PCI configuration space without the extended part.
const CONFIG_SPACE: u64 = 0x100;

/// Name of the driver bound to a sysfs device directory.
fn driver_of(sysfs: &Path) -> Option<String> {
    let link = std::fs::read_link(sysfs.join("driver")).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

/// Node of an IOMMU group.
fn group_node(host: &Host, group: u32) -> PathBuf {
    host.path("dev/vfio").join(group.to_string())
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

/// Siblings that keep the group from being viable, as sysfs shows them now.
fn blockers(host: &Host, bdf: Bdf) -> Vec<Sibling> {
    let devices = host.device(bdf).join("iommu_group/devices");
    let Ok(entries) = std::fs::read_dir(devices) else {
        return Vec::new();
    };
    let mut found: Vec<Sibling> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|sibling| *sibling != bdf)
        .filter_map(|bdf| {
            let driver = driver_of(&host.device(bdf))?;
            (!HARMLESS_DRIVERS.contains(&driver.as_str())).then_some(Sibling {
                bdf,
                driver: Some(driver),
                blocks: true,
            })
        })
        .collect();
    found.sort_by_key(|sibling| sibling.bdf);
    found
}

/// A group with a container already (flag bit 1) is as viable as one without.
pub(super) fn is_viable(status: u32) -> bool {
    status & VFIO_GROUP_FLAGS_VIABLE != 0
}

/// Opens the group's node and wants it viable. That alone does not touch the card.
///
/// # Errors
/// What [`node_error`] makes of the open, and [`VfioError::NotViable`].
pub(in crate::host) fn look_at_group(host: &Host, bdf: Bdf, group: u32) -> Result<File, VfioError> {
    let node = group_node(host, group);
    let file = open_node(&node).map_err(|source| node_error(&node, group, source))?;
    let status = sys::group_status(&file).map_err(|source| VfioError::Ioctl {
        call: "VFIO_GROUP_GET_STATUS",
        source: Some(source),
    })?;
    if is_viable(status) {
        return Ok(file);
    }
    let siblings = blockers(host, bdf);
    Err(VfioError::NotViable { group, siblings })
}

/// The IOMMU group of a card that is bound to vfio-pci.
fn group_on_vfio(host: &Host, bdf: Bdf) -> Result<u32, VfioError> {
    let sysfs = host.device(bdf);
    let group = group_of(&sysfs).ok_or(VfioError::NoIommu { bdf })?;
    let driver = driver_of(&sysfs);
    if driver.as_deref() != Some(DRIVER) {
        return Err(VfioError::WrongDriver { bdf, driver });
    }
    Ok(group)
}

/// The character device of a card, when the kernel really offers it: the sysfs directory is there
/// even where it does not.
fn cdev_node(host: &Host, bdf: Bdf) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(host.device(bdf).join("vfio-dev")).ok()?;
    let name = entries.next()?.ok()?.file_name();
    let node = host.path("dev/vfio/devices").join(name);
    (node.exists() && host.path("dev/iommu").exists()).then_some(node)
}

/// Opens the card; see [`super::VfioCard::open`].
pub(super) fn open(
    host: &Host,
    card: &PciCard,
    request: Option<BarAccess>,
    prefer_cdev: bool,
) -> Result<Open, VfioError> {
    let bdf = card.bdf;
    let group = group_on_vfio(host, bdf)?;
    let node = group_node(host, group);
    if let Some(cdev) = cdev_node(host, bdf)
        && (prefer_cdev || !node.exists())
    {
        return open_cdev(host, bdf, group, &cdev, request);
    }
    // One opener at a time: ours goes before vfio-ioctls comes.
    drop(look_at_group(host, bdf, group)?);
    if !host.is_system() {
        return Err(VfioError::NotThisMachine { bdf });
    }
    let sysfs = host.device(bdf);
    let clock = WallClock::default();
    let mut tries = 0;
    let opened = wait_for(&clock, LOCK_BUSY, || {
        tries += 1;
        // A device that fails leaves its group open in the container (vfio-ioctls `get_group`): a new
        // one each time.
        match attempt(host, bdf, group, &sysfs) {
            Err(VfioError::ResetBusy { .. }) => Ok(None),
            other => other.map(Some),
        }
    })?;
    let (container, device) = opened.ok_or(VfioError::ResetBusy { bdf, tries })?;
    let found = inspect(&device, bdf);
    finish(
        VfioSession::by_group(device, &container, node),
        found,
        (host, bdf),
        request,
        clock,
    )
}

fn attempt(
    host: &Host,
    bdf: Bdf,
    group: u32,
    sysfs: &Path,
) -> Result<(Arc<VfioContainer>, VfioDevice), VfioError> {
    let container = VfioContainer::new(None)
        .map(Arc::new)
        .map_err(|error| crate_error(host, bdf, group, error))?;
    match VfioDevice::new(sysfs, container.clone(), false) {
        Ok(device) => Ok((container, device)),
        Err(CrateError::GroupSetContainer) => {
            // The errno is lost. The same call by hand, on nodes that are free again.
            drop(container);
            Err(why_not_attached(host, group))
        }
        Err(error) => Err(crate_error(host, bdf, group, error)),
    }
}

/// `VFIO_GROUP_SET_CONTAINER` failed a moment ago: asks once more for its errno.
fn why_not_attached(host: &Host, group: u32) -> VfioError {
    let node = group_node(host, group);
    let path = host.path(CONTAINER);
    let again = open_node(&node)
        .map_err(|source| node_error(&node, group, source))
        .and_then(|file| {
            let container =
                open_node(&path).map_err(|source| VfioError::NotLoaded { path, source })?;
            Ok(sys::group_set_container(&file, &container))
        });
    match again {
        Err(other) => other,
        Ok(Err(source)) => attach_error(group, source),
        Ok(Ok(())) => VfioError::Ioctl {
            call: "VFIO_GROUP_SET_CONTAINER (the first time)",
            source: None,
        },
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

/// The errors of vfio-ioctls, in our names.
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
                Some(libc::EACCES | libc::EPERM) => VfioError::NoRights { path, source },
                _ => VfioError::Node { path, source },
            }
        }
        CrateError::VfioApiVersion => unfit("its interface version is not 0"),
        CrateError::VfioExtension | CrateError::VfioInvalidType | CrateError::VfioType1V2 => {
            unfit("it has no TYPE1v2 IOMMU (module vfio_iommu_type1)")
        }
        CrateError::OpenGroup(source, _) => node_error(&group_node(host, group), group, source),
        CrateError::GetGroupStatus => ioctl("VFIO_GROUP_GET_STATUS", None),
        // Seen as viable a moment ago, so that a driver came in between.
        CrateError::GroupViable => VfioError::NotViable {
            group,
            siblings: blockers(host, bdf),
        },
        CrateError::ContainerSetIOMMU(errno) => match errno.errno() {
            libc::EPERM => VfioError::NoInterruptRemapping { group },
            other => VfioError::SetIommu {
                group,
                source: io::Error::from_raw_os_error(other),
            },
        },
        CrateError::GroupGetDeviceFD(errno) => match errno.errno() {
            libc::EAGAIN => VfioError::ResetBusy { bdf, tries: 1 },
            libc::ENODEV => VfioError::Left { bdf, group },
            other => VfioError::Enable {
                bdf,
                source: io::Error::from_raw_os_error(other),
            },
        },
        CrateError::VfioDeviceGetInfo(errno) => ioctl("VFIO_DEVICE_GET_INFO", Some(errno.errno())),
        CrateError::VfioDeviceGetRegionInfo(errno) => {
            ioctl("VFIO_DEVICE_GET_REGION_INFO", Some(errno.errno()))
        }
        CrateError::VfioDeviceGetIrqInfo => ioctl("VFIO_DEVICE_GET_IRQ_INFO", None),
        CrateError::VfioDeviceGetInfoPCI | CrateError::VfioDeviceGetInfoOther => {
            unfit("it does not give the card as a PCI device")
        }
        // The link was read a moment ago.
        CrateError::InvalidPath => VfioError::Left { bdf, group },
        #[cfg(feature = "cdev")]
        CrateError::OpenDeviceCdev(source) => node_error(&host.path("dev/vfio"), group, source),
        #[cfg(feature = "cdev")]
        CrateError::VfioDeviceBindIommufd(errno) => super::cdev::bind_error(
            host,
            bdf,
            group,
            io::Error::from_raw_os_error(errno.errno()),
        ),
        _ => ioctl("a call of vfio-ioctls", None),
    }
}

#[cfg(feature = "cdev")]
fn open_cdev(
    host: &Host,
    bdf: Bdf,
    group: u32,
    node: &Path,
    request: Option<BarAccess>,
) -> Result<Open, VfioError> {
    if !host.is_system() {
        return Err(VfioError::NotThisMachine { bdf });
    }
    let clock = WallClock::default();
    let (device, iommufd) = super::cdev::open(host, bdf, group, node)?;
    let found = inspect(&device, bdf);
    let session = VfioSession::by_cdev(device, iommufd);
    finish(session, found, (host, bdf), request, clock)
}

#[cfg(not(feature = "cdev"))]
fn open_cdev(
    _: &Host,
    _: Bdf,
    _: u32,
    node: &Path,
    _: Option<BarAccess>,
) -> Result<Open, VfioError> {
    Err(VfioError::OnlyCdev {
        path: node.to_owned(),
    })
}

/// The device is open: what the kernel reports of its regions decides what can be done with it. On an
/// early return what uses the device's file (`found`, moved on or empty) goes before the session.
fn finish(
    session: VfioSession,
    found: Result<(Regions, Bar), VfioError>,
    (host, bdf): (&Host, Bdf),
    request: Option<BarAccess>,
    clock: WallClock,
) -> Result<Open, VfioError> {
    let (io, bar) = found?;
    let live = host.device(bdf).join("config");
    let open = Open::new(Box::new(io), bdf, bar, request, &clock)?;
    let open = open.with_opening(clock).with_live_config(live);
    Ok(open.with_session(session))
}

fn inspect(device: &VfioDevice, bdf: Bdf) -> Result<(Regions, Bar), VfioError> {
    let file = sys::duplicate(device.as_raw_fd()).map_err(|source| VfioError::Ioctl {
        call: "F_DUPFD_CLOEXEC",
        source: Some(source),
    })?;
    let bar0 = region_of(&file, device, VFIO_PCI_BAR0_REGION_INDEX)?;
    let config = region_of(&file, device, VFIO_PCI_CONFIG_REGION_INDEX)?;
    if !is_accessible(config) || config.size < CONFIG_SPACE {
        let (size, flags) = (config.size, config.flags);
        return Err(VfioError::NoConfig { bdf, size, flags });
    }
    // A kernel that keeps the MSI-X table from being mapped lists the areas that can be.
    let unbroken = !device
        .get_region_caps(VFIO_PCI_BAR0_REGION_INDEX)
        .iter()
        .any(|cap| matches!(cap, VfioRegionInfoCap::SparseMmap(_)));
    let bar = judge_bar(bar0, unbroken);
    Ok((Regions::new(file, bar0, config), bar))
}

fn is_accessible(region: Region) -> bool {
    let both = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    region.flags & both == both
}

/// What can be done with BAR0. Its size is the kernel's word.
pub(super) fn judge_bar(bar0: Region, unbroken: bool) -> Bar {
    let usable = match bar0.size {
        0 => Err(BarFault::Missing),
        size if size < u64::from(CR_SPACE) => Err(BarFault::Small(size)),
        _ if !is_accessible(bar0) => Err(BarFault::Flags(bar0.flags)),
        _ => Ok(()),
    };
    Bar {
        usable,
        mappable: unbroken && bar0.flags & VFIO_REGION_INFO_FLAG_MMAP != 0,
    }
}

/// A region by own ioctl, compared with what vfio-ioctls keeps: a region whose information cannot
/// be had shifts all later ones of its table.
fn region_of(file: &File, device: &VfioDevice, index: u32) -> Result<Region, VfioError> {
    let reported = sys::region_info(file, index).map_err(|source| VfioError::Ioctl {
        call: "VFIO_DEVICE_GET_REGION_INFO",
        source: Some(source),
    })?;
    let listed = device.get_region_offset(index);
    if listed != reported.offset || device.get_region_size(index) != reported.size {
        let reported = reported.offset;
        return Err(VfioError::Regions {
            index,
            listed,
            reported,
        });
    }
    Ok(reported)
}
