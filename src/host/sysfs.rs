//! Files of the host: where sysfs, procfs and our own directories are, and readers. Everything lies
//! below one root directory, so that a test can build a host in a temporary directory
//! (docs/linux.md#test-seams).
//!
//! Files of sysfs vanish between two reads (hot-unplug, a driver that is unloaded) and can contain
//! anything: what cannot be read is `None` or empty, never a panic. What the host is restored from
//! is read by the functions that begin with `try`: there a failed reading is an error.

use super::Bdf;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The driver that gives a PCI function to userspace.
pub const VFIO_PCI: &str = "vfio-pci";

/// What a PCI function is, as sysfs shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciIds {
    pub vendor: u16,
    pub device: u16,
    pub subsystem_vendor: u16,
    pub subsystem_device: u16,
}

impl fmt::Display for PciIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04x}:{:04x}, subsystem {:04x}:{:04x}",
            self.vendor, self.device, self.subsystem_vendor, self.subsystem_device
        )
    }
}

/// The Linux host we run on, or a directory that stands for one in a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// Release of the kernel; empty where it cannot be read.
    pub fn kernel_release(&self) -> String {
        text(self.path("proc/sys/kernel/osrelease")).unwrap_or_default()
    }

    /// Whether this is a container, which shares the kernel of its host and has no modules: by the files that systemd,
    /// Docker and Podman make, and `container` in the environment of process 1, as of LXC (systemd,
    /// src/basic/virt.c, `detect_container`).
    pub(super) fn is_container(&self) -> bool {
        let marked = [
            "run/systemd/container",
            "run/host/container-manager",
            ".dockerenv",
            "run/.containerenv",
        ];
        let first = fs::read(self.path("proc/1/environ")).unwrap_or_default();
        marked.iter().any(|file| self.path(file).exists())
            || first.split(|byte| *byte == 0).any(|word| word.starts_with(b"container="))
    }

    /// This machine.
    pub fn system() -> Self {
        Self::at("/")
    }

    /// A host whose `/sys`, `/proc`, `/dev`, `/run`, `/var` and `/etc` are below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Whether this is the machine itself. Only there can device nodes and processes be used.
    pub fn is_system(&self) -> bool {
        self.root == Path::new("/")
    }

    /// A path below the root; `path` as on a real host, with or without the leading `/`.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Directory of a PCI function in sysfs.
    pub fn device(&self, bdf: Bdf) -> PathBuf {
        self.path("sys/bus/pci/devices").join(bdf.to_string())
    }

    /// Driver a PCI function is bound to now.
    pub(super) fn driver_of(&self, bdf: Bdf) -> Option<String> {
        link(self.device(bdf).join("driver"))
    }

    pub(super) fn try_driver_of(&self, bdf: Bdf) -> io::Result<Option<String>> {
        try_link(self.device(bdf).join("driver"))
    }

    /// Directory of a PCI driver in sysfs.
    pub(super) fn driver(&self, name: &str) -> PathBuf {
        self.path("sys/bus/pci/drivers").join(name)
    }

    /// Where journals are kept; survives a reboot.
    pub fn journal_dir(&self) -> PathBuf {
        self.path("var/lib/cx3flash/journal")
    }

    /// Where journals are kept that nothing can be restored from: their card is gone.
    pub fn journal_aside_dir(&self) -> PathBuf {
        self.path("var/lib/cx3flash/journal-aside")
    }

    /// Where lock files are; gone after a reboot, as the locks are.
    pub fn lock_dir(&self) -> PathBuf {
        self.path("run/cx3flash")
    }

    /// Ids of any PCI function; `None` when it is gone.
    pub(super) fn ids(&self, bdf: Bdf) -> Option<PciIds> {
        self.try_ids(bdf).ok().flatten()
    }

    pub(super) fn try_ids(&self, bdf: Bdf) -> io::Result<Option<PciIds>> {
        let dir = self.device(bdf);
        let id = |file| -> io::Result<Option<u16>> {
            let number = try_text(dir.join(file))?.and_then(|text| hex(&text));
            Ok(number.and_then(|number| number.try_into().ok()))
        };
        let ids = (id("vendor")?, id("device")?, id("subsystem_vendor")?, id("subsystem_device")?);
        let (Some(vendor), Some(device), Some(subsystem_vendor), Some(subsystem_device)) = ids
        else {
            return Ok(None);
        };
        Ok(Some(PciIds { vendor, device, subsystem_vendor, subsystem_device }))
    }

    /// The bridges above a function and its address, which stand for the slot it is in.
    pub(super) fn slot(&self, bdf: Bdf) -> Option<String> {
        let devices = fs::canonicalize(self.path("sys/devices")).ok()?;
        let real = fs::canonicalize(self.device(bdf)).ok()?;
        Some(real.strip_prefix(devices).ok()?.to_str()?.to_owned())
    }

    /// The kernel's id of this boot.
    pub(super) fn boot_id(&self) -> String {
        self.try_boot_id().unwrap_or_default()
    }

    /// The same; one that cannot be read must not pass for another boot.
    pub(super) fn try_boot_id(&self) -> io::Result<String> {
        Ok(try_text(self.path("proc/sys/kernel/random/boot_id"))?.unwrap_or_default())
    }
}

