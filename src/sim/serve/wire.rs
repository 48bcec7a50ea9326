//! Messages of the vfio-user protocol: framing, file descriptors, numbers
//! (docs/lab.md#vfio-user-client-of-qemu).
//!
//! A message is read in two steps, 16 bytes of header and then its body: descriptors arrive with
//! the first byte of the message they belong to, so each stays with its own. Nothing here waits.

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

/// Bytes of a header.
pub(super) const HEADER: usize = 16;
/// Descriptors a message to us may carry; what `VERSION` announces.
pub(super) const MAX_FDS: usize = 8;
/// Bytes of data in one message, both ways; what `VERSION` announces.
pub(super) const MAX_DATA: usize = 1 << 20;

const REPLY: u32 = 1;
const NO_REPLY: u32 = 1 << 4;
const ERROR: u32 = 1 << 5;

pub(super) const VERSION: u16 = 1;
pub(super) const DMA_MAP: u16 = 2;
pub(super) const DMA_UNMAP: u16 = 3;
pub(super) const GET_INFO: u16 = 4;
pub(super) const GET_REGION_INFO: u16 = 5;
pub(super) const GET_IRQ_INFO: u16 = 7;
pub(super) const SET_IRQS: u16 = 8;
pub(super) const REGION_READ: u16 = 9;
pub(super) const REGION_WRITE: u16 = 10;
pub(super) const DEVICE_RESET: u16 = 13;

/// One message from the client.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: u16,
    pub(super) command: u16,
    flags: u32,
    /// Without the header.
    pub(super) body: Vec<u8>,
    pub(super) fds: Vec<OwnedFd>,
    /// Descriptors were sent that did not arrive.
    pub(super) fds_lost: bool,
}

fn broken(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Message {
    /// The client does not wait for an answer.
    pub(super) fn wants_no_reply(&self) -> bool {
        self.flags & NO_REPLY != 0
    }

    /// u32 at byte `at` of the body, host byte order.
    pub(super) fn u32(&self, at: usize) -> io::Result<u32> {
        self.field(at).map(u32::from_ne_bytes)
    }

    /// u64 at byte `at` of the body, host byte order.
    pub(super) fn u64(&self, at: usize) -> io::Result<u64> {
        self.field(at).map(u64::from_ne_bytes)
    }

    fn field<const N: usize>(&self, at: usize) -> io::Result<[u8; N]> {
        let bytes = self.body.get(at..at + N).and_then(|b| b.try_into().ok());
        bytes.ok_or_else(|| broken(format!("command {} is too short", self.command)))
    }
}

/// What a client has sent.
#[derive(Debug)]
pub(super) enum Received {
    Message(Message),
    /// Not all of a message yet.
    Nothing,
    /// The client has gone.
    End,
}

/// The message that is coming.
#[derive(Debug)]
pub(super) struct Inbox {
    /// The header, or all of the message once its size is known.
    bytes: Vec<u8>,
    /// So many have come.
    got: usize,
    fds: Vec<OwnedFd>,
    fds_lost: bool,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { bytes: vec![0; HEADER], got: 0, fds: Vec::new(), fds_lost: false }
    }
}

impl Inbox {
    /// Reads what has come, and never beyond the end of the message: the descriptors of the next one
    /// would come with it.
    pub(super) fn receive(&mut self, stream: &UnixStream) -> io::Result<Received> {
        loop {
            if self.got == self.bytes.len() {
                let size = u32_at(&self.bytes, 4) as usize;
                if !(HEADER..=HEADER + MAX_DATA + 64).contains(&size) {
                    return Err(broken(format!("a message of {size} bytes")));
                }
                if self.got == size {
                    return Ok(Received::Message(std::mem::take(self).message()));
                }
                self.bytes.resize(size, 0);
            }
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut self.bytes[self.got..])];
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let result = match recvmsg(stream.as_fd(), &mut into, &mut ancillary, flags) {
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                other => other?,
            };
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(list) = message {
                    self.fds.extend(list);
                }
            }
            // More than there is space for, or than this process may open. The kernel has closed them.
            self.fds_lost |= result.flags.contains(ReturnFlags::CTRUNC);
            if self.fds.len() > MAX_FDS {
                self.fds.truncate(MAX_FDS);
                self.fds_lost = true;
            }
            match result.bytes {
                0 if self.got == 0 => return Ok(Received::End),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.got += n,
            }
        }
    }

    /// The message, complete.
    fn message(mut self) -> Message {
        let half = |at: usize| u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]]);
        Message {
            id: half(0),
            command: half(2),
            flags: u32_at(&self.bytes, 8),
            fds: self.fds,
            fds_lost: self.fds_lost,
            body: self.bytes.split_off(HEADER),
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn header(to: &Message, len: usize, error: Option<i32>) -> io::Result<[u8; HEADER]> {
    let size = u32::try_from(HEADER + len).map_err(|_| broken("an answer too long"))?;
    let flags = REPLY | if error.is_some() { ERROR } else { 0 };
    let mut out = [0; HEADER];
    out[0..2].copy_from_slice(&to.id.to_ne_bytes());
    out[2..4].copy_from_slice(&to.command.to_ne_bytes());
    out[4..8].copy_from_slice(&size.to_ne_bytes());
    out[8..12].copy_from_slice(&flags.to_ne_bytes());
    out[12..16].copy_from_slice(&error.unwrap_or(0).to_ne_bytes());
    Ok(out)
}

/// The answer that is going.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// Goes with the first byte.
    file: Option<Rc<File>>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Answers with `body` and at most one descriptor.
    pub(super) fn reply(
        &mut self,
        to: &Message,
        body: &[u8],
        file: Option<Rc<File>>,
    ) -> io::Result<()> {
        let mut bytes = header(to, body.len(), None)?.to_vec();
        bytes.extend_from_slice(body);
        *self = Self { bytes, sent: 0, file };
        Ok(())
    }

    /// Refuse: the header alone, with an errno.
    pub(super) fn refuse(&mut self, to: &Message, errno: i32) -> io::Result<()> {
        *self = Self { bytes: header(to, 0, Some(errno))?.to_vec(), sent: 0, file: None };
        Ok(())
    }

    /// Sends as much as the socket takes.
    pub(super) fn flush(&mut self, stream: &UnixStream) -> io::Result<()> {
        while !self.is_empty() {
            let fds: Vec<BorrowedFd<'_>> = self.file.iter().map(|file| file.as_fd()).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
                return Err(broken("the descriptor does not fit"));
            }
            let rest = [IoSlice::new(&self.bytes[self.sent..])];
            // A client that has gone is an error, not a signal.
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(stream.as_fd(), &rest, &mut ancillary, flags) {
                Ok(sent) => {
                    self.sent += sent;
                    self.file = None;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}
