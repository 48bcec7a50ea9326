//! The host's network from procfs: routes of the main tables (`/proc/net/route`,
//! `/proc/net/ipv6_route`; policy tables and VRFs are not shown there) and TCP connections
//! (`/proc/net/tcp`, `tcp6`). Addresses are the kernel's.

use crate::host::{Host, sysfs};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

// Flags of both files (include/uapi/linux/route.h, ipv6_route.h).
const UP: u32 = 0x1;
const REJECT: u32 = 0x200;
const ANYCAST: u32 = 0x0010_0000;
const LOCAL: u32 = 0x8000_0000;

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) net: IpAddr,
    pub(super) prefix: u32,
    pub(super) gateway: Option<IpAddr>,
    pub(super) metric: u32,
    pub(super) dev: String,
    /// Unreachable or blackhole.
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

    /// A default route, or one of the two halves with which VPNs override it.
    pub(super) fn is_default(&self) -> bool {
        self.prefix <= 1
    }

    /// IPv6 adds these and multicast to every netdev that is up.
    pub(super) fn is_link_local(&self) -> bool {
        match self.net {
            IpAddr::V6(net) if self.prefix > 0 => net.is_unicast_link_local() || net.is_multicast(),
            _ => false,
        }
    }
}

pub(super) struct Routes(Vec<Route>);

impl Routes {
    pub(super) fn read(host: &Host) -> Self {
        let v4 = sysfs::lines(host.path("proc/net/route"));
        let v6 = sysfs::lines(host.path("proc/net/ipv6_route"));
        let v4 = v4.iter().filter_map(|l| route_v4(l));
        let v6 = v6.iter().filter_map(|l| route_v6(l));
        Self(v4.chain(v6).collect())
    }

    /// Routes that reach something.
    pub(super) fn all(&self) -> impl Iterator<Item = &Route> {
        self.0.iter().filter(|r| !r.reject)
    }

    /// The routes to `ip`: longest prefix, then lowest metric. Several when they share the load.
    pub(super) fn to(&self, ip: IpAddr) -> Vec<&Route> {
        let rank = |r: &Route| (u32::MAX - r.prefix, r.metric);
        let covering = || self.0.iter().filter(|r| r.covers(ip));
        let best = covering().map(rank).min();
        covering().filter(|r| Some(rank(r)) == best && !r.reject).collect()
    }
}

/// An IPv4 address in the form of procfs: the number that a CPU reads from the four bytes.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    (text.len() == 8).then_some(())?;
    let number = u32::from_str_radix(text, 16).ok()?;
    Some(Ipv4Addr::from(number.to_ne_bytes()))
}

/// An IPv6 address in the form of `ipv6_route`.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
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
    let local = flags & (LOCAL | ANYCAST) != 0;
    (flags & UP != 0 && !local || flags & REJECT != 0).then_some(Route {
        net: IpAddr::V6(ipv6(net)?),
        prefix,
        gateway: (!gateway.is_unspecified()).then_some(IpAddr::V6(gateway)),
        metric: u32::from_str_radix(metric, 16).ok()?,
        dev: (*dev).to_owned(),
        reject: flags & REJECT != 0,
    })
}

/// An address configured on a netdev.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::host) struct Address {
    pub(in crate::host) ip: IpAddr,
    pub(in crate::host) dev: String,
}

impl Address {
    /// IPv6 adds one of these to every netdev that is up.
    pub(super) fn is_automatic(&self) -> bool {
        matches!(self.ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
    }
}

/// All addresses of this machine.
pub(super) fn addresses() -> io::Result<Vec<Address>> {
    let addresses = nix::ifaddrs::getifaddrs()?.filter_map(|entry| {
        let address = entry.address?;
        let ip = if let Some(v4) = address.as_sockaddr_in() {
            IpAddr::V4(v4.ip())
        } else {
            IpAddr::V6(address.as_sockaddr_in6()?.ip())
        };
        // A label such as `eth0:1` is reported in place of the netdev's name.
        let dev = entry.interface_name.split(':').next()?.to_owned();
        Some(Address { ip, dev })
    });
    Ok(addresses.collect())
}

/// `TCP_ESTABLISHED` (include/net/tcp_states.h).
const ESTABLISHED: &str = "01";

/// An established connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// `socket:[INODE]` in `/proc/PID/fd`.
    pub(super) inode: u64,
}

/// TCP connections of this network namespace.
pub(super) fn sockets(host: &Host) -> Vec<Socket> {
    ["proc/net/tcp", "proc/net/tcp6"]
        .iter()
        .flat_map(|file| sysfs::lines(host.path(file)))
        .filter_map(|line| socket(&line))
        .collect()
}

/// `sl local remote st tx:rx tr:when retrnsmt uid timeout inode …`
fn socket(line: &str) -> Option<Socket> {
    let words: Vec<&str> = line.split_whitespace().collect();
    (*words.get(3)? == ESTABLISHED).then_some(())?;
    Some(Socket {
        local: endpoint(words.get(1)?)?,
        peer: endpoint(words.get(2)?)?,
        inode: words.get(9)?.parse().ok()?,
    })
}

/// `0100007F:0016`; an IPv6 address is four such numbers in a row.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let ip = if address.len() == 32 && address.is_ascii() {
        let mut octets = [0; 16];
        for (four, at) in octets.chunks_exact_mut(4).zip((0..32).step_by(8)) {
            four.copy_from_slice(&ipv4(&address[at..at + 8])?.octets());
        }
        // An IPv4 peer of an IPv6 socket is an IPv4 peer.
        IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
    } else {
        IpAddr::V4(ipv4(address)?)
    };
    Some(SocketAddr::new(ip, port))
}
