//! Messages of the vfio-user protocol: framing, file descriptors, numbers
//! (docs/lab.md#vfio-user-client-of-qemu).
//!
//! A message is read in two steps, 16 bytes of header and then its body: descriptors arrive with
//! the first byte of the message they belong to, so each stays with its own.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

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

/// The next message; `None` when the client has gone.
pub(super) fn receive(stream: &mut UnixStream) -> io::Result<Option<Message>> {
    let mut header = [0; HEADER];
    let mut fds = Vec::new();
    let mut got = 0;
    while got < HEADER {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut header[got..])];
        let result = recvmsg(stream.as_fd(), &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        let result = match result {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(list) = message {
                fds.extend(list);
            }
        }
        match result.bytes {
            0 if got == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => got += n,
        }
    }
    let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let word = |at: usize| {
        u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let size = word(4) as usize;
    let len = size
        .checked_sub(HEADER)
        .filter(|len| *len <= MAX_DATA + 64)
        .ok_or_else(|| broken(format!("a message of {size} bytes")))?;
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    Ok(Some(Message { id: half(0), command: half(2), flags: word(8), body, fds }))
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

/// Answers with `body` and at most one descriptor.
pub(super) fn reply(
    stream: &mut UnixStream,
    to: &Message,
    body: &[u8],
    fd: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut bytes = header(to, body.len(), None)?.to_vec();
    bytes.extend_from_slice(body);
    let Some(fd) = fd else {
        return stream.write_all(&bytes);
    };
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(broken("the descriptor does not fit"));
    }
    let sent =
        sendmsg(stream.as_fd(), &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::empty())?;
    stream.write_all(&bytes[sent..])
}

/// Refuse: the header alone, with an errno.
pub(super) fn refuse(stream: &mut UnixStream, to: &Message, errno: i32) -> io::Result<()> {
    stream.write_all(&header(to, 0, Some(errno))?)
}
