//! Software of others on the card: lspci, the kernel's drivers, mstflint. In the lab it shows how
//! faithful the served card is.

use anyhow::{Result, ensure};

use super::steps::{
    ethtool_version, flashed, mstflint, on_vfio, other_image, rebound, same_version, short_bdf,
    with_driver, without_driver,
};
use crate::host::{TestHost, shows};

/// `lspci -vvv` shows the capabilities of real cards (docs/linux.md#reset,
/// docs/lab.md#emulated-card).
pub(super) fn lspci_lists_the_capabilities(host: &mut dyn TestHost) -> Result<()> {
    let bdf = host.bdf().to_owned();
    let text = host.must(&format!("lspci -vvv -nn -s {bdf}"))?;
    for wanted in [
        "[15b3:100",
        "[size=1M]",
        "Capabilities: [40] Power Management",
        "Capabilities: [9c] MSI-X",
        "Vector table: BAR=0 offset=0007c000",
        "Capabilities: [60] Express (v2) Endpoint",
        "Capabilities: [148",
    ] {
        shows(&text, wanted)?;
    }
    for odd in ["!!!", "<chain broken>", "<access denied>", "Unknown header"] {
        ensure!(!text.contains(odd), "lspci shows {odd:?}:\n{text}");
    }
    Ok(())
}

pub(super) fn mlx4_brings_up_netdevs_with_the_macs_of_the_flash(
    host: &mut dyn TestHost,
) -> Result<()> {
    let state = with_driver(host)?;
    let netdevs = state.netdevs();
    ensure!(!netdevs.is_empty(), "no netdevs");
    let traces = ["query", "doctor", "verify"].map(|name| (name, format!("/tmp/{name}.trace.zst")));
    let mut reports = Vec::new();
    for (command, trace) in &traces {
        host.must(&format!("rm -f {trace}"))?;
        reports.push(host.expect(&format!("--trace {trace} {command}"), 0)?);
    }
    let report = reports.remove(0);
    let macs = report.texts("/result/images/0/image/macs")?;
    let later = with_driver(host)?;
    for netdev in &netdevs {
        let value = later.get(&format!("netdev.{netdev}"));
        let mac: String = value.chars().take(17).filter(|c| *c != ':').collect();
        ensure!(macs.contains(&mac), "{netdev} has {value}, the flash {macs:?}");
    }
    ensure!(state == later, "{}", state.differences(&later));
    // What was recorded through VFIO replays, and names what happened to the driver.
    for (command, trace) in &traces {
        host.expect(&format!("trace replay {trace}"), 0)?;
        host.keep_trace(trace, command)?;
        let shown = host.must(&format!("{} trace show {trace}", host.tool()))?;
        shows(&shown, "unbound from mlx4_core")?;
        shows(&shown, "bound to mlx4_core")?;
    }
    Ok(())
}

/// The driver's own test of its command interrupt: a NOP that completes by an event.
pub(super) fn mlx4_interrupt_test_passes(host: &mut dyn TestHost) -> Result<()> {
    without_driver(host)?;
    host.must("dmesg -c >/dev/null")?;
    with_driver(host)?;
    let log = host.must("dmesg")?;
    shows(&log, "NOP command IRQ test passed")?;
    // "Failed to map blue flame area" is no failure: the served card has no BlueFlame.
    for bad in ["NOP command failed", "Failed to init", "timed out", "aborting"] {
        ensure!(!log.contains(bad), "the driver logs {bad:?}:\n{log}");
    }
    Ok(())
}

/// `ethtool -i` names the driver, the address and the running firmware as `query` does.
pub(super) fn ethtool_reports_the_version_of_query(host: &mut dyn TestHost) -> Result<()> {
    let state = with_driver(host)?;
    let netdev = state.netdevs().remove(0);
    let text = host.must(&format!("ethtool -i {netdev}"))?;
    shows(&text, "driver: mlx4_en")?;
    shows(&text, &format!("bus-info: {}", host.bdf()))?;
    let running = ethtool_version(host, &netdev)?;
    let report = host.expect("query", 0)?;
    same_version(report.text("/result/card/running_fw_version")?, &running)?;
    state.assert_unchanged(host)
}

pub(super) fn repeated_rebinding_restores_the_host(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    for _ in 0..3 {
        rebound(host)?;
        before.assert_unchanged(host)?;
    }
    Ok(())
}

pub(super) fn vfio_pci_binds_by_hand(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    on_vfio(host)?;
    rebound(host)?;
    before.assert_unchanged(host)
}

/// mstflint 4.21: `hw query`, `query full`, `ri` with a comparison, `verify`.
pub(super) fn mstflint_queries_reads_and_verifies(host: &mut dyn TestHost) -> Result<()> {
    let version = flashed(host)?;
    without_driver(host)?;
    let hw = mstflint(host, "hw query")?;
    shows(&hw, "HwDevId                 503")?;
    shows(&hw, "JEDEC_ID")?;
    let query = mstflint(host, "query full")?;
    ensure!(query.lines().any(|l| l.starts_with("FW Version") && l.contains(&version)), "{query}");
    mstflint(host, "ri /tmp/read.bin")?;
    host.must("mstflint -i /tmp/read.bin verify && cmp /tmp/read.bin /images/card.bin && rm /tmp/read.bin")?;
    shows(&mstflint(host, "verify")?, "verification succeeded")?;
    with_driver(host).map(drop)
}

pub(super) fn mstflint_burns_and_the_tool_verifies(host: &mut dyn TestHost) -> Result<()> {
    let (image, new) = other_image(host)?;
    without_driver(host)?;
    mstflint(host, &format!("-i {image} -y burn"))?;
    let report = host.expect("verify", 0)?;
    ensure!(report.at("/result")?.is_object(), "{}", report.json);
    same_version(&flashed(host)?, &new)?;
    let netdev = with_driver(host)?.netdevs().remove(0);
    same_version(&ethtool_version(host, &netdev)?, &new)
}

/// Under lockdown mstflint fails, with messages known from real cards
/// (docs/lab.md#mstflint-on-the-emulated-card).
pub(super) fn mstflint_fails_under_lockdown(host: &mut dyn TestHost) -> Result<()> {
    let command = format!("mstflint -d {} query full", short_bdf(host));
    with_driver(host)?;
    let bound = host.sh(&command)?;
    without_driver(host)?;
    let unbound = host.sh(&command)?;
    let log = host.must("dmesg | grep -i lockdown | tail -3")?;
    with_driver(host)?;
    for output in [&bound, &unbound] {
        ensure!(output.code != 0, "mstflint works under lockdown: {}", output.all());
    }
    shows(&log, "mstflint")
}
