//! One process at a time holds a card: a lock file, held by the kernel as long as the process
//! lives.

use super::LeaseError;
use crate::escape;
use crate::host::{Bdf, Host};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The lock; it ends with the process.
pub(super) type Lock = Flock<File>;

/// Takes the lock of a card. `None` when this user may not make lock files here: then the kernel's
/// single open of the VFIO group is all that keeps two processes apart.
pub(super) fn take(host: &Host, bdf: Bdf) -> Result<Option<Lock>, LeaseError> {
    let path = host.lock_dir().join(format!("{bdf}.lock"));
    let failed = |source| LeaseError::Lock { path: path.clone(), source };
    let file = match open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut locked) => {
            // The name is for messages only, so a failure is no reason to stop.
            let named = locked.set_len(0).and_then(|()| locked.write_all(own_name().as_bytes()));
            if let Err(error) = named {
                tracing::debug!(%error, "the lock file does not name this process");
            }
            Ok(Some(locked))
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            let read = file.rewind().and_then(|()| file.take(512).read_to_string(&mut holder));
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

/// Tries to take the lock of a module parameter that all cards share. `false`: another process has
/// it now. `None`: no lock can be made here, which does not prevent the change.
pub(super) fn try_shared(host: &Host, name: &str) -> (bool, Option<Lock>) {
    let path = host.lock_dir().join(format!("{name}.lock"));
    let locked = open(&path).and_then(|file| {
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
    });
    match locked {
        Ok(lock) => (true, Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => (false, None),
        Err(error) => {
            tracing::warn!(path = %escape::path(path), %error, "not locked");
            (true, None)
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut options = OpenOptions::new();
    // The directory belongs to a group: a member could have put a link there.
    options.read(true).custom_flags(libc::O_NOFOLLOW);
    let mut creating = options.clone();
    creating.write(true).create(true).mode(0o664);
    match creating.open(path) {
        // Another user's file: a lock needs no more than an open file.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            options.open(path).map_err(|_| error)
        }
        other => other,
    }
}

/// `pid 4711 (cx3flash burn new.bin)`.
fn own_name() -> String {
    let command: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    format!("pid {} ({})\n", std::process::id(), command.join(" "))
}
