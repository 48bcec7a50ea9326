//! Storage reached through the card, and storage this host serves through it.

use super::mounts;
use super::usage::Usage;
use super::use_id::{InUse, UseId};
use crate::host::sysfs;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) fn check(usage: &Usage<'_>) -> Vec<InUse> {
    let mut storage = Storage { usage, uses: Vec::new(), servers: BTreeSet::new() };
    storage.mounts();
    storage.iscsi();
    storage.nvme();
    storage.rbd();
    storage.srp();
    storage.drbd();
    storage.connections();
    storage.uses
}

struct Storage<'a> {
    usage: &'a Usage<'a>,
    uses: Vec<InUse>,
    /// Servers already reported: their connections are not reported again.
    servers: BTreeSet<IpAddr>,
}

impl Storage<'_> {
    fn add(&mut self, detail: String) {
        self.uses.push(InUse::new(UseId::Storage, detail));
    }

    /// Reports `what` when its server is reached through the card.
    fn reached(&mut self, what: &str, server: IpAddr) {
        if let Some(label) = self.usage.route_to(server) {
            self.servers.insert(server);
            self.add(format!("{what} from {server} through {label}"));
        }
    }

    fn mounts(&mut self) {
        for mount in mounts::read(self.usage) {
            let what = format!("{} ({}) is mounted", mount.at, mount.kind);
            if mount.servers.is_empty() && self.usage.carries_any() {
                self.add(format!(
                    "{what} from {}; server address unknown, and the card carries IP traffic",
                    mount.source
                ));
            }
            for server in mount.servers {
                self.reached(&what, server);
            }
        }
    }

    fn iscsi(&mut self) {
        let host = self.usage.host;
        for (name, dir) in sysfs::entries(host.path("sys/class/iscsi_connection")) {
            let address = sysfs::text(dir.join("address"))
                .or_else(|| sysfs::text(dir.join("persistent_address")));
            if let Some(server) = address.and_then(|a| a.parse().ok()) {
                self.reached(&format!("iSCSI {name}: disks"), server);
            }
        }
        for (name, dir) in sysfs::entries(host.path("sys/class/iscsi_host")) {
            let netdev = sysfs::text(dir.join("netdev")).unwrap_or_default();
            if self.usage.ports.carries(&netdev) {
                let label = self.usage.ports.label(&netdev);
                self.add(format!("iSCSI host {name} uses {label}"));
            }
        }
    }

    fn nvme(&mut self) {
        for (name, dir) in sysfs::entries(self.usage.host.path("sys/class/nvme")) {
            let text = |file| sysfs::text(dir.join(file)).unwrap_or_default();
            let transport = text("transport");
            if !matches!(transport.as_str(), "tcp" | "rdma") {
                continue;
            }
            // `traddr=10.0.0.1,trsvcid=4420,…`
            let address = text("address");
            let server = address.split(',').find_map(|p| p.strip_prefix("traddr="));
            if let Some(server) = server.and_then(|s| s.parse().ok()) {
                self.reached(&format!("NVMe over {transport} {name}: disks"), server);
            }
        }
    }

    fn rbd(&mut self) {
        for (name, dir) in sysfs::entries(self.usage.host.path("sys/bus/rbd/devices")) {
            // `10.0.0.5:0/1234567`, our own address.
            let address = sysfs::text(dir.join("client_addr")).unwrap_or_default();
            let own = address.rsplit_once(':').map_or("", |(ip, _)| ip);
            let own = own.trim_matches(['[', ']']).parse::<IpAddr>().ok();
            if let Some(label) = own.and_then(|ip| self.usage.address_on(ip)) {
                self.add(format!("RBD device {name} is mapped through {label}"));
            }
        }
    }

    fn srp(&mut self) {
        for (name, dir) in sysfs::entries(self.usage.host.path("sys/class/scsi_host")) {
            let device = sysfs::text(dir.join("local_ib_device")).unwrap_or_default();
            if self.usage.card.rdma.contains(&device) {
                self.add(format!("SCSI {name} reaches SRP disks through {device}"));
            }
        }
    }

    /// DRBD keeps its peers in the kernel; its configuration has our own address, which is enough.
    fn drbd(&mut self) {
        let host = self.usage.host;
        if !host.path("proc/drbd").exists() {
            return;
        }
        let files = sysfs::entries(host.path("etc/drbd.d")).into_iter();
        let files = files.map(|(_, file)| file);
        for file in files.chain([host.path("etc/drbd.conf")]) {
            let text = sysfs::text(&file).unwrap_or_default();
            let mut words = text.split_whitespace();
            while let Some(word) = words.next() {
                if word != "address" {
                    continue;
                }
                // `address 10.0.0.5:7789;` or `address ipv6 [fd00::5]:7789;`
                let next = words.next().unwrap_or_default();
                let address = match next {
                    "ipv4" | "ipv6" => words.next().unwrap_or_default(),
                    other => other,
                };
                let address = address.trim_end_matches(';');
                let ip = address.parse().ok().map(|a: std::net::SocketAddr| a.ip());
                if let Some(label) = ip.and_then(|ip| self.usage.address_on(ip)) {
                    self.add(format!("DRBD replicates from {address} on {label}"));
                }
            }
        }
    }

    /// Connections of storage protocols with an address of ours on the card: what the other checks
    /// do not know, and what this host serves to others.
    fn connections(&mut self) {
        let mut counts: BTreeMap<(&str, String), (usize, String)> = BTreeMap::new();
        for socket in &self.usage.sockets {
            let (own, peer) = (socket.local, socket.peer);
            let service = service(own.port()).or_else(|| service(peer.port()));
            let (Some(service), Some(label)) = (service, self.usage.address_on(own.ip())) else {
                continue;
            };
            if self.servers.contains(&peer.ip()) {
                continue;
            }
            let entry =
                counts.entry((service, label)).or_insert_with(|| (0, format!("{own} and {peer}")));
            entry.0 += 1;
        }
        for ((service, label), (count, first)) in counts {
            self.add(format!(
                "{service} connections through {label}: {count}, the first between {first}"
            ));
        }
    }
}

/// Storage protocols by their registered or customary TCP ports.
fn service(port: u16) -> Option<&'static str> {
    Some(match port {
        445 => "SMB",
        988 => "Lustre",
        1191 => "GPFS",
        2049 => "NFS",
        3260 => "iSCSI",
        3300 | 6789 => "Ceph monitor",
        4420 => "NVMe/TCP",
        6800..=7568 => "Ceph",
        7788..=7799 => "DRBD",
        10809 => "NBD",
        24007 => "GlusterFS",
        _ => return None,
    })
}
