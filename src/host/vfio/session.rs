//! What VFIO holds while a card is open, and how it is closed.

use super::VfioError;
use super::sys;
use crate::card::{Clock, Patience, WallClock, wait_for};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use vfio_ioctls::{VfioDevice, VfioOps};

/// How long the group may stay busy after it was closed: a bus reset takes about a second, below a
/// server's root port perhaps longer.
const GROUP_FREE: Patience = Patience::every(Duration::from_secs(40), Duration::from_millis(10));

/// An open VFIO device.
///
/// `VfioDevice` (vfio-ioctls 0.10.0, src/vfio_device.rs) reads the sysfs link `iommu_group` again
/// when it is dropped and unwraps it. The removal of a card waits until the device is closed and
/// deletes the link in that moment, so a check before the drop does not help (seen in a guest). A
/// panic there would keep the host from being restored (P6), so the device is closed without it.
pub(super) struct VfioSession {
    /// The device, and the container or iommufd it was opened with; `None` once closed.
    pub(super) open: Option<(VfioDevice, Arc<dyn VfioOps>)>,
    /// The group's node, to check that it is free again. `None` for a character device, whose close
    /// returns when all is done.
    pub(super) node: Option<PathBuf>,
}

/// Opens a node for reading and writing, as VFIO needs it.
pub(super) fn open_node(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

impl VfioSession {
    /// `VFIO_DEVICE_RESET`: the reset that opening the device does (drivers/vfio/pci/vfio_pci_core.c). Whether
    /// it arrives shows on the card. `None` for a device that is closed.
    pub(super) fn reset(&self) -> Option<io::Result<()>> {
        let (device, _) = self.open.as_ref()?;
        reset_of(sys::device_reset(device))
    }

    /// Closes device, container and group; mapping and duplicates of the device file are closed
    /// already. Returns once the group can be opened again, so that unbinding does not block.
    pub(super) fn close(mut self) -> Result<(), VfioError> {
        let node = self.node.take();
        drop(self);
        let Some(node) = node else {
            return Ok(());
        };
        let free = || open_node(&node).map(drop);
        until_free(&node, free, &WallClock::default(), GROUP_FREE)
    }
}

/// The answer of `VFIO_DEVICE_RESET`. `None` where there is no reset: EINVAL when the function had none at the
/// open, ENOTTY when it has none now (drivers/vfio/pci/vfio_pci_core.c, drivers/pci/pci.c).
pub(super) fn reset_of(answer: io::Result<()>) -> Option<io::Result<()>> {
    match answer {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) => None,
        answer => Some(answer),
    }
}

impl Drop for VfioSession {
    fn drop(&mut self) {
        if let Some((device, ops)) = self.open.take() {
            sys::close_device(device, ops);
        }
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
