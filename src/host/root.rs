//! Where the host's files are. Everything below one root directory, so that tests can build a host
//! in a temporary directory (docs/linux.md#test-seams).

use super::Bdf;
use std::path::{Path, PathBuf};

/// The Linux host we run on, or one made of files for a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// This machine.
    #[must_use]
    pub fn system() -> Self {
        Self::at("/")
    }

    /// A host whose `/sys`, `/proc`, `/dev`, `/run`, `/var` and `/etc` are below `root`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Is this the machine itself? Device nodes and processes can be used only there.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.root == Path::new("/")
    }

    /// A path below the root; `path` as on a real host, with or without the leading `/`.
    #[must_use]
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Directory of a PCI function in sysfs.
    #[must_use]
    pub fn device(&self, bdf: Bdf) -> PathBuf {
        self.path("sys/bus/pci/devices").join(bdf.to_string())
    }

    /// Directory of a PCI driver in sysfs.
    #[must_use]
    pub fn driver(&self, name: &str) -> PathBuf {
        self.path("sys/bus/pci/drivers").join(name)
    }

    /// Where journals are kept; survives a reboot.
    #[must_use]
    pub fn journal_dir(&self) -> PathBuf {
        self.path("var/lib/cx3flash/journal")
    }

    /// Where lock files are; gone after a reboot, as the locks are.
    #[must_use]
    pub fn lock_dir(&self) -> PathBuf {
        self.path("run/cx3flash")
    }
}
