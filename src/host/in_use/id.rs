//! Names of the dangers.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Why taking the card away would be missed. The names are what `--allow` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UseId {
    /// A default route leads through the card.
    DefaultRoute,
    /// The connection this very session runs on.
    OwnSession,
    /// A bond or team has no other slave that is up.
    LastSlave,
    /// Member of a bond or team that has another slave up.
    Bond,
    /// Port of a bridge.
    Bridge,
    /// VLANs and other netdevs on top.
    Uppers,
    /// Addresses are configured.
    Address,
    /// User space has RDMA or clock devices of the card open.
    Rdma,
    /// A kernel module uses RDMA devices of the card.
    RdmaKernel,
    /// Network storage is reached through it.
    Storage,
    /// Cluster heartbeat runs over it.
    Cluster,
    /// A port was given to another network namespace.
    Netns,
    /// Virtual functions are enabled.
    Vfs,
    /// Another function of its IOMMU group has a driver, which must be unbound as well.
    Siblings,
    /// Disks in use hang on such a function.
    SiblingDisk,
    /// A virtual machine has the card, its group or a virtual function.
    HeldByVm,
    /// The root file system comes through it.
    BootRoot,
}

impl UseId {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::DefaultRoute,
        Self::OwnSession,
        Self::LastSlave,
        Self::Bond,
        Self::Bridge,
        Self::Uppers,
        Self::Address,
        Self::Rdma,
        Self::RdmaKernel,
        Self::Storage,
        Self::Cluster,
        Self::Netns,
        Self::Vfs,
        Self::Siblings,
        Self::SiblingDisk,
        Self::HeldByVm,
        Self::BootRoot,
    ];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DefaultRoute => "default-route",
            Self::OwnSession => "own-session",
            Self::LastSlave => "last-slave",
            Self::Bond => "bond",
            Self::Bridge => "bridge",
            Self::Uppers => "uppers",
            Self::Address => "address",
            Self::Rdma => "rdma",
            Self::RdmaKernel => "rdma-kernel",
            Self::Storage => "storage",
            Self::Cluster => "cluster",
            Self::Netns => "netns",
            Self::Vfs => "vfs",
            Self::Siblings => "siblings",
            Self::SiblingDisk => "sibling-disk",
            Self::HeldByVm => "held-by-vm",
            Self::BootRoot => "boot-root",
        }
    }

    /// May a user say that it does not matter? Not where the unbind would hang (a virtual machine
    /// holds the device) or take the root file system away.
    #[must_use]
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

/// No such danger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of {names}", names = UseId::ALL.map(UseId::name).join(", "))]
pub struct BadUseId(pub String);

impl FromStr for UseId {
    type Err = BadUseId;

    fn from_str(text: &str) -> Result<Self, BadUseId> {
        Self::ALL
            .into_iter()
            .find(|id| id.name() == text)
            .ok_or_else(|| BadUseId(text.to_owned()))
    }
}
