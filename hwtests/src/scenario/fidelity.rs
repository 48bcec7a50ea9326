//! Software nobody here wrote meets the card: lspci, the kernel's drivers, mstflint.
//!
//! In the lab this shows that the served card is one; with a real card the same scenarios show the host.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Shown;
use super::steps::{ethtool_version, flashed, on_vfio, version, with_driver, without_driver};
use crate::bench::Bench;

/// `lspci -vvv` finds the capabilities that real cards list (docs/linux.md#reset, docs/lab.md#emulated-card).
pub(super) fn lspci(bench: &mut dyn Bench) -> Result<Shown> {
    let bdf = bench.bdf().to_owned();
    let text = bench.must(&format!("lspci -vvv -nn -s {bdf}"))?;
    for wanted in [
        "[15b3:100",
        "[size=1M]",
        "Capabilities: [40] Power Management",
        "Capabilities: [9c] MSI-X",
        "Vector table: BAR=0 offset=0007c000",
        "Capabilities: [60] Express (v2) Endpoint",
        "Capabilities: [148",
    ] {
        ensure!(
            text.contains(wanted),
            "lspci does not show {wanted:?}:\n{text}"
        );
    }
    for odd in ["!!!", "<chain broken>", "<access denied>", "Unknown header"] {
        ensure!(!text.contains(odd), "lspci shows {odd:?}:\n{text}");
    }
    Ok(Shown::Yes)
}

/// `mlx4_core` and `mlx4_en` come all the way up, with the MACs that are on the flash.
pub(super) fn driver(bench: &mut dyn Bench) -> Result<Shown> {
    let state = with_driver(bench)?;
    let netdevs = state.netdevs();
    ensure!(!netdevs.is_empty(), "no netdevs");
    let told = bench.expect("query", 0)?;
    let macs: Vec<String> = told
        .at("/result/images/0/image/macs")?
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|mac| Some(mac.as_str()?.to_owned()))
        .collect();
    let again = with_driver(bench)?;
    for netdev in &netdevs {
        let fact = again.get(&format!("netdev.{netdev}")).to_owned();
        let mac: String = fact.chars().take(17).filter(|c| *c != ':').collect();
        ensure!(
            macs.contains(&mac),
            "{netdev} has {fact}, the flash says {macs:?}"
        );
    }
    ensure!(state == again, "{}", state.differences(&again));
    Ok(Shown::Yes)
}

/// The driver's own test of its command interrupt: a NOP that completes by an event.
pub(super) fn interrupt(bench: &mut dyn Bench) -> Result<Shown> {
    without_driver(bench)?;
    bench.must("dmesg -c >/dev/null")?;
    with_driver(bench)?;
    let log = bench.must("dmesg")?;
    ensure!(
        log.contains("NOP command IRQ test passed"),
        "the driver does not say that its interrupt test passed:\n{log}"
    );
    // "Failed to map blue flame area" is no failure: a card without BlueFlame has none to map.
    for bad in [
        "NOP command failed",
        "Failed to init",
        "timed out",
        "aborting",
    ] {
        ensure!(!log.contains(bad), "the driver says {bad:?}:\n{log}");
    }
    Ok(Shown::Yes)
}

/// `ethtool -i` names the driver, the address and the firmware that the tool says is running.
pub(super) fn ethtool(bench: &mut dyn Bench) -> Result<Shown> {
    let state = with_driver(bench)?;
    let netdev = state.netdevs().remove(0);
    let text = bench.must(&format!("ethtool -i {netdev}"))?;
    ensure!(text.contains("driver: mlx4_en"), "{text}");
    ensure!(
        text.contains(&format!("bus-info: {}", bench.bdf())),
        "{text}"
    );
    let running = ethtool_version(bench, &netdev)?;
    let told = bench.expect("query", 0)?;
    let said = told.text("/result/card/running")?.to_owned();
    ensure!(version(&said) == version(&running), "{said} and {running}");
    state.must_be_again(bench)?;
    Ok(Shown::Yes)
}

