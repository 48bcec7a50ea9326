//! Connections whose loss is noticed at once: the own login session, and the cluster heartbeat.

use super::usage::Usage;
use super::use_id::{InUse, UseId};
use crate::host::sysfs;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The connection of this session, from two sources: `SSH_CONNECTION` of this process and its
/// ancestors (sudo removes it from the last one only), and the TCP connections that the ancestors
/// hold (sshd, telnetd, a CI runner).
pub(super) fn own_session(usage: &Usage<'_>) -> Vec<InUse> {
    let ancestors = usage.host.ancestors();
    // By peer, so that both sources give one result.
    let mut uses: BTreeMap<String, InUse> = BTreeMap::new();
    let mut add = |peer: SocketAddr, detail: String| {
        uses.entry(peer.to_string()).or_insert_with(|| InUse::new(UseId::OwnSession, detail));
    };
    for pid in &ancestors {
        let files = usage.host.open_files_of(*pid);
        for socket in &usage.sockets {
            let target = format!("socket:[{}]", socket.inode);
            if !files.iter().any(|file| file.target == target) {
                continue;
            }
            if let Some(label) = carried(usage, socket.local.ip(), socket.peer.ip()) {
                let name = usage.host.process_name(*pid).unwrap_or_default();
                let peer = socket.peer;
                add(
                    peer,
                    format!(
                        "{name} (pid {pid}), an ancestor of this process, is connected to {peer} through {label}"
                    ),
                );
            }
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
        let label = match zone {
            Some(zone) => usage.ports.carries(zone).then(|| usage.ports.label(zone)),
            None => carried(usage, local, peer),
        };
        if let (Some(label), Ok(port)) = (label, port.parse()) {
            let peer = SocketAddr::new(peer, port);
            add(peer, format!("this login session comes from {peer} through {label}"));
        }
    }
    uses.into_values().collect()
}

/// Address and zone; the zone of `fe80::1%enp5s0` is a netdev.
fn address(text: &str) -> (Option<IpAddr>, Option<&str>) {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let ip: Option<IpAddr> = address.parse().ok();
    (ip.map(|ip| ip.to_canonical()), zone)
}

/// Label of the netdev of a connection when it goes down with the card: the one with our address,
/// or the one on the route to the peer.
fn carried(usage: &Usage<'_>, local: IpAddr, peer: IpAddr) -> Option<String> {
    if peer.is_loopback() || local == peer {
        return None;
    }
    usage.address_on(local).or_else(|| usage.route_to(peer))
}

/// A running corosync (Proxmox, Pacemaker) with one of its rings on the card. A node that loses its
/// heartbeat is fenced.
pub(super) fn cluster(usage: &Usage<'_>) -> Option<InUse> {
    let host = usage.host;
    let running = |pid: u32| host.process_name(pid).as_deref() == Some("corosync");
    host.pids().into_iter().find(|pid| running(*pid))?;
    let text = ["etc/corosync/corosync.conf", "etc/pve/corosync.conf"]
        .iter()
        .find_map(|file| sysfs::text(host.path(file)));
    let Some(text) = text else {
        return usage.carries_any().then(|| {
            InUse::new(
                UseId::Cluster,
                "corosync runs, its configuration cannot be read, and the card carries IP traffic",
            )
        });
    };
    text.lines().filter_map(ring).find_map(|name| {
        let addresses = usage.resolve(name);
        if addresses.is_empty() && usage.carries_any() {
            return Some(InUse::new(
                UseId::Cluster,
                format!("corosync uses {name}, whose address is unknown, and the card carries IP traffic"),
            ));
        }
        addresses.into_iter().find_map(|ip| {
            let label = usage.address_on(ip).or_else(|| usage.route_to(ip))?;
            let detail = format!("corosync uses {ip} on {label}");
            Some(InUse::new(UseId::Cluster, detail))
        })
    })
}

/// `ring0_addr: 10.0.0.1`, `bindnetaddr: 10.0.0.0`; corosync allows rings 0 to 7.
fn ring(line: &str) -> Option<&str> {
    let (key, value) = line.trim().split_once(':')?;
    let key = key.trim();
    let number = key.strip_prefix("ring").and_then(|k| k.strip_suffix("_addr"));
    let is_ring = number.is_some_and(|n| n.parse::<u8>().is_ok()) || key == "bindnetaddr";
    is_ring.then(|| value.trim())
}
