//! What VFIO holds while a card is open, and how it is let go of.

use super::VfioError;
use super::sys;
use crate::card::{Clock, WallClock};
use crate::host::Bdf;
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use vfio_ioctls::{VfioContainer, VfioDevice};

/// How long the group may stay taken after we closed all of it: a bus reset takes about a second
/// (linux-vfio §3.5, EMU), and a server's root port may take longer.
const FREE_WITHIN: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(10);

/// By which way the device was opened.
pub(super) enum Road {
    /// Group and container.
    Group {
        /// The container; the last to go.
        container: Arc<VfioContainer>,
        /// Group number at open.
        group: u32,
        /// Group node.
        node: PathBuf,
    },
    /// Character device and iommufd. Compiled only: no kernel of Debian's has it (linux-vfio
    /// §11.2).
    #[cfg(feature = "cdev")]
    Cdev,
}

/// An open VFIO device.
pub(super) struct Session {
    device: Option<VfioDevice>,
    road: Road,
    /// The card's directory in sysfs.
    sysfs: PathBuf,
    bdf: Bdf,
}

/// Number of the IOMMU group a sysfs device directory points at.
pub(super) fn group_of(sysfs: &Path) -> Option<u32> {
    let link = std::fs::read_link(sysfs.join("iommu_group")).ok()?;
    link.file_name()?.to_str()?.parse().ok()
}

/// Opens a node the way VFIO wants it.
pub(super) fn open_node(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

impl Session {
    pub(super) fn new(device: VfioDevice, road: Road, sysfs: PathBuf, bdf: Bdf) -> Self {
        Self {
            device: Some(device),
            road,
            sysfs,
            bdf,
        }
    }

    /// Device first, then container. Everything that uses the device file (mapping, duplicates) is
    /// gone already. Returns once the group can be opened again, so that unbinding does not block.
    pub(super) fn close(mut self) -> Result<(), VfioError> {
        self.let_go()?;
        let node = match &self.road {
            Road::Group { node, .. } => node.clone(),
            #[cfg(feature = "cdev")]
            // Its close is the last close: the kernel has done everything when it returns.
            Road::Cdev => return Ok(()),
        };
        // The container goes here.
        drop(self);
        until_free(
            &node,
            || open_node(&node).map(drop),
            &WallClock::default(),
            FREE_WITHIN,
        )
    }

    /// `VfioDevice` unwraps in its drop: it looks its group up again by the sysfs link, which is
    /// gone after a hot-unplug (linux-vfio §2.3 point 9). So the link is looked at first, and where
    /// it does not lead to the group any more the device is forgotten and closed by hand.
    fn let_go(&mut self) -> Result<(), VfioError> {
        let Some(device) = self.device.take() else {
            return Ok(());
        };
        let bdf = self.bdf;
        if !self.drop_is_safe(&device) {
            let mut fds = vec![device.as_raw_fd()];
            match &self.road {
                // The forgotten device keeps its share of the container for ever, so that nothing
                // else closes the number. The group's descriptor inside cannot be reached: it goes
                // with this process, as its group went with the card.
                Road::Group { container, .. } => fds.push(container.as_raw_fd()),
                #[cfg(feature = "cdev")]
                Road::Cdev => {}
            }
            std::mem::forget(device);
            fds.into_iter().for_each(sys::close_forgotten);
            let why = "its IOMMU group is gone";
            return Err(VfioError::Torn { bdf, why });
        }
        // The link can vanish between the look and the drop.
        catch_unwind(AssertUnwindSafe(|| drop(device))).map_err(|_| VfioError::Torn {
            bdf,
            why: "its IOMMU group went while it was closed",
        })
    }

    #[cfg_attr(
        not(feature = "cdev"),
        expect(unused_variables, reason = "only its detach is tried")
    )]
    fn drop_is_safe(&self, device: &VfioDevice) -> bool {
        match &self.road {
            Road::Group { group, .. } => group_of(&self.sysfs) == Some(*group),
            // The drop unwraps a detach, so that is tried first: it may be done twice.
            #[cfg(feature = "cdev")]
            Road::Cdev => device.detach_hwpt().is_ok(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = self.let_go() {
            tracing::warn!(%error, "closing the card");
        }
    }
}

/// Waits until `try_open` says something other than EBUSY: closing a descriptor is not the end
/// while something else still refers to the file.
pub(super) fn until_free(
    node: &Path,
    mut try_open: impl FnMut() -> io::Result<()>,
    clock: &dyn Clock,
    limit: Duration,
) -> Result<(), VfioError> {
    let start = clock.now();
    loop {
        match try_open() {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            // Free; or gone with the card, or not for us to open: then nothing of ours is in the way.
            _ => return Ok(()),
        }
        let waited = clock.now().saturating_sub(start);
        if waited >= limit {
            return Err(VfioError::StillBusy {
                path: node.to_owned(),
                waited_ms: waited.as_millis() as u64,
            });
        }
        clock.sleep(STEP);
    }
}
