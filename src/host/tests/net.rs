//! The network of a fake host: routes, addresses, connections as procfs writes them.

use super::fake::FakeHost;
use crate::host::in_use::network::Address;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// An IPv4 address as `/proc/net/route` and `/proc/net/tcp` write it.
fn v4(ip: Ipv4Addr) -> String {
    format!("{:08X}", u32::from_ne_bytes(ip.octets()))
}

fn net(text: &str) -> (Ipv4Addr, u32) {
    let (ip, prefix) = text.split_once('/').unwrap();
    (ip.parse().unwrap(), prefix.parse().unwrap())
}

impl FakeHost {
    /// `10.0.0.0/24` through `dev`.
    pub(super) fn route(&self, to: &str, gateway: &str, dev: &str, metric: u32) {
        if !self.at("/proc/net/route").exists() {
            self.append(
                "/proc/net/route",
                "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT",
            );
        }
        let (ip, prefix) = net(to);
        let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - prefix).unwrap_or(0));
        let gateway: Ipv4Addr = gateway.parse().unwrap();
        let flags = if gateway.is_unspecified() { 1 } else { 3 };
        self.append(
            "/proc/net/route",
            &format!(
                "{dev}\t{}\t{}\t{flags:04X}\t0\t0\t{metric}\t{}\t0\t0\t0",
                v4(ip),
                v4(gateway),
                v4(mask)
            ),
        );
    }

    /// A route that rejects.
    pub(super) fn reject(&self, to: &str) {
        let (ip, prefix) = net(to);
        let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - prefix).unwrap_or(0));
        self.append(
            "/proc/net/route",
            &format!("*\t{}\t00000000\t0201\t0\t0\t0\t{}\t0\t0\t0", v4(ip), v4(mask)),
        );
    }

    /// An IPv4 address with its network on `dev`.
    pub(super) fn address(&self, address: &str, dev: &str) {
        let (ip, prefix) = net(address);
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        let network = Ipv4Addr::from_bits(ip.to_bits() & mask);
        self.route(&format!("{network}/{prefix}"), "0.0.0.0", dev, 0);
        self.own_address(ip.into(), dev);
    }

    /// An IPv6 address.
    pub(super) fn address6(&self, ip: &str, dev: &str) {
        self.own_address(ip.parse().unwrap(), dev);
    }

    pub(super) fn own_address(&self, ip: IpAddr, dev: &str) {
        let dev = dev.to_owned();
        self.addresses.borrow_mut().push(Address { ip, dev });
    }

    /// An IPv6 route; flags as the kernel has them.
    pub(super) fn route6(&self, to: &str, gateway: &str, dev: &str, flags: u32) {
        let (ip, prefix) = to.split_once('/').unwrap();
        let ip: std::net::Ipv6Addr = ip.parse().unwrap();
        let gateway: std::net::Ipv6Addr = gateway.parse().unwrap();
        let prefix: u32 = prefix.parse().unwrap();
        self.append(
            "/proc/net/ipv6_route",
            &format!(
                "{:032x} {prefix:02x} {:032x} 00 {:032x} 00000400 00000001 00000000 {flags:08x} {dev:>8}",
                ip.to_bits(),
                0,
                gateway.to_bits()
            ),
        );
    }

    /// A TCP connection with the kernel's state number.
    pub(super) fn tcp(&self, local: &str, peer: &str, state: u8, inode: u64) {
        let local: SocketAddr = local.parse().unwrap();
        let peer: SocketAddr = peer.parse().unwrap();
        let file = if local.is_ipv4() { "tcp" } else { "tcp6" };
        self.append(
            &format!("/proc/net/{file}"),
            &format!(
                "   0: {} {} {state:02X} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 20 4 30 10 -1",
                endpoint(local),
                endpoint(peer)
            ),
        );
    }
}

fn endpoint(at: SocketAddr) -> String {
    let address = match at.ip() {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) => ip
            .octets()
            .chunks_exact(4)
            .map(|four| format!("{:08X}", u32::from_ne_bytes(four.try_into().unwrap())))
            .collect(),
    };
    format!("{address}:{:04X}", at.port())
}
