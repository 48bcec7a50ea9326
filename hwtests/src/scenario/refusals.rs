//! What the tool refuses, with which exit code, and that nothing changed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Shown;
use super::steps::{on_vfio, other_image, sysfs, wait_for, with_driver, without_driver};
use crate::bench::state::State;
use crate::bench::{Bench, LONG, Told};

/// A burn that must be refused with `code`, while host and flash stay as they are; `words` must be in the message.
fn refused(bench: &mut dyn Bench, more: &str, code: i32, words: &str) -> Result<Told> {
    let before = State::of(bench)?;
    let flash = flash_digest(bench)?;
    let image = bench.images()[1].to_owned();
    let told = bench.expect(
        &format!("{more} burn {image} --yes --backup-dir /tmp/backups"),
        code,
    )?;
    ensure!(
        told.json.to_string().contains(words),
        "the refusal does not say {words:?}: {}",
        told.json
    );
    before.must_be_again(bench)?;
    ensure!(flash == flash_digest(bench)?, "the flash has changed");
    bench.must("[ ! -e /tmp/backups ] || rm -rf /tmp/backups")?;
    Ok(told)
}

fn flash_digest(bench: &mut dyn Bench) -> Result<String> {
    match bench.served(0) {
        Some(served) => Ok(served.info()?["flash_sha256"].to_string()),
        None => Ok(String::new()),
    }
}

/// The ways in which a host uses a network card; each is refused by its id, and waived by it.
pub(super) fn card_in_use(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
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
        bench.must(&set_up)?;
        refused(bench, "", 4, id)?;
        let allowed = bench.tool_json(&format!("--allow {waived} query"))?;
        bench.must(&format!("{undo}; sleep 0.2"))?;
        ensure!(
            allowed.code == 0,
            "--allow {waived}: exit {}: {}",
            allowed.code,
            allowed.json
        );
        // Whatever hung on the card is gone; names, MACs and driver are as found.
        with_driver(bench)?;
        before.must_be_again(bench)?;
    }
    Ok(Shown::Yes)
}

/// A waiver is asked for by its very name.
pub(super) fn unknown_waiver(bench: &mut dyn Bench) -> Result<Shown> {
    with_driver(bench)?;
    let ran = bench.sh(&format!("{} --allow everything query", bench.tool()))?;
    ensure!(ran.code == 64, "exit {}: {}", ran.code, ran.all());
    ensure!(
        ran.stderr.contains("default-route"),
        "the ids are not listed: {}",
        ran.stderr
    );
    Ok(Shown::Yes)
}

/// Another process has the group open, as a virtual machine would.
pub(super) fn group_busy(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    let group = on_vfio(bench)?;
    bench.must(&format!(
        "(exec 9<>/dev/vfio/{group}; exec sleep 600) >/dev/null 2>&1 & echo $! >/tmp/holder; sleep 0.3"
    ))?;
    let told = refused(bench, "", 5, "sleep")?;
    let pid = bench.must("cat /tmp/holder")?;
    ensure!(
        told.json.to_string().contains(pid.trim()),
        "the holder {pid:?} is not named: {}",
        told.json
    );
    let waived = bench.tool_json("--allow held-by-vm query")?;
    bench.must("kill $(cat /tmp/holder); sleep 0.3")?;
    ensure!(
        waived.code == 5,
        "held-by-vm could be waived: exit {}",
        waived.code
    );
    bench.expect("query", 0)?;
    without_driver(bench)?;
    with_driver(bench)?;
    before.must_be_again(bench)?;
    Ok(Shown::Yes)
}

