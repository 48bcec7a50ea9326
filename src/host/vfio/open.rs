//! Opening a card: group, container, device (Documentation/driver-api/vfio.rst), with the reason
//! when it fails.
//!
//! vfio-ioctls opens the device. Our own ioctls on the same nodes read what it hides: the group's
//! status before, the errno of a refused container, and the regions.

#[cfg(feature = "cdev")]
use super::cdev;
use super::errno::{
    CONTAINER, attach_error, blocking_siblings, crate_error, group_node, node_error,
};
use super::error::{BarFault, VfioError};
use super::regions::Regions;
use super::session::{VfioSession, open_node};
use super::space::{Bar, CR_SPACE, Open};
use super::sys::{self, Region};
use crate::card::{BarAccess, Patience, WallClock, wait_for};
use crate::host::{Bdf, Host, PciCard, VFIO_PCI, sysfs};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use vfio_bindings::bindings::vfio::{
    VFIO_GROUP_FLAGS_VIABLE, VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX,
    VFIO_REGION_INFO_FLAG_MMAP, VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
};
use vfio_ioctls::{VfioContainer, VfioDevice, VfioError as CrateError, VfioOps, VfioRegionInfoCap};

/// While the device's lock is busy: another program's bus reset takes about a second.
const LOCK_BUSY: Patience = Patience::every(Duration::from_secs(20), Duration::from_millis(100));

/// Length of PCI configuration space without the extended part.
const CONFIG_SPACE: u64 = 0x100;

/// A group that has a container already (flag bit 1) can be viable too.
pub(super) fn is_viable(status: u32) -> bool {
    status & VFIO_GROUP_FLAGS_VIABLE != 0
}

/// Opens the group's node and checks that the group is viable. That alone does not touch the card.
pub(in crate::host) fn open_viable_group(
    host: &Host,
    bdf: Bdf,
    group: u32,
) -> Result<File, VfioError> {
    let node = group_node(host, group);
    let file = open_node(&node).map_err(|source| node_error(&node, group, source))?;
    let status = sys::group_status(&file).map_err(ioctl("VFIO_GROUP_GET_STATUS"))?;
    if is_viable(status) {
        return Ok(file);
    }
    let siblings = blocking_siblings(host, bdf);
    Err(VfioError::NotViable { group, siblings })
}

/// The IOMMU group of a card that is bound to vfio-pci.
fn group_on_vfio(host: &Host, bdf: Bdf) -> Result<u32, VfioError> {
    let group =
        sysfs::link(host.device(bdf).join("iommu_group")).and_then(|name| name.parse().ok());
    let group = group.ok_or(VfioError::NoIommu { bdf })?;
    let driver = host.driver_of(bdf);
    if driver.as_deref() != Some(VFIO_PCI) {
        return Err(VfioError::WrongDriver { bdf, driver });
    }
    Ok(group)
}

/// The character device of a card. The sysfs directory also exists where the kernel does not offer
/// the device.
fn cdev_node(host: &Host, bdf: Bdf) -> Option<PathBuf> {
    let name = sysfs::names(host.device(bdf).join("vfio-dev")).into_iter().next()?;
    let node = host.path("dev/vfio/devices").join(name);
    (node.exists() && host.path("dev/iommu").exists()).then_some(node)
}

/// Opens the card; see [`super::VfioCard::open`].
pub(super) fn open(
    host: &Host,
    card: &PciCard,
    request: Option<BarAccess>,
) -> Result<Open, VfioError> {
    let bdf = card.bdf;
    let group = group_on_vfio(host, bdf)?;
    let node = group_node(host, group);
    let cdev = cdev_node(host, bdf).filter(|_| !node.exists());
    if cdev.is_none() {
        // A group has one opener at a time: this one is closed before vfio-ioctls opens it.
        drop(open_viable_group(host, bdf, group)?);
    }
    #[cfg(not(feature = "cdev"))]
    if let Some(path) = cdev {
        return Err(VfioError::OnlyCdev { path });
    }
    if !host.is_system() {
        return Err(VfioError::NotThisMachine { bdf });
    }
    let clock = WallClock::default();
    #[cfg(feature = "cdev")]
    if let Some(cdev) = cdev {
        let (device, iommufd) = cdev::open(host, bdf, group, &cdev)?;
        return finish(host, bdf, (device, iommufd, None), request, clock);
    }
    let mut tries = 0;
    let opened = wait_for(&clock, LOCK_BUSY, || {
        tries += 1;
        // A device that fails leaves its group open in the container (vfio-ioctls `get_group`), so
        // each attempt has a new container.
        match attempt(host, bdf, group) {
            Err(VfioError::ResetBusy { .. }) => Ok(None),
            other => other.map(Some),
        }
    })?;
    let (container, device) = opened.ok_or(VfioError::ResetBusy { bdf, tries })?;
    finish(host, bdf, (device, container, Some(node)), request, clock)
}

