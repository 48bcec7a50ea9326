//! The connection of one client. It never waits: what has come of a message is kept until the rest of
//! it comes, and an answer that does not fit into the socket until the client has read.

use super::device::ServedDevice;
use super::wire::{self, Inbox, Message, Outbox, Received};
use nix::libc;
use nix::poll::PollFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use vfio_bindings::bindings::vfio::VFIO_PCI_BAR2_REGION_INDEX as BAR2;

pub(super) struct ClientConnection {
    stream: UnixStream,
    inbox: Inbox,
    outbox: Outbox,
    /// It has sent a message: a connection without any leaves the card alone when it ends.
    pub(super) spoke: bool,
}

impl ClientConnection {
    /// `stream` does not block.
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, inbox: Inbox::default(), outbox: Outbox::default(), spoke: false }
    }

    /// What to poll for. A client that does not read its answers is not read from.
    pub(super) fn waits_for(&self) -> (BorrowedFd<'_>, PollFlags) {
        let events = if self.outbox.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLOUT };
        (self.stream.as_fd(), events)
    }

    /// The next message, if all of it has come and the last answer has gone.
    pub(super) fn receive(&mut self) -> io::Result<Received> {
        self.outbox.flush(&self.stream)?;
        if !self.outbox.is_empty() {
            return Ok(Received::Nothing);
        }
        let received = self.inbox.receive(&self.stream)?;
        self.spoke |= matches!(received, Received::Message(_));
        Ok(received)
    }

    /// Answers a command with its result.
    ///
    /// # Errors
    /// Only what ends the connection; what is wrong with one command is answered.
    pub(super) fn answer(
        &mut self,
        device: &ServedDevice,
        message: &Message,
        result: io::Result<Vec<u8>>,
    ) -> io::Result<()> {
        if let Err(error) = &result {
            tracing::warn!(command = message.command, %error, "refused");
        }
        if message.wants_no_reply() {
            return Ok(());
        }
        match result {
            Ok(body) => {
                let bar2 = message.command == wire::GET_REGION_INFO && message.u32(8)? == BAR2;
                self.outbox.reply(message, &body, bar2.then(|| Rc::clone(&device.bar2)))?;
            }
            Err(error) => {
                self.outbox.refuse(message, error.raw_os_error().unwrap_or(libc::EINVAL))?;
            }
        }
        self.outbox.flush(&self.stream)
    }
}
