//! Steps that several scenarios take.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::bench::Bench;
use crate::bench::state::State;

/// Sysfs directory of the bench's card.
#[must_use]
pub(super) fn sysfs(bench: &dyn Bench) -> String {
    format!("/sys/bus/pci/devices/{}", bench.bdf())
}

/// The card under `mlx4_core`, with its netdevs: as a host has it that uses it.
///
/// # Errors
///
/// When the driver does not take it or no netdev appears.
pub(super) fn with_driver(bench: &mut dyn Bench) -> Result<State> {
    let bdf = bench.bdf().to_owned();
    // debug_level: the driver says only then that the interrupt test passed. Binding by hand for a card that an
    // earlier scenario left without a driver.
    let script = format!(
        "d=/sys/bus/pci/devices/{bdf}\n\
         modprobe mlx4_core debug_level=1 && modprobe mlx4_en || exit 1\n\
         if [ ! -e $d/driver ]; then echo > $d/driver_override; echo {bdf} > /sys/bus/pci/drivers/mlx4_core/bind || exit 1; fi\n\
         n=0; until [ \"$(ls $d/net 2>/dev/null | wc -l)\" -ge 1 ]; do\n\
         n=$((n+1)); [ $n -gt 200 ] && exit 1; sleep 0.1; done; sleep 0.3"
    );
    bench
        .must(&script)
        .context("bringing the card up under mlx4_core")?;
    let state = State::of(bench)?;
    ensure!(
        state.get("driver") == "mlx4_core",
        "the driver is {:?}",
        state.get("driver")
    );
    Ok(state)
}

/// The card without any driver.
///
/// # Errors
///
/// When it cannot be unbound.
pub(super) fn without_driver(bench: &mut dyn Bench) -> Result<()> {
    let d = sysfs(bench);
    let bdf = bench.bdf().to_owned();
    bench
        .must(&format!(
            "[ ! -e {d}/driver ] || echo {bdf} > {d}/driver/unbind; echo > {d}/driver_override"
        ))
        .map(drop)
}

/// The card under vfio-pci, by hand as the kernel's documentation has it; the number of its group.
///
/// # Errors
///
/// When it cannot be bound.
pub(super) fn on_vfio(bench: &mut dyn Bench) -> Result<String> {
    without_driver(bench)?;
    let d = sysfs(bench);
    let bdf = bench.bdf().to_owned();
    bench.must(&format!(
        "modprobe vfio-pci && echo vfio-pci > {d}/driver_override && echo {bdf} > /sys/bus/pci/drivers/vfio-pci/bind"
    ))?;
    let state = State::of(bench)?;
    ensure!(
        state.get("driver") == "vfio-pci",
        "the driver is {:?}",
        state.get("driver")
    );
    let group = state.get("group").to_owned();
    bench.must(&format!("[ -c /dev/vfio/{group} ]"))?;
    Ok(group)
}

/// What `ethtool -i` says of a netdev.
///
/// # Errors
///
/// When it says no firmware version.
pub(super) fn ethtool_version(bench: &mut dyn Bench, netdev: &str) -> Result<String> {
    let text = bench.must(&format!("ethtool -i {netdev}"))?;
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix("firmware-version:"))
        .context("ethtool says no firmware version")?;
    Ok(found.trim().to_owned())
}

/// `2.36.5150` from `2.36.5150` or `2.36.5150 (MT_...)`: versions as texts differ in zeros only.
#[must_use]
pub(super) fn version(text: &str) -> Vec<u32> {
    text.split([' ', '(']).next().map_or(Vec::new(), |first| {
        first.split('.').filter_map(|n| n.parse().ok()).collect()
    })
}

/// The firmware on the card's flash that would boot: by the served card's own boot ROM, or by the tool.
///
/// # Errors
///
/// When the query fails or shows none.
pub(super) fn flashed(bench: &mut dyn Bench) -> Result<String> {
    if let Some(served) = bench.served(0) {
        let info = served.info()?;
        let version = info["power_on"]["version"].as_str();
        return version
            .map(str::to_owned)
            .with_context(|| format!("nothing boots: {}", info["power_on"]));
    }
    let told = bench.expect("query", 0)?;
    booting(told.at("/result/images")?)
}

fn booting(images: &Value) -> Result<String> {
    images
        .as_array()
        .into_iter()
        .flatten()
        .find(|image| image["boots"] == true)
        .and_then(|image| image["image"]["fw_version"].as_str())
        .map(str::to_owned)
        .with_context(|| format!("no image boots: {images}"))
}

/// The image to burn next: the one of the bench's two that is not on the card; its path and version.
///
/// # Errors
///
/// When the card or an image cannot be queried.
pub(super) fn other_image(bench: &mut dyn Bench) -> Result<(String, String)> {
    let now = version(&flashed(bench)?);
    let images = bench.images().map(str::to_owned);
    for path in images {
        let told = bench.bare_json(&format!("query {path}"))?;
        let found = booting(told.at("/result/images")?).or_else(|_| {
            told.text("/result/images/0/image/fw_version")
                .map(str::to_owned)
        })?;
        if version(&found) != now {
            return Ok((path, found));
        }
    }
    bail!("both images are the one on the card")
}

/// Burns an image with the tool, within the plan's `--yes`; downgrades are part of a bench that goes back and forth.
///
/// # Errors
///
/// When it does not end with 0.
pub(super) fn burn(bench: &mut dyn Bench, image: &str, more: &str) -> Result<Value> {
    let told = bench.expect(
        &format!("burn {image} --yes --backup-dir /tmp/backups {more}"),
        0,
    )?;
    bench.must("rm -rf /tmp/backups")?;
    Ok(told.json)
}

/// What the served card has recorded since [`forget`]: access no correct tool makes. Nothing with a real card.
///
/// # Errors
///
/// When there is any misuse.
pub(super) fn no_misuse(bench: &mut dyn Bench) -> Result<()> {
    let Some(served) = bench.served(0) else {
        return Ok(());
    };
    let info = served.info()?;
    ensure!(
        info["misuse_count"] == 0,
        "the card was misused: {}",
        info["misuse"]
    );
    Ok(())
}

/// Starts the card's records anew.
///
/// # Errors
///
/// When the server does not answer.
pub(super) fn forget(bench: &mut dyn Bench) -> Result<()> {
    match bench.served(0) {
        Some(served) => served.order("forget").map(drop),
        None => Ok(()),
    }
}

/// Waits for something of the host: `condition` is a shell command that succeeds once it is there.
///
/// # Errors
///
/// When it is not there in `limit`.
pub(super) fn wait_for(bench: &mut dyn Bench, condition: &str, limit: Duration) -> Result<()> {
    let rounds = limit.as_millis() / 100;
    let script = format!(
        "n=0; until {condition}; do n=$((n+1)); [ $n -gt {rounds} ] && exit 1; sleep 0.1; done"
    );
    let ran = bench.sh_within(&script, limit + Duration::from_secs(10))?;
    ensure!(ran.code == 0, "never came true: {condition}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version("2.36.5150"), [2, 36, 5150]);
        assert_eq!(version("02.36.5150 (MT_1)"), [2, 36, 5150]);
        assert!(version("").is_empty());
    }

    #[test]
    fn the_image_that_boots_is_found() {
        let images = serde_json::json!([
            {"boots": false, "image": {"fw_version": "1.0.0"}},
            {"boots": true, "image": {"fw_version": "2.0.0"}},
        ]);
        assert_eq!(booting(&images).unwrap(), "2.0.0");
        assert!(booting(&serde_json::json!([])).is_err());
    }
}
