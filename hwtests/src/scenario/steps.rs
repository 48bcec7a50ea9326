//! Steps that several scenarios share.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::host::snapshot::HostSnapshot;
use crate::host::{LONG, TestHost, ToolReport};

/// Sysfs directory of the host's card.
pub(super) fn sysfs(host: &dyn TestHost) -> String {
    format!("/sys/bus/pci/devices/{}", host.bdf())
}

/// The card's address as mstflint takes it, without domain.
pub(super) fn short_bdf(host: &dyn TestHost) -> String {
    host.bdf().trim_start_matches("0000:").to_owned()
}

/// Runs mstflint on the card, which must succeed. It is slow in an emulated machine
/// (docs/lab.md#mstflint-on-the-emulated-card).
pub(super) fn mstflint(host: &mut dyn TestHost, arguments: &str) -> Result<String> {
    let command = format!("mstflint -d {} {arguments}", short_bdf(host));
    host.must_within(&command, LONG)
}

/// Binds the card to `mlx4_core` and waits for a netdev.
pub(super) fn with_driver(host: &mut dyn TestHost) -> Result<HostSnapshot> {
    let bdf = host.bdf().to_owned();
    // With debug_level the driver logs that its interrupt test passed. An earlier scenario may have
    // left the card without a driver.
    let script = format!(
        "d=/sys/bus/pci/devices/{bdf}\n\
         modprobe mlx4_core debug_level=1 && modprobe mlx4_en || exit 1\n\
         if [ ! -e $d/driver ]; then echo > $d/driver_override; echo {bdf} > /sys/bus/pci/drivers/mlx4_core/bind || exit 1; fi\n\
         n=0; until [ \"$(ls $d/net 2>/dev/null | wc -l)\" -ge 1 ]; do\n\
         n=$((n+1)); [ $n -gt 200 ] && exit 1; sleep 0.1; done; sleep 0.3"
    );
    host.must(&script).context("bringing the card up under mlx4_core")?;
    bound_to(host, "mlx4_core")
}

fn bound_to(host: &mut dyn TestHost, driver: &str) -> Result<HostSnapshot> {
    let snapshot = HostSnapshot::of(host)?;
    let bound = snapshot.get("driver");
    ensure!(bound == driver, "the driver is {bound:?}, not {driver}");
    Ok(snapshot)
}

/// Unbinds the card from its driver.
pub(super) fn without_driver(host: &mut dyn TestHost) -> Result<()> {
    let d = sysfs(host);
    let bdf = host.bdf().to_owned();
    host.must(&format!(
        "[ ! -e {d}/driver ] || echo {bdf} > {d}/driver/unbind; echo > {d}/driver_override"
    ))
    .map(drop)
}

/// Binds the card to vfio-pci by sysfs; returns the number of its IOMMU group.
pub(super) fn on_vfio(host: &mut dyn TestHost) -> Result<String> {
    without_driver(host)?;
    let d = sysfs(host);
    let bdf = host.bdf().to_owned();
    host.must(&format!(
        "modprobe vfio-pci && echo vfio-pci > {d}/driver_override && echo {bdf} > /sys/bus/pci/drivers/vfio-pci/bind"
    ))?;
    let group = bound_to(host, "vfio-pci")?.get("group").to_owned();
    host.must(&format!("[ -c /dev/vfio/{group} ]"))?;
    Ok(group)
}

/// The firmware version in `ethtool -i`.
pub(super) fn ethtool_version(host: &mut dyn TestHost, netdev: &str) -> Result<String> {
    let text = host.must(&format!("ethtool -i {netdev}"))?;
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("firmware-version:"))
        .context("ethtool shows no firmware version")?;
    Ok(version.trim().to_owned())
}

/// The numbers of `2.36.5150` or `02.36.5150 (MT_...)`.
pub(super) fn version(text: &str) -> Vec<u32> {
    text.split([' ', '('])
        .next()
        .map_or(Vec::new(), |first| first.split('.').filter_map(|n| n.parse().ok()).collect())
}

/// Fails unless both are the same version.
pub(super) fn same_version(shown: &str, wanted: &str) -> Result<()> {
    let same = version(shown) == version(wanted);
    ensure!(same, "version {shown}, not {wanted}");
    Ok(())
}

/// Unbinds the card from its driver and binds it to `mlx4_core`.
pub(super) fn rebound(host: &mut dyn TestHost) -> Result<HostSnapshot> {
    without_driver(host)?;
    with_driver(host)
}

/// Fails unless so many journals are left to restore.
pub(super) fn pending(host: &mut dyn TestHost, count: usize) -> Result<()> {
    let status = host.bare_json("host status")?;
    let pending = status.at("/result/pending")?.as_array().map(Vec::len);
    ensure!(pending == Some(count), "host status: {}", status.json);
    Ok(())
}