/// Two instances cannot have one card: the second one is told who has it.
pub(super) fn second_instance(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    let (tool, bdf, d) = (
        bench.tool().to_owned(),
        bench.bdf().to_owned(),
        sysfs(bench),
    );
    bench.must(&format!(
        "{tool} -d {bdf} --json backup --out /tmp/first >/tmp/first.json 2>/tmp/first.err & echo $! >/tmp/first.pid"
    ))?;
    wait_for(
        bench,
        &format!("readlink {d}/driver | grep -q vfio-pci"),
        Duration::from_secs(30),
    )?;
    let told = bench.tool_json("query")?;
    let pid = bench.must("cat /tmp/first.pid")?;
    ensure!(told.code == 5, "exit {}: {}", told.code, told.json);
    ensure!(
        told.json.to_string().contains(pid.trim()),
        "the other instance {pid:?} is not named: {}",
        told.json
    );
    wait_for(bench, "[ ! -d /proc/$(cat /tmp/first.pid) ]", LONG)?;
    bench.must("grep -q '\"exit\": *0' /tmp/first.json; code=$?; rm -rf /tmp/first; exit $code")?;
    before.must_be_again(bench)?;
    Ok(Shown::Yes)
}

/// The module is not installed: said, and nothing was unbound.
pub(super) fn vfio_pci_missing(bench: &mut dyn Bench) -> Result<Shown> {
    with_driver(bench)?;
    bench.must(
        "rmmod vfio-pci 2>/dev/null; [ ! -e /sys/bus/pci/drivers/vfio-pci ]\n\
         f=$(find /lib/modules/ -name 'vfio-pci.ko'); mv $f /tmp/vfio-pci.ko; echo $f >/tmp/vfio-pci.path",
    )?;
    let refusal = refused(bench, "", 5, "vfio-pci");
    bench.must("mv /tmp/vfio-pci.ko $(cat /tmp/vfio-pci.path)")?;
    refusal?;
    bench.expect("query", 0)?;
    Ok(Shown::Yes)
}

/// No IOMMU: said, with how to switch it on, and nothing was unbound.
pub(super) fn no_iommu(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    refused(bench, "", 5, "IOMMU")?;
    let list = bench.bare_json("list")?;
    ensure!(
        list.code == 0 && list.json.to_string().contains(bench.bdf()),
        "list: exit {}: {}",
        list.code,
        list.json
    );
    let doctor = bench.tool_json("doctor")?;
    let (ok, _, fix) = super::ways::finding(&doctor, "iommu")?;
    ensure!(
        !ok && fix.contains("iommu"),
        "no way to switch it on: {fix:?}"
    );
    before.must_be_again(bench)?;
    Ok(Shown::Yes)
}

/// An image for another card: refused by the plan, the host is as it was.
pub(super) fn wrong_image(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    let told = bench.tool_json(&format!(
        "burn {} --yes --backup-dir /tmp/backups",
        crate::bench::lab::RECOVERY_IMAGE
    ))?;
    ensure!(told.code == 4, "exit {}: {}", told.code, told.json);
    before.must_be_again(bench)?;
    Ok(Shown::Yes)
}

/// Ctrl-C in the middle of a burn: the step is finished, the card boots, the host is as it was.
pub(super) fn interrupted(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    let (image, _) = other_image(bench)?;
    let (tool, bdf) = (bench.tool().to_owned(), bench.bdf().to_owned());
    // An image that the other half held before costs some twenty mutations only; this is early in any burn.
    let at = bench.served(0).context("a served card")?.mutations()? + 4;
    let command = format!("{tool} -d {bdf} --json burn {image} --yes --backup-dir /tmp/stopped");
    let stopped = bench.signalled_at(&command, "INT", at, LONG)?;
    bench.must("rm -rf /tmp/stopped; [ -z \"$(pidof cx3flash)\" ]")?;
    ensure!(
        stopped.reached,
        "the burn ended before: {}",
        stopped.ran.all()
    );
    ensure!(
        stopped.ran.code == 6,
        "a burn cut short ends with 6, not {}: {}",
        stopped.ran.code,
        stopped.ran.all()
    );
    before.must_be_again(bench)?;
    bench.expect("query", 0)?;
    Ok(Shown::Yes)
}
