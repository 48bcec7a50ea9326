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

/// How long the group may stay taken after we closed all of it: a bus reset takes about a second, and
/// a server's root port may take longer.
const GROUP_FREE: Patience = Patience::every(Duration::from_secs(40), Duration::from_millis(10));

/// An open VFIO device.
///
/// vfio-ioctls closes a device in its `Drop`, with `unwrap` where it looks the group up again by a
/// sysfs link. Closing the device is what a removal of the card waits for,
/// so that the link goes in just that moment: a check before the drop does not help (seen in a guest).
/// So the objects of the crate are forgotten, a few hundred bytes a session, and what the kernel
/// counts, their descriptors, is closed here, in order.
pub(super) struct VfioSession {
    device: Option<VfioDevice>,
    /// Descriptors that objects inside of `device` own, to be closed after it in this order: group
    /// and container, or iommufd.
    behind: Vec<RawFd>,
    /// The group's node, to see that it is free again. None for a character device: its close is
    /// the last one, all is done when it returns.
    node: Option<PathBuf>,
}

/// Number of the IOMMU group a sysfs device directory points at.
pub(super) fn group_of(sysfs: &Path) -> Option<u32> {
    let link = std::fs::read_link(sysfs.join("iommu_group")).ok()?;
    link.file_name()?.to_str()?.parse().ok()
}

/// Opens a node for reading and writing, as VFIO needs it.
pub(super) fn open_node(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// The descriptor by which this process has a device node open. vfio-ioctls keeps the group's to
/// itself; a group has one opener at a time, so that there is no other.
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

    /// Closes device, group and container, in this order. Everything else that uses the device file
    /// (mapping, duplicates) is gone already. Returns once the group can be opened again, so that
    /// unbinding does not block.
    pub(super) fn close(mut self) -> Result<(), VfioError> {
        self.let_go();
        let Some(node) = &self.node else {
            return Ok(());
        };
        let free = || open_node(node).map(drop);
        until_free(node, free, &WallClock::default(), GROUP_FREE)
    }

    fn let_go(&mut self) {
        let Some(device) = self.device.take() else {
            return;
        };
        let fd = device.as_raw_fd();
        // It shares the container, or the iommufd, so that these are never dropped either.
        std::mem::forget(device);
        sys::close_forgotten(fd);
        self.behind.drain(..).for_each(sys::close_forgotten);
    }
}

impl Drop for VfioSession {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Waits until `try_open` reports something other than EBUSY: closing a descriptor is not the end
/// while something else still refers to the file.
pub(super) fn until_free(
    node: &Path,
    mut try_open: impl FnMut() -> io::Result<()>,
    clock: &dyn Clock,
    patience: Patience,
) -> Result<(), VfioError> {
    let free = wait_for(clock, patience, || match try_open() {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(None),
        // Free; or gone with the card, or not for us to open: then nothing of ours is in the way.
        _ => Ok(Some(())),
    })?;
    free.ok_or_else(|| VfioError::StillBusy {
        path: node.to_owned(),
        waited_ms: patience.limit().as_millis() as u64,
    })
}
