//! The character device and iommufd (Documentation/driver-api/vfio.rst). Debian's kernels are built
//! without IOMMUFD, so the lab cannot run this; see the module above for the run by hand.
//!
//! The device is bound without an address space: no DMA is possible.

use super::VfioError;
use super::errno::{crate_error, node_error};
use crate::host::{Bdf, Host};
use iommufd_ioctls::{IommuFd, IommufdError};
use std::path::Path;
use std::sync::Arc;
use vfio_ioctls::{VfioDevice, VfioIommufd};

/// Opens the card's character device and binds it to an iommufd of its own, which resets the card.
pub(super) fn open(
    host: &Host,
    bdf: Bdf,
    group: u32,
    node: &Path,
) -> Result<(VfioDevice, Arc<VfioIommufd>), VfioError> {
    let failed = |error| crate_error(host, bdf, group, error);
    let iommufd = IommuFd::new().map_err(|error| iommufd_error(host, group, error))?;
    let iommufd = VfioIommufd::new(Arc::new(iommufd), None, None).map_err(failed)?;
    let iommufd = Arc::new(iommufd);
    // Opened once before: the crate's error does not name the node.
    drop(super::session::open_node(node).map_err(|e| node_error(node, group, e))?);
    let file = VfioDevice::open_cdev(&host.device(bdf)).map_err(failed)?;
    let device = VfioDevice::new_from_fd(file, iommufd.clone(), false).map_err(failed)?;
    Ok((device, iommufd))
}

fn iommufd_error(host: &Host, group: u32, error: IommufdError) -> VfioError {
    match error {
        IommufdError::OpenIommufd(source) => node_error(&host.path("dev/iommu"), group, source),
        _ => VfioError::Ioctl { call: "iommufd", source: None },
    }
}
