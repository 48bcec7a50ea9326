//! Refusals: their exit codes, and that nothing changed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::steps::{DoctorCheck, on_vfio, other_image, rebound, sysfs, wait_for, with_driver};
use crate::host::snapshot::HostSnapshot;
use crate::host::{LONG, TestHost, ToolReport, shows};

/// A burn that must be refused with `code` and a message with `words`, while host and flash do not
/// change.
fn refused(host: &mut dyn TestHost, code: i32, words: &str) -> Result<ToolReport> {
    let before = HostSnapshot::of(host)?;
    let flash = flash_digest(host)?;
    let image = host.images()[1].to_owned();
    let report =
        host.expect(&format!("burn {image} --yes --allow-older --backup-dir /tmp/backups"), code)?;
    report.names(words)?;
    before.assert_unchanged(host)?;
    ensure!(flash == flash_digest(host)?, "the flash has changed");
    host.must("[ ! -e /tmp/backups ] || rm -rf /tmp/backups")?;
    Ok(report)
}

fn flash_digest(host: &mut dyn TestHost) -> Result<String> {
    match host.server(0) {
        Some(served) => Ok(served.info()?["flash_sha256"].to_string()),
        None => Ok(String::new()),
    }
}

/// Each use of a network card is refused by its id, and waived by it.
pub(super) fn card_in_use_is_refused_and_waived_by_name(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    let netdev = before.netdevs().remove(0);
    for (id, waived, set_up, undo) in [
        (
            "address",
            "address",
            format!("ip addr add 192.0.2.2/24 dev {netdev} && ip link set {netdev} up"),
            format!("ip addr flush dev {netdev}; ip link set {netdev} down"),
        ),
        (
            "default-route",
            "address --allow default-route",
            format!(
                "ip addr add 192.0.2.2/24 dev {netdev} && ip link set {netdev} up && ip route add default via 192.0.2.1"
            ),
            format!("ip addr flush dev {netdev}; ip link set {netdev} down"),
        ),
        (
            "bridge",
            "bridge --allow uppers",
            format!("ip link add br0 type bridge && ip link set {netdev} master br0"),
            "ip link del br0".to_owned(),
        ),
        (
            "last-slave",
            "last-slave --allow uppers",
            format!(
                "modprobe bonding max_bonds=0; ip link add bond0 type bond && ip link set {netdev} down && ip link set {netdev} master bond0 && ip link set bond0 up"
            ),
            "ip link del bond0".to_owned(),
        ),
        (
            "uppers",
            "uppers",
            format!("ip link add link {netdev} name vlan7 type vlan id 7"),
            "ip link del vlan7 2>/dev/null; true".to_owned(),
        ),
    ] {
        host.must(&set_up)?;
        refused(host, 4, id)?;
        let allowed = host.tool_json(&format!("--allow {waived} query"))?;
        host.must(&format!("{undo}; sleep 0.2"))?;
        allowed.exits(0).context(waived)?;
        // The use is over; names, MACs and driver must be as before.
        with_driver(host)?;
        before.assert_unchanged(host)?;
    }
    Ok(())
}

pub(super) fn an_unknown_waiver_is_refused(host: &mut dyn TestHost) -> Result<()> {
    with_driver(host)?;
    let output = host.sh(&format!("{} --allow everything query", host.tool()))?;
    shows(&output.exits(64)?.stderr, "default-route")
}

/// Another process has the group open, as a virtual machine does.
pub(super) fn a_group_held_by_another_process_is_refused(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    let group = on_vfio(host)?;
    host.must(&format!(
        "(exec 9<>/dev/vfio/{group}; exec sleep 600) >/dev/null 2>&1 & echo $! >/tmp/holder; sleep 0.3"
    ))?;
    let report = refused(host, 5, "sleep")?;
    let pid = host.must("cat /tmp/holder")?;
    report.names(pid.trim())?;
    let waived = host.tool_json("--allow held-by-vm query")?;
    host.must("kill $(cat /tmp/holder); sleep 0.3")?;
    waived.exits(5).context("held-by-vm cannot be waived")?;
    host.expect("query", 0)?;
    rebound(host)?;
    before.assert_unchanged(host)
}

/// The second instance on one card reports the process id of the first.
pub(super) fn a_second_instance_is_refused(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    let (verify, d) = (host.tool_line("verify"), sysfs(host));
    host.must(&format!("{verify} >/tmp/first.json 2>/tmp/first.err & echo $! >/tmp/first.pid"))?;
    wait_for(host, &format!("readlink {d}/driver | grep -q vfio-pci"), Duration::from_secs(30))?;
    let report = host.tool_json("query")?;
    let pid = host.must("cat /tmp/first.pid")?;
    report.exits(5)?.names(pid.trim())?;
    wait_for(host, "[ ! -d /proc/$(cat /tmp/first.pid) ]", LONG)?;
    host.must("grep -q '\"exit\": *0' /tmp/first.json")?;
    before.assert_unchanged(host)
}

pub(super) fn a_missing_vfio_pci_is_reported(host: &mut dyn TestHost) -> Result<()> {
    with_driver(host)?;
    host.must(
        "rmmod vfio-pci 2>/dev/null; [ ! -e /sys/bus/pci/drivers/vfio-pci ]\n\
         f=$(find /lib/modules/ -name 'vfio-pci.ko'); mv $f /tmp/vfio-pci.ko; echo $f >/tmp/vfio-pci.path",
    )?;
    let refusal = refused(host, 5, "vfio-pci");
    host.must("mv /tmp/vfio-pci.ko $(cat /tmp/vfio-pci.path)")?;
    refusal?;
    host.expect("query", 0)?;
    Ok(())
}

/// Without an IOMMU: exit 5, and `doctor` reports how to enable it.
pub(super) fn without_iommu_the_host_is_unchanged(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    refused(host, 5, "IOMMU")?;
    host.bare_json("list")?.exits(0)?.names(host.bdf())?;
    let doctor = host.tool_json("doctor")?;
    let check = DoctorCheck::of(&doctor, "iommu")?;
    ensure!(!check.ok && check.fix.contains("iommu"), "no fix: {:?}", check.fix);
    before.assert_unchanged(host)
}

pub(super) fn an_image_for_another_card_is_refused(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    let report = host.tool_json(&format!(
        "burn {} --yes --allow-older --backup-dir /tmp/backups",
        crate::host::lab::RECOVERY_IMAGE
    ))?;
    report.exits(4)?;
    before.assert_unchanged(host)
}

/// SIGINT during a burn: exit 6, the host is restored, the card answers.
pub(super) fn an_interrupted_burn_restores_the_host(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    let (image, _) = other_image(host)?;
    // The shortest burn, of an image that the other half held before, has some twenty mutations.
    let at = host.card()?.mutations()? + 4;
    let command =
        host.tool_line(&format!("burn {image} --yes --allow-older --backup-dir /tmp/stopped"));
    let stopped = host.signalled_at(&command, "INT", at, LONG)?;
    host.must("rm -rf /tmp/stopped; [ -z \"$(pidof cx3flash)\" ]")?;
    ensure!(stopped.reached, "the burn ended before: {}", stopped.output.all());
    stopped.output.exits(6)?;
    before.assert_unchanged(host)?;
    host.expect("query", 0)?;
    Ok(())
}
