//! Dumps over netlink from the kernel's RDMA devices (Linux include/uapi/linux/netlink.h,
//! include/uapi/rdma/rdma_netlink.h). Numbers are in the machine's byte order.

use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// `RDMA_NL_NLDEV`, in the upper bits of a message type.
const NLDEV: u16 = 5 << 10;
const DONE: u16 = libc::NLMSG_DONE as u16;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const REQUEST_DUMP: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
/// Length, type, flags, sequence number, port id.
const HEADER: usize = 16;
/// Larger than any message of a dump (drivers/infiniband/core/nldev.c: one page or two).
const BUFFER: usize = 1 << 16;
/// Upper bits of an attribute's type: nested, network byte order.
const KIND: u16 = 0x3fff;

/// The kernel, or a test.
pub(super) trait Netlink {
    /// Payloads of the messages of one dump.
    fn dump(&mut self, command: u16, attributes: &[u8]) -> io::Result<Vec<Vec<u8>>>;
}

/// A socket to the kernel's RDMA subsystem. Opening one loads ib_core where it is not loaded.
pub(super) struct RdmaSocket {
    socket: OwnedFd,
    sequence: u32,
}

impl RdmaSocket {
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRDMA,
        )?;
        Ok(Self { socket, sequence: 0 })
    }
}

impl Netlink for RdmaSocket {
    fn dump(&mut self, command: u16, attributes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let fd = self.socket.as_raw_fd();
        let request = request(command, self.sequence, attributes);
        sendto(fd, &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut dump = Dump::new(self.sequence);
        let mut buffer = vec![0; BUFFER];
        while !dump.done {
            // The kernel has queued the next datagram before the last call returned: no wait.
            let read = recv(fd, &mut buffer, MsgFlags::MSG_DONTWAIT)?;
            dump.add(buffer.get(..read).unwrap_or_default())?;
        }
        Ok(dump.messages)
    }
}

fn request(command: u16, sequence: u32, attributes: &[u8]) -> Vec<u8> {
    let length = (HEADER + attributes.len()) as u32;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend((NLDEV | command).to_ne_bytes());
    bytes.extend(REQUEST_DUMP.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(attributes);
    bytes
}

/// The messages of one dump that have arrived.
#[derive(Default)]
struct Dump {
    sequence: u32,
    messages: Vec<Vec<u8>>,
    done: bool,
}

impl Dump {
    fn new(sequence: u32) -> Self {
        Self { sequence, ..Self::default() }
    }

    /// Reads one datagram, which holds several messages.
    fn add(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed netlink message");
        while !bytes.is_empty() && !self.done {
            let length = u32_at(bytes, 0).ok_or_else(malformed)? as usize;
            if length < HEADER {
                return Err(malformed());
            }
            let message = bytes.get(..length).ok_or_else(malformed)?;
            let kind = u16_at(message, 4).ok_or_else(malformed)?;
            let payload = message.get(HEADER..).unwrap_or_default();
            if u32_at(message, 8) == Some(self.sequence) {
                match kind {
                    // Both begin with an errno, negative, or 0.
                    DONE | ERROR => match u32_at(payload, 0).map_or(0, u32::cast_signed) {
                        0 => self.done = true,
                        errno => {
                            return Err(io::Error::from_raw_os_error(errno.saturating_neg()));
                        }
                    },
                    _ => self.messages.push(payload.to_vec()),
                }
            }
            bytes = bytes.get(aligned(length)..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The attributes in a message or in a nested attribute; ends at the first one that does not fit.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & KIND;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// One attribute, padded.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (4 + value.len()) as u16;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(aligned(bytes.len()), 0);
    bytes
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = request(0, sequence, payload);
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    #[test]
    fn a_dump_ends_with_its_done_message() {
        let mut dump = Dump::new(3);
        let first = [message(NLDEV | 10, 3, b"one"), message(NLDEV | 10, 3, b"two")];
        dump.add(&first.concat()).unwrap();
        assert!(!dump.done);
        // Of an earlier request: not ours.
        dump.add(&message(NLDEV | 10, 2, b"old")).unwrap();
        dump.add(&message(DONE, 2, &[0; 4])).unwrap();
        assert!(!dump.done);
        let last = [message(NLDEV | 10, 3, b"three"), message(DONE, 3, &[0; 4])];
        dump.add(&last.concat()).unwrap();
        assert!(dump.done);
        assert_eq!(dump.messages, [&b"one"[..], b"two", b"three"]);
    }

    #[test]
    fn an_errno_in_a_dump_is_an_error() {
        for kind in [DONE, ERROR] {
            let payload = (-libc::EOPNOTSUPP).to_ne_bytes();
            let error = Dump::new(1).add(&message(kind, 1, &payload)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
        }
        assert!(Dump::new(1).add(&[1, 0, 0]).is_err());
        assert!(Dump::new(1).add(&[0; 16]).is_err());
    }

    #[test]
    fn a_request_is_a_dump_of_the_device_interface() {
        let bytes = request(10, 5, &attribute(1, &7_u32.to_ne_bytes()));
        let words: Vec<u16> =
            bytes.chunks_exact(2).map(|two| u16::from_ne_bytes([two[0], two[1]])).collect();
        let low_first = |value: u32| {
            let bytes = value.to_ne_bytes();
            [0, 2].map(|at| u16::from_ne_bytes([bytes[at], bytes[at + 1]]))
        };
        assert_eq!(words[..2], low_first(24));
        assert_eq!(words[2..4], [0x140a, 0x301]);
        assert_eq!(words[4..8], [low_first(5), [0, 0]].concat());
        assert_eq!(words[8..], [vec![8, 1], low_first(7).to_vec()].concat());
    }

    #[test]
    fn a_dump_from_this_kernel_does_not_panic() {
        // The result depends on the machine; it must not panic.
        if let Ok(mut socket) = RdmaSocket::open() {
            let _ = socket.dump(1, &[]);
        }
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_to_its_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut dump = Dump::new(0);
            let _ = dump.add(&bytes);
            let copied: usize = dump.messages.iter().map(Vec::len).sum();
            prop_assert!(copied <= bytes.len());
        }

        #[test]
        fn any_attributes_lie_within_their_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let values: usize = attributes(&bytes).map(|(_, value)| value.len() + 4).sum();
            prop_assert!(values <= bytes.len());
        }

        #[test]
        fn attributes_are_read_as_they_were_written(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let bytes = [attribute(0x8013, &value), attribute(2, b"x")].concat();
            let read: Vec<_> = attributes(&bytes).collect();
            prop_assert_eq!(read, vec![(0x13, value.as_slice()), (2, b"x".as_slice())]);
        }
    }
}
