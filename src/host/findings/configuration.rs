//! Files in which programs keep their configuration.

use crate::escape;
use crate::host::{Host, sysfs};
use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

/// The files of these programs, and messages about those that cannot be read.
pub(super) struct Configuration<'a> {
    host: &'a Host,
    unread: RefCell<Vec<String>>,
}

impl<'a> Configuration<'a> {
    pub(super) fn of(host: &'a Host) -> Self {
        Self { host, unread: RefCell::default() }
    }

    /// A file or directory that is not there has the default content.
    pub(super) fn read<T: Default>(
        &self,
        path: impl AsRef<Path>,
        read: impl FnOnce(PathBuf) -> io::Result<T>,
    ) -> T {
        read(self.host.path(&path)).unwrap_or_else(|error| {
            let path = escape::path(Path::new("/").join(path));
            let text = format!("{path} cannot be read ({error}): what it takes is unknown");
            self.unread.borrow_mut().push(text);
            T::default()
        })
    }

    /// The text of a file; `None` when it is not there.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        self.read(path, sysfs::try_text)
    }

    pub(super) fn lines(&self, path: impl AsRef<Path>) -> Vec<String> {
        self.text(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Names in a directory, sorted.
    pub(super) fn names(&self, dir: impl AsRef<Path>) -> Vec<String> {
        self.read(dir, sysfs::try_names)
    }

    /// What could not be read.
    pub(super) fn into_unread(self) -> Vec<String> {
        self.unread.into_inner()
    }
}
