//! The connection this very session runs on.

use super::{InUse, Reach, Usage, UseId, found};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Looks in two places. `SSH_CONNECTION`, our own and our ancestors' (sudo drops it from the
/// last one only); and the TCP connections our ancestors hold: sshd, telnetd, a CI runner.
pub(super) fn check(usage: &Usage<'_>) -> Vec<InUse> {
    let ancestors = usage.host.ancestors();
    // By peer, so that the two ways of finding it give one answer.
    let mut uses: BTreeMap<String, InUse> = BTreeMap::new();
    for pid in &ancestors {
        let targets: Vec<String> = usage
            .host
            .open_files_of(*pid)
            .into_iter()
            .map(|f| f.target)
            .collect();
        for socket in &usage.sockets {
            if !targets.contains(&format!("socket:[{}]", socket.inode)) {
                continue;
            }
            let Some(dev) = carried(usage, socket.local.ip(), socket.peer.ip()) else {
                continue;
            };
            let name = usage.host.process_name(*pid).unwrap_or_default();
            let (peer, place) = (socket.peer, usage.ports.place(&dev));
            uses.entry(peer.to_string()).or_insert_with(|| {
                found(
                    UseId::OwnSession,
                    format!(
                        "{name} (pid {pid}), which we run under, talks to {peer} through {place}"
                    ),
                )
            });
        }
    }
    for pid in usage.host.own_pid().iter().chain(&ancestors) {
        let Some(text) = usage.host.variable(*pid, "SSH_CONNECTION") else {
            continue;
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let [peer, port, local, ..] = words.as_slice() else {
            continue;
        };
        let ((Some(peer), zone), (Some(local), _)) = (address(peer), address(local)) else {
            continue;
        };
        let dev = match zone {
            Some(zone) => usage.ports.carries(zone).then(|| zone.to_owned()),
            None => carried(usage, local, peer),
        };
        if let (Some(dev), Ok(port)) = (dev, port.parse()) {
            let peer = std::net::SocketAddr::new(peer, port);
            let place = usage.ports.place(&dev);
            uses.entry(peer.to_string()).or_insert_with(|| {
                found(
                    UseId::OwnSession,
                    format!("this login session comes from {peer} through {place}"),
                )
            });
        }
    }
    uses.into_values().collect()
}

/// `fe80::1%enp5s0` names its netdev.
fn address(text: &str) -> (Option<IpAddr>, Option<&str>) {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    (
        address.parse().ok().map(|ip: IpAddr| ip.to_canonical()),
        zone,
    )
}

/// The netdev of a connection when it goes down with the card: the one with our address, or the one
/// on the way to the peer.
fn carried(usage: &Usage<'_>, local: IpAddr, peer: IpAddr) -> Option<String> {
    if peer.is_loopback() || local == peer {
        return None;
    }
    let here = usage.addresses.iter().filter(|a| a.ip == local);
    let mut here = here.map(|a| &a.dev);
    if let Some(dev) = here.find(|dev| usage.ports.carries(dev)) {
        return Some(dev.clone());
    }
    match usage.way(peer) {
        Reach::Through(dev) => Some(dev),
        Reach::Elsewhere => None,
    }
}
