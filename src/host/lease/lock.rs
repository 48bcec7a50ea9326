//! Lock files, held by the kernel as long as a process has them open. One process at a time holds
//! a card.

use super::LeaseError;
use crate::escape;
use crate::host::{Bdf, Host, is_root};
use nix::libc;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A lock; it ends with the process, or with the last one that inherited the open file.
pub(super) type Lock = File;

/// How often a lock file may be replaced while it is being locked.
const REPLACED: usize = 100;

/// Takes the lock of a card. `None` when there can be no lock file: this user may not make one, or
/// the file system takes none. Then the kernel's single open of the VFIO group is all that keeps
/// two processes apart.
pub(super) fn take(
    host: &Host,
    bdf: Bdf,
    lock: impl Fn(&Path, FlockOperation, u32) -> io::Result<Option<Lock>>,
) -> Result<Option<Lock>, LeaseError> {
    let path = host.lock_dir().join(format!("{bdf}.lock"));
    match lock(&path, FlockOperation::NonBlockingLockExclusive, 0o664) {
        Ok(Some(mut lock)) => {
            // The name is for messages only, so a failure is no reason to stop.
            let named = lock.set_len(0).and_then(|()| lock.write_all(own_name().as_bytes()));
            if let Err(error) = named {
                tracing::debug!(%error, "the lock file does not name this process");
            }
            Ok(Some(lock))
        }
        Ok(None) => Err(LeaseError::Held { bdf, holder: holder(&path) }),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !is_root() => Ok(None),
        Err(error) if no_lock_files(&error) => {
            tracing::warn!(path = %escape::path(&path), %error, "no lock: do not run two jobs at once");
            Ok(None)
        }
        Err(source) => Err(LeaseError::Lock { path, source }),
    }
}

/// Whether the file system takes no lock file, although this user may write there.
fn no_lock_files(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), ReadOnlyFilesystem | StorageFull | QuotaExceeded)
}

/// Locks the file at `path`, which is made with `mode` if there is none. `None`: another process
/// has a lock that excludes this one.
pub(super) fn acquire(path: &Path, arg: FlockOperation, mode: u32) -> io::Result<Option<Lock>> {
    for _ in 0..REPLACED {
        let file = open(path, mode)?;
        let id = |meta: &fs::Metadata| (meta.dev(), meta.ino());
        let opened = id(&file.metadata()?);
        let locked = match flock(&file, arg) {
            Ok(()) => Some(file),
            Err(Errno::WOULDBLOCK) => None,
            Err(errno) => return Err(errno.into()),
        };
        // A lock of a file that was unlinked or replaced excludes no other process.
        match fs::symlink_metadata(path) {
            Ok(meta) if id(&meta) == opened => return Ok(locked),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Err(io::Error::other("another program keeps replacing it"))
}

/// Ends a lock at once. Closing it would not while a child, forked a moment ago for another program, still
/// has its copy of the open file (flock(2)).
pub(super) fn release(lock: Lock) {
    if let Err(error) = flock(&lock, FlockOperation::Unlock) {
        tracing::debug!(%error, "a lock ends when its file is closed");
    }
}

/// Opens a lock file, or makes one. The directory belongs to a group, and a member could have put
/// something else there: links are not followed, and nothing but a regular file is accepted.
fn open(path: &Path, mode: u32) -> io::Result<File> {
    use io::ErrorKind::{AlreadyExists, NotFound, PermissionDenied, ReadOnlyFilesystem};
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    // Without O_CREAT: fs.protected_regular refuses that to root for another user's file.
    let existing = || match options.clone().write(true).open(path) {
        // A lock needs no more than an open file.
        Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => {
            options.open(path).map_err(|_| error)
        }
        other => other,
    };
    let file = match existing() {
        Err(error) if error.kind() == NotFound => {
            let created = options.clone().write(true).create_new(true).mode(mode).open(path);
            match created {
                // Made by another process in between.
                Err(error) if error.kind() == AlreadyExists => existing(),
                other => other,
            }
        }
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            Err(io::Error::other("it is a symbolic link"))
        }
        other => other,
    }?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is not a regular file"))
}

/// The process that holds the lock, as it names itself.
fn holder(path: &Path) -> String {
    let mut name = Vec::new();
    let read = open(path, 0o664).and_then(|file| file.take(512).read_to_end(&mut name));
    let name = String::from_utf8_lossy(&name);
    match read {
        Ok(_) if !name.trim().is_empty() => {
            name.trim().chars().filter(|c| !c.is_control()).collect()
        }
        _ => "another process".into(),
    }
}

/// `pid 4711 (cx3flash burn new.bin)`.
fn own_name() -> String {
    let command: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    format!("pid {} ({})\n", std::process::id(), command.join(" "))
}

/// The original value in the lock file of `guard`; `None` where there is none.
pub(super) fn noted(lock: &Lock) -> Option<String> {
    let mut bytes = [0; 4];
    let len = lock.read_at(&mut bytes, 0).ok()?;
    let text = std::str::from_utf8(&bytes[..len]).ok()?.trim();
    let plausible = matches!(text, "Y" | "N")
        || !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plausible.then(|| text.to_owned())
}

/// Writes the note; nothing where it is right already.
pub(super) fn write_note(lock: &Lock, text: &str) -> io::Result<()> {
    if noted(lock).as_deref().unwrap_or_default() == text {
        return Ok(());
    }
    lock.set_len(0)?;
    lock.write_all_at(text.as_bytes(), 0)
}
