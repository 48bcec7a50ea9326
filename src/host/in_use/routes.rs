//! The main routing tables, from `/proc/net/route` and `/proc/net/ipv6_route`. Policy tables and
//! VRFs are not shown there.

use crate::host::{Host, sysfs};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

// Flags of both files (include/uapi/linux/route.h, ipv6_route.h).
const UP: u32 = 0x1;
const REJECT: u32 = 0x200;
const ANYCAST: u32 = 0x0010_0000;
const LOCAL: u32 = 0x8000_0000;

/// A route that leads out of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) net: IpAddr,
    pub(super) prefix: u32,
    pub(super) gateway: Option<IpAddr>,
    pub(super) metric: u32,
    pub(super) dev: String,
    /// Leads nowhere: unreachable, blackhole.
    reject: bool,
}

impl Route {
    fn covers(&self, ip: IpAddr) -> bool {
        match (self.net, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0);
                (net.to_bits() ^ ip.to_bits()) & mask == 0
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
                (net.to_bits() ^ ip.to_bits()) & mask == 0
            }
            _ => false,
        }
    }

    /// To everywhere; also the two halves of it that VPNs use to win over the real one.
    pub(super) fn is_default(&self) -> bool {
        self.prefix <= 1
    }

    /// IPv6 configures these, and multicast, on every netdev that is up.
    pub(super) fn is_link_local(&self) -> bool {
        match self.net {
            IpAddr::V6(net) if self.prefix > 0 => net.is_unicast_link_local() || net.is_multicast(),
            _ => false,
        }
    }
}

/// All routes.
pub(super) struct Routes(Vec<Route>);

impl Routes {
    pub(super) fn read(host: &Host) -> Self {
        let v4 = sysfs::lines(host.path("proc/net/route"));
        let v6 = sysfs::lines(host.path("proc/net/ipv6_route"));
        let v4 = v4.iter().filter_map(|l| route_v4(l));
        let v6 = v6.iter().filter_map(|l| route_v6(l));
        Self(v4.chain(v6).collect())
    }

    /// Routes that lead out.
    pub(super) fn all(&self) -> impl Iterator<Item = &Route> {
        self.0.iter().filter(|r| !r.reject)
    }

    /// The routes to `ip`: longest prefix, then lowest metric. Several when they share the load.
    pub(super) fn to(&self, ip: IpAddr) -> Vec<&Route> {
        let rank = |r: &Route| (u32::MAX - r.prefix, r.metric);
        let covering = || self.0.iter().filter(|r| r.covers(ip));
        let best = covering().map(rank).min();
        covering()
            .filter(|r| Some(rank(r)) == best && !r.reject)
            .collect()
    }

    /// Netdevs whose own network holds `ip`.
    pub(super) fn on_link(&self, ip: IpAddr) -> Vec<&str> {
        let near = |r: &&Route| r.gateway.is_none() && !r.is_default() && r.covers(ip);
        let longest = self.all().filter(near).map(|r| r.prefix).max();
        let best = self.all().filter(near);
        best.filter(|r| Some(r.prefix) == longest)
            .map(|r| r.dev.as_str())
            .collect()
    }
}

/// An IPv4 address as procfs writes it: the number a CPU reads from the four bytes.
pub(super) fn ipv4(text: &str) -> Option<Ipv4Addr> {
    (text.len() == 8).then_some(())?;
    let number = u32::from_str_radix(text, 16).ok()?;
    Some(Ipv4Addr::from(number.to_ne_bytes()))
}

/// An IPv6 address as `if_inet6` and `ipv6_route` write it.
pub(super) fn ipv6(text: &str) -> Option<Ipv6Addr> {
    (text.len() == 32).then_some(())?;
    u128::from_str_radix(text, 16).ok().map(Ipv6Addr::from_bits)
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`
fn route_v4(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [dev, net, gateway, flags, _, _, metric, mask, ..] = words.as_slice() else {
        return None;
    };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let gateway = ipv4(gateway)?;
    (flags & UP != 0).then_some(Route {
        net: IpAddr::V4(ipv4(net)?),
        prefix: ipv4(mask)?.to_bits().count_ones(),
        gateway: (!gateway.is_unspecified()).then_some(IpAddr::V4(gateway)),
        metric: metric.parse().ok()?,
        dev: (*dev).to_owned(),
        reject: flags & REJECT != 0,
    })
}

/// `dest len src len nexthop metric refcnt use flags dev`
fn route_v6(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [net, prefix, _, _, gateway, metric, _, _, flags, dev] = words.as_slice() else {
        return None;
    };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let gateway = ipv6(gateway)?;
    let prefix = u32::from_str_radix(prefix, 16).ok().filter(|p| *p <= 128)?;
    let ours = flags & (LOCAL | ANYCAST) != 0;
    (flags & UP != 0 && !ours || flags & REJECT != 0).then_some(Route {
        net: IpAddr::V6(ipv6(net)?),
        prefix,
        gateway: (!gateway.is_unspecified()).then_some(IpAddr::V6(gateway)),
        metric: u32::from_str_radix(metric, 16).ok()?,
        dev: (*dev).to_owned(),
        reject: flags & REJECT != 0,
    })
}
