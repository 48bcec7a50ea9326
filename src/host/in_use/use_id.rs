//! The kinds of use that are checked, and one use of a card.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A kind of use. `--allow` takes the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UseId {
    DefaultRoute,
    OwnSession,
    LastSlave,
    Bond,
    Bridge,
    Uppers,
    Address,
    Rdma,
    RdmaKernel,
    Storage,
    Cluster,
    Netns,
    Vfs,
    Siblings,
    SiblingDisk,
    HeldByVm,
    BootRoot,
}

/// Every kind with its stable name and what it means.
pub(in crate::host) const NAMES: [(UseId, &str, &str); 17] = [
    (UseId::DefaultRoute, "default-route", "A default route leads through the card"),
    (UseId::OwnSession, "own-session", "The connection of this login session"),
    (UseId::LastSlave, "last-slave", "Member of a bond or team without another member that is up"),
    (UseId::Bond, "bond", "Member of a bond or team with another member that is up"),
    (UseId::Bridge, "bridge", "Port of a bridge"),
    (UseId::Uppers, "uppers", "VLANs and other netdevs are above it"),
    (UseId::Address, "address", "Addresses are configured"),
    (UseId::Rdma, "rdma", "Processes have RDMA or clock devices of the card open"),
    (UseId::RdmaKernel, "rdma-kernel", "A kernel module uses RDMA devices of the card"),
    (UseId::Storage, "storage", "Network storage is reached through it"),
    (UseId::Cluster, "cluster", "Cluster heartbeat runs over it"),
    (UseId::Netns, "netns", "A port was moved to another network namespace"),
    (UseId::Vfs, "vfs", "Virtual functions are enabled"),
    (
        UseId::Siblings,
        "siblings",
        "Another function of its IOMMU group has a driver, which must be unbound as well",
    ),
    (UseId::SiblingDisk, "sibling-disk", "Disks in use are attached to such a function"),
    (
        UseId::HeldByVm,
        "held-by-vm",
        "A virtual machine has the card, its group or a virtual function",
    ),
    (UseId::BootRoot, "boot-root", "The root file system comes through it"),
];

impl UseId {
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.into_iter().map(|(id, ..)| id)
    }

    /// What is meant, without a full stop.
    pub fn meaning(self) -> &'static str {
        NAMES.iter().find(|(id, ..)| *id == self).map_or("", |(.., meaning)| meaning)
    }

    /// The stable name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(id, ..)| *id == self).map_or("", |(_, name, _)| name)
    }

    /// Whether the user may waive it. Not where the unbind would block (a virtual machine has the
    /// device open) or would take the root file system away.
    pub fn waivable(self) -> bool {
        !matches!(self, Self::SiblingDisk | Self::HeldByVm | Self::BootRoot)
    }
}

impl fmt::Display for UseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for UseId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of {names}", names = NAMES.map(|(_, name, _)| name).join(", "))]
pub struct BadUseId(pub String);

impl FromStr for UseId {
    type Err = BadUseId;

    fn from_str(text: &str) -> Result<Self, BadUseId> {
        let found = NAMES.iter().find(|(_, name, _)| *name == text);
        found.map_or_else(|| Err(BadUseId(text.to_owned())), |(id, ..)| Ok(*id))
    }
}

/// One use of the card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InUse {
    pub id: UseId,
    /// The netdev, the route, the mount, the process.
    pub detail: String,
}

impl InUse {
    pub(super) fn new(id: UseId, detail: impl Into<String>) -> Self {
        Self { id, detail: detail.into() }
    }
}
