//! A connection driven by bytes, for the fuzz target `vfio_user`.

use super::client::ClientConnection;
use super::device::{ServePace, ServedDevice};
use super::session;
use super::wire::{HEADER, MAX_DATA, Received};
use crate::sim::{CardSpec, Fault, SimCard};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::fs::File;
use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A piece whose first byte has this bit is a fault in JSON, not bytes of the client.
const FAULT: u8 = 0x80;
/// Bytes of the memory a piece may share.
const MEMORY: u64 = 0x1_0000;

/// One piece of what happens: how many descriptors of which kind go with it, and its bytes.
struct Piece<'a> {
    head: u8,
    bytes: &'a [u8],
}

/// Pieces of a head (fault; kind of descriptor in bits 4 and 5, their number in the low four bits), a
/// length (u16, little-endian) and so many bytes.
fn pieces(mut data: &[u8]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    while let Some(([head, low, high], rest)) = data.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (bytes, after) = rest.split_at(len);
        pieces.push(Piece { head: *head, bytes });
        data = after;
    }
    pieces
}

fn descriptor(kind: u8) -> OwnedFd {
    match kind & 3 {
        0 => {
            let file = File::from(memfd_create("guest", MFdFlags::MFD_CLOEXEC).expect("memfd"));
            file.set_len(MEMORY).expect("size");
            file.into()
        }
        1 => EventFd::from_flags(EfdFlags::EFD_CLOEXEC).expect("eventfd").into(),
        // Full from the beginning.
        2 => {
            let full = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).expect("eventfd");
            full.write(u64::MAX - 1).expect("eventfd");
            full.into()
        }
        _ => File::open("/dev/zero").expect("device").into(),
    }
}

/// Sends a piece; false when the socket takes no more.
fn send(stream: &UnixStream, piece: &Piece<'_>) -> bool {
    let fds: Vec<OwnedFd> = (0..piece.head & 15).map(|_| descriptor(piece.head >> 4)).collect();
    let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(15))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(fds.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let sent = sendmsg(stream, &[IoSlice::new(piece.bytes)], &mut ancillary, flags);
    sent.is_ok_and(|sent| sent == piece.bytes.len())
}

/// Answers as the client reads them.
#[derive(Default)]
struct ClientAnswers {
    bytes: Vec<u8>,
    /// Id and command of the messages that want an answer, in order.
    due: Vec<(u16, u16)>,
}

impl ClientAnswers {
    /// Reads what there is; false when there is nothing.
    fn read(&mut self, stream: &mut UnixStream) -> bool {
        let before = self.bytes.len();
        let _ = stream.read_to_end(&mut self.bytes);
        let some = self.bytes.len() > before;
        while let Some(header) = self.bytes.first_chunk::<HEADER>() {
            let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
            let word = |at: usize| u32::from(half(at)) | u32::from(half(at + 2)) << 16;
            let (size, flags, errno) = (word(4) as usize, word(8), word(12));
            assert!((HEADER..=HEADER + 64 + MAX_DATA).contains(&size), "an answer of {size} bytes");
            if self.bytes.len() < size {
                break;
            }
            assert!(!self.due.is_empty(), "an answer to nothing");
            assert_eq!((half(0), half(2)), self.due.remove(0), "the answer to another message");
            let refused = flags == 0x21 && errno != 0 && size == HEADER;
            assert!(refused || flags == 1 && errno == 0, "flags {flags:#x}, errno {errno}");
            self.bytes.drain(..size);
        }
        some
    }
}

/// Every message is answered once and in order, whatever it holds.
pub(crate) fn converse(data: &[u8], card: &SimCard) {
    let mut device = ServedDevice::new(card.clone(), ServePace::Fast).expect("memory");
    let (ours, mut theirs) = UnixStream::pair().expect("sockets");
    ours.set_nonblocking(true).and_then(|()| theirs.set_nonblocking(true)).expect("mode");
    let mut client = ClientConnection::new(ours);
    let mut answers = ClientAnswers::default();
    'pieces: for piece in pieces(data) {
        if piece.head & FAULT != 0 {
            if let Ok(fault) = serde_json::from_slice::<Fault>(piece.bytes) {
                device.card.inject(fault);
            }
            continue;
        }
        if !send(&theirs, &piece) {
            break;
        }
        loop {
            let mut message = match client.receive() {
                Ok(Received::Message(message)) => message,
                Ok(Received::Nothing) if answers.read(&mut theirs) => continue,
                Ok(Received::Nothing) => break,
                Ok(Received::End) | Err(_) => break 'pieces,
            };
            if !message.wants_no_reply() {
                answers.due.push((message.id, message.command));
            }
            let result = session::command(&mut device, &mut message);
            client.answer(&device, &message, result).expect("the client reads");
        }
        assert!(answers.due.is_empty(), "{} messages without an answer", answers.due.len());
    }
    device.disconnect();
    assert!(device.memory.ranges.is_empty() && device.irqs.vectors() == 0);
}

/// A card with a small image.
pub(crate) fn card() -> SimCard {
    let recipe = crate::image::Recipe { size: 0, rom: None, ..crate::image::Recipe::default() };
    SimCard::new(CardSpec::default(), &crate::image::build(&recipe).expect("a recipe"))
}
