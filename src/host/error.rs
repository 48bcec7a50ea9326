//! Errors of selecting a card.

use super::Bdf;
use std::path::PathBuf;

/// No card was selected.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// PCI devices cannot be listed.
    #[error("cannot list {}: {source}", path.display())]
    Sysfs {
        path: PathBuf,
        source: std::io::Error,
    },
    /// Nothing at this address; also a card that was removed while it was read.
    #[error("there is no PCI device at {bdf}; {}", cards(present))]
    NoDevice { bdf: Bdf, present: Vec<String> },
    /// Another kind of device at this address; `what` has its class, ids and driver.
    #[error("{bdf} is {what}; {}", cards(present))]
    OtherDevice {
        bdf: Bdf,
        what: String,
        present: Vec<String>,
    },
    /// A virtual function. Its physical function `pf` is the card; a guest may not see it.
    #[error("{bdf} is a virtual function of {}", physical(*pf))]
    VirtualFunction { bdf: Bdf, pf: Option<Bdf> },
    /// A sysfs file of the card that must hold an id holds something else.
    #[error("{bdf}: {file} reads {text:?}")]
    Odd {
        bdf: Bdf,
        file: &'static str,
        text: String,
    },
    #[error(
        "there is no PCI device, netdev or RDMA device {selector:?}; {}",
        cards(present)
    )]
    Unknown {
        selector: String,
        present: Vec<String>,
    },
    /// A netdev or RDMA device of another device.
    #[error("{name} belongs to {owner}; {}", cards(present))]
    NotOurs {
        name: String,
        owner: String,
        present: Vec<String>,
    },
    /// A netdev without hardware of its own; `ports` are ports of cards below it.
    #[error("{name} is a {kind}, not a port of a card{}", below(ports))]
    VirtualNetdev {
        name: String,
        kind: String,
        ports: Vec<(String, Bdf)>,
    },
    #[error("{selector:?} matches several cards: {}", matches.join(", "))]
    Ambiguous {
        selector: String,
        matches: Vec<String>,
    },
}

fn cards(present: &[String]) -> String {
    if present.is_empty() {
        "no ConnectX-3 card found".to_owned()
    } else {
        format!("cards found: {}", present.join(", "))
    }
}

fn physical(pf: Option<Bdf>) -> String {
    pf.map_or_else(
        || "a card that is not visible from this system".to_owned(),
        |bdf| format!("the card {bdf}"),
    )
}

fn below(ports: &[(String, Bdf)]) -> String {
    if ports.is_empty() {
        return "; no ConnectX-3 port is below it".to_owned();
    }
    let ports: Vec<_> = ports
        .iter()
        .map(|(name, bdf)| format!("{name} of card {bdf}"))
        .collect();
    format!("; below it: {}", ports.join(", "))
}
