//! Selecting a card by PCI address with or without domain, netdev or RDMA device, or by a path or name that
//! other tools have for one of these.

use super::card::NotACard;
use super::{Bdf, DiscoverError, Function, Host, PciCard, sysfs};
use std::collections::BTreeMap;

impl Host {
    /// The card with this PCI address (`0000:05:00.0`, `05:00.0`), netdev (`enp5s0`) or RDMA device
    /// (`mlx4_0`), or with another tool's name of one of these. An address without a
    /// domain matches every domain, if only one card has it.
    pub fn find(&self, selector: &str) -> Result<PciCard, DiscoverError> {
        let selector = self.plain_name(selector.trim());
        let bdf = match selector.parse::<Bdf>() {
            Ok(bdf) => self.any_domain(&selector, bdf, &[])?,
            Err(_) => self.by_name(&selector)?,
        };
        let card = self.card(bdf)?;
        if card.function == Function::Virtual {
            let pf = sysfs::link(self.device(bdf).join("physfn")).and_then(|n| n.parse().ok());
            return Err(DiscoverError::VirtualFunction { bdf, pf });
        }
        Ok(card)
    }

    /// The address of a card that may be gone: `journals` are addresses that journals have. Any name that
    /// [`Host::find`] takes; an address without a domain matches every card and journal.
    pub fn address(&self, selector: &str, journals: &[Bdf]) -> Result<Bdf, DiscoverError> {
        let plain = self.plain_name(selector.trim());
        let Ok(bdf) = plain.parse::<Bdf>() else {
            return Ok(self.find(selector)?.bdf);
        };
        let bdf = self.any_domain(&plain, bdf, journals)?;
        match self.find(&bdf.to_string()) {
            Err(error @ DiscoverError::VirtualFunction { .. }) if !journals.contains(&bdf) => {
                Err(error)
            }
            _ => Ok(bdf),
        }
    }

    fn any_domain(&self, selector: &str, bdf: Bdf, journals: &[Bdf]) -> Result<Bdf, DiscoverError> {
        let has_domain = selector.matches(':').count() == 2;
        if has_domain {
            return Ok(bdf);
        }
        let is_local =
            |b: &Bdf| (b.bus, b.device, b.function) == (bdf.bus, bdf.device, bdf.function);
        let mut matches: BTreeMap<Bdf, String> = BTreeMap::new();
        for journal in journals.iter().copied().filter(is_local) {
            matches.insert(journal, format!("{journal} (a journal)"));
        }
        for card in self.cards()?.iter().filter(|card| is_local(&card.bdf)) {
            matches.insert(card.bdf, card.short());
        }
        match matches.len() {
            0 => Ok(bdf),
            1 => Ok(matches.into_keys().next().unwrap_or(bdf)),
            _ => Err(ambiguous(selector, matches.into_values().collect())),
        }
    }

    /// The address or name of the device that a user's word means ([`plain_name`]).
    fn plain_name(&self, typed: &str) -> String {
        let mut parts = typed.split('/');
        // Only the kernel shows which other function such a link leads to.
        if typed.starts_with("/sys/") && parts.any(|p| p.starts_with("virtfn") || p == "physfn") {
            return sysfs::owner(self.path(typed))
                .map_or_else(|| typed.to_owned(), |bdf| bdf.to_string());
        }
        plain_name(typed).unwrap_or_else(|| typed.to_owned())
    }

    fn by_name(&self, selector: &str) -> Result<Bdf, DiscoverError> {
        let unknown = || {
            DiscoverError::NoCard(format!(
                "there is no PCI device, netdev or RDMA device {selector:?}; {}",
                self.present()
            ))
        };
        if !sysfs::is_name(selector) {
            return Err(unknown());
        }
        let net = self.netdev(selector);
        let rdma = self.path("sys/class/infiniband").join(selector);
        match (net.exists(), rdma.exists()) {
            (false, false) => Err(unknown()),
            (true, false) => self.by_netdev(selector),
            (false, true) => self.by_rdma(selector),
            (true, true) => {
                let (net, rdma) = (self.by_netdev(selector), self.by_rdma(selector));
                match (net, rdma) {
                    (Ok(net), Ok(rdma)) if net != rdma => Err(ambiguous(
                        selector,
                        vec![format!("netdev of {net}"), format!("RDMA device of {rdma}")],
                    )),
                    (Ok(bdf), _) | (_, Ok(bdf)) => Ok(bdf),
                    (net, _) => net,
                }
            }
        }
    }