/// Unbinding and binding by hand, again and again.
pub(super) fn rebind(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    for _ in 0..3 {
        without_driver(bench)?;
        with_driver(bench)?;
        before.must_be_again(bench)?;
    }
    Ok(Shown::Yes)
}

/// The real vfio-pci takes the card and lets it go.
pub(super) fn vfio(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    on_vfio(bench)?;
    without_driver(bench)?;
    with_driver(bench)?;
    before.must_be_again(bench)?;
    Ok(Shown::Yes)
}

/// mstflint 4.21: hw query, query full, the image read and compared, verify.
pub(super) fn witness_reads(bench: &mut dyn Bench) -> Result<Shown> {
    let wanted = flashed(bench)?;
    without_driver(bench)?;
    let bdf = bench.bdf().trim_start_matches("0000:").to_owned();
    let hw = bench.must(&format!("mstflint -d {bdf} hw query"))?;
    ensure!(
        hw.contains("HwDevId                 503") && hw.contains("JEDEC_ID"),
        "{hw}"
    );
    let query = bench.must(&format!("mstflint -d {bdf} query full"))?;
    ensure!(
        query
            .lines()
            .any(|l| l.starts_with("FW Version") && l.contains(&wanted)),
        "{query}"
    );
    witness(bench, &format!("mstflint -d {bdf} ri /tmp/witness.bin"))?;
    bench.must("mstflint -i /tmp/witness.bin verify && cmp /tmp/witness.bin /images/card.bin && rm /tmp/witness.bin")?;
    let verify = witness(bench, &format!("mstflint -d {bdf} verify"))?;
    ensure!(verify.contains("verification succeeded"), "{verify}");
    with_driver(bench)?;
    Ok(Shown::Yes)
}

/// mstflint 4.21 burns, and the tool reads what it burnt.
pub(super) fn witness_burns(bench: &mut dyn Bench) -> Result<Shown> {
    let (image, new) = super::steps::other_image(bench)?;
    without_driver(bench)?;
    let bdf = bench.bdf().trim_start_matches("0000:").to_owned();
    witness(bench, &format!("mstflint -d {bdf} -i {image} -y burn"))?;
    let told = bench.expect("verify", 0)?;
    ensure!(told.at("/result")?.is_object(), "{}", told.json);
    ensure!(version(&flashed(bench)?) == version(&new));
    let state = with_driver(bench)?;
    let netdev = state.netdevs().remove(0);
    let running = ethtool_version(bench, &netdev)?;
    ensure!(
        version(&running) == version(&new),
        "{running} runs, {new} was burnt"
    );
    Ok(Shown::Yes)
}

/// mstflint takes its time in an emulated machine: 35 to 38 s for a burn on an idle one (docs/lab.md#mstflint-on-the-emulated-card).
fn witness(bench: &mut dyn Bench, command: &str) -> Result<String> {
    let ran = bench.sh_within(command, Duration::from_secs(240))?;
    ensure!(
        ran.code == 0,
        "exit {} of {command}: {}",
        ran.code,
        ran.all()
    );
    Ok(ran.stdout)
}

/// Under lockdown mstflint is shut out, in words that people report from real cards (docs/lab.md#mstflint-on-the-emulated-card).
pub(super) fn witness_is_shut_out(bench: &mut dyn Bench) -> Result<Shown> {
    with_driver(bench)?;
    let bdf = bench.bdf().trim_start_matches("0000:").to_owned();
    let bound = bench.sh(&format!("mstflint -d {bdf} query full"))?;
    without_driver(bench)?;
    let unbound = bench.sh(&format!("mstflint -d {bdf} query full"))?;
    let log = bench.must("dmesg | grep -i lockdown | tail -3")?;
    with_driver(bench)?;
    for ran in [&bound, &unbound] {
        ensure!(
            ran.code != 0,
            "mstflint works under lockdown: {}",
            ran.all()
        );
    }
    ensure!(
        log.contains("mstflint"),
        "the kernel does not name it: {log}"
    );
    Ok(Shown::Yes)
}
