//! The only file with `unsafe`: ioctls that no crate offers with their errno, and the handler that
//! turns SIGBUS on a mapped BAR into an error.
//!
//! vfio-ioctls drops the errno of several ioctls. A mapped BAR faults when memory decode is off
//! (drivers/vfio/pci/vfio_pci_core.c).

#![allow(
    unsafe_code,
    reason = "ioctls, a signal handler and file descriptors of C have no safe form"
)]

use nix::libc::{self, c_int, c_void, siginfo_t};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, compiler_fence};
use std::sync::{Mutex, OnceLock, PoisonError};
use vfio_bindings::bindings::vfio::{vfio_group_status, vfio_region_info};

/// VFIO's ioctls are `_IO(';', 100 + n)` (include/uapi/linux/vfio.h).
mod raw {
    use super::{EthtoolRequest, vfio_group_status, vfio_region_info};
    use nix::libc::{self, c_int};
    use nix::{ioctl_readwrite_bad, ioctl_write_ptr_bad, request_code_none};

    ioctl_readwrite_bad!(
        group_get_status,
        request_code_none!(b';', 103),
        vfio_group_status
    );
    ioctl_write_ptr_bad!(group_set_container, request_code_none!(b';', 104), c_int);
    ioctl_readwrite_bad!(
        device_get_region_info,
        request_code_none!(b';', 108),
        vfio_region_info
    );
    ioctl_readwrite_bad!(ethtool, libc::SIOCETHTOOL, EthtoolRequest);
}

/// `VFIO_GROUP_GET_STATUS`: the flags.
pub(super) fn group_status(group: &File) -> io::Result<u32> {
    let mut status = vfio_group_status {
        argsz: size_of::<vfio_group_status>() as u32,
        flags: 0,
    };
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
    Ok(Region {
        flags: info.flags,
        size: info.size,
        offset: info.offset,
    })
}

/// A second descriptor of an open file that some crate owns, closed on exec.
///
/// # Errors
/// EBADF when `fd` is not open, EMFILE.
pub(super) fn duplicate(fd: RawFd) -> io::Result<File> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: not -1; borrowed for one `fcntl`, and the kernel refuses a number that is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(File::from(borrowed.try_clone_to_owned()?))
}

