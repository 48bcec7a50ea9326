//! Serves a card over vfio-user, so that QEMU's `vfio-user-pci` shows it to a guest with a real
//! kernel (docs/lab.md#vfio-user-client-of-qemu).
//!
//! The server is our own, not the `Server` of the crate `vfio_user` (docs/lab.md#vfio-user). That
//! one blocks in `accept` and `recvmsg`, so the control channel would need a second thread, and a
//! [`SimCard`] is for one; it passes a region's descriptor only with a list of sparse areas; it
//! panics on a version string that does not end in NUL and loses the frame after an unknown
//! command. The tests connect with the crate's `Client`, an independent reading of the protocol.
//!
//! One client at a time; a second one finds its connection closed. After the client another one may
//! connect (a guest that reboots). The end of a client is no power cut: flash, semaphores and running
//! firmware stay; descriptors, interrupts and the command register do not.
//!
//! Nothing waits for a client: half a message stays in its buffer, an answer that it does not read
//! too. SIGINT, SIGTERM and SIGHUP end the server as `quit` does; its sockets go with it.
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

mod client;
mod control;
mod device;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod irq;
mod layout;
mod pci;
mod session;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

use crate::sim::SimCard;
use client::ClientConnection;
use control::{Control, ServerAction};
pub use device::ServePace;
use device::ServedDevice;
#[cfg(any(test, fuzzing))]
pub(crate) use fuzz::{card as fuzz_card, converse as fuzz_converse};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket::ServerSocket;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wire::Received;

/// QEMU gives up an access after 5 s, and 3 s passed unnoticed
/// (docs/lab.md#vfio-user-client-of-qemu).
const HOLD: Duration = Duration::from_millis(3500);

/// Why a card cannot be served (any longer).
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A server answers on it.
    #[error("another server listens on {path}")]
    InUse { path: PathBuf },
    #[error("{path} exists and is not a socket")]
    NoSocket { path: PathBuf },
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

/// A served card.
pub struct Server {
    device: ServedDevice,
    socket: ServerSocket,
    client: Option<ClientConnection>,
    control: Option<Control>,
    stop: Option<UnixStream>,
    quit: bool,
}

/// What can be done without waiting.
#[derive(Clone, Copy, Debug, Default)]
struct ServerWork {
    client: bool,
    newcomer: bool,
    orders: bool,
    stop: bool,
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
        let socket = ServerSocket::bind(socket)?;
        let control = control.map(ServerSocket::bind).transpose()?.map(Control::new);
        Ok(Self { device, socket, client: None, control, stop: None, quit: false })
    }

    /// Ends [`Server::run`] when something can be read from `stop`.
    pub fn stop_on(&mut self, stop: UnixStream) {
        self.stop = Some(stop);
    }

    /// Answers until the order `quit` comes, or the stream of [`Server::stop_on`] is written to.
    pub fn run(&mut self) -> Result<(), ServeError> {
        while !self.quit {
            let work = self.wait(None).map_err(cannot("wait for a message"))?;
            if work.stop {
                tracing::info!("stopped by a signal");
                return Ok(());
            }
            if work.orders {
                self.orders()?;
            }
            if work.client && !self.quit {
                self.step()?;
            }
            if work.newcomer && !self.quit {
                self.welcome()?;
            }
        }
        Ok(())
    }

    /// Wait until there is something to do; while an access is held, only orders are. A client that
    /// has gone always is.
    fn wait(&self, held: Option<Duration>) -> io::Result<ServerWork> {
        let mut fds = Vec::new();
        let mut whose = Vec::new();
        let mut add = |(fd, events), work| {
            fds.push(PollFd::new(fd, events));
            whose.push(work);
        };
        if let Some(stop) = &self.stop {
            let work = ServerWork { stop: true, ..ServerWork::default() };
            add((stop.as_fd(), PollFlags::POLLIN), work);
        }
        if let Some(client) = &self.client {
            let (fd, events) = client.waits_for();
            let events = if held.is_some() { PollFlags::empty() } else { events };
            add((fd, events), ServerWork { client: true, ..ServerWork::default() });
        }
        if held.is_none() {
            let work = ServerWork { newcomer: true, ..ServerWork::default() };
            add((self.socket.fd(), PollFlags::POLLIN), work);
        }
        let orders = ServerWork { orders: true, ..ServerWork::default() };
        let control = self.control.iter();
        control.flat_map(Control::waits_for).for_each(|waits| add(waits, orders));
        let waiting = self.control.as_ref().is_some_and(Control::has_orders);
        let timeout = match held {
            _ if waiting => PollTimeout::ZERO,
            Some(limit) => PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(ServerWork::default()),
            Err(errno) => return Err(errno.into()),
        }
        let mut all = ServerWork { orders: waiting, ..ServerWork::default() };
        for (fd, work) in fds.iter().zip(whose) {
            if fd.revents().is_some_and(|r| !r.is_empty()) {
                all.client |= work.client;
                all.newcomer |= work.newcomer;
                all.orders |= work.orders;
                all.stop |= work.stop;
            }
        }
        Ok(all)
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

    /// A connection. While there is a client, others are closed at once.
    fn welcome(&mut self) -> Result<(), ServeError> {
        let Some(stream) = self.socket.accept().map_err(cannot("accept a client"))? else {
            return Ok(());
        };
        // The client before may have gone: its end comes behind its last messages.
        while self.client.is_some() && self.step()? {}
        if self.client.is_some() {
            tracing::warn!("a second client is refused");
            self.device.clients_refused += 1;
            return Ok(());
        }
        tracing::info!("a client has connected");
        self.client = Some(ClientConnection::new(stream));
        Ok(())
    }

    /// One message of the client; false when there is none.
    fn step(&mut self) -> Result<bool, ServeError> {
        let Some(client) = &mut self.client else {
            return Ok(false);
        };
        let mut message = match client.receive() {
            Ok(Received::Message(message)) => message,
            Ok(Received::Nothing) => return Ok(false),
            Ok(Received::End) => {
                tracing::info!("the client has disconnected");
                self.hang_up();
                return Ok(false);
            }
            Err(error) => {
                tracing::warn!(%error, "the connection is broken");
                self.hang_up();
                return Ok(false);
            }
        };
        self.device.tick();
        let before = self.device.card.mutations();
        let result = session::command(&mut self.device, &mut message);
        let after = self.device.card.mutations();
        if before != after {
            self.hold(after)?;
        }
        if let Some(client) = &mut self.client
            && let Err(error) = client.answer(&self.device, &message, result)
        {
            tracing::warn!(%error, "the connection is broken");
            self.hang_up();
        }
        Ok(true)
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
            let work = self.wait(Some(left)).map_err(cannot("wait for an order"))?;
            if work.client || work.stop || work.orders && self.orders()? != ServerAction::Nothing {
                break;
            }
        }
        Ok(())
    }

    /// Ends the connection. The card takes notice of a client that has sent something.
    fn hang_up(&mut self) {
        if self.client.take().is_some_and(|client| client.spoke) {
            self.device.disconnect();
        }
    }
}
