//! A host with several cards: selection, a sibling in the IOMMU group, a VF, recovery mode.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::steps::{wait_for, wait_for_netdev};
use crate::host::lab::RECOVERY_IMAGE;
use crate::host::{TestHost, ToolReport, shows};

const FIRST: &str = "0000:01:00.0";
const WITH_SIBLING: &str = "0000:02:00.0";
const SIBLING: &str = "0000:02:00.1";
const RECOVERY: &str = "0000:03:00.0";
const VIRTUAL: &str = "0000:04:00.0";

fn on(host: &mut dyn TestHost, card: &str, arguments: &str) -> Result<ToolReport> {
    host.bare_json(&format!("-d {card} {arguments}"))
}

/// Driver, override and netdevs of every PCI function, and the journals.
fn all_functions(host: &mut dyn TestHost) -> Result<String> {
    host.must(
        "for d in /sys/bus/pci/devices/*; do echo \"${d##*/} $(readlink $d/driver) $(cat $d/driver_override) $(ls $d/net 2>/dev/null)\"; done; find /run/cx3flash /var/lib/cx3flash -path '*/journal*' -type f 2>/dev/null; true",
    )
}

/// Loads the driver and returns the state of the host, which a scenario compares at its end.
fn with_drivers(host: &mut dyn TestHost) -> Result<String> {
    host.must("modprobe mlx4_en; [ -e /sys/bus/pci/drivers/mlx4_core ]")?;
    wait_for_netdev(host, FIRST)?;
    wait_for_netdev(host, WITH_SIBLING)?;
    all_functions(host)
}

/// The kernel probes the function with the id of a VF anew whenever a driver was bound, for some seconds, and shows
/// mlx4_core as its driver meanwhile.
fn assert_unchanged(host: &mut dyn TestHost, before: &str) -> Result<()> {
    let mut after = all_functions(host)?;
    for _ in 0..20 {
        if after == before {
            break;
        }
        host.must("sleep 1")?;
        after = all_functions(host)?;
    }
    ensure!(after == before, "the host has changed:\n{before}\n{after}");
    Ok(())
}

/// `list` shows the three cards. Without `-d` none of them is used, and an absent one is an error:
/// exit 3.
pub(super) fn without_a_selector_several_cards_are_refused(host: &mut dyn TestHost) -> Result<()> {
    let before = with_drivers(host)?;
    let list = host.bare_json("list")?;
    for bdf in [FIRST, WITH_SIBLING, RECOVERY] {
        list.names(bdf)?;
    }
    host.bare_json("query")?.exits(3)?;
    on(host, "0000:09:00.0", "query")?.exits(3)?;
    assert_unchanged(host, &before)
}

pub(super) fn a_card_is_selected_by_address_or_netdev(host: &mut dyn TestHost) -> Result<()> {
    let before = with_drivers(host)?;
    let netdev = host.must(&format!("ls /sys/bus/pci/devices/{FIRST}/net | head -1"))?;
    for name in ["01:00.0", netdev.trim()] {
        let report = on(host, name, "query")?.exits(0)?;
        let bdf = report.text("/result/card/bdf")?;
        ensure!(bdf == FIRST, "-d {name} is {bdf}");
    }
    wait_for_netdev(host, FIRST)?;
    assert_unchanged(host, &before)
}

/// Another function with a driver in the IOMMU group is refused by its id. When it is waived, it is
/// restored afterwards.
pub(super) fn a_sibling_in_the_iommu_group_is_refused_and_waived(
    host: &mut dyn TestHost,
) -> Result<()> {
    let before = with_drivers(host)?;
    shows(&before, "virtio-pci").context("the sibling's driver")?;
    let refusal = on(host, WITH_SIBLING, "query")?.exits(4)?;
    refusal.names("siblings")?;
    refusal.names(SIBLING)?;
    assert_unchanged(host, &before)?;
    on(host, WITH_SIBLING, "--allow siblings query")?.exits(0)?;
    wait_for_netdev(host, WITH_SIBLING)?;
    assert_unchanged(host, &before)
}

