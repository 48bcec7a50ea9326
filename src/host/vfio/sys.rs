//! The only file with `unsafe`: ioctls that no crate offers with their errno, and the handler that
//! turns SIGBUS on a mapped BAR into an error; and what only code before `main` can see.
//!
//! vfio-ioctls drops the errno of several ioctls. A mapped BAR faults when memory decode is off
//! (drivers/vfio/pci/vfio_pci_core.c).

#![allow(
    unsafe_code,
    reason = "ioctls, a signal handler and file descriptors of C have no safe form"
)]

use nix::libc::{self, c_int, c_void, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering, compiler_fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use vfio_bindings::bindings::vfio::{vfio_group_status, vfio_region_info};
use vfio_ioctls::{VfioDevice, VfioOps};

/// VFIO's ioctls are `_IO(';', 100 + n)` (include/uapi/linux/vfio.h).
mod raw {
    use super::{vfio_group_status, vfio_region_info};
    use nix::libc::{self, c_int};
    use nix::{ioctl_none_bad, ioctl_readwrite_bad, ioctl_write_ptr_bad, request_code_none};

    ioctl_readwrite_bad!(group_get_status, request_code_none!(b';', 103), vfio_group_status);
    ioctl_write_ptr_bad!(group_set_container, request_code_none!(b';', 104), c_int);
    ioctl_readwrite_bad!(device_get_region_info, request_code_none!(b';', 108), vfio_region_info);
    ioctl_none_bad!(device_reset, request_code_none!(b';', 111));
    ioctl_readwrite_bad!(ethtool, libc::SIOCETHTOOL, libc::ifreq);
}

/// Bit 0 to 2: that descriptor was closed when the process started.
static CLOSED: AtomicU8 = AtomicU8::new(0);

// SAFETY: the section holds functions that the C library calls once, before `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = note_closed;

extern "C" fn note_closed() {
    for fd in 0..3 {
        // SAFETY: F_GETFD has no argument, and every number is allowed.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
        }
    }
}

/// Whether stdout was closed when the process started. Rust's runtime opens `/dev/null` in its place before
/// `main`, so that no other file gets its number, and writing it succeeds.
pub(in crate::host) fn stdout_was_closed() -> bool {
    CLOSED.load(Ordering::Relaxed) & 1 << 1 != 0
}

/// `VFIO_GROUP_GET_STATUS`: the flags.
pub(super) fn group_status(group: &File) -> io::Result<u32> {
    let mut status = vfio_group_status { argsz: size_of::<vfio_group_status>() as u32, flags: 0 };
    // SAFETY: the kernel writes at most `argsz` bytes into a struct that outlives the call.
    unsafe { raw::group_get_status(group.as_raw_fd(), &raw mut status) }?;
    Ok(status.flags)
}

/// `VFIO_GROUP_SET_CONTAINER`. Undone by closing either file.
pub(super) fn group_set_container(group: &File, container: &File) -> io::Result<()> {
    let fd: c_int = container.as_raw_fd();
    // SAFETY: the kernel reads one int through the pointer, which outlives the call.
    unsafe { raw::group_set_container(group.as_raw_fd(), &raw const fd) }?;
    Ok(())
}

/// One region of a VFIO device, as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    /// `VFIO_REGION_INFO_FLAG_*`.
    pub(super) flags: u32,
    /// Length in bytes; 0 when the device has none.
    pub(super) size: u64,
    /// Where it begins in the device file.
    pub(super) offset: u64,
}

/// `VFIO_DEVICE_GET_REGION_INFO`, without capabilities.
pub(super) fn region_info(device: &File, index: u32) -> io::Result<Region> {
    let mut info = vfio_region_info {
        argsz: size_of::<vfio_region_info>() as u32,
        index,
        ..Default::default()
    };
    // SAFETY: the kernel writes at most `argsz` bytes into a struct that outlives the call.
    unsafe { raw::device_get_region_info(device.as_raw_fd(), &raw mut info) }?;
    Ok(Region { flags: info.flags, size: info.size, offset: info.offset })
}

/// `VFIO_DEVICE_RESET`.
pub(super) fn device_reset(device: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: the ioctl has no argument, and the device keeps its file open for as long as it is borrowed.
    unsafe { raw::device_reset(device.as_raw_fd()) }?;
    Ok(())
}

/// A second descriptor of the device file, closed on exec.
pub(super) fn duplicate(device: &VfioDevice) -> io::Result<File> {
    // SAFETY: the device keeps its file open for as long as it is borrowed.
    let file = unsafe { BorrowedFd::borrow_raw(device.as_raw_fd()) };
    Ok(File::from(file.try_clone_to_owned()?))
}

/// Closes a device and the container or iommufd it was opened with, without the device's own
/// `drop`, which may panic ([`super::session::VfioSession`]).
pub(super) fn close_device(device: VfioDevice, ops: Arc<dyn VfioOps>) {
    let file = device.as_raw_fd();
    std::mem::forget(device);
    // SAFETY: the forgotten device was the owner of its file and of one reference to `ops`.
    unsafe {
        drop(OwnedFd::from_raw_fd(file));
        Arc::decrement_strong_count(Arc::as_ptr(&ops));
    }
}

/// Length of `struct ethtool_drvinfo` (include/uapi/linux/ethtool.h).
const DRIVER_INFO: usize = 196;

