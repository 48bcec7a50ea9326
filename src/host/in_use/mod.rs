//! Who uses the card (docs/linux.md#use-of-a-card, docs/linux.md#cards-in-virtual-machines; promise
//! P8).
//!
//! Files are read below the host's root, so that a directory can stand for a host. What cannot be
//! determined counts as a use if the card carries any IP traffic.

pub(super) mod kernel_rdma;
mod mounts;
mod net;
pub(super) mod network;
mod session;
mod storage;
mod usage;
pub(super) mod use_id;
mod users;

pub use use_id::{BadUseId, InUse, UseId};

use super::netlink::{Netlink, RdmaSocket};
use super::{Bdf, Host, PciCard, sysfs};
use network::Address;
use std::io;
use usage::Usage;

impl Host {
    /// Every use of `card` that would be interrupted if it were taken from its driver now. Only
    /// root sees what all processes have open.
    pub fn in_use(&self, card: &PciCard) -> Vec<InUse> {
        let socket = self.rdma_socket(card).transpose();
        let mut socket = socket.unwrap_or_else(|error| {
            tracing::warn!(%error, "kernel users of RDMA cannot be listed");
            None
        });
        let netlink = socket.as_mut().map(|socket| socket as &mut dyn Netlink);
        let addresses = if self.is_system() { network::addresses() } else { Ok(Vec::new()) };
        self.in_use_with(card, addresses, netlink)
    }

    /// A socket to the kernel's RDMA subsystem. `None` for a card without an RDMA device: opening a
    /// socket loads ib_core.
    pub(super) fn rdma_socket(&self, card: &PciCard) -> Option<io::Result<RdmaSocket>> {
        (self.is_system() && !card.rdma.is_empty()).then(RdmaSocket::open)
    }

    /// As [`Host::in_use`], with what a directory cannot show: the host's addresses and the
    /// kernel's RDMA subsystem.
    pub(super) fn in_use_with(
        &self,
        card: &PciCard,
        addresses: io::Result<Vec<Address>>,
        netlink: Option<&mut dyn Netlink>,
    ) -> Vec<InUse> {
        let (addresses, unlisted) = match addresses {
            Ok(addresses) => (addresses, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let usage = Usage::read(self, card, addresses);
        let mut uses = net::check(&usage);
        // A netdev of the card may have one; without netdevs there is none to lose.
        if let Some(error) = unlisted.filter(|_| usage.ports.all().next().is_some()) {
            let detail = format!("the addresses of this host cannot be listed: {error}");
            uses.push(InUse::new(UseId::Address, detail));
        }
        uses.extend(session::own_session(&usage));
        uses.extend(session::cluster(&usage));
        let storage = storage::check(&usage);
        uses.extend(mounts::network_root(&usage, &storage));
        uses.extend(storage);
        uses.extend(users::check(&usage));
        if let Some(netlink) = netlink {
            // A kernel that cannot list them is no reason to refuse; `doctor` reports it.
            let of = |bdf: &Bdf| sysfs::names(self.device(*bdf).join("infiniband"));
            let names: Vec<String> = usage.devices.iter().flat_map(of).collect();
            match kernel_rdma::users(netlink, &names) {
                Ok(users) => uses.extend(users),
                Err(error) => {
                    tracing::warn!(%error, "kernel users of RDMA cannot be listed");
                }
            }
        }
        uses.sort_by(|a, b| (a.id, &a.detail).cmp(&(b.id, &b.detail)));
        uses.dedup();
        uses
    }
}
