//! The sockets a server listens on: whose file it is, and connections when descriptors run out.

use super::{ServeError, cannot};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pause before the next attempt when the kernel has nothing to accept a connection with.
const SHORTAGE: Duration = Duration::from_millis(50);

/// A listening socket and its file, which goes with it.
pub(super) struct ServerSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: the file of a server that came later is not removed.
    file: (u64, u64),
    /// Given up to accept, and close, a connection for which there is no descriptor: one that waits
    /// unaccepted would make every `poll` return at once.
    spare: Option<File>,
}

fn place(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// Whether a server listens on the socket. Does not wait, also when its queue is full.
fn answers(path: &Path) -> io::Result<bool> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(probe.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::ECONNREFUSED) => Ok(false),
        _ => Ok(true),
    }
}

impl ServerSocket {
    /// Listens at `path`. The socket of a killed server is replaced; one that answers, and what is no
    /// socket, is not.
    pub(super) fn bind(path: &Path) -> Result<Self, ServeError> {
        let what = format!("listen on {}", crate::escape::path(path));
        let error = cannot(&what);
        match path.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(error(e)),
            Ok(meta) if !meta.file_type().is_socket() => {
                return Err(ServeError::NoSocket { path: path.to_owned() });
            }
            Ok(_) if answers(path).map_err(&error)? => {
                return Err(ServeError::InUse { path: path.to_owned() });
            }
            Ok(_) => std::fs::remove_file(path).map_err(&error)?,
        }
        let listener = UnixListener::bind(path).map_err(&error)?;
        let file = path.symlink_metadata().map(|meta| place(&meta)).map_err(&error)?;
        let spare = File::open("/dev/null").ok();
        let socket = Self { listener, path: path.to_owned(), file, spare };
        socket.listener.set_nonblocking(true).map_err(&error)?;
        Ok(socket)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// A connection that waits, if there is one; it does not block.
    pub(super) fn accept(&mut self) -> io::Result<Option<UnixStream>> {
        let error = match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                return Ok(Some(stream));
            }
            Err(error) => error,
        };
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => Ok(None),
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                tracing::warn!(path = %crate::escape::path(&self.path), %error, "a connection is refused");
                drop(self.spare.take());
                let refused = self.listener.accept().is_ok();
                self.spare = File::open("/dev/null").ok();
                if !refused {
                    std::thread::sleep(SHORTAGE);
                }
                Ok(None)
            }
            _ => Err(error),
        }
    }
}

impl Drop for ServerSocket {
    fn drop(&mut self) {
        if self.path.symlink_metadata().is_ok_and(|meta| place(&meta) == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
