//! Serves a card over vfio-user, so that QEMU's `vfio-user-pci` shows it to a guest with a real
//! kernel (docs/lab.md#vfio-user-client-of-qemu).
//!
//! The server is our own, not the `Server` of the crate `vfio_user` (docs/lab.md#vfio-user). That
//! one blocks in `accept` and `recvmsg`, so the control channel would need a second thread, and a
//! [`SimCard`] is for one; it passes a region's descriptor only with a list of sparse areas; it
//! panics on a version string that does not end in NUL and loses the frame after an unknown
//! command. The tests connect with the crate's `Client`, an independent reading of the protocol.
//!
//! One client at a time; after it another one may connect (a guest that reboots). The end of a
//! client is no power cut: flash, semaphores and running firmware stay; descriptors, interrupts and
//! the command register do not.
//!
//! # Control channel
//!
//! A Unix stream socket. One order a line, each answered by a line `ok`, `ok JSON` or `error WHY`;
//! a line that is not understood is an error. Any number of connections.
//!
//! | order | |
//! |---|---|
//! | `fault JSON` | inject a fault, as `sim fault` takes it |
//! | `power-cycle` | power off and on: boots, semaphores free, faults gone, command register 0 |
//! | `info` | the fields of `sim info`, flash digest, the registers touched most, interrupts, firmware commands, as one JSON object |
//! | `silent on`, `silent off` | everything reads all ones, writes are lost (surprise removal) |
//! | `firmware dead`, `firmware alive` | the command interface is never answered; a chip reset does not change that |
//! | `boot-ms N` | from the next reset or power-on, the chip boots for N ms ([`SimCard::set_boot_time`]) |
//! | `pci-reset-boots on`, `pci-reset-boots off` | whether a function-level reset, and a client that resets or disconnects, restart a chip with a boot time |
//! | `hold-at-mutation N` | when operation N (counted as in [`crate::sim::Fault`], `info` has how many are done) has begun, send `at N` on every control connection and leave that access unanswered until `release` comes, 3.5 s at most; 0 = never |
//! | `release` | answer it |
//! | `forget` | counters and misuse start at zero; answers the counters so far |
//! | `quit` | the server ends |

mod control;
mod device;
mod irq;
mod layout;
mod pci;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use crate::escape;
use crate::sim::SimCard;
use control::{Control, ServerAction};
pub use device::ServePace;
use device::ServedDevice;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// QEMU gives up an access after 5 s, and 3 s passed unnoticed
/// (docs/lab.md#vfio-user-client-of-qemu).
const HOLD: Duration = Duration::from_millis(3500);

/// Why a card cannot be served (any longer).
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The path is no socket, or a server answers on it.
    #[error("{path} is in use")]
    InUse { path: PathBuf },
    #[error("cannot {what}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

fn cannot(what: &str) -> impl Fn(io::Error) -> ServeError {
    move |source| ServeError::Io { what: what.into(), source }
}

/// Listens on a socket. The file of a killed server is removed, one that answers is not.
fn listen(path: &Path) -> Result<UnixListener, ServeError> {
    let what = format!("listen on {}", escape::path(path));
    let error = cannot(&what);
    match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(error(e)),
        Ok(meta) => {
            let refused = |e: io::Error| e.kind() == io::ErrorKind::ConnectionRefused;
            let stale = meta.file_type().is_socket()
                && UnixStream::connect(path).err().is_some_and(refused);
            if !stale {
                return Err(ServeError::InUse { path: path.to_owned() });
            }
            std::fs::remove_file(path).map_err(&error)?;
        }
    }
    UnixListener::bind(path).map_err(error)
}

/// A served card.
pub struct Server {
    device: ServedDevice,
    listener: UnixListener,
    client: Option<UnixStream>,
    control: Option<Control>,
    sockets: Vec<PathBuf>,
    quit: bool,
}

