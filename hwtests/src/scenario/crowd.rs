//! Several cards in one host: which one is meant, a sibling in the group, a VF, recovery mode.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Shown;
use super::steps::wait_for;
use crate::bench::lab::RECOVERY_IMAGE;
use crate::bench::{Bench, Told};

const SIBLING: &str = "0000:02:00.0";
const BESIDE: &str = "0000:02:00.1";
const RECOVERY: &str = "0000:03:00.0";
const VIRTUAL: &str = "0000:04:00.0";

fn on(bench: &mut dyn Bench, card: &str, arguments: &str) -> Result<Told> {
    bench.bare_json(&format!("-d {card} {arguments}"))
}

/// Drivers, overrides and netdevs of every PCI function.
fn whole_host(bench: &mut dyn Bench) -> Result<String> {
    bench.must(
        "for d in /sys/bus/pci/devices/*; do echo \"${d##*/} $(readlink $d/driver) $(cat $d/driver_override) $(ls $d/net 2>/dev/null)\"; done; find /run/cx3flash /var/lib/cx3flash -name '*journal*' -type f 2>/dev/null; true",
    )
}

fn up(bench: &mut dyn Bench) -> Result<()> {
    bench.must("modprobe mlx4_en; [ -e /sys/bus/pci/drivers/mlx4_core ]")?;
    wait_for(
        bench,
        &format!(
            "[ -e /sys/bus/pci/devices/0000:01:00.0/net ] && [ -e /sys/bus/pci/devices/{SIBLING}/net ]"
        ),
        Duration::from_secs(40),
    )
}

/// `list` shows the three for what they are, and no card named means none is taken: exit 3.
pub(super) fn several_cards(bench: &mut dyn Bench) -> Result<Shown> {
    up(bench)?;
    let before = whole_host(bench)?;
    let list = bench.bare_json("list")?;
    for bdf in ["0000:01:00.0", SIBLING, RECOVERY] {
        ensure!(
            list.json.to_string().contains(bdf),
            "{bdf} is not listed: {}",
            list.json
        );
    }
    let none = bench.bare_json("query")?;
    ensure!(none.code == 3, "exit {}: {}", none.code, none.json);
    let absent = on(bench, "0000:09:00.0", "query")?;
    ensure!(absent.code == 3, "exit {}: {}", absent.code, absent.json);
    ensure!(whole_host(bench)? == before, "the host has changed");
    Ok(Shown::Yes)
}

/// Cards are found by address without domain and by netdev.
pub(super) fn selectors(bench: &mut dyn Bench) -> Result<Shown> {
    up(bench)?;
    let before = whole_host(bench)?;
    let netdev = bench.must("ls /sys/bus/pci/devices/0000:01:00.0/net | head -1")?;
    for name in ["01:00.0", netdev.trim()] {
        let told = on(bench, name, "query")?;
        ensure!(
            told.code == 0,
            "-d {name}: exit {}: {}",
            told.code,
            told.json
        );
        ensure!(
            told.text("/result/card/bdf")? == "0000:01:00.0",
            "-d {name} is {}",
            told.json
        );
    }
    wait_for(
        bench,
        "[ -e /sys/bus/pci/devices/0000:01:00.0/net ]",
        Duration::from_secs(30),
    )?;
    ensure!(whole_host(bench)? == before, "the host has changed");
    Ok(Shown::Yes)
}

/// Another live function in the IOMMU group: refused by name; allowed, it is put back as it was.
pub(super) fn sibling(bench: &mut dyn Bench) -> Result<Shown> {
    up(bench)?;
    let before = whole_host(bench)?;
    ensure!(
        before.contains("virtio-pci"),
        "the sibling has no driver, so nothing is shown: {before}"
    );
    let told = on(bench, SIBLING, "query")?;
    ensure!(told.code == 4, "exit {}: {}", told.code, told.json);
    let said = told.json.to_string();
    ensure!(said.contains("siblings") && said.contains(BESIDE), "{said}");
    ensure!(whole_host(bench)? == before, "the host has changed");
    let told = on(bench, SIBLING, "--allow siblings query")?;
    ensure!(told.code == 0, "exit {}: {}", told.code, told.json);
    wait_for(
        bench,
        &format!("[ -e /sys/bus/pci/devices/{SIBLING}/net ]"),
        Duration::from_secs(30),
    )?;
    let after = whole_host(bench)?;
    ensure!(after == before, "the host has changed:\n{before}\n{after}");
    Ok(Shown::Yes)
}

