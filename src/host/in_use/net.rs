//! Default route, bonds, bridges, netdevs above, addresses, other namespaces.

use super::usage::Usage;
use super::use_id::{InUse, UseId};
use crate::host::sysfs;

pub(super) fn check(usage: &Usage<'_>) -> Vec<InUse> {
    let mut uses = default_routes(usage);
    uses.extend(memberships(usage));
    uses.extend(bridges_and_uppers(usage));
    uses.extend(addresses(usage));
    uses.extend(netns(usage));
    uses
}

fn default_routes(usage: &Usage<'_>) -> Vec<InUse> {
    let routes = usage.routes.all().filter(|r| r.is_default());
    routes
        .filter(|r| usage.ports.carries(&r.dev))
        .map(|r| {
            let gateway = r.gateway.map_or_else(String::new, |ip| format!(" by {ip}"));
            InUse::new(
                UseId::DefaultRoute,
                format!(
                    "route to {}/{}{gateway} leads through {} (metric {})",
                    r.net,
                    r.prefix,
                    usage.ports.label(&r.dev),
                    r.metric
                ),
            )
        })
        .collect()
}

fn memberships(usage: &Usage<'_>) -> Vec<InUse> {
    let uses = usage.ports.memberships.iter().map(|m| {
        let (member, kind, master) = (usage.ports.label(&m.member), m.kind, &m.master);
        if m.others.is_empty() {
            InUse::new(
                UseId::LastSlave,
                format!("{member} is in {kind} {master}, which has no other member up"),
            )
        } else {
            let others = m.others.join(", ");
            InUse::new(UseId::Bond, format!("{member} is in {kind} {master}, beside {others}"))
        }
    });
    uses.collect()
}

fn bridges_and_uppers(usage: &Usage<'_>) -> Vec<InUse> {
    let mut uses = Vec::new();
    for (name, _) in usage.ports.all() {
        let port = usage.ports.label(name);
        for upper in usage.host.uppers(name) {
            if usage.host.aggregate(name, &upper).is_some() {
                continue;
            }
            if name != port && usage.host.switched_with(&upper).iter().any(|m| m == name) {
                // A member of the same switch, not a port into it.
                continue;
            }
            let kind = usage.host.netdev_kind(&upper);
            if kind == "bridge" || kind == "Open vSwitch" {
                let mut others = usage.host.lowers(&upper);
                others.retain(|l| l != name);
                let beside = if others.is_empty() {
                    String::new()
                } else {
                    format!(", beside {}", others.join(", "))
                };
                uses.push(InUse::new(
                    UseId::Bridge,
                    format!("{port} is a port of {kind} {upper}{beside}"),
                ));
            } else {
                uses.push(InUse::new(UseId::Uppers, format!("{kind} {upper} is above {port}")));
            }
        }
    }
    uses
}

fn addresses(usage: &Usage<'_>) -> Vec<InUse> {
    let addresses = usage.addresses.iter().filter(|a| !a.is_automatic());
    addresses
        .filter(|a| usage.ports.carries(&a.dev))
        .map(|a| {
            let place = usage.ports.label(&a.dev);
            InUse::new(UseId::Address, format!("{} is configured on {place}", a.ip))
        })
        .collect()
}

/// An Ethernet port of mlx4_en without netdev: it was moved to another namespace. (Its RDMA device
/// stays.)
fn netns(usage: &Usage<'_>) -> Option<InUse> {
    let card = usage.card;
    let driven = card.driver.as_deref() == Some("mlx4_core");
    // Without mlx4_en a port has no netdev anywhere.
    if !driven || !usage.host.path("sys/module/mlx4_en").exists() {
        return None;
    }
    let ethernet = |t: &&String| t.contains("eth");
    let ports = card.port_types.iter().filter(ethernet).count();
    let here = card.netdevs.len();
    let dir = usage.host.device(card.bdf);
    // Where the driver made no Ethernet device, its ports have no netdev either
    // (docs/linux.md#probe-of-mlx4_core).
    let attached = sysfs::names(dir).iter().any(|n| n.starts_with("mlx4_core.eth."));
    (attached && ports > here).then(|| {
        InUse::new(
            UseId::Netns,
            format!(
                "{ports} Ethernet ports, {here} netdevs in this network namespace: the others are in another"
            ),
        )
    })
}
