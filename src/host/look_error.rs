//! What can keep a card from being found.

use super::{Bdf, PciCard};
use std::path::PathBuf;

/// Looking for a card failed.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// PCI devices cannot be listed at all.
    #[error("cannot list {}: {source}", path.display())]
    Sysfs {
        /// What was to be listed.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Nothing at this address; also a card that went away while it was looked at.
    #[error("there is no PCI device at {bdf}; {}", of_the_family(there))]
    NoDevice {
        /// The address.
        bdf: Bdf,
        /// Cards there are.
        there: Vec<String>,
    },
    /// Something else at this address.
    #[error("{bdf} is {what}; {}", of_the_family(there))]
    OtherDevice {
        /// The address.
        bdf: Bdf,
        /// Ids, class and driver.
        what: String,
        /// Cards there are.
        there: Vec<String>,
    },
    /// A virtual function: its physical function is the card.
    #[error("{bdf} is a virtual function of {}", named(*pf))]
    VirtualFunction {
        /// The virtual function.
        bdf: Bdf,
        /// The card, unless we are in a guest that sees only the virtual function.
        pf: Option<Bdf>,
    },
    /// The card is there, and a file that must say what it is does not.
    #[error("{bdf}: {file} reads {text:?}")]
    Odd {
        /// The card.
        bdf: Bdf,
        /// File in its sysfs directory.
        file: &'static str,
        /// What it said.
        text: String,
    },
    /// No PCI address, netdev or RDMA device of that name.
    #[error(
        "{selector:?} names no PCI device, netdev or RDMA device; {}",
        of_the_family(there)
    )]
    Unknown {
        /// What was asked for.
        selector: String,
        /// Cards there are.
        there: Vec<String>,
    },
    /// A netdev or RDMA device of something else.
    #[error("{name} belongs to {owner}; {}", of_the_family(there))]
    NotOurs {
        /// The netdev or RDMA device.
        name: String,
        /// What it belongs to.
        owner: String,
        /// Cards there are.
        there: Vec<String>,
    },
    /// A netdev without hardware of its own.
    #[error("{name} is a {kind}, no port of a card{}", below(ports))]
    VirtualNetdev {
        /// The netdev.
        name: String,
        /// VLAN, bond, bridge …
        kind: String,
        /// Ports of cards of this family that lie below it.
        ports: Vec<(String, Bdf)>,
    },
    /// Several cards fit.
    #[error("{selector:?} fits several cards: {}", fits.join(", "))]
    Ambiguous {
        /// What was asked for.
        selector: String,
        /// Cards that fit.
        fits: Vec<String>,
    },
}

/// One card in a list of them: address, then the names people know it by.
pub(super) fn short(card: &PciCard) -> String {
    let mut names: Vec<&str> = card.netdevs.iter().map(|n| n.name.as_str()).collect();
    names.extend(card.rdma.iter().map(String::as_str));
    if names.is_empty() {
        card.bdf.to_string()
    } else {
        format!("{} ({})", card.bdf, names.join(", "))
    }
}

fn of_the_family(there: &[String]) -> String {
    if there.is_empty() {
        "there is no ConnectX-3 in this machine".to_owned()
    } else {
        format!("cards there are: {}", there.join(", "))
    }
}

fn named(pf: Option<Bdf>) -> String {
    pf.map_or_else(
        || "a card that this system does not see".to_owned(),
        |bdf| format!("the card {bdf}"),
    )
}

fn below(ports: &[(String, Bdf)]) -> String {
    if ports.is_empty() {
        return "; no ConnectX-3 lies below it".to_owned();
    }
    let ports: Vec<_> = ports
        .iter()
        .map(|(name, bdf)| format!("{name} of card {bdf}"))
        .collect();
    format!("; below it: {}", ports.join(", "))
}
