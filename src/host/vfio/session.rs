//! What VFIO holds while a card is open, and how it is closed.

use super::VfioError;
use super::sys;
use crate::card::{Clock, Patience, WallClock, wait_for};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use vfio_ioctls::{VfioContainer, VfioDevice};

/// How long the group may stay busy after it was closed: a bus reset takes about a second, below a
/// server's root port perhaps longer.
const GROUP_FREE: Patience = Patience::every(Duration::from_secs(40), Duration::from_millis(10));

/// An open VFIO device, closed by hand.
///
/// `VfioDevice` (vfio-ioctls 0.10.0, src/vfio_device.rs) reads the sysfs link `iommu_group` again
/// when it is dropped and unwraps it. The removal of a card waits until the device is closed and
/// deletes the link in that moment, so a check before the drop does not help (seen in a guest). A
/// panic there would keep the host from being restored (P6). So the objects of the crate are
/// forgotten, a few hundred bytes a session, and their descriptors are closed here, in order. The
/// crate gives out the descriptors of device and container; the group's is private
/// (`VfioContainer::groups`, `get_group`), so [`descriptor_of`] finds it.
pub(super) struct VfioSession {
    device: Option<VfioDevice>,
    /// Descriptors of objects that `device` owns, closed after it in this order: group and
    /// container, or iommufd.
    behind: Vec<RawFd>,
    /// The group's node, to check that it is free again. `None` for a character device, whose close
    /// returns when all is done.
    node: Option<PathBuf>,
}

/// Opens a node for reading and writing, as VFIO needs it.
pub(super) fn open_node(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// The descriptor with which this process has a device node open. A group has one opener at a time,
/// so there is no other.
pub(super) fn descriptor_of(node: &Path) -> Option<RawFd> {
    let wanted = std::fs::metadata(node).ok()?.rdev();
    std::fs::read_dir("/proc/self/fd").ok()?.find_map(|entry| {
        let entry = entry.ok()?;
        let metadata = std::fs::metadata(entry.path()).ok()?;
        let same = metadata.file_type().is_char_device() && metadata.rdev() == wanted;
        same.then(|| entry.file_name().to_str()?.parse().ok())?
    })
}

impl VfioSession {
    /// A device opened through its group.
    pub(super) fn by_group(
        device: VfioDevice,
        container: &Arc<VfioContainer>,
        node: PathBuf,
    ) -> Self {
        let group = descriptor_of(&node);
        if group.is_none() {
            tracing::warn!(node = %node.display(), "the group's descriptor is not in /proc/self/fd");
        }
        Self {
            device: Some(device),
            behind: group.into_iter().chain([container.as_raw_fd()]).collect(),
            node: Some(node),
        }
    }

    /// A device opened through its character device.
    #[cfg(feature = "cdev")]
    pub(super) fn by_cdev(device: VfioDevice, iommufd: RawFd) -> Self {
        Self {
            device: Some(device),
            behind: vec![iommufd],
            node: None,
        }
    }

    /// Closes device, group and container, in this order; mapping and duplicates of the device file
    /// are closed already. Returns once the group can be opened again, so that unbinding does not
    /// block.
    pub(super) fn close(mut self) -> Result<(), VfioError> {
        self.close_all();
        let Some(node) = &self.node else {
            return Ok(());
        };
        let free = || open_node(node).map(drop);
        until_free(node, free, &WallClock::default(), GROUP_FREE)
    }

    fn close_all(&mut self) {
        let Some(device) = self.device.take() else {
            return;
        };
        let fd = device.as_raw_fd();
        // It shares the container, or the iommufd, so these are not dropped either.
        std::mem::forget(device);
        sys::close_forgotten(fd);
        self.behind.drain(..).for_each(sys::close_forgotten);
    }
}

impl Drop for VfioSession {
    fn drop(&mut self) {
        self.close_all();
    }
}

/// Waits until `try_open` reports something other than EBUSY: the file stays open while anything
/// else refers to it.
pub(super) fn until_free(
    node: &Path,
    mut try_open: impl FnMut() -> io::Result<()>,
    clock: &dyn Clock,
    patience: Patience,
) -> Result<(), VfioError> {
    let free = wait_for(clock, patience, || match try_open() {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(None),
        // Free; or removed with the card, or not ours to open: then this process does not block it.
        _ => Ok(Some(())),
    })?;
    free.ok_or_else(|| VfioError::StillBusy {
        path: node.to_owned(),
        waited_ms: patience.limit().as_millis() as u64,
    })
}