#[cfg(test)]
type BeforeReading = std::rc::Rc<dyn Fn() -> io::Result<()>>;

#[cfg(test)]
thread_local! {
    /// Called before each reading; an error is that reading's.
    pub(super) static BEFORE_READING: std::cell::RefCell<Option<BeforeReading>> =
        const { std::cell::RefCell::new(None) };
}

/// What `read` reads; `None` when it is not there.
fn reading<T>(read: impl FnOnce() -> io::Result<T>) -> io::Result<Option<T>> {
    #[cfg(test)]
    if let Some(before) = BEFORE_READING.with_borrow(Clone::clone) {
        before()?;
    }
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Content of a file, without white space around it. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn text(path: impl AsRef<Path>) -> Option<String> {
    try_text(path).ok().flatten()
}

pub(super) fn try_text(path: impl AsRef<Path>) -> io::Result<Option<String>> {
    let bytes = reading(|| fs::read(path))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
}

/// A zero-terminated text of the kernel, without control characters and white space around it.
pub(super) fn zero_terminated(bytes: &[u8]) -> String {
    let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    text.trim().chars().filter(|c| !c.is_control()).collect()
}

pub(super) fn lines(path: impl AsRef<Path>) -> Vec<String> {
    let text = text(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Names in a directory, sorted.
pub(super) fn names(path: impl AsRef<Path>) -> Vec<String> {
    try_names(path).unwrap_or_default()
}

/// Empty when there is no such directory.
pub(super) fn try_names(path: impl AsRef<Path>) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in reading(|| fs::read_dir(path))?.into_iter().flatten() {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Names in a directory, sorted, with their paths.
pub(super) fn entries(path: impl AsRef<Path>) -> Vec<(String, PathBuf)> {
    let entry = |name: String| {
        let at = path.as_ref().join(&name);
        (name, at)
    };
    names(&path).into_iter().map(entry).collect()
}

/// Last component of a link's target: the driver, the group, the master.
pub(super) fn link(path: impl AsRef<Path>) -> Option<String> {
    try_link(path).ok().flatten()
}

pub(super) fn try_link(path: impl AsRef<Path>) -> io::Result<Option<String>> {
    let target = reading(|| fs::read_link(path))?;
    Ok(target.and_then(|target| Some(target.file_name()?.to_string_lossy().into_owned())))
}

/// A number in the form of sysfs ids: `0x15b3`.
pub(super) fn hex(text: &str) -> Option<u64> {
    let digits = text.trim().strip_prefix("0x")?;
    // `from_str_radix` alone would accept a sign.
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
    u64::from_str_radix(digits, 16).ok()
}

/// A file that holds such a number.
pub(super) fn number<T: TryFrom<u64>>(path: impl AsRef<Path>) -> Option<T> {
    T::try_from(hex(&text(path)?)?).ok()
}

/// `driver_override` of the function with this sysfs directory; `None` when it reads `(null)`.
pub(super) fn driver_override(device: impl AsRef<Path>) -> Option<String> {
    try_driver_override(device).ok().flatten()
}

pub(super) fn try_driver_override(device: impl AsRef<Path>) -> io::Result<Option<String>> {
    let text = try_text(device.as_ref().join("driver_override"))?;
    Ok(text.filter(|text| !text.is_empty() && text != "(null)"))
}

/// The PCI function a sysfs entry belongs to: the last address in its real path.
pub(super) fn owner(path: impl AsRef<Path>) -> Option<Bdf> {
    let real = fs::canonicalize(path).ok()?;
    let mut functions = real.iter().filter_map(|part| {
        let part = part.to_str()?;
        let bdf: Bdf = part.parse().ok()?;
        // The kernel always writes the domain; `00:01.0` is another kind of directory.
        (bdf.to_string() == part).then_some(bdf)
    });
    functions.next_back()
}

/// Whether this is a single file name, as names of devices are.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '\0'])
}
