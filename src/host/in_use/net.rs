//! Default route, bonds, bridges, netdevs on top, addresses, other namespaces.

use super::{InUse, Look, UseId, found};
use crate::host::sysfs;

pub(super) fn check(look: &Look<'_>) -> Vec<InUse> {
    let mut uses = default_routes(look);
    uses.extend(memberships(look));
    uses.extend(bridges_and_uppers(look));
    uses.extend(addresses(look));
    uses.extend(netns(look));
    uses
}

fn default_routes(look: &Look<'_>) -> Vec<InUse> {
    let ours = look.routes.all().filter(|r| r.is_default());
    ours.filter(|r| look.ports.carries(&r.dev))
        .map(|r| {
            let gateway = r.gateway.map_or_else(String::new, |ip| format!(" by {ip}"));
            found(
                UseId::DefaultRoute,
                format!(
                    "route to {}/{}{gateway} leads through {} (metric {})",
                    r.net,
                    r.prefix,
                    look.ports.place(&r.dev),
                    r.metric
                ),
            )
        })
        .collect()
}

fn memberships(look: &Look<'_>) -> Vec<InUse> {
    let uses = look.ports.memberships.iter().map(|m| {
        let (member, kind, master) = (look.ports.place(&m.member), m.kind, &m.master);
        if m.others.is_empty() {
            found(
                UseId::LastSlave,
                format!("{member} is in {kind} {master}, which has no other member up"),
            )
        } else {
            let others = m.others.join(", ");
            found(
                UseId::Bond,
                format!("{member} is in {kind} {master}, beside {others}"),
            )
        }
    });
    uses.collect()
}

fn bridges_and_uppers(look: &Look<'_>) -> Vec<InUse> {
    let mut uses = Vec::new();
    for (name, _) in look.ports.all() {
        let port = look.ports.place(name);
        for upper in look.host.uppers(name) {
            if look.host.aggregate(name, &upper).is_some() {
                continue;
            }
            if name != port && look.host.switched_with(&upper).iter().any(|m| m == name) {
                // A member of the same switch, not the way into it.
                continue;
            }
            let kind = look.host.netdev_kind(&upper);
            if kind == "bridge" || kind == "Open vSwitch" {
                let others: Vec<String> = look
                    .host
                    .lowers(&upper)
                    .into_iter()
                    .filter(|l| l != name)
                    .collect();
                let beside = if others.is_empty() {
                    String::new()
                } else {
                    format!(", beside {}", others.join(", "))
                };
                uses.push(found(
                    UseId::Bridge,
                    format!("{port} is a port of {kind} {upper}{beside}"),
                ));
            } else {
                uses.push(found(
                    UseId::Uppers,
                    format!("{kind} {upper} lies on {port}"),
                ));
            }
        }
    }
    uses
}

fn addresses(look: &Look<'_>) -> Vec<InUse> {
    let ours = look.addresses.iter().filter(|a| !a.is_automatic());
    ours.filter(|a| look.ports.carries(&a.dev))
        .map(|a| {
            let place = look.ports.place(&a.dev);
            found(UseId::Address, format!("{} is configured on {place}", a.ip))
        })
        .collect()
}

/// An Ethernet port of mlx4_en without netdev: it was moved away. (Its RDMA device stays.)
fn netns(look: &Look<'_>) -> Option<InUse> {
    let card = look.card;
    let driven = card.driver.as_deref() == Some("mlx4_core");
    // Without mlx4_en a port has no netdev anywhere.
    if !driven || !look.host.path("sys/module/mlx4_en").exists() {
        return None;
    }
    let ethernet = |t: &&String| t.contains("eth");
    let ports = card.port_types.iter().filter(ethernet).count();
    let here = card.netdevs.len();
    let dir = look.host.device(card.bdf);
    // Where the driver made no Ethernet device its ports have no netdev either (docs/linux.md#probe-of-mlx4_core).
    let attached = sysfs::names(dir)
        .iter()
        .any(|n| n.starts_with("mlx4_core.eth."));
    (attached && ports > here).then(|| {
        found(
            UseId::Netns,
            format!(
                "{ports} Ethernet ports, {here} netdevs in this network namespace: the rest is in another"
            ),
        )
    })
}