    fn by_netdev(&self, name: &str) -> Result<Bdf, DiscoverError> {
        if let Some(bdf) = sysfs::owner(self.netdev(name)) {
            return self.card_of(name, bdf);
        }
        let ports = self.lowest(name).into_iter().filter_map(|port| {
            let bdf = self.card(sysfs::owner(self.netdev(&port))?).ok()?.bdf;
            Some(format!("{port} of card {bdf}"))
        });
        let ports: Vec<String> = ports.collect();
        let below = if ports.is_empty() {
            "no ConnectX-3 port is below it".to_owned()
        } else {
            format!("below it: {}", ports.join(", "))
        };
        let kind = self.netdev_kind(name);
        Err(DiscoverError::NoCard(format!("{name} is a {kind}, not a port of a card; {below}")))
    }

    fn by_rdma(&self, name: &str) -> Result<Bdf, DiscoverError> {
        match sysfs::owner(self.path("sys/class/infiniband").join(name)) {
            Some(bdf) => self.card_of(name, bdf),
            // Soft RoCE and soft iWARP have no PCI function.
            None => Err(self.not_ours(name, "a software RDMA device")),
        }
    }

    /// The card at `bdf`, to which `name` belongs.
    fn card_of(&self, name: &str, bdf: Bdf) -> Result<Bdf, DiscoverError> {
        if let Err(NotACard::OtherDevice) = self.read_card(bdf) {
            let owner = format!("{bdf}, {}", self.describe(bdf));
            return Err(self.not_ours(name, &owner));
        }
        Ok(self.card(bdf)?.bdf)
    }

    fn not_ours(&self, name: &str, owner: &str) -> DiscoverError {
        DiscoverError::NoCard(format!("{name} belongs to {owner}; {}", self.present()))
    }
}

/// The address or name of the device in a path of sysfs or procfs, or in a name that mstflint or mst
/// gives a function (mstflint mtcr_ul_com.c, `mtcr_parse_name`); `None` for anything else. No such file
/// needs to exist.
///
/// | typed | is |
/// |---|---|
/// | `/sys/class/net/enp5s0/device/config` | `enp5s0` |
/// | `/sys/bus/pci/devices/0000:05:00.0/resource0` | `0000:05:00.0` |
/// | `/proc/bus/pci/05/00.0` | `05:00.0` |
/// | `pciconf-05:00.0`, `vfio-05:00.0`, `/dev/0000:05:00.0_mstconf`, `/dev/mst/05:00.0` | the address |
fn plain_name(typed: &str) -> Option<String> {
    let is_address = |text: &str| text.parse::<Bdf>().is_ok();
    if let Some(path) = typed.strip_prefix("/sys/") {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let name = match parts[..] {
            ["class", "net" | "infiniband", name, ..] => Some(name),
            // A bridge's address comes before that of what is below it.
            _ => parts.into_iter().rev().find(|part| is_address(part)),
        };
        return name.map(str::to_owned);
    }
    if let Some(address) = typed.strip_prefix("/proc/bus/pci/") {
        return Some(address.replace('/', ":"));
    }
    let mut name = typed;
    for prefix in ["/dev/mst/", "/dev/", "pciconf-", "vfio-"] {
        name = name.strip_prefix(prefix).unwrap_or(name);
    }
    for suffix in ["_mstcr", "_mstconf"] {
        name = name.strip_suffix(suffix).unwrap_or(name);
    }
    (name != typed && (is_address(name) || typed.starts_with("/dev/mst/"))).then(|| name.to_owned())
}

fn ambiguous(selector: &str, matches: Vec<String>) -> DiscoverError {
    let matches = matches.join(", ");
    DiscoverError::NoCard(format!("{selector:?} matches several cards: {matches}"))
}