/// Closes a descriptor whose owner was forgotten (`mem::forget`).
pub(super) fn close_forgotten(fd: RawFd) {
    if fd >= 0 {
        // SAFETY: the caller forgot the only owner: the number is still open and ours alone.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
}

/// `struct ethtool_drvinfo` of the kernel's uapi/linux/ethtool.h.
#[repr(C)]
pub(in crate::host) struct EthtoolDriverInfo {
    command: u32,
    pub(in crate::host) driver: [u8; 32],
    pub(in crate::host) version: [u8; 32],
    pub(in crate::host) fw_version: [u8; 32],
    pub(in crate::host) bus_info: [u8; 32],
    erom_version: [u8; 32],
    reserved: [u8; 12],
    counts: [u32; 5],
}

const _: () = assert!(size_of::<EthtoolDriverInfo>() == 196);

/// `struct ifreq` with the member `ifr_data`, padded to the kernel's size of 40 bytes.
#[repr(C)]
pub(super) struct EthtoolRequest {
    name: [u8; libc::IFNAMSIZ],
    data: *mut EthtoolDriverInfo,
    padding: [usize; 2],
}

const _: () = assert!(size_of::<EthtoolRequest>() == size_of::<libc::ifreq>());

/// `ETHTOOL_GDRVINFO` (include/uapi/linux/ethtool.h).
///
/// # Errors
/// ENODEV when there is no such network device; what `socket` reports.
pub(in crate::host) fn ethtool_driver_info(netdev: &str) -> io::Result<EthtoolDriverInfo> {
    const GET_DRIVER_INFO: u32 = 3;
    let mut name = [0; libc::IFNAMSIZ];
    // The last byte stays 0.
    if netdev.is_empty() || netdev.len() >= name.len() || netdev.contains('\0') {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    name[..netdev.len()].copy_from_slice(netdev.as_bytes());
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut info = EthtoolDriverInfo {
        command: GET_DRIVER_INFO,
        driver: [0; 32],
        version: [0; 32],
        fw_version: [0; 32],
        bus_info: [0; 32],
        erom_version: [0; 32],
        reserved: [0; 12],
        counts: [0; 5],
    };
    let mut request = EthtoolRequest {
        name,
        data: &raw mut info,
        padding: [0; 2],
    };
    // SAFETY: the kernel reads an `ifreq` of 40 bytes and writes one `ethtool_drvinfo` of 196 bytes
    // behind `data`; both live until after the call, and all their bytes may hold any value.
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

static PAGE: AtomicUsize = AtomicUsize::new(0);
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static INSTALLED: Mutex<bool> = Mutex::new(false);

/// A mapping whose SIGBUS becomes a flag. Must be dropped before the mapping is removed: another
/// mapping may get the same address.
pub(super) struct BusWatch(&'static WatchSlot);

impl BusWatch {
    /// Watches the live mapping of `length` bytes at `start`, all of which is the caller's.
    ///
    /// # Errors
    /// ENOMEM when too many mappings are watched; what `sigaction` reports.
    pub(super) fn over(start: usize, length: usize) -> io::Result<Self> {
        install()?;
        let page = PAGE.load(Ordering::Relaxed);
        let slot = WATCHED
            .iter()
            .find(|slot| {
                let claim = (Ordering::AcqRel, Ordering::Relaxed);
                slot.taken
                    .compare_exchange(false, true, claim.0, claim.1)
                    .is_ok()
            })
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        slot.hit.store(false, Ordering::Relaxed);
        let end = start.saturating_add(length).next_multiple_of(page);
        slot.end.store(end, Ordering::Relaxed);
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

/// Installs the handler once for the process. The previous one (Rust's own reports stack overflows)
/// is called for every fault outside of our mappings. A thread that blocks SIGBUS is killed by the
/// fault all the same, so this signal is never blocked.
fn install() -> io::Result<()> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed {
        return Ok(());
    }
    // SAFETY: reads a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page = usize::try_from(page).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    PAGE.store(page, Ordering::Relaxed);
    // SAFETY: all-zero is a valid sigaction (default action, empty mask), and a null pointer
    // for the new action changes nothing.
    let previous = unsafe {
        let mut previous: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut previous) != 0 {
            return Err(io::Error::last_os_error());
        }
        previous
    };
    // Set before the handler can run, which reads it.
    PREVIOUS.get_or_init(|| previous);
    // SAFETY: `on_bus_error` has the signature that SA_SIGINFO requires and does only what a signal
    // handler may do; SA_ONSTACK keeps Rust's stack overflow report working when it is chained.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_bus_error as extern "C" fn(_, _, _) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        if libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    *installed = true;
    Ok(())
}

/// Maps an empty page over the page that faulted, if it is one of ours: the access then ends, and
/// the flag marks its value as invalid. Uses only atomics and bare system calls.
extern "C" fn on_bus_error(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands a valid siginfo to an SA_SIGINFO handler; errno is this thread's,
    // and the interrupted code must find it as it was.
    let (address, by_kernel, errno) = unsafe {
        (
            (*info).si_addr() as usize,
            (*info).si_code > 0,
            *libc::__errno_location(),
        )
    };
    let ours = by_kernel && cover(address);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
    if !ours {
        // SAFETY: same signal, same arguments.
        unsafe { chain(signal, info, context) };
    }
}

/// Covers the page of `address` if a watched mapping holds it.
fn cover(address: usize) -> bool {
    let page = PAGE.load(Ordering::Relaxed);
    let Some(slot) = WATCHED.iter().find(|slot| {
        let start = slot.start.load(Ordering::Acquire);
        start != 0 && address >= start && address < slot.end.load(Ordering::Relaxed)
    }) else {
        return false;
    };
    slot.hit.store(true, Ordering::Relaxed);
    // SAFETY: the page lies inside a mapping that its owner registered as wholly its own and has
    // not unmapped (the watch is dropped first); nothing refers to its old contents but volatile
    // accesses through that owner. `mmap` is a bare system call here.
    let covered = unsafe {
        libc::mmap(
            (address & !(page - 1)) as *mut c_void,
            page,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    covered != libc::MAP_FAILED
}

/// Does what would have happened without our handler.
///
/// # Safety
/// To be called from the handler of `signal`, with its arguments.
unsafe fn chain(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    type Plain = extern "C" fn(c_int);
    type Full = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
    let previous = PREVIOUS.get();
    match previous.map_or(libc::SIG_DFL, |p| p.sa_sigaction) {
        libc::SIG_DFL | libc::SIG_IGN => {
            // A fault cannot be ignored: the access would fault again for ever.
            // SAFETY: an all-zero action is the default one; the raised signal is blocked until
            // the handler returns and then ends the process as SIGBUS does.
            unsafe {
                let default: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, &raw const default, std::ptr::null_mut());
                libc::raise(signal);
            }
        }
        handler if previous.is_some_and(|p| p.sa_flags & libc::SA_SIGINFO != 0) => {
            // SAFETY: with SA_SIGINFO the address is a function of this form.
            let handler = unsafe { std::mem::transmute::<usize, Full>(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without SA_SIGINFO and not default or ignore it is a function of this form.
            let handler = unsafe { std::mem::transmute::<usize, Plain>(handler) };
            handler(signal);
        }
    }
}
