//! A root file system that comes over the network.

use super::{InUse, Reach, Usage, UseId, found, mounts};
use crate::host::sysfs;
use std::net::IpAddr;

/// `storage` is what the storage check found: an iSCSI or NVMe disk behind the root is there.
pub(super) fn check(usage: &Usage<'_>, storage: &[InUse]) -> Option<InUse> {
    let root = mounts::read(usage).into_iter().find(|m| m.at == "/");
    if let Some(root) = &root {
        for server in &root.servers {
            if let Reach::Through(dev) = usage.way(*server) {
                let (kind, place) = (&root.kind, usage.ports.place(&dev));
                return Some(found(
                    UseId::BootRoot,
                    format!("/ ({kind}) is mounted from {server} through {place}"),
                ));
            }
        }
    }
    let cmdline = sysfs::text(usage.host.path("proc/cmdline")).unwrap_or_default();
    // `ip=` alone proves nothing: it also serves the unlocking of local disks over ssh.
    let words: Vec<&str> = cmdline
        .split_whitespace()
        .filter(|w| is_network_root(w))
        .collect();
    let word = words.first()?;
    let servers: Vec<IpAddr> = words
        .iter()
        .flat_map(|word| word.split(['=', ',', '@', '/']))
        .filter_map(literal)
        .collect();
    if servers.is_empty() {
        // Which server is not said: any disk or any traffic through the card may be it.
        let through = storage.first().map(|s| s.detail.clone());
        let through = through.or_else(|| {
            usage
                .carries_any()
                .then(|| "the card carries IP traffic".to_owned())
        })?;
        return Some(found(
            UseId::BootRoot,
            format!("the kernel was started with {word}; {through}"),
        ));
    }
    servers.into_iter().find_map(|server| {
        let Reach::Through(dev) = usage.way(server) else {
            return None;
        };
        let place = usage.ports.place(&dev);
        Some(found(
            UseId::BootRoot,
            format!("the kernel was started with {word}; {server} is reached through {place}"),
        ))
    })
}

/// Parameters of the kernel, dracut and initramfs-tools that mean a root over the network.
fn is_network_root(word: &str) -> bool {
    const STARTS: [&str; 11] = [
        "nfsroot=",
        "netroot=",
        "rd.iscsi",
        "iscsi_initiator=",
        "iscsi_target_ip=",
        "rd.nvmf",
        "root=/dev/nfs",
        "root=nfs",
        "root=iscsi",
        "root=nbd",
        "root=cifs",
    ];
    STARTS.iter().any(|start| word.starts_with(start))
}

/// An address at the start of `text`: `10.0.0.1:`, `[fd00::1]:…`, `nfs:10.0.0.1:`.
fn literal(text: &str) -> Option<IpAddr> {
    if let Some((inside, _)) = text.split_once('[').and_then(|(_, t)| t.split_once(']')) {
        return inside.parse().ok();
    }
    text.split(':').find_map(|part| {
        let v4: std::net::Ipv4Addr = part.parse().ok()?;
        Some(IpAddr::V4(v4))
    })
}
