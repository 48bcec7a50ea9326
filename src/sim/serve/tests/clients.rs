//! Clients and harnesses that are slow, silent, or send what does not fit. Whatever one does, orders
//! are executed.

use super::protocol::{answer, message, region};
use super::{CONFIG, LIMIT, ServedCard};
use nix::libc;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

const REPLY: u32 = 1;
const FAILED: u32 = 0x21;
/// `VERSION` without capabilities.
const VERSION: &[u8] = b"\0\0\0\0{}\0";

impl ServedCard {
    fn stream(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path("socket")).expect("connects");
        stream.set_read_timeout(Some(LIMIT)).expect("time limit");
        stream.set_write_timeout(Some(LIMIT)).expect("time limit");
        stream
    }
}

/// Sends a message with descriptors.
fn send_with(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(fds)));
    let parts = [IoSlice::new(bytes)];
    let sent = sendmsg(stream, &parts, &mut ancillary, SendFlags::empty());
    assert_eq!(sent.expect("sent"), bytes.len());
}

/// The server has closed the connection.
fn is_closed(stream: &mut UnixStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0)) || stream.write_all(&[0; 16]).is_err()
}

#[test]
fn half_a_message_delays_no_order_and_is_answered_when_the_rest_comes() {
    let served = ServedCard::new("mcx311a");
    let mut stream = served.stream();
    let bytes = message(7, 1, 0, VERSION);
    for cut in [1, 15, 16, 17, bytes.len() - 1] {
        stream.write_all(&bytes[..cut]).expect("sent");
        assert_eq!(served.info()["clients_refused"], 0);
        stream.write_all(&bytes[cut..]).expect("sent");
        let (id, flags, _, _) = answer(&mut stream);
        assert_eq!((id, flags), (7, REPLY), "cut at {cut}");
    }
    for byte in &bytes {
        stream.write_all(&[*byte]).expect("sent");
        assert_eq!(served.order("silent off"), "ok");
    }
    assert_eq!(answer(&mut stream).1, REPLY);
}

#[test]
fn a_client_that_ends_in_a_message_makes_way_for_the_next_one() {
    let served = ServedCard::new("mcx311a");
    let bytes = message(7, 10, 0, &region(0, CONFIG, 4, &[0; 4]));
    for cut in [1, 16, 20, bytes.len()] {
        let mut stream = served.stream();
        stream.write_all(&bytes[..cut]).expect("sent");
        // Gone without having read.
        drop(stream);
    }
    let mut stream = served.stream();
    stream.write_all(&message(1, 1, 0, VERSION)).expect("sent");
    assert_eq!(answer(&mut stream).1, REPLY);
}

#[test]
fn an_impossible_length_ends_its_connection_only() {
    let served = ServedCard::new("mcx311a");
    for size in [0, 15, (1 << 20) + 81, u32::MAX] {
        let mut bytes = message(7, 1, 0, &[]);
        bytes[4..8].copy_from_slice(&size.to_ne_bytes());
        let mut stream = served.stream();
        stream.write_all(&bytes).expect("sent");
        assert!(is_closed(&mut stream), "{size}");
    }
    let mut stream = served.stream();
    stream.write_all(&message(1, 1, 0, VERSION)).expect("sent");
    assert_eq!(answer(&mut stream).1, REPLY);
}

#[test]
fn a_second_client_is_refused_and_the_first_one_goes_on() {
    let served = ServedCard::new("mcx311a");
    let mut first = served.stream();
    let version = message(1, 1, 0, VERSION);
    first.write_all(&version).expect("sent");
    assert_eq!(answer(&mut first).1, REPLY);
    for _ in 0..40 {
        assert!(is_closed(&mut served.stream()));
    }
    first.write_all(&version).expect("sent");
    assert_eq!(answer(&mut first).1, REPLY);
    assert_eq!(served.info()["clients_refused"], 40);
}

#[test]
fn a_connection_that_sends_nothing_does_not_reset_the_card() {
    let served = ServedCard::new("mcx311a");
    // A client that goes is a VFIO that closes, which restarts this chip.
    assert_eq!(served.order("boot-ms 3600000"), "ok");
    drop(served.stream());
    let mut next = served.stream();
    next.write_all(&message(1, 1, 0, VERSION)).expect("sent");
    assert_eq!(answer(&mut next).1, REPLY);
    assert_eq!(served.info()["booting"], false);
}

