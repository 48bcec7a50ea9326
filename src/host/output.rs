//! New files and directories, and stdout.
//!
//! A directory is held by its descriptor: one that is exchanged for a link meanwhile redirects nothing. The
//! umask neither widens nor narrows what must be private.

use super::vfio::stdout_was_closed;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, PosixFadviseAdvice, openat, posix_fadvise, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path};

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// Its owner only, whatever the umask.
    Private,
    /// Everyone the umask permits.
    Ordinary,
}

const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIR: u32 = 0o700;

/// A directory that is open.
#[derive(Debug)]
pub struct HeldDir(File);

impl HeldDir {
    /// Opens a directory. Symbolic links are followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::at(AT_FDCWD, path, OFlag::empty())
    }

    /// Opens a directory in this one; a symbolic link is an error.
    pub fn enter(&self, name: &OsStr) -> io::Result<Self> {
        Self::at(&self.0, Path::new(name), OFlag::O_NOFOLLOW)
    }

    fn at(dir: impl std::os::fd::AsFd, path: &Path, flags: OFlag) -> io::Result<Self> {
        failure()?;
        // O_PATH: a directory just made is entered also when the umask took every permission from it.
        let flags = flags | OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(openat(dir, path, flags, Mode::empty())?.into()))
    }

    /// Creates a directory for its owner only.
    pub fn create_dir(&self, name: &OsStr) -> io::Result<Self> {
        failure()?;
        mkdirat(&self.0, name, Mode::from_bits_truncate(PRIVATE_DIR))?;
        let made = self.enter(name).and_then(|dir| {
            failure()?;
            if dir.0.metadata()?.uid() != geteuid().as_raw() {
                return Err(io::Error::other("the new directory was exchanged"));
            }
            let this = format!("/proc/self/fd/{}", dir.0.as_raw_fd());
            std::fs::set_permissions(this, Permissions::from_mode(PRIVATE_DIR))?;
            Ok(dir)
        });
        made.inspect_err(|_| {
            // It was made above and is empty.
            let _ = self.remove_dir(name);
        })
    }

    /// Creates a file that must not exist yet.
    pub fn create_file(&self, name: &OsStr, mode: FileMode) -> io::Result<File> {
        failure()?;
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let bits = if mode == FileMode::Private { PRIVATE_FILE } else { 0o666 };
        let file = File::from(openat(&self.0, name, flags, Mode::from_bits_truncate(bits))?);
        if mode == FileMode::Private {
            let set =
                failure().and_then(|()| file.set_permissions(Permissions::from_mode(PRIVATE_FILE)));
            set.inspect_err(|_| {
                let _ = self.remove_file(name);
            })?;
        }
        Ok(file)
    }

    /// Gives an entry another name, whose file or empty directory it replaces.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        failure()?;
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    pub fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, UnlinkatFlags::RemoveDir)?)
    }

    /// Waits until the names in it are on the disk.
    pub fn sync(&self) -> io::Result<()> {
        failure()?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        File::from(openat(&self.0, ".", flags, Mode::empty())?).sync_all()
    }

    fn try_clone(&self) -> io::Result<Self> {
        failure()?;
        self.0.try_clone().map(Self)
    }
}

/// A directory, and the directories above it that were made for it; these are removed again when it is
/// dropped.
#[derive(Debug)]
pub struct MadeDir {
    dir: HeldDir,
    /// Name and parent of each that was made, outermost first.
    made: Vec<(HeldDir, OsString)>,
}

impl MadeDir {
    /// Opens `path`. What is missing is made, for its owner only. Symbolic links are followed.
    pub fn create(path: &Path) -> io::Result<Self> {
        let start = if path.is_absolute() { "/" } else { "." };
        let mut this = Self { dir: HeldDir::open(Path::new(start))?, made: Vec::new() };
        for component in path.components() {
            let name = match component {
                Component::Normal(name) => name,
                Component::ParentDir => OsStr::new(".."),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
            };
            let next = match HeldDir::at(&this.dir.0, Path::new(name), OFlag::empty()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match this.dir.create_dir(name) {
                        Ok(new) => {
                            let parent = std::mem::replace(&mut this.dir, new);
                            this.made.push((parent, name.to_owned()));
                            continue;
                        }
                        // Another process made it meanwhile.
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                            this.dir.enter(name)
                        }
                        Err(error) => Err(error),
                    }
                }
                opened => opened,
            };
            this.dir = next?;
        }
        Ok(this)
    }

    pub fn dir(&self) -> &HeldDir {
        &self.dir
    }

    /// Waits until the names of the directories that were made are on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.made.iter().rev().try_for_each(|(parent, _)| parent.sync())
    }

    /// What was made stays.
    pub fn keep(&mut self) {
        self.made.clear();
    }
}

