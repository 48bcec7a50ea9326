//! The protocol itself.

use super::{CONFIG, LIMIT, ServedCard, dword};
use nix::libc;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// One message: id, command, flags, body.
pub(super) fn message(id: u16, command: u16, flags: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&id.to_ne_bytes());
    out.extend_from_slice(&command.to_ne_bytes());
    out.extend_from_slice(&(16 + body.len() as u32).to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(body);
    out
}

/// Id, flags, errno, body of the next answer.
pub(super) fn answer(stream: &mut UnixStream) -> (u16, u32, u32, Vec<u8>) {
    let mut header = [0; 16];
    stream.read_exact(&mut header).expect("header");
    let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().expect("4 bytes"));
    let mut body = vec![0; word(4) as usize - 16];
    stream.read_exact(&mut body).expect("body");
    let id = u16::from_ne_bytes([header[0], header[1]]);
    (id, word(8), word(12), body)
}

pub(super) fn region(offset: u64, index: u32, count: u32, data: &[u8]) -> Vec<u8> {
    let mut body = offset.to_ne_bytes().to_vec();
    body.extend_from_slice(&index.to_ne_bytes());
    body.extend_from_slice(&count.to_ne_bytes());
    body.extend_from_slice(data);
    body
}

#[test]
fn the_device_is_described_as_the_card_is() {
    let served = ServedCard::new("mcx311a");
    let mut client = served.client();
    let size = |n: u32| client.region(n).map(|r| (r.size, r.flags));
    assert_eq!(size(0), Some((1 << 20, 3)), "BAR0");
    assert_eq!(size(2), Some((8 << 20, 7)), "BAR2, mappable");
    assert_eq!(size(CONFIG), Some((4096, 3)));
    for absent in [1, 3, 4, 5, 6, 8] {
        assert_eq!(size(absent), Some((0, 0)), "region {absent}");
    }
    assert!(client.region(2).expect("BAR2").file_offset.is_some(), "BAR2 comes with its memory");
    let mut irq = |n| {
        let info = client.get_irq_info(n).expect("irq");
        (info.flags, info.count)
    };
    assert_eq!((irq(0), irq(2), irq(3)), ((7, 1), (9, 128), (0, 0)));
}

#[test]
fn one_read_of_all_configuration_space_takes_no_semaphore() {
    let served = ServedCard::new("mcx311a");
    let mut client = served.client();
    // The gateway points at the flash semaphore: a read of 0x5c would take it.
    super::set_dword(&mut client, 0x58, 0xf_03fc);
    let mut all = vec![0; 4096];
    client.region_read(CONFIG, 0, &mut all).expect("config");
    assert_eq!(all[..4], [0xb3, 0x15, 0x03, 0x10]);
    assert_eq!(all[6] & 0x10, 0x10, "capability list");
    assert_eq!(served.info()["semaphores_held"], serde_json::json!([]));
    let mut list = Vec::new();
    let mut at = usize::from(all[0x34]);
    while at != 0 {
        list.push((at, all[at]));
        at = usize::from(all[at + 1]);
    }
    assert_eq!(list, [(0x40, 1), (0x48, 3), (0x9c, 0x11), (0x60, 0x10), (0xc0, 9)]);
    let mut extended = Vec::new();
    let mut at = 0x100;
    while at != 0 {
        let head = u32::from_le_bytes(all[at..at + 4].try_into().expect("4 bytes"));
        extended.push((at, head & 0xffff));
        at = (head >> 20) as usize;
    }
    assert_eq!(extended, [(0x100, 0xe), (0x148, 3), (0x154, 1), (0x18c, 0x19)]);
}

#[test]
fn messages_without_reply_and_unknown_ones_keep_the_stream_in_order() {
    let served = ServedCard::new("mcx311a");
    let mut stream = UnixStream::connect(served.path("socket")).expect("connects");
    stream.set_read_timeout(Some(LIMIT)).expect("time limit");
    let mut version = vec![0; 4];
    version.extend_from_slice(b"{\"capabilities\":{\"max_msg_fds\":16}}\0");
    let mut all = message(1, 1, 0, &version);
    // COMMAND written without a reply, read back; an unknown command with a body; an unknown
    // region; bytes beyond a region; BAR0.
    all.extend(message(2, 10, 1 << 4, &region(4, CONFIG, 2, &[2, 0])));
    all.extend(message(3, 9, 0, &region(4, CONFIG, 2, &[])));
    all.extend(message(4, 77, 0, &[0; 24]));
    all.extend(message(5, 9, 0, &region(0, 9, 4, &[])));
    all.extend(message(6, 9, 0, &region(0xf_fffe, 0, 4, &[])));
    all.extend(message(7, 9, 0, &region(0xf_0014, 0, 4, &[])));
    stream.write_all(&all).expect("sent");
    let (id, flags, _, body) = answer(&mut stream);
    assert_eq!((id, flags), (1, 1));
    assert_eq!(body.last(), Some(&0), "the capabilities end in NUL");
    let json: serde_json::Value =
        serde_json::from_slice(&body[4..body.len() - 1]).expect("capabilities");
    assert_eq!(json["capabilities"]["max_msg_fds"], 8);
    let (id, flags, _, body) = answer(&mut stream);
    assert_eq!((id, flags, &body[16..]), (3, 1, &[2, 0][..]));
    for (id, errno) in [(4, libc::ENOTTY), (5, libc::EINVAL), (6, libc::EINVAL)] {
        let (got, flags, code, body) = answer(&mut stream);
        assert_eq!((got, flags, body.len()), (id, 0x21, 0));
        assert_eq!(code, errno as u32, "message {id}");
    }
    let (id, _, _, body) = answer(&mut stream);
    assert_eq!((id, &body[16..]), (7, &[0, 1, 0x01, 0xf5][..]));
}

#[test]
fn the_next_client_gets_the_card_in_its_last_state() {
    let served = ServedCard::new("mcx311a");
    let mut client = served.started();
    let mut word = [0; 4];
    client.region_read(0, 0xf_03fc, &mut word).expect("BAR0");
    assert_eq!(word, [0; 4], "taken");
    client.shutdown().expect("gone");
    drop(client);
    let mut client = served.client();
    assert_eq!(dword(&mut client, 4) & 0xffff, 0, "COMMAND is lost");
    client.region_write(CONFIG, 4, &[2, 0]).expect("COMMAND");
    client.region_read(0, 0xf_03fc, &mut word).expect("BAR0");
    assert_eq!(word, [0, 0, 0, 1], "still taken");
    assert_eq!(served.info()["dma_ranges"], 0);
}
