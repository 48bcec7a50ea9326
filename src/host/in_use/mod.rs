//! Who would miss the card while it is away (docs/linux.md#use-of-a-card, docs/linux.md#cards-in-virtual-machines; promise P8 of the design).
//!
//! Everything is read below the host's root, so a host made of files has the same dangers. What
//! cannot be found out counts as a danger where the card carries any traffic at all.
//!
//! | file | what it asks |
//! |---|---|
//! | `id` | names of the dangers |
//! | `ports` | netdevs of the card, and which netdevs above them go down with them |
//! | `routes`, `addresses`, `sockets` | the host's network as procfs shows it |
//! | `net` | default route, bonds, bridges, uppers, addresses, other namespaces |
//! | `session` | the connection we run on |
//! | `storage`, `mounts`, `boot` | network storage, root on the network |
//! | `cluster` | corosync |
//! | `users` | RDMA programs, virtual functions, virtual machines, siblings |
//! | `kernel_rdma` | kernel modules that use RDMA |

mod addresses;
mod boot;
mod cluster;
mod id;
pub(super) mod kernel_rdma;
mod mounts;
mod net;
mod ports;
mod routes;
mod session;
mod sockets;
mod storage;
mod users;

use super::netlink::{Netlink, RdmaSocket};
use super::process::OpenFile;
use super::{Bdf, Host, PciCard, sysfs};
use addresses::Address;
use ports::CardPorts;
use routes::Routes;
use serde::Serialize;
use sockets::Socket;
use std::net::IpAddr;

pub use id::{BadUseId, UseId};

/// One reason not to take the card away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InUse {
    /// Which.
    pub id: UseId,
    /// What exactly: the netdev, the route, the mount, the process.
    pub detail: String,
}

/// The host, read once for all checks.
struct Usage<'a> {
    host: &'a Host,
    card: &'a PciCard,
    /// The card, and what goes with it: siblings that must be unbound, virtual functions.
    devices: Vec<Bdf>,
    ports: CardPorts,
    routes: Routes,
    addresses: Vec<Address>,
    sockets: Vec<Socket>,
    files: Vec<OpenFile>,
}

/// How a server is reached.
enum Reach {
    /// Not through the card.
    Elsewhere,
    /// Through this netdev, which goes down with the card.
    Through(String),
}

impl Usage<'_> {
    /// The netdev that carries traffic to `peer`, when it goes down with the card.
    fn way(&self, peer: IpAddr) -> Reach {
        if peer.is_loopback() || self.addresses.iter().any(|a| a.ip == peer) {
            return Reach::Elsewhere;
        }
        let routes = self.routes.to(peer);
        match routes.iter().find(|r| self.ports.carries(&r.dev)) {
            Some(route) => Reach::Through(route.dev.clone()),
            None => Reach::Elsewhere,
        }
    }

    /// Does the card carry IP traffic at all? If so, a server we cannot place may be behind it.
    fn carries_any(&self) -> bool {
        let routed = |r: &routes::Route| self.ports.carries(&r.dev) && !r.is_link_local();
        self.routes.all().any(routed)
    }

    /// Kernel users of the RDMA devices that go away. A kernel that cannot list them is no reason
    /// to refuse; `doctor` reports it.
    fn kernel_rdma(&self, netlink: &mut dyn Netlink) -> Vec<InUse> {
        let of = |bdf: &Bdf| sysfs::names(self.host.device(*bdf).join("infiniband"));
        let names: Vec<String> = self.devices.iter().flat_map(of).collect();
        kernel_rdma::users(netlink, &names).unwrap_or_else(|error| {
            tracing::warn!(%error, "kernel users of RDMA cannot be listed");
            Vec::new()
        })
    }

    /// Addresses of a host: literal, or in `/etc/hosts`. Names are not asked for over the network,
    /// which may be the one about to go away.
    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        let literal = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = literal.parse::<IpAddr>() {
            return vec![ip.to_canonical()];
        }
        let hosts = sysfs::lines(self.host.path("etc/hosts"));
        let entries = hosts.iter().filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let ip: IpAddr = words.next()?.parse().ok()?;
            words
                .any(|w| w.eq_ignore_ascii_case(name))
                .then(|| ip.to_canonical())
        });
        entries.collect()
    }
}

impl Host {
    /// Every reason not to take `card` away from its driver now. Empty: nobody would notice.
    ///
    /// As root; others do not see what processes have open.
    #[must_use]
    pub fn in_use(&self, card: &PciCard) -> Vec<InUse> {
        match self.rdma_socket(card) {
            Some(Ok(mut socket)) => self.in_use_over(card, Some(&mut socket)),
            Some(Err(error)) => {
                tracing::warn!(%error, "kernel users of RDMA cannot be listed");
                self.in_use_over(card, None)
            }
            None => self.in_use_over(card, None),
        }
    }

    /// A socket to the kernel's RDMA subsystem. `None` where there is none to ask: opening one loads
    /// ib_core, so the card must have an RDMA device.
    pub(super) fn rdma_socket(&self, card: &PciCard) -> Option<std::io::Result<RdmaSocket>> {
        (self.is_system() && !card.rdma.is_empty()).then(RdmaSocket::open)
    }

    /// The same, with the kernel's RDMA subsystem as `netlink` answers for it.
    pub(super) fn in_use_over(
        &self,
        card: &PciCard,
        netlink: Option<&mut dyn Netlink>,
    ) -> Vec<InUse> {
        let blocking = card.siblings.iter().filter(|s| s.blocks).map(|s| s.bdf);
        let devices: Vec<Bdf> = std::iter::once(card.bdf)
            .chain(blocking)
            .chain(card.vfs.iter().copied())
            .collect();
        let routes = Routes::read(self);
        let usage = Usage {
            host: self,
            card,
            ports: CardPorts::read(self, &devices),
            addresses: addresses::read(self, &routes),
            routes,
            sockets: sockets::read(self),
            files: self.open_files(),
            devices,
        };
        let mut found = net::check(&usage);
        found.extend(session::check(&usage));
        let storage = storage::check(&usage);
        found.extend(boot::check(&usage, &storage));
        found.extend(storage);
        found.extend(cluster::check(&usage));
        found.extend(users::check(&usage));
        found.extend(netlink.map_or_else(Vec::new, |netlink| usage.kernel_rdma(netlink)));
        found.sort_by(|a, b| (a.id, &a.detail).cmp(&(b.id, &b.detail)));
        found.dedup();
        found
    }
}

/// Shorthand for the checks.
fn found(id: UseId, detail: impl Into<String>) -> InUse {
    InUse {
        id,
        detail: detail.into(),
    }
}
