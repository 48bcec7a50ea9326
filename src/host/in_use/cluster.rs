//! Cluster heartbeat: corosync (Proxmox, Pacemaker). A node that loses it is fenced.

use super::{InUse, Reach, Usage, UseId, found};
use crate::host::sysfs;
use std::net::IpAddr;

/// A running corosync with one of its rings on the card.
pub(super) fn check(usage: &Usage<'_>) -> Option<InUse> {
    let running = |pid: u32| usage.host.process_name(pid).as_deref() == Some("corosync");
    usage.host.pids().into_iter().find(|pid| running(*pid))?;
    let text = ["etc/corosync/corosync.conf", "etc/pve/corosync.conf"]
        .iter()
        .find_map(|file| sysfs::text(usage.host.path(file)));
    let Some(text) = text else {
        return usage.carries_any().then(|| {
            found(
                UseId::Cluster,
                "corosync runs, its configuration cannot be read, and the card carries IP traffic",
            )
        });
    };
    let rings: Vec<&str> = text.lines().filter_map(ring).collect();
    rings.into_iter().find_map(|name| {
        let addresses = usage.resolve(name);
        if addresses.is_empty() && usage.carries_any() {
            return Some(found(
                UseId::Cluster,
                format!("corosync talks to {name}, which cannot be placed, and the card carries IP traffic"),
            ));
        }
        addresses.into_iter().find_map(|ip| {
            let place = carried(usage, ip)?;
            Some(found(
                UseId::Cluster,
                format!("corosync uses {ip} on {place}"),
            ))
        })
    })
}

/// `ring0_addr: 10.0.0.1`, `bindnetaddr: 10.0.0.0`; corosync allows rings 0 to 7.
fn ring(line: &str) -> Option<&str> {
    let (key, value) = line.trim().split_once(':')?;
    let key = key.trim();
    let number = key
        .strip_prefix("ring")
        .and_then(|k| k.strip_suffix("_addr"));
    let is_ring = number.is_some_and(|n| n.parse::<u8>().is_ok()) || key == "bindnetaddr";
    is_ring.then(|| value.trim())
}

/// Our own address on the card, or a peer reached through it.
fn carried(usage: &Usage<'_>, ip: IpAddr) -> Option<String> {
    let here = usage.addresses.iter().find(|a| a.ip == ip);
    if let Some(own) = here {
        let carried = usage.ports.carries(&own.dev);
        return carried.then(|| usage.ports.place(&own.dev));
    }
    match usage.way(ip) {
        Reach::Through(dev) => Some(usage.ports.place(&dev)),
        Reach::Elsewhere => None,
    }
}