/// `ETHTOOL_GDRVINFO`: the command (4 bytes), then driver, version, firmware version and bus address
/// in 32 bytes each.
pub(in crate::host) fn ethtool_driver_info(netdev: &str) -> io::Result<[u8; DRIVER_INFO]> {
    const GET_DRIVER_INFO: u32 = 3;
    let mut ifr_name = [0; libc::IFNAMSIZ];
    // The last byte stays 0.
    if netdev.is_empty() || netdev.len() >= ifr_name.len() || netdev.contains('\0') {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in ifr_name.iter_mut().zip(netdev.bytes()) {
        *to = from as libc::c_char;
    }
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut info = [0; DRIVER_INFO];
    info[..4].copy_from_slice(&GET_DRIVER_INFO.to_ne_bytes());
    let mut request = libc::ifreq {
        ifr_name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: info.as_mut_ptr().cast() },
    };
    // SAFETY: the kernel reads an `ifreq` and writes one `ethtool_drvinfo` of 196 bytes behind
    // `ifru_data`; both live until after the call.
    unsafe { raw::ethtool(socket.as_raw_fd(), &raw mut request) }?;
    Ok(info)
}

/// One watched mapping: `[start, end)` in our address space; `start` 0 is no mapping.
struct WatchSlot {
    taken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    hit: AtomicBool,
}

/// A process opens one card; tests run in parallel.
const SLOTS: usize = 32;

static WATCHED: [WatchSlot; SLOTS] = [const {
    WatchSlot {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        hit: AtomicBool::new(false),
    }
}; SLOTS];

/// What SIGBUS did before; set once our handler is installed.
static PREVIOUS: OnceLock<SigAction> = OnceLock::new();

/// A mapping whose SIGBUS becomes a flag. Must be dropped before the mapping is removed: another
/// mapping may get the same address.
pub(super) struct BusWatch(&'static WatchSlot);

impl BusWatch {
    /// Watches the live mapping of `length` bytes at `start`, all of which is the caller's.
    pub(super) fn over(start: usize, length: usize) -> io::Result<Self> {
        install()?;
        let slot = WATCHED
            .iter()
            .find(|slot| !slot.taken.swap(true, Ordering::AcqRel))
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        slot.hit.store(false, Ordering::Relaxed);
        slot.end.store(start.saturating_add(length), Ordering::Relaxed);
        slot.start.store(start, Ordering::Release);
        Ok(Self(slot))
    }

    /// Whether any access to the mapping has raised SIGBUS, checked after each access. The fences
    /// keep the compiler from moving the access behind the check (the handler runs on this thread).
    pub(super) fn hit(&self) -> bool {
        compiler_fence(Ordering::SeqCst);
        let hit = self.0.hit.load(Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        hit
    }
}

impl Drop for BusWatch {
    fn drop(&mut self) {
        self.0.start.store(0, Ordering::Relaxed);
        self.0.end.store(0, Ordering::Relaxed);
        self.0.taken.store(false, Ordering::Release);
    }
}

/// Installs the handler once for the process. A thread that blocks SIGBUS is killed by the fault
/// all the same, so this signal is never blocked.
fn install() -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if PREVIOUS.get().is_none() {
        // SA_ONSTACK as in Rust's own handler, which reports stack overflows.
        let handler = SigHandler::SigAction(on_bus_error);
        let action = SigAction::new(handler, SaFlags::SA_ONSTACK, SigSet::empty());
        // SAFETY: `on_bus_error` does only what a signal handler may do.
        let previous = unsafe { sigaction(Signal::SIGBUS, &action) }?;
        PREVIOUS.get_or_init(|| previous);
    }
    Ok(())
}

/// Covers one of our mappings with empty memory: the access then ends, and the flag marks its value
/// as invalid. Any other SIGBUS is the previous handler's. Uses only atomics and bare system calls.
extern "C" fn on_bus_error(signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel hands a valid siginfo to an SA_SIGINFO handler; errno is this thread's,
    // and the interrupted code must find it as it was.
    let (address, by_kernel, errno) =
        unsafe { ((*info).si_addr() as usize, (*info).si_code > 0, *libc::__errno_location()) };
    let ours = by_kernel && cover(address);
    if !ours && let Some(previous) = PREVIOUS.get() {
        // A fault happens again when this returns; a signal that was sent does not.
        // SAFETY: the previous action was valid, and still is.
        unsafe {
            let _ = sigaction(Signal::SIGBUS, previous);
            if !by_kernel {
                libc::raise(signal);
            }
        }
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Covers the watched mapping that holds `address`, if there is one.
fn cover(address: usize) -> bool {
    let Some((slot, start, end)) = WATCHED.iter().find_map(|slot| {
        let start = slot.start.load(Ordering::Acquire);
        let end = slot.end.load(Ordering::Relaxed);
        (start != 0 && (start..end).contains(&address)).then_some((slot, start, end))
    }) else {
        return false;
    };
    slot.hit.store(true, Ordering::Relaxed);
    // SAFETY: the mapping's owner registered it as wholly its own and has not unmapped it (the
    // watch is dropped first); nothing refers to its old contents but volatile accesses through
    // that owner. `mmap` is a bare system call here.
    let covered = unsafe {
        libc::mmap(
            start as *mut c_void,
            end - start,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    covered != libc::MAP_FAILED
}