pub(super) fn a_virtual_function_is_refused(host: &mut dyn TestHost) -> Result<()> {
    let before = with_drivers(host)?;
    let refusal = on(host, VIRTUAL, "query")?.exits(4)?.json.to_string();
    shows(&refusal.to_lowercase(), "virtual function")?;
    assert_unchanged(host, &before)
}

/// mlx4 creates VFs by firmware, which the served card does not emulate. So the tool reads a copy
/// of the card's sysfs entry in which the function with the id of a VF is the card's.
pub(super) fn a_card_with_virtual_functions_is_refused(host: &mut dyn TestHost) -> Result<()> {
    let before = with_drivers(host)?;
    let bdf = host.bdf().to_owned();
    host.must(&format!(
        "real=/sys/bus/pci/devices/{bdf}; all=/tmp/vfs/sys/bus/pci/devices; copy=$all/{bdf}\n\
         mkdir -p $copy\n\
         for f in vendor device class revision subsystem_vendor subsystem_device resource config driver_override reset_method; do\n\
         cat $real/$f >$copy/$f || exit 1; done\n\
         ln -s $(readlink -f $real/driver) $copy/driver\n\
         ln -s $(readlink -f $real/iommu_group) $copy/iommu_group\n\
         ln -s /sys/bus/pci/devices/{VIRTUAL} $all/{VIRTUAL}; ln -s ../{VIRTUAL} $copy/virtfn0\n\
         ln -s /proc /tmp/vfs/proc"
    ))?;
    let output = host.sh(&format!(
        "CX3FLASH_ROOT=/tmp/vfs {} -d {bdf} --json burn {} --yes --allow-older --backup-dir /tmp/backups",
        host.tool(),
        host.images()[1]
    ))?;
    host.must("rm -rf /tmp/vfs; [ ! -e /tmp/backups ]")?;
    let output = output.exits(4)?;
    shows(&output.stdout, "vfs: ")?;
    shows(&output.stdout, VIRTUAL)?;
    assert_unchanged(host, &before)
}

/// A card in recovery mode (15b3:01f6) becomes one that boots (15b3:1003), and the kernel
/// enumerates it.
pub(super) fn recover_brings_back_a_card_in_recovery_mode(host: &mut dyn TestHost) -> Result<()> {
    with_drivers(host)?;
    let sysfs = format!("/sys/bus/pci/devices/{RECOVERY}");
    let id = host.must(&format!("cat {sysfs}/device"))?;
    ensure!(id.trim() == "0x01f6", "not in recovery mode");
    let query = on(host, RECOVERY, "query")?;
    ensure!(query.at("/result/card/recovery")? == true, "{}", query.json);
    let identity = r#"{"guids":["0002c90300a1b2c0","0002c90300a1b2c1","0002c90300a1b2c2","0002c90300a1b2c3"],"macs":["0002c9a1b2c0","0002c9a1b2c1"],"vsd":{"text":"lab"}}"#;
    host.must(&format!("echo '{identity}' >/tmp/identity.json"))?;
    on(host, RECOVERY, &format!("recover {RECOVERY_IMAGE} --identity /tmp/identity.json --yes"))?
        .exits(0)?;
    wait_for(host, &format!("grep -q 0x1003 {sysfs}/device"), Duration::from_secs(20))?;
    on(host, RECOVERY, "verify")?.exits(0)?;
    // It is a network card: the driver binds, with the MACs of the identity.
    host.must(&format!(
        "[ -e {sysfs}/driver ] || echo {RECOVERY} > /sys/bus/pci/drivers/mlx4_core/bind"
    ))?;
    wait_for(
        host,
        &format!("grep -qi 00:02:c9:a1:b2:c0 {sysfs}/net/*/address"),
        Duration::from_secs(30),
    )
    .context("the recovered card's netdev")
}