/// A VF given as the card is refused as one.
pub(super) fn virtual_function(bench: &mut dyn Bench) -> Result<Shown> {
    up(bench)?;
    let before = whole_host(bench)?;
    let told = on(bench, VIRTUAL, "query")?;
    ensure!(told.code == 4, "exit {}: {}", told.code, told.json);
    ensure!(
        told.json
            .to_string()
            .to_lowercase()
            .contains("virtual function"),
        "{}",
        told.json
    );
    ensure!(whole_host(bench)? == before, "the host has changed");
    Ok(Shown::Yes)
}

/// A card with VFs is refused. mlx4 makes VFs by firmware, which the served card has not, so the look at
/// the host is led to a copy of the card's sysfs entry in which the VF of this room is the card's.
pub(super) fn virtual_functions_enabled(bench: &mut dyn Bench) -> Result<Shown> {
    up(bench)?;
    let before = whole_host(bench)?;
    let bdf = bench.bdf().to_owned();
    bench.must(&format!(
        "real=/sys/bus/pci/devices/{bdf}; all=/tmp/vfs/sys/bus/pci/devices; copy=$all/{bdf}\n\
         mkdir -p $copy\n\
         for f in vendor device class revision subsystem_vendor subsystem_device resource config driver_override reset_method; do\n\
         cat $real/$f >$copy/$f || exit 1; done\n\
         ln -s $(readlink -f $real/driver) $copy/driver\n\
         ln -s $(readlink -f $real/iommu_group) $copy/iommu_group\n\
         ln -s /sys/bus/pci/devices/{VIRTUAL} $all/{VIRTUAL}; ln -s ../{VIRTUAL} $copy/virtfn0\n\
         ln -s /proc /tmp/vfs/proc"
    ))?;
    let ran = bench.sh(&format!(
        "CX3FLASH_ROOT=/tmp/vfs {} -d {bdf} --json burn {} --yes --backup-dir /tmp/backups",
        bench.tool(),
        bench.images()[1]
    ))?;
    bench.must("rm -rf /tmp/vfs; [ ! -e /tmp/backups ]")?;
    ensure!(ran.code == 4, "exit {}: {}", ran.code, ran.all());
    ensure!(
        ran.stdout.contains("vfs: ") && ran.stdout.contains(VIRTUAL),
        "the VF is not named: {}",
        ran.all()
    );
    ensure!(whole_host(bench)? == before, "the host has changed");
    Ok(Shown::Yes)
}

/// A card in recovery mode (15b3:01f6) becomes one that boots (15b3:1003), found anew by the kernel.
pub(super) fn recovery(bench: &mut dyn Bench) -> Result<Shown> {
    up(bench)?;
    let ids = format!("cat /sys/bus/pci/devices/{RECOVERY}/device");
    ensure!(bench.must(&ids)?.trim() == "0x01f6", "not in recovery mode");
    let query = on(bench, RECOVERY, "query")?;
    ensure!(
        query.at("/result/card/recovery")? == &serde_json::Value::Bool(true),
        "{}",
        query.json
    );
    let identity = r#"{"guids":["0002c90300a1b2c0","0002c90300a1b2c1","0002c90300a1b2c2","0002c90300a1b2c3"],"macs":["0002c9a1b2c0","0002c9a1b2c1"],"vsd":{"text":"lab"}}"#;
    bench.must(&format!("echo '{identity}' >/tmp/identity.json"))?;
    let told = on(
        bench,
        RECOVERY,
        &format!("recover {RECOVERY_IMAGE} --identity /tmp/identity.json --yes"),
    )?;
    ensure!(
        told.code == 0,
        "exit {}: {}\n{}",
        told.code,
        told.json,
        told.stderr
    );
    wait_for(
        bench,
        &format!("grep -q 0x1003 /sys/bus/pci/devices/{RECOVERY}/device"),
        Duration::from_secs(20),
    )?;
    let verify = on(bench, RECOVERY, "verify")?;
    ensure!(verify.code == 0, "verify: {}", verify.json);
    // And it is a network card: the driver takes it, with the MACs it was given.
    bench.must(&format!(
        "d=/sys/bus/pci/devices/{RECOVERY}; [ -e $d/driver ] || echo {RECOVERY} > /sys/bus/pci/drivers/mlx4_core/bind"
    ))?;
    wait_for(
        bench,
        &format!("grep -qi 00:02:c9:a1:b2:c0 /sys/bus/pci/devices/{RECOVERY}/net/*/address"),
        Duration::from_secs(30),
    )
    .context("the recovered card's netdev")?;
    Ok(Shown::Yes)
}
