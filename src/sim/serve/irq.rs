//! Interrupts: event descriptors by index and vector (`SET_IRQS`).

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
pub(super) use vfio_bindings::bindings::vfio::VFIO_PCI_MSIX_IRQ_INDEX as MSIX;
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_INFO_AUTOMASKED as AUTOMASKED, VFIO_IRQ_INFO_EVENTFD as EVENTFD,
    VFIO_IRQ_INFO_MASKABLE as MASKABLE, VFIO_IRQ_INFO_NORESIZE as NORESIZE,
    VFIO_IRQ_SET_ACTION_MASK as MASK, VFIO_IRQ_SET_ACTION_TRIGGER as TRIGGER,
    VFIO_IRQ_SET_ACTION_UNMASK as UNMASK, VFIO_IRQ_SET_DATA_EVENTFD as DATA_EVENTFD,
    VFIO_IRQ_SET_DATA_NONE as DATA_NONE, VFIO_PCI_INTX_IRQ_INDEX as INTX,
};

/// Vectors of the card's MSI-X capability (docs/lab.md#emulated-card).
const VECTORS: u32 = 128;

/// Flags and count of `GET_IRQ_INFO`.
pub(super) fn info(index: u32) -> (u32, u32) {
    match index {
        INTX => (EVENTFD | MASKABLE | AUTOMASKED, 1),
        MSIX => (EVENTFD | NORESIZE, VECTORS),
        _ => (0, 0),
    }
}

#[derive(Debug, Default)]
pub(super) struct Irqs {
    intx: Option<File>,
    msix: Vec<Option<File>>,
    /// MSI-X interrupts sent, for `info`.
    pub(super) sent: u64,
}

impl Irqs {
    /// One `SET_IRQS`. Masking is accepted and means nothing: the client masks on its side.
    pub(super) fn set(
        &mut self,
        (index, flags): (u32, u32),
        (start, count): (u32, u32),
        fds: Vec<OwnedFd>,
    ) -> io::Result<()> {
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        let (_, most) = info(index);
        if start.checked_add(count).is_none_or(|end| end > most) {
            // Nothing to switch off where there is nothing.
            return if count == 0 { Ok(()) } else { Err(invalid()) };
        }
        if flags & (MASK | UNMASK) != 0 {
            return Ok(());
        }
        if flags & TRIGGER == 0 {
            return Err(invalid());
        }
        match flags & (DATA_NONE | DATA_EVENTFD) {
            DATA_NONE if count == 0 && index == MSIX => self.msix.clear(),
            DATA_NONE if count == 0 => self.intx = None,
            DATA_NONE => (start..start + count).for_each(|n| self.send(index, n)),
            DATA_EVENTFD => {
                let mut fds = fds.into_iter().map(File::from);
                for n in start..start + count {
                    let fd = fds.next();
                    if index == MSIX {
                        let n = n as usize;
                        if self.msix.len() <= n {
                            self.msix.resize_with(n + 1, || None);
                        }
                        self.msix[n] = fd;
                    } else {
                        self.intx = fd;
                    }
                }
            }
            _ => return Err(invalid()),
        }
        Ok(())
    }

    /// MSI-X vectors with an eventfd.
    pub(super) fn vectors(&self) -> usize {
        self.msix.iter().flatten().count()
    }

    /// Raises one, if it has an eventfd.
    pub(super) fn send(&mut self, index: u32, vector: u32) {
        let file = match index {
            MSIX => self.msix.get(vector as usize).and_then(Option::as_ref),
            INTX => self.intx.as_ref(),
            _ => None,
        };
        let Some(mut file) = file else {
            tracing::debug!(index, vector, "interrupt without eventfd");
            return;
        };
        // A write to a full eventfd would wait for the client to read it; it is raised already.
        let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
        let takes = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
        if !takes {
            tracing::debug!(index, vector, "the eventfd is full");
            return;
        }
        match file.write_all(&1_u64.to_ne_bytes()) {
            Ok(()) => self.sent += 1,
            Err(error) => tracing::warn!(index, vector, %error, "interrupt not delivered"),
        }
    }
}
