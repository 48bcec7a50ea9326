//! The host as the checks see it, read once: netdevs of the card, which netdevs above them go down
//! with them, and how peers are reached.

use super::network::{self, Address, Route, Routes, Socket};
use crate::host::process::OpenFile;
use crate::host::{Bdf, Host, PciCard, sysfs};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) struct Usage<'a> {
    pub(super) host: &'a Host,
    pub(super) card: &'a PciCard,
    /// The card and what is unbound with it: blocking siblings, virtual functions.
    pub(super) devices: Vec<Bdf>,
    pub(super) ports: CardPorts,
    pub(super) routes: Routes,
    pub(super) addresses: Vec<Address>,
    pub(super) sockets: Vec<Socket>,
    /// Open files of other processes.
    pub(super) files: Vec<OpenFile>,
}

impl<'a> Usage<'a> {
    pub(super) fn read(host: &'a Host, card: &'a PciCard, addresses: Vec<Address>) -> Self {
        let blocking = card.siblings.iter().filter(|s| s.blocks).map(|s| s.bdf);
        let devices: Vec<Bdf> =
            std::iter::once(card.bdf).chain(blocking).chain(card.vfs.iter().copied()).collect();
        Self {
            host,
            card,
            ports: CardPorts::read(host, &devices),
            routes: Routes::read(host),
            addresses,
            sockets: network::sockets(host),
            files: host.open_files(),
            devices,
        }
    }

    /// Label of the netdev that carries traffic to `peer`, when it goes down with the card.
    pub(super) fn route_to(&self, peer: IpAddr) -> Option<String> {
        if peer.is_loopback() || self.addresses.iter().any(|a| a.ip == peer) {
            return None;
        }
        let routes = self.routes.to(peer);
        let route = routes.iter().find(|r| self.ports.carries(&r.dev))?;
        Some(self.ports.label(&route.dev))
    }

    /// Label of the netdev with this address of ours, when it goes down with the card.
    pub(super) fn address_on(&self, ip: IpAddr) -> Option<String> {
        let mut own = self.addresses.iter().filter(|a| a.ip == ip);
        let address = own.find(|a| self.ports.carries(&a.dev))?;
        Some(self.ports.label(&address.dev))
    }

    /// Whether the card carries IP traffic at all. If so, a server of unknown address may be behind
    /// it.
    pub(super) fn carries_any(&self) -> bool {
        let routed = |r: &Route| self.ports.carries(&r.dev) && !r.is_link_local();
        self.routes.all().any(routed)
    }

    /// Addresses of a host: literal, or from `/etc/hosts`. DNS is not used: it may need the card.
    pub(super) fn resolve(&self, name: &str) -> Vec<IpAddr> {
        let literal = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = literal.parse::<IpAddr>() {
            return vec![ip.to_canonical()];
        }
        let hosts = sysfs::lines(self.host.path("etc/hosts"));
        let entries = hosts.iter().filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let ip: IpAddr = words.next()?.parse().ok()?;
            words.any(|w| w.eq_ignore_ascii_case(name)).then(|| ip.to_canonical())
        });
        entries.collect()
    }
}

/// Membership of a netdev in a bond or team.
pub(super) struct Membership {
    /// A port of the card, or a netdev above one.
    pub(super) member: String,
    pub(super) master: String,
    pub(super) kind: &'static str,
    /// Members on other hardware that are up.
    pub(super) others: Vec<String>,
}

/// Netdevs that go down with the card.
pub(super) struct CardPorts {
    /// Netdev to the port below it (itself for a port).
    carried: BTreeMap<String, String>,
    /// Bonds and teams the carried netdevs are members of.
    pub(super) memberships: Vec<Membership>,
}

impl CardPorts {
    fn read(host: &Host, devices: &[Bdf]) -> Self {
        let own: BTreeSet<String> =
            devices.iter().flat_map(|bdf| sysfs::names(host.device(*bdf).join("net"))).collect();
        let mut ports = Self { carried: BTreeMap::new(), memberships: Vec::new() };
        let mut ahead: Vec<(String, String)> = own.iter().map(|n| (n.clone(), n.clone())).collect();
        while let Some((name, port)) = ahead.pop() {
            if ports.carried.contains_key(&name) {
                continue;
            }
            ports.carried.insert(name.clone(), port.clone());
            for upper in host.uppers(&name) {
                if let Some(kind) = host.aggregate(&name, &upper) {
                    let others = others(host, &upper, &own);
                    let stays = !others.is_empty();
                    ports.memberships.push(Membership {
                        member: name.clone(),
                        kind,
                        master: upper.clone(),
                        others,
                    });
                    if stays {
                        continue;
                    }
                }
                let beside = host.switched_with(&upper);
                ahead.extend(beside.into_iter().map(|n| (n, port.clone())));
                ahead.push((upper, port.clone()));
            }
        }
        ports
    }

    /// Whether this netdev goes down with the card.
    pub(super) fn carries(&self, name: &str) -> bool {
        self.carried.contains_key(name)
    }

    /// Every netdev that goes down, with the port below it.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.carried.iter().map(|(n, p)| (n.as_str(), p.as_str()))
    }

    /// `vmbr0 on enp5s0`, or the port alone.
    pub(super) fn label(&self, name: &str) -> String {
        match self.carried.get(name) {
            Some(port) if port != name => format!("{name} on {port}"),
            _ => name.to_owned(),
        }
    }
}

/// Members of `master` that are up and are, at least in part, above other hardware.
fn others(host: &Host, master: &str, own: &BTreeSet<String>) -> Vec<String> {
    let is_other = |name: &String| host.lowest(name).iter().any(|port| !own.contains(port));
    let mut lowers = host.lowers(master);
    lowers.retain(|l| is_other(l) && host.link_up(l));
    lowers
}
