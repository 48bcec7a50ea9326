//! Selecting a card by PCI address with or without domain, netdev or RDMA device.

use super::{Bdf, DiscoverError, Function, Host, PciCard, sysfs};

impl Host {
    /// The card with this PCI address (`0000:05:00.0`, `05:00.0`), netdev (`enp5s0`) or RDMA device
    /// (`mlx4_0`). An address without a domain matches every domain, if only one card has it.
    pub fn find(&self, selector: &str) -> Result<PciCard, DiscoverError> {
        let selector = selector.trim();
        let bdf = match selector.parse::<Bdf>() {
            Ok(bdf) => self.any_domain(selector, bdf)?,
            Err(_) => self.by_name(selector)?,
        };
        let card = self.card(bdf)?;
        if card.function == Function::Virtual {
            let pf = sysfs::link(self.device(bdf).join("physfn")).and_then(|n| n.parse().ok());
            return Err(DiscoverError::VirtualFunction { bdf, pf });
        }
        Ok(card)
    }

    fn any_domain(&self, selector: &str, bdf: Bdf) -> Result<Bdf, DiscoverError> {
        let has_domain = selector.matches(':').count() == 2;
        if has_domain {
            return Ok(bdf);
        }
        let local = |b: Bdf| (b.bus, b.device, b.function);
        let mut cards = self.cards()?;
        cards.retain(|c| local(c.bdf) == local(bdf));
        match cards.as_slice() {
            [] => Ok(bdf),
            [one] => Ok(one.bdf),
            several => Err(DiscoverError::Ambiguous {
                selector: selector.to_owned(),
                matches: several.iter().map(PciCard::short).collect(),
            }),
        }
    }

    fn by_name(&self, selector: &str) -> Result<Bdf, DiscoverError> {
        let unknown = || DiscoverError::Unknown {
            selector: selector.to_owned(),
            present: self.present(),
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
                    (Ok(net), Ok(rdma)) if net != rdma => Err(DiscoverError::Ambiguous {
                        selector: selector.to_owned(),
                        matches: vec![format!("netdev of {net}"), format!("RDMA device of {rdma}")],
                    }),
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
        let ports = self
            .lowest(name)
            .into_iter()
            .filter_map(|port| {
                let bdf = sysfs::owner(self.netdev(&port))?;
                self.card(bdf).ok().map(|card| (port, card.bdf))
            })
            .collect();
        Err(DiscoverError::VirtualNetdev {
            name: name.to_owned(),
            kind: self.netdev_kind(name),
            ports,
        })
    }

    fn by_rdma(&self, name: &str) -> Result<Bdf, DiscoverError> {
        match sysfs::owner(self.path("sys/class/infiniband").join(name)) {
            Some(bdf) => self.card_of(name, bdf),
            // Soft RoCE and soft iWARP have no PCI function.
            None => Err(DiscoverError::NotOurs {
                name: name.to_owned(),
                owner: "a software RDMA device".to_owned(),
                present: self.present(),
            }),
        }
    }

    /// The card at `bdf`, to which `name` belongs.
    fn card_of(&self, name: &str, bdf: Bdf) -> Result<Bdf, DiscoverError> {
        match self.card(bdf) {
            Err(DiscoverError::OtherDevice { what, present, .. }) => Err(DiscoverError::NotOurs {
                name: name.to_owned(),
                owner: format!("{bdf}, {what}"),
                present,
            }),
            other => other.map(|card| card.bdf),
        }
    }
}