impl Server {
    /// Serve `card` on `socket`, with a control channel on `control`. Clients can connect from now
    /// on; they are answered by [`Server::run`].
    pub fn bind(
        card: SimCard,
        pace: ServePace,
        socket: &Path,
        control: Option<&Path>,
    ) -> Result<Self, ServeError> {
        let device = ServedDevice::new(card, pace).map_err(cannot("make the memory of BAR2"))?;
        let listener = listen(socket)?;
        let mut sockets = vec![socket.to_owned()];
        let control = match control {
            None => None,
            Some(path) => {
                let control = Control::new(listen(path)?);
                sockets.push(path.to_owned());
                Some(control.map_err(cannot("listen on the control socket"))?)
            }
        };
        Ok(Self { device, listener, client: None, control, sockets, quit: false })
    }

    /// Answers until the order `quit` comes.
    pub fn run(&mut self) -> Result<(), ServeError> {
        loop {
            let (client, control) = self.wait(None).map_err(cannot("wait for a message"))?;
            if control {
                self.orders()?;
            }
            if client && !self.quit {
                self.step()?;
            }
            if self.quit {
                return Ok(());
            }
        }
    }

    /// Wait until the client's side (or a new client) and the control channel have something.
    fn wait(&self, limit: Option<Duration>) -> io::Result<(bool, bool)> {
        let first = match &self.client {
            Some(stream) => stream.as_fd(),
            None => self.listener.as_fd(),
        };
        // Held: only orders count.
        let held = limit.is_some();
        let events = if held { PollFlags::empty() } else { PollFlags::POLLIN };
        let mut fds = vec![PollFd::new(first, events)];
        if let Some(control) = &self.control {
            let orders = control.fds().into_iter();
            fds.extend(orders.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        }
        let timeout = limit.map_or(PollTimeout::NONE, |limit| {
            PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok((false, false)),
            Err(errno) => return Err(errno.into()),
        }
        let ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|r| !r.is_empty());
        Ok((fds.first().is_some_and(ready), fds.iter().skip(1).any(ready)))
    }

    fn orders(&mut self) -> Result<ServerAction, ServeError> {
        self.device.tick();
        let Some(control) = &mut self.control else {
            return Ok(ServerAction::Nothing);
        };
        let after = control.serve(&mut self.device).map_err(cannot("read an order"))?;
        self.quit |= after == ServerAction::Quit;
        Ok(after)
    }

    /// One message, or a new client.
    fn step(&mut self) -> Result<(), ServeError> {
        let Some(stream) = &mut self.client else {
            let (stream, _) = self.listener.accept().map_err(cannot("accept a client"))?;
            tracing::info!("a client has connected");
            self.client = Some(stream);
            return Ok(());
        };
        let mut message = match wire::receive(stream) {
            Ok(Some(message)) => message,
            Ok(None) => {
                tracing::info!("the client has disconnected");
                self.hang_up();
                return Ok(());
            }
            Err(error) => {
                tracing::warn!(%error, "the connection is broken");
                self.hang_up();
                return Ok(());
            }
        };
        self.device.tick();
        let before = self.device.card.mutations();
        let result = session::command(&mut self.device, &mut message);
        let after = self.device.card.mutations();
        if before != after {
            self.hold(after)?;
        }
        let Some(stream) = &mut self.client else {
            return Ok(());
        };
        if let Err(error) = session::answer(&self.device, stream, &message, result) {
            tracing::warn!(%error, "the connection is broken");
            self.hang_up();
        }
        Ok(())
    }

    /// Leave the access that made mutation `done` unanswered for a while.
    fn hold(&mut self, done: u64) -> Result<(), ServeError> {
        let Some(control) = &mut self.control else {
            return Ok(());
        };
        if control.hold_at.is_none_or(|at| done < at) {
            return Ok(());
        }
        control.hold_at = None;
        control.announce(&format!("at {done}"));
        let end = Instant::now() + HOLD;
        while let Some(left) = end.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            // poll counts in milliseconds.
            let left = left.max(Duration::from_millis(1));
            let (gone, orders) = self.wait(Some(left)).map_err(cannot("wait for an order"))?;
            if gone || orders && self.orders()? != ServerAction::Nothing {
                break;
            }
        }
        Ok(())
    }

    fn hang_up(&mut self) {
        self.client = None;
        self.device.disconnect();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for path in &self.sockets {
            let _ = std::fs::remove_file(path);
        }
    }
}
