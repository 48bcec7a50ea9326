//! Network devices: which one is above which (`upper_*` and `lower_*` links in sysfs), their kinds,
//! and their drivers' information.

use super::vfio::ethtool_driver_info;
use super::{Host, sysfs};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Name of the kernel's Open vSwitch datapath.
const OPEN_VSWITCH: &str = "ovs-system";

impl Host {
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

    /// Netdevs at the bottom below `name`; itself when there is none below.
    pub(super) fn lowest(&self, name: &str) -> BTreeSet<String> {
        let (mut seen, mut bottom) = (BTreeSet::new(), BTreeSet::new());
        let mut ahead = vec![name.to_owned()];
        while let Some(name) = ahead.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let lowers = self.lowers(&name);
            if lowers.is_empty() {
                bottom.insert(name);
            }
            ahead.extend(lowers);
        }
        bottom
    }

    /// Kind of a netdev, in the kernel's word where it has one.
    pub(super) fn netdev_kind(&self, name: &str) -> String {
        let dir = self.netdev(name);
        let has = |file: &str| dir.join(file).exists();
        let known = [
            (has("bonding"), "bond"),
            (has("bridge"), "bridge"),
            (has("tun_flags"), "tap"),
            (has("macvtap"), "macvtap"),
            (self.path("proc/net/vlan").join(name).exists(), "VLAN"),
            (name == OPEN_VSWITCH, "Open vSwitch"),
            (name == "lo", "loopback"),
        ];
        if let Some((_, word)) = known.into_iter().find(|(is_it, _)| *is_it) {
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

    /// The kind of `upper` if it is a bond or team, which stays up as long as one member is up.
    ///
    /// sysfs does not name teams, so every master of no other kind counts as one. That includes
    /// VRFs; nothing is above a VRF, and its members keep their own addresses.
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

    /// The bridges of Open vSwitch. It has one datapath for all of them, with each bridge's own
    /// netdev as a member beside the ports. Only its database knows which port belongs to which
    /// bridge.
    pub(super) fn switched_with(&self, upper: &str) -> Vec<String> {
        if upper != OPEN_VSWITCH {
            return Vec::new();
        }
        let mut members = self.lowers(upper);
        members.retain(|m| sysfs::owner(self.netdev(m)).is_none());
        members
    }

    /// Whether the link of this netdev is up; a bond's own link monitoring comes before
    /// `operstate`.
    pub(super) fn link_up(&self, name: &str) -> bool {
        let dir = self.netdev(name);
        let state = sysfs::text(dir.join("bonding_slave/mii_status"))
            .or_else(|| sysfs::text(dir.join("operstate")));
        state.is_some_and(|s| s == "up")
    }
}

/// Information of a netdev's driver, as `ethtool -i` shows it (`ETHTOOL_GDRVINFO`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DriverInfo {
    /// `mlx4_en`.
    pub driver: String,
    /// Version of the driver; for in-tree drivers the kernel's.
    pub version: String,
    /// Running firmware, `2.42.5000` (docs/linux.md#success-of-a-rebind).
    pub fw_version: String,
    pub bus_info: String,
}

/// ENODEV when there is no such device, EOPNOTSUPP when its driver has no information.
pub fn driver_info(netdev: &str) -> std::io::Result<DriverInfo> {
    let info = ethtool_driver_info(netdev)?;
    let mut fields = info[4..].chunks(32).map(sysfs::zero_terminated);
    let mut field = || fields.next().unwrap_or_default();
    Ok(DriverInfo { driver: field(), version: field(), fw_version: field(), bus_info: field() })
}

#[cfg(test)]
mod tests {
    use super::driver_info;
    use crate::host::sysfs::zero_terminated;

    #[test]
    fn a_field_ends_at_its_first_zero() {
        assert_eq!(zero_terminated(b"2.42.5000\0junk"), "2.42.5000");
        assert_eq!(zero_terminated(b"full"), "full");
    }

    #[test]
    fn a_missing_netdev_is_an_error() {
        for name in ["", "no-such-dev0", "a-name-longer-than-fifteen", "a\0b"] {
            let error = driver_info(name).expect_err(name);
            assert_eq!(error.raw_os_error(), Some(nix::libc::ENODEV), "{name:?}");
        }
    }
}
