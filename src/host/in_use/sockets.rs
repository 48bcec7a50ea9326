//! TCP connections of this network namespace, from `/proc/net/tcp` and `tcp6`.

use super::routes::ipv4;
use crate::host::{Host, sysfs};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// `TCP_ESTABLISHED` (include/net/tcp_states.h).
const ESTABLISHED: &str = "01";

/// An established connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// What `/proc/PID/fd` calls it: `socket:[INODE]`.
    pub(super) inode: u64,
}

pub(super) fn read(host: &Host) -> Vec<Socket> {
    ["proc/net/tcp", "proc/net/tcp6"]
        .iter()
        .flat_map(|file| sysfs::lines(host.path(file)))
        .filter_map(|line| socket(&line))
        .collect()
}

/// `sl local remote st tx:rx tr:when retrnsmt uid timeout inode …`
fn socket(line: &str) -> Option<Socket> {
    let words: Vec<&str> = line.split_whitespace().collect();
    (*words.get(3)? == ESTABLISHED).then_some(())?;
    Some(Socket {
        local: endpoint(words.get(1)?)?,
        peer: endpoint(words.get(2)?)?,
        inode: words.get(9)?.parse().ok()?,
    })
}

/// `0100007F:0016`; an IPv6 address is four such numbers in a row.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let ip = if address.len() == 32 && address.is_ascii() {
        let mut octets = [0; 16];
        for (four, at) in octets.chunks_exact_mut(4).zip((0..32).step_by(8)) {
            four.copy_from_slice(&ipv4(&address[at..at + 8])?.octets());
        }
        // An IPv4 peer of an IPv6 socket is an IPv4 peer.
        IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
    } else {
        IpAddr::V4(ipv4(address)?)
    };
    Some(SocketAddr::new(ip, port))
}