fn attempt(
    host: &Host,
    bdf: Bdf,
    group: u32,
) -> Result<(Arc<VfioContainer>, VfioDevice), VfioError> {
    let container = VfioContainer::new(None)
        .map(Arc::new)
        .map_err(|error| crate_error(host, bdf, group, error))?;
    match VfioDevice::new(&host.device(bdf), container.clone(), false) {
        Ok(device) => Ok((container, device)),
        Err(CrateError::GroupSetContainer) => {
            // vfio-ioctls drops the errno. The same call once more, on nodes that are free again.
            drop(container);
            Err(why_not_attached(host, group))
        }
        Err(error) => Err(crate_error(host, bdf, group, error)),
    }
}

/// Repeats a failed `VFIO_GROUP_SET_CONTAINER` for its errno.
fn why_not_attached(host: &Host, group: u32) -> VfioError {
    let again = || {
        let (node, path) = (group_node(host, group), host.path(CONTAINER));
        let file = open_node(&node).map_err(|source| node_error(&node, group, source))?;
        let container = open_node(&path).map_err(|source| VfioError::NotLoaded { path, source })?;
        sys::group_set_container(&file, &container).map_err(|source| attach_error(group, source))
    };
    again().err().unwrap_or(VfioError::Ioctl {
        call: "VFIO_GROUP_SET_CONTAINER (the first time)",
        source: None,
    })
}

/// Chooses the transport by what the kernel reports of the regions.
fn finish(
    host: &Host,
    bdf: Bdf,
    (device, ops, node): (VfioDevice, Arc<dyn VfioOps>, Option<PathBuf>),
    request: Option<BarAccess>,
    clock: WallClock,
) -> Result<Open, VfioError> {
    let inspected = inspect(&device, bdf);
    let session = VfioSession { open: Some((device, ops)), node };
    // From here on the session closes the device, after what uses its file.
    let (io, bar) = inspected?;
    let mut open = Open::new(Box::new(io), bdf, bar, request, &clock)?;
    open.session = Some(session);
    open.sysfs = Some(host.device(bdf));
    open.opening = clock;
    Ok(open)
}

fn ioctl(call: &'static str) -> impl Fn(io::Error) -> VfioError {
    move |source| VfioError::Ioctl { call, source: Some(source) }
}

/// Regions by our own ioctl: in the table of vfio-ioctls, a region whose information cannot be read
/// moves all later ones.
fn inspect(device: &VfioDevice, bdf: Bdf) -> Result<(Regions, Bar), VfioError> {
    let file = sys::duplicate(device).map_err(ioctl("F_DUPFD_CLOEXEC"))?;
    let region =
        |index| sys::region_info(&file, index).map_err(ioctl("VFIO_DEVICE_GET_REGION_INFO"));
    let bar0 = region(VFIO_PCI_BAR0_REGION_INDEX)?;
    let config = region(VFIO_PCI_CONFIG_REGION_INDEX)?;
    if !is_accessible(config) || config.size < CONFIG_SPACE {
        let (size, flags) = (config.size, config.flags);
        return Err(VfioError::NoConfig { bdf, size, flags });
    }
    // A kernel that does not allow mapping the MSI-X table lists the areas that can be mapped.
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

/// What can be done with BAR0.
pub(super) fn judge_bar(bar0: Region, unbroken: bool) -> Bar {
    let usable = match bar0.size {
        0 => Err(BarFault::Missing),
        size if size < u64::from(CR_SPACE) => Err(BarFault::Small(size)),
        _ if !is_accessible(bar0) => Err(BarFault::Flags(bar0.flags)),
        _ => Ok(()),
    };
    Bar { usable, mappable: unbroken && bar0.flags & VFIO_REGION_INFO_FLAG_MMAP != 0 }
}