impl Drop for MadeDir {
    fn drop(&mut self) {
        for (parent, name) in self.made.iter().rev() {
            // Another program may have put something there meanwhile; then it stays.
            if let Err(error) = parent.remove_dir(name) {
                tracing::debug!(?name, %error, "stays");
                break;
            }
        }
    }
}

/// A new file, which is removed when it is dropped before [`NewFile::write`] has succeeded.
#[derive(Debug)]
pub struct NewFile {
    dir: HeldDir,
    name: OsString,
    file: File,
    written: bool,
}

impl NewFile {
    /// Creates a file that must not exist yet.
    pub fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = HeldDir::open(parent.unwrap_or(Path::new(".")))?;
        Self::in_dir(dir, name, FileMode::Ordinary)
    }

    /// Creates a file for its owner only that must not exist yet.
    pub fn private(dir: &HeldDir, name: &OsStr) -> io::Result<Self> {
        Self::in_dir(dir.try_clone()?, name, FileMode::Private)
    }

    fn in_dir(dir: HeldDir, name: &OsStr, mode: FileMode) -> io::Result<Self> {
        let file = dir.create_file(name, mode)?;
        Ok(Self { dir, name: name.to_owned(), file, written: false })
    }

    /// Writes, syncs and reads back from the disk; whether what was read is what was written.
    pub fn write(mut self, bytes: &[u8]) -> io::Result<bool> {
        failure()?;
        self.file.write_all(bytes)?;
        failure()?;
        self.file.sync_all()?;
        // Drops the cached pages, so that what is read comes from the disk. Some file systems keep everything in
        // memory; then this has no effect.
        if let Err(error) = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
        {
            tracing::debug!(name = ?self.name, %error, "pages stay cached");
        }
        failure()?;
        self.file.rewind()?;
        let mut found = Vec::with_capacity(bytes.len());
        self.file.read_to_end(&mut found)?;
        self.written = found == bytes;
        Ok(self.written)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.written
            && let Err(error) = self.dir.remove_file(&self.name)
        {
            tracing::warn!(name = ?self.name, %error, "an incomplete file stays behind");
        }
    }
}

/// Writes to stdout.
///
/// Not through the standard library, which takes a descriptor that cannot be written for success.
pub fn write_stdout(text: &str) -> io::Result<()> {
    if stdout_was_closed() {
        return Err(Errno::EBADF.into());
    }
    let mut left = text.as_bytes();
    while !left.is_empty() {
        match nix::unistd::write(io::stdout(), left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(wrote) => left = left.get(wrote..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(not(test))]
fn failure() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use failing::failing_at;
#[cfg(test)]
use failing::failure;

/// Lets the file operations of a test fail one after the other.
#[cfg(test)]
mod failing {
    use nix::errno::Errno;
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static PLANNED: Cell<Option<(usize, Errno)>> = const { Cell::new(None) };
    }

    pub(super) fn failure() -> io::Result<()> {
        let planned = PLANNED.get();
        PLANNED.set(planned.and_then(|(left, errno)| Some((left.checked_sub(1)?, errno))));
        match planned {
            Some((0, errno)) => Err(errno.into()),
            _ => Ok(()),
        }
    }

    /// Runs `work`, whose operation number `at` fails with `errno`. The flag is whether it has so many.
    pub(crate) fn failing_at<T>(at: usize, errno: Errno, work: impl FnOnce() -> T) -> (T, bool) {
        PLANNED.set(Some((at, errno)));
        let result = work();
        (result, PLANNED.replace(None).is_none())
    }
}
