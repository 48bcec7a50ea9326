//! Netdevs of the card, and which netdevs above them have no other leg to stand on.

use crate::host::{Bdf, Host, sysfs};
use std::collections::{BTreeMap, BTreeSet};

/// A place of a netdev in a bond or team.
pub(super) struct Membership {
    /// Ours, or one above ours.
    pub(super) member: String,
    /// The bond.
    pub(super) master: String,
    /// What it is.
    pub(super) kind: &'static str,
    /// Members on other hardware that are up.
    pub(super) others: Vec<String>,
}

/// Netdevs that go down with the card.
pub(super) struct CardPorts {
    /// Netdev to the port it stands on (itself for a port).
    carried: BTreeMap<String, String>,
    /// Bonds and teams the carried netdevs are members of.
    pub(super) memberships: Vec<Membership>,
}

impl CardPorts {
    pub(super) fn read(host: &Host, devices: &[Bdf]) -> Self {
        let own: BTreeSet<String> = devices
            .iter()
            .flat_map(|bdf| sysfs::names(host.device(*bdf).join("net")))
            .collect();
        let mut ports = Self {
            carried: BTreeMap::new(),
            memberships: Vec::new(),
        };
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

    /// Does this netdev go down with the card?
    pub(super) fn carries(&self, name: &str) -> bool {
        self.carried.contains_key(name)
    }

    /// Every netdev that goes down, with the port it stands on.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.carried.iter().map(|(n, p)| (n.as_str(), p.as_str()))
    }

    /// `vmbr0 on enp5s0`, or the port alone.
    pub(super) fn place(&self, name: &str) -> String {
        match self.carried.get(name) {
            Some(port) if port != name => format!("{name} on {port}"),
            _ => name.to_owned(),
        }
    }
}

/// Members of `master` that are up and stand, at least in part, on other hardware.
fn others(host: &Host, master: &str, own: &BTreeSet<String>) -> Vec<String> {
    let foreign = |name: &String| host.lowest(name).iter().any(|port| !own.contains(port));
    let mut lowers = host.lowers(master);
    lowers.retain(|l| foreign(l) && host.link_up(l));
    lowers
}
