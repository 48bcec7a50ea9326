//! Mounted network file systems and their servers, and a root file system on the network.

use super::usage::Usage;
use super::use_id::{InUse, UseId};
use crate::host::sysfs;
use std::net::IpAddr;

/// A mounted network file system.
pub(super) struct Mount {
    pub(super) source: String,
    /// Mount point.
    pub(super) at: String,
    /// Type of file system.
    pub(super) kind: String,
    /// Addresses of its servers; empty when unknown.
    pub(super) servers: Vec<IpAddr>,
}

/// Network file systems among `/proc/mounts`.
pub(super) fn read(usage: &Usage<'_>) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for line in sysfs::lines(usage.host.path("proc/mounts")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [source, at, kind, options, ..] = words.as_slice() else {
            continue;
        };
        let options: Vec<&str> = options.split(',').collect();
        let Some(names) = servers(source, kind, &options) else {
            continue;
        };
        mounts.push(Mount {
            source: plain(source),
            at: plain(at),
            kind: (*kind).to_owned(),
            servers: names.iter().flat_map(|name| usage.resolve(name)).collect(),
        });
    }
    mounts
}

/// Names or addresses of the servers; `None` for a local file system.
fn servers(source: &str, kind: &str, options: &[&str]) -> Option<Vec<String>> {
    let option = |name: &str| options.iter().find_map(|o| o.strip_prefix(name)?.strip_prefix('='));
    let host_of = |text: &str| {
        // `[fe80::1]:/path`, `host:/path`, `user@host:path`, `//host/share`.
        let text = text.trim_start_matches('/');
        let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
        let end = if text.starts_with('[') {
            text.find(']').map(|at| at + 1)
        } else {
            text.find([':', '/'])
        };
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let names = match kind {
        "nfs" | "nfs4" | "cifs" | "smb3" => {
            vec![option("addr").map_or_else(|| host_of(source), str::to_owned)]
        }
        "ceph" => match option("mon_addr") {
            Some(monitors) => monitors.split('/').map(without_port).collect(),
            None => {
                let monitors = source.split(":/").next().unwrap_or_default();
                monitors.split(',').map(without_port).collect()
            }
        },
        "9p" => match option("trans") {
            Some("tcp" | "rdma") => vec![source.to_owned()],
            // virtio, xen, fd: no network.
            _ => return None,
        },
        "lustre" => {
            let nodes = source.split(":/").next().unwrap_or_default();
            let nodes = nodes.split([',', ':']);
            nodes.map(|n| n.split('@').next().unwrap_or_default().to_owned()).collect()
        }
        "glusterfs" | "fuse.glusterfs" | "fuse.sshfs" => vec![host_of(source)],
        // Their servers are not in the mount table.
        "afs" | "beegfs" | "gpfs" | "gfs2" | "ocfs2" | "orangefs" | "pvfs2" | "coda" => Vec::new(),
        _ => return None,
    };
    Some(names)
}

/// `10.0.0.1:6789`, `[v2:10.0.0.1:3300/0`, `[fd00::1]:6789`.
fn without_port(text: &str) -> String {
    let text = text.trim_start_matches('[').trim_start_matches("v1:").trim_start_matches("v2:");
    let text = text.split('/').next().unwrap_or_default();
    if let Some((address, _)) = text.split_once(']') {
        return address.to_owned();
    }
    if text.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    host.to_owned()
}

/// `/proc/mounts` has blanks in octal.
fn plain(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t")
}

/// A root file system on the network. `storage` are the uses of storage through the card: an iSCSI
/// or NVMe disk of the root is among them.
pub(super) fn network_root(usage: &Usage<'_>, storage: &[InUse]) -> Option<InUse> {
    let root = read(usage).into_iter().find(|m| m.at == "/");
    if let Some(root) = &root {
        for server in &root.servers {
            if let Some(label) = usage.route_to(*server) {
                let kind = &root.kind;
                return Some(InUse::new(
                    UseId::BootRoot,
                    format!("/ ({kind}) is mounted from {server} through {label}"),
                ));
            }
        }
    }
    let cmdline = sysfs::text(usage.host.path("proc/cmdline")).unwrap_or_default();
    // `ip=` alone proves nothing: it is also used to unlock local disks over ssh.
    let words: Vec<&str> = cmdline.split_whitespace().filter(|w| is_network_root(w)).collect();
    let word = words.first()?;
    let servers: Vec<IpAddr> = words
        .iter()
        .flat_map(|word| word.split(['=', ',', '@', '/']))
        .filter_map(literal)
        .collect();
    let through = if servers.is_empty() {
        // The server is unknown: any disk or any traffic through the card may be it.
        let disk = storage.first().map(|s| s.detail.clone());
        let traffic = || "the card carries IP traffic".to_owned();
        disk.or_else(|| usage.carries_any().then(traffic))
    } else {
        servers.into_iter().find_map(|server| {
            let label = usage.route_to(server)?;
            Some(format!("{server} is reached through {label}"))
        })
    };
    Some(InUse::new(UseId::BootRoot, format!("the kernel was started with {word}; {}", through?)))
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

#[cfg(test)]
mod tests {
    use super::{servers, without_port};

    #[test]
    fn servers_are_read_from_source_and_options() {
        let of = |line: &str| {
            let w: Vec<&str> = line.split(' ').collect();
            servers(w[0], w[1], &w[2].split(',').collect::<Vec<_>>())
        };
        for (line, wanted) in [
            ("nas:/data nfs4 rw,proto=tcp,addr=10.0.0.9", "10.0.0.9"),
            ("[fd00::9]:/data nfs4 rw", "[fd00::9]"),
            ("nas:/data nfs rw", "nas"),
            ("//nas/share cifs rw,addr=10.0.0.9", "10.0.0.9"),
            ("//nas/share cifs rw", "nas"),
            ("10.0.0.1:6789,10.0.0.2:6789:/ ceph rw", "10.0.0.1 10.0.0.2"),
            ("[fd00::1]:6789:/ ceph rw", "fd00::1"),
            ("admin@0-1.fs=/ ceph rw,mon_addr=10.0.0.1:6789/10.0.0.2:3300", "10.0.0.1 10.0.0.2"),
            ("10.0.0.7 9p rw,trans=tcp", "10.0.0.7"),
            ("10.0.0.3@tcp:10.0.0.4@o2ib:/fs lustre rw", "10.0.0.3 10.0.0.4"),
            ("gl1:/vol fuse.glusterfs rw", "gl1"),
            ("me@box:/home fuse.sshfs rw", "box"),
            ("AFS afs rw", ""),
        ] {
            let wanted: Vec<_> = wanted.split_whitespace().map(str::to_owned).collect();
            assert_eq!(of(line), Some(wanted), "{line}");
        }
        for local in [
            "/dev/sda1 ext4 rw",
            "share 9p rw,trans=virtio",
            "share 9p rw",
            "proc proc rw",
            "x fuse.lxcfs rw",
        ] {
            assert_eq!(of(local), None, "{local}");
        }
    }

    #[test]
    fn ports_are_cut_off() {
        for (text, host) in [
            ("10.0.0.1:6789", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.1"),
            ("[v2:10.0.0.1:3300/0", "10.0.0.1"),
            ("[fd00::1]:6789", "fd00::1"),
            ("fd00::1", "fd00::1"),
            ("mon1", "mon1"),
            ("", ""),
        ] {
            assert_eq!(without_port(text), host, "{text}");
        }
    }
}