/// The version on the card's flash that would boot, by the served card's boot ROM or by the tool's
/// query.
pub(super) fn flashed(host: &mut dyn TestHost) -> Result<String> {
    if let Some(server) = host.server(0) {
        let info = server.info()?;
        let version = info["power_on"]["fw_version"].as_str();
        return version
            .map(str::to_owned)
            .with_context(|| format!("nothing boots: {}", info["power_on"]));
    }
    let report = host.expect("query", 0)?;
    booting(report.at("/result/images")?)
}

fn booting(images: &Value) -> Result<String> {
    images
        .as_array()
        .into_iter()
        .flatten()
        .find(|image| image["would_boot"] == true)
        .and_then(|image| image["image"]["fw_version"].as_str())
        .map(str::to_owned)
        .with_context(|| format!("no image boots: {images}"))
}

/// Path and version of the image that is not on the card.
pub(super) fn other_image(host: &mut dyn TestHost) -> Result<(String, String)> {
    let now = version(&flashed(host)?);
    let images = host.images().map(str::to_owned);
    for path in images {
        let report = host.bare_json(&format!("query {path}"))?;
        let image = booting(report.at("/result/images")?)
            .or_else(|_| report.text("/result/images/0/image/fw_version").map(str::to_owned))?;
        if version(&image) != now {
            return Ok((path, image));
        }
    }
    bail!("both images are on the card")
}

/// A check of `doctor`.
pub(super) struct DoctorCheck {
    pub(super) ok: bool,
    pub(super) detail: String,
    pub(super) fix: String,
}

impl DoctorCheck {
    pub(super) fn of(report: &ToolReport, id: &str) -> Result<DoctorCheck> {
        let checks = report.at("/result/checks")?.as_array();
        let check = checks
            .into_iter()
            .flatten()
            .find(|check| check["id"] == id)
            .with_context(|| format!("doctor has no check {id:?}"))?;
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        Ok(DoctorCheck { ok: check["ok"] == true, detail: text("detail"), fix: text("fix") })
    }
}

/// Burns an image with the tool and returns its report.
pub(super) fn burn(host: &mut dyn TestHost, image: &str, more: &str) -> Result<Value> {
    let report = host
        .expect(&format!("burn {image} --yes --allow-older --backup-dir /tmp/backups {more}"), 0)?;
    host.must("rm -rf /tmp/backups")?;
    Ok(report.json)
}

/// Fails if the served card has recorded misuse since [`reset_records`]. Does nothing with a real
/// card.
pub(super) fn no_misuse(host: &mut dyn TestHost) -> Result<()> {
    let Some(server) = host.server(0) else {
        return Ok(());
    };
    let info = server.info()?;
    ensure!(info["misuse_count"] == 0, "the card was misused: {}", info["misuse"]);
    Ok(())
}

/// Sets the counters and the misuse of the served card to zero.
pub(super) fn reset_records(host: &mut dyn TestHost) -> Result<()> {
    match host.server(0) {
        Some(server) => server.order("forget").map(drop),
        None => Ok(()),
    }
}

/// Waits until the shell command `condition` succeeds.
pub(super) fn wait_for(host: &mut dyn TestHost, condition: &str, limit: Duration) -> Result<()> {
    let rounds = limit.as_millis() / 100;
    let script = format!(
        "n=0; until {condition}; do n=$((n+1)); [ $n -gt {rounds} ] && exit 1; sleep 0.1; done"
    );
    let output = host.sh_within(&script, limit + Duration::from_secs(10))?;
    ensure!(output.code == 0, "never true: {condition}");
    Ok(())
}

/// Waits until the function has a netdev.
pub(super) fn wait_for_netdev(host: &mut dyn TestHost, bdf: &str) -> Result<()> {
    let condition = format!("[ -e /sys/bus/pci/devices/{bdf}/net ]");
    wait_for(host, &condition, Duration::from_secs(40))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_its_numbers() {
        assert_eq!(version("2.36.5150"), [2, 36, 5150]);
        assert_eq!(version("02.36.5150 (MT_1)"), [2, 36, 5150]);
        assert!(version("").is_empty());
    }

    #[test]
    fn the_image_that_boots_is_chosen() {
        let images = serde_json::json!([
            {"would_boot": false, "image": {"fw_version": "1.0.0"}},
            {"would_boot": true, "image": {"fw_version": "2.0.0"}},
        ]);
        assert_eq!(booting(&images).unwrap(), "2.0.0");
        assert!(booting(&serde_json::json!([])).is_err());
    }
}
