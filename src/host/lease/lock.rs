//! One process at a time holds a card: a lock file, held by the kernel as long as the process lives.

use super::LeaseError;
use crate::host::{Bdf, Host};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The lock; gone with the process, however it ends.
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

/// Take the lock of a card. `None` when this user may not make lock files here: then the kernel's
/// single open of the VFIO group is all that keeps two apart.
///
/// # Errors
/// [`LeaseError::Held`] with the holder, [`LeaseError::Lock`].
pub(super) fn take(host: &Host, bdf: Bdf) -> Result<Option<Lock>, LeaseError> {
    let path = host.lock_dir().join(format!("{bdf}.lock"));
    let failed = |source| LeaseError::Lock {
        path: path.clone(),
        source,
    };
    let mut file = match open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut locked) => {
            // For whoever finds it held. Not being able to say who we are is no reason to stop.
            let said = locked
                .set_len(0)
                .and_then(|()| locked.write_all(ourselves().as_bytes()));
            if let Err(error) = said {
                tracing::debug!(%error, "the lock file does not name us");
            }
            Ok(Some(Lock(locked)))
        }
        Err((back, nix::errno::Errno::EWOULDBLOCK)) => {
            file = back;
            let mut holder = String::new();
            let read = file
                .rewind()
                .and_then(|()| file.take(512).read_to_string(&mut holder));
            if read.is_err() || holder.trim().is_empty() {
                holder = "another process".into();
            }
            Err(LeaseError::Held {
                bdf,
                holder: holder.trim().chars().filter(|c| !c.is_control()).collect(),
            })
        }
        Err((_, errno)) => Err(failed(errno.into())),
    }
}

/// Try to take the lock of everybody who changes parameters of a driver that all cards share. `false`:
/// another process has it now. `None` inside: there can be none here, which keeps nobody from anything.
pub(super) fn try_shared(host: &Host, name: &str) -> (bool, Option<Lock>) {
    let path = host.lock_dir().join(format!("{name}.lock"));
    let file = match open(&path) {
        Ok(file) => file,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "not locked");
            return (true, None);
        }
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(locked) => (true, Some(Lock(locked))),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => (false, None),
        Err((_, errno)) => {
            tracing::warn!(path = %path.display(), error = %errno, "not locked");
            (true, None)
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let opened = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o664)
                // The directory is a group's: a member could have planted a link there.
                .custom_flags(libc::O_NOFOLLOW)
                .open(path)
        });
    // A file of another user's: a lock needs no more than an open file.
    opened.or_else(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(|_| error),
        _ => Err(error),
    })
}

/// `pid 4711 (cx3flash burn new.bin)`.
fn ourselves() -> String {
    let command: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    format!("pid {} ({})\n", std::process::id(), command.join(" "))
}