#[test]
fn a_client_that_does_not_read_gets_every_answer_later() {
    let served = ServedCard::new("mcx311a");
    let mut stream = served.stream();
    // 16 MiB of answers, more than any socket holds.
    let count = 16_u16;
    for id in 0..count {
        let part = region((u64::from(id) % 8) << 20, 2, 1 << 20, &[]);
        stream.write_all(&message(id, 9, 0, &part)).expect("sent");
    }
    assert_eq!(served.order("silent off"), "ok");
    for id in 0..count {
        let (got, flags, _, body) = answer(&mut stream);
        assert_eq!((got, flags, body.len()), (id, REPLY, 16 + (1 << 20)));
    }
}

#[test]
fn a_full_eventfd_is_not_waited_for() {
    let served = ServedCard::new("mcx311a");
    let full = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).expect("eventfd");
    full.write(u64::MAX - 1).expect("eventfd");
    let mut stream = served.stream();
    let words = |words: [u32; 5]| words.map(u32::to_ne_bytes).concat();
    // Vector 0 by this eventfd, then raised.
    let set = message(1, 8, 0, &words([20, 0x24, 2, 0, 1]));
    send_with(&stream, &set, &[full.as_fd()]);
    assert_eq!(answer(&mut stream).1, REPLY);
    for id in 2..6 {
        stream.write_all(&message(id, 8, 0, &words([20, 0x21, 2, 0, 1]))).expect("sent");
        assert_eq!(answer(&mut stream).0, id);
    }
    assert_eq!(served.info()["interrupts_sent"], 0);
    // Read, it takes the next one.
    assert_eq!(full.read().expect("eventfd"), u64::MAX - 1);
    stream.write_all(&message(6, 8, 0, &words([20, 0x21, 2, 0, 1]))).expect("sent");
    assert_eq!(answer(&mut stream).0, 6);
    assert_eq!(full.read().expect("eventfd"), 1);
}

#[test]
fn a_message_with_too_many_descriptors_is_refused_and_the_next_one_is_not() {
    let served = ServedCard::new("mcx311a");
    let file = memfd_create("guest", MFdFlags::MFD_CLOEXEC).expect("memfd");
    let mut stream = served.stream();
    let mut map = [32_u32, 3].map(u32::to_ne_bytes).concat();
    map.extend([0_u64, 0x4000_0000, 0x1000].map(u64::to_ne_bytes).concat());
    send_with(&stream, &message(1, 2, 0, &map), &[file.as_fd(); 40]);
    let (id, flags, errno, _) = answer(&mut stream);
    assert_eq!((id, flags, errno), (1, FAILED, libc::EMFILE as u32));
    assert_eq!(served.info()["dma_ranges"], 0);
    send_with(&stream, &message(2, 2, 0, &map), &[file.as_fd()]);
    assert_eq!(answer(&mut stream).1, REPLY);
    assert_eq!(served.info()["dma_ranges"], 1);
}

#[test]
fn a_harness_that_does_not_read_delays_no_other() {
    let served = ServedCard::new("mcx311a");
    let mut deaf = UnixStream::connect(served.path("control")).expect("control");
    deaf.set_nonblocking(true).expect("mode");
    let orders = "info\n".repeat(1000);
    // As much as goes: the server stops reading from it.
    for _ in 0..1000 {
        if deaf.write(orders.as_bytes()).is_err() {
            break;
        }
        assert_eq!(served.order("silent off"), "ok");
    }
    assert_eq!(served.order("silent off"), "ok");
    let mut client = served.stream();
    client.write_all(&message(1, 1, 0, VERSION)).expect("sent");
    assert_eq!(answer(&mut client).1, REPLY);
}

#[test]
fn orders_before_the_end_of_a_stream_are_answered_and_half_a_line_is_not() {
    let served = ServedCard::new("mcx311a");
    let mut stream = UnixStream::connect(served.path("control")).expect("control");
    stream.set_read_timeout(Some(LIMIT)).expect("time limit");
    stream.write_all(b"silent on\nsilent off\nbogus\nsilent on").expect("orders");
    stream.shutdown(Shutdown::Write).expect("half closed");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("answers");
    assert_eq!(answers.lines().count(), 3, "{answers}");
    assert!(answers.starts_with("ok\nok\nerror "), "{answers}");
    assert_eq!(served.info()["silent"], false);
}

#[test]
fn an_order_without_end_is_cut_off() {
    let served = ServedCard::new("mcx311a");
    let mut stream = UnixStream::connect(served.path("control")).expect("control");
    stream.set_write_timeout(Some(LIMIT)).expect("time limit");
    let endless = vec![b'x'; 1 << 20];
    assert!((0..64).any(|_| stream.write_all(&endless).is_err()), "64 MiB of one line");
    assert_eq!(served.order("silent off"), "ok");
}
