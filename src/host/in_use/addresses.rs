//! Addresses of this host and the netdevs that have them.

use super::routes::{Routes, ipv6};
use crate::host::{Host, sysfs};
use std::net::{IpAddr, Ipv4Addr};

/// An address configured on a netdev.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) ip: IpAddr,
    pub(super) dev: String,
}

impl Address {
    /// IPv6 puts one of these on every netdev that is up: nobody asked for it.
    pub(super) fn is_automatic(&self) -> bool {
        matches!(self.ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
    }
}

/// All addresses. The kernel is asked on the machine itself; elsewhere, and if that fails, procfs
/// tells nearly as much.
pub(super) fn read(host: &Host, routes: &Routes) -> Vec<Address> {
    let asked = host.is_system().then(from_kernel).flatten();
    asked.unwrap_or_else(|| from_proc(host, routes))
}

pub(super) fn from_proc(host: &Host, routes: &Routes) -> Vec<Address> {
    let mut found = from_inet6(host);
    found.extend(from_trie(host, routes));
    found
}

fn from_kernel() -> Option<Vec<Address>> {
    let all = nix::ifaddrs::getifaddrs().ok()?;
    let addresses = all.filter_map(|entry| {
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
    Some(addresses.collect())
}

/// `/proc/net/if_inet6`: address, index, prefix length, scope, flags, netdev.
fn from_inet6(host: &Host) -> Vec<Address> {
    let lines = sysfs::lines(host.path("proc/net/if_inet6"));
    let addresses = lines.iter().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, _, _, _, _, dev] = words.as_slice() else {
            return None;
        };
        Some(Address {
            ip: IpAddr::V6(ipv6(address)?),
            dev: (*dev).to_owned(),
        })
    });
    addresses.collect()
}

/// `/proc/net/fib_trie` lists local IPv4 addresses without their netdevs: those are the ones whose
/// own network holds the address.
fn from_trie(host: &Host, routes: &Routes) -> Vec<Address> {
    let mut found: Vec<Address> = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in sysfs::lines(host.path("proc/net/fib_trie")) {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse().ok();
        } else if line.contains("/32 host LOCAL") {
            let Some(ip) = last.map(IpAddr::V4) else {
                continue;
            };
            let devs = routes.on_link(ip).into_iter().map(str::to_owned);
            found.extend(devs.map(|dev| Address { ip, dev }));
        }
    }
    // The main and the local table may be one, shown twice.
    found.sort_by(|a, b| (a.ip, &a.dev).cmp(&(b.ip, &b.dev)));
    found.dedup();
    found
}
