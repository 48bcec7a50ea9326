//! Network devices and how they lie on each other: `upper_*` and `lower_*` links in sysfs.

use super::{Host, sysfs};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Name of the kernel's Open vSwitch datapath.
const OPEN_VSWITCH: &str = "ovs-system";

impl Host {
    /// Directory of a netdev.
    pub(super) fn netdev(&self, name: &str) -> PathBuf {
        self.path("sys/class/net").join(name)
    }

    fn linked(&self, name: &str, prefix: &str) -> Vec<String> {
        let names = sysfs::names(self.netdev(name));
        let linked = names.iter().filter_map(|n| n.strip_prefix(prefix));
        linked.map(str::to_owned).collect()
    }

    /// Netdevs directly above: bonds, bridges, VLANs …
    pub(super) fn uppers(&self, name: &str) -> Vec<String> {
        self.linked(name, "upper_")
    }

    /// Netdevs directly below.
    pub(super) fn lowers(&self, name: &str) -> Vec<String> {
        self.linked(name, "lower_")
    }

    /// Netdevs at the bottom below `name`; itself when nothing lies below.
    pub(super) fn lowest(&self, name: &str) -> BTreeSet<String> {
        let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
        let mut ahead = vec![name.to_owned()];
        while let Some(name) = ahead.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let lowers = self.lowers(&name);
            if lowers.is_empty() {
                found.insert(name);
            }
            ahead.extend(lowers);
        }
        found
    }

    /// What kind of netdev it is, in one word where the kernel has one.
    pub(super) fn netdev_kind(&self, name: &str) -> String {
        let dir = self.netdev(name);
        let word = if dir.join("bonding").is_dir() {
            "bond"
        } else if dir.join("bridge").is_dir() {
            "bridge"
        } else if dir.join("tun_flags").exists() {
            "tap"
        } else if dir.join("macvtap").is_dir() {
            "macvtap"
        } else if self.path("proc/net/vlan").join(name).exists() {
            "VLAN"
        } else if name == OPEN_VSWITCH {
            "Open vSwitch"
        } else if name == "lo" {
            "loopback"
        } else {
            ""
        };
        if !word.is_empty() {
            return word.to_owned();
        }
        // The driver's `device_type`. Seen in the modules of Debian's 6.12.107: bond, bridge, vlan,
        // vxlan and hsr have one; team, vrf, openvswitch, macvlan, macvtap and ipvlan have none.
        let kind = sysfs::lines(dir.join("uevent"))
            .iter()
            .find_map(|l| l.strip_prefix("DEVTYPE=").map(str::to_owned));
        match kind.as_deref() {
            Some("vlan") => "VLAN".to_owned(),
            Some(kind) => kind.to_owned(),
            None => "virtual netdev".to_owned(),
        }
    }

    /// Is `upper` a bond, or a team: a master that lives on as long as one member does? Its kind, if so.
    ///
    /// The kernel does not say "team" in sysfs, so this is any master that is nothing else. A VRF is
    /// taken for one too; nothing lies above a VRF, and its members keep their own addresses.
    pub(super) fn aggregate(&self, lower: &str, upper: &str) -> Option<&'static str> {
        let kind = self.netdev_kind(upper);
        let master = sysfs::link(self.netdev(lower).join("master"));
        match kind.as_str() {
            "bond" => Some("bond"),
            "team" => Some("team"),
            "virtual netdev" if master.as_deref() == Some(upper) => Some("team or VRF"),
            _ => None,
        }
    }

    /// Open vSwitch has one datapath for all its bridges; each bridge's own netdev is a member beside
    /// the ports. Which ports belong to which bridge only its database knows.
    pub(super) fn switched_with(&self, upper: &str) -> Vec<String> {
        if upper != OPEN_VSWITCH {
            return Vec::new();
        }
        let mut members = self.lowers(upper);
        members.retain(|m| sysfs::owner(self.netdev(m)).is_none());
        members
    }

    /// Does the link of this netdev carry traffic? A bond knows better than `operstate`.
    pub(super) fn link_up(&self, name: &str) -> bool {
        let dir = self.netdev(name);
        let state = sysfs::text(dir.join("bonding_slave/mii_status"))
            .or_else(|| sysfs::text(dir.join("operstate")));
        state.is_some_and(|s| s == "up")
    }
}
