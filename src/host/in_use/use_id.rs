//! The kinds of use that are checked, and one use of a card.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A kind of use. `--allow` takes the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UseId {
    /// A default route leads through the card.
    DefaultRoute,
    /// The connection of this login session.
    OwnSession,
    /// Member of a bond or team without another member that is up.
    LastSlave,
    /// Member of a bond or team with another member that is up.
    Bond,
    /// Port of a bridge.
    Bridge,
    /// VLANs and other netdevs are above it.
    Uppers,
    /// Addresses are configured.
    Address,
    /// Processes have RDMA or clock devices of the card open.
    Rdma,
    /// A kernel module uses RDMA devices of the card.
    RdmaKernel,
    /// Network storage is reached through it.
    Storage,
    /// Cluster heartbeat runs over it.
    Cluster,
    /// A port was moved to another network namespace.
    Netns,
    /// Virtual functions are enabled.
    Vfs,
    /// Another function of its IOMMU group has a driver, which must be unbound as well.
    Siblings,
    /// Disks in use are attached to such a function.
    SiblingDisk,
    /// A virtual machine has the card, its group or a virtual function.
    HeldByVm,
    /// The root file system comes through it.
    BootRoot,
}

/// Every kind with its stable name.
pub(in crate::host) const NAMES: [(UseId, &str); 17] = [
    (UseId::DefaultRoute, "default-route"),
    (UseId::OwnSession, "own-session"),
    (UseId::LastSlave, "last-slave"),
    (UseId::Bond, "bond"),
    (UseId::Bridge, "bridge"),
    (UseId::Uppers, "uppers"),
    (UseId::Address, "address"),
    (UseId::Rdma, "rdma"),
    (UseId::RdmaKernel, "rdma-kernel"),
    (UseId::Storage, "storage"),
    (UseId::Cluster, "cluster"),
    (UseId::Netns, "netns"),
    (UseId::Vfs, "vfs"),
    (UseId::Siblings, "siblings"),
    (UseId::SiblingDisk, "sibling-disk"),
    (UseId::HeldByVm, "held-by-vm"),
    (UseId::BootRoot, "boot-root"),
];

impl UseId {
    /// The stable name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(id, _)| *id == self).map_or("", |(_, name)| name)
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
#[error("{0:?} is none of {names}", names = NAMES.map(|(_, name)| name).join(", "))]
pub struct BadUseId(pub String);

impl FromStr for UseId {
    type Err = BadUseId;

    fn from_str(text: &str) -> Result<Self, BadUseId> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found.map_or_else(|| Err(BadUseId(text.to_owned())), |(id, _)| Ok(*id))
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
