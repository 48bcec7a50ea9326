//! Burns of a card in use through VFIO, and the commands that only read: the host is restored.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::steps::{
    burn, ethtool_version, mstflint, no_misuse, other_image, reset_records, same_version,
    with_driver, without_driver,
};
use crate::host::{TestHost, shows};

/// Burns with the netdevs up: `ethtool -i` shows the new firmware; names, MACs, driver and override
/// are as before.
fn burn_with(host: &mut dyn TestHost, access: &str) -> Result<()> {
    let before = with_driver(host)?;
    let netdevs = before.netdevs();
    let (image, new) = other_image(host)?;
    for netdev in &netdevs {
        host.must(&format!("ip link set {netdev} up"))?;
    }
    reset_records(host)?;
    let report = burn(host, &image, access)?;
    no_misuse(host)?;
    before.assert_unchanged(host)?;
    same_version(&ethtool_version(host, &netdevs[0])?, &new)?;
    let start = &report["result"]["first_start"];
    // A real card or its slot may be one without a trial.
    let trial = start["kind"] == "trial" && start["new_runs"] == true;
    let seen = trial || host.server(0).is_none() && start["new_runs"] != false;
    ensure!(seen, "first start: {start}");
    let after = &report["result"]["activation"]["after_fw_version"];
    same_version(after.as_str().unwrap_or_default(), &new).context("by the report")
}

/// By the default register access, a mapped BAR0.
pub(super) fn burn_starts_the_new_firmware(host: &mut dyn TestHost) -> Result<()> {
    burn_with(host, "")
}

/// By 4-byte reads and writes of the VFIO descriptor.
pub(super) fn burn_by_pread_succeeds(host: &mut dyn TestHost) -> Result<()> {
    burn_with(host, "--bar-access pread")
}

/// By configuration cycles, which under lockdown Linux allows by VFIO only.
pub(super) fn burn_by_configuration_cycles_succeeds(host: &mut dyn TestHost) -> Result<()> {
    burn_with(host, "--bar-access config")
}

/// Firmware that never starts is met by no driver: the card goes back to its old image by itself, and the network
/// is back on the old firmware.
pub(super) fn firmware_that_never_starts_gives_way_to_the_old_one(
    host: &mut dyn TestHost,
) -> Result<()> {
    let before = with_driver(host)?;
    let netdev = before.netdevs().remove(0);
    let old = ethtool_version(host, &netdev)?;
    let (image, new) = other_image(host)?;
    let fault = |defect: &str| {
        format!(r#"fault {{"fault":"firmware","fw_version":"{new}","defect":{defect}}}"#)
    };
    reset_records(host)?;
    host.card()?.order(&fault(r#"{"never_starts":{"recovery_id":false}}"#))?;
    let burn = format!("burn {image} --yes --allow-older --backup-dir /tmp/backups");
    let report = host.tool_json(&burn)?;
    host.must("rm -rf /tmp/backups")?;
    // Firmware that lives for ten years is none that fails: later scenarios burn this version.
    host.card()?.order(&fault(r#"{"dies":{"ms":315360000000,"silent":false}}"#))?;
    let report = report.exits(6)?;
    let start = &report.json["result"]["first_start"];
    ensure!(start["new_runs"] == false, "first start: {start}");
    shows(&report.json["error"]["message"].to_string(), "as before")?;
    no_misuse(host)?;
    before.assert_unchanged(host)?;
    same_version(&ethtool_version(host, &netdev)?, &old)?;
    without_driver(host)?;
    shows(&mstflint(host, "query")?, old.split(' ').next().unwrap_or_default())?;
    mstflint(host, "verify")?;
    with_driver(host)?;
    Ok(())
}

/// The results of `query` and `doctor` that do not change from one run to the next.
fn reported(host: &mut dyn TestHost) -> Result<(Value, Vec<(String, bool)>)> {
    let query = host.expect("query", 0)?;
    let doctor = host.expect("doctor", 0)?;
    let checks = doctor.at("/result/checks")?.as_array();
    let checks = checks.into_iter().flatten().map(|check| {
        let id = check["id"].as_str().unwrap_or("?").to_owned();
        (id, check["ok"] == true)
    });
    Ok((query.at("/result/images")?.clone(), checks.collect()))
}

/// With a chip that boots for 900 ms after each reset (VFIO resets at open and close), results and
/// burns are those of a chip that answers at once; nothing is written and no semaphore is read
/// while it boots.
pub(super) fn a_chip_that_boots_slowly_gives_the_same_results(
    host: &mut dyn TestHost,
) -> Result<()> {
    let before = with_driver(host)?;
    let quick = reported(host)?;
    let boots = |host: &mut dyn TestHost| -> Result<u64> {
        let info = host.card()?.info()?;
        info["boots"].as_u64().context("the server counts no boots")
    };
    reset_records(host)?;
    host.card()?.order("boot-ms 900")?;
    let start = boots(host)?;
    let slow = reported(host)?;
    ensure!(boots(host)? >= start + 4, "VFIO's resets at open and close did not restart the chip");
    no_misuse(host)?;
    ensure!(quick == slow, "at once: {quick:?}\nslowly: {slow:?}");
    before.assert_unchanged(host)?;
    burn_with(host, "")?;
    host.card()?.order("boot-ms 0")?;
    Ok(())
}

/// mstflint's `query full` and `verify` agree with the tool.
pub(super) fn mstflint_agrees_with_the_burnt_image(host: &mut dyn TestHost) -> Result<()> {
    let report = host.expect("query", 0)?;
    let image = report.at("/result/images/0/image")?;
    without_driver(host)?;
    let query = mstflint(host, "query full")?;
    let macs = image["macs"].as_array().into_iter().flatten();
    for value in [&image["fw_version"], &image["psid"]].into_iter().chain(macs) {
        shows(&query, value.as_str().context("a text")?)?;
    }
    mstflint(host, "verify")?;
    with_driver(host)?;
    Ok(())
}

/// Exit 2, no erase and no program.
pub(super) fn burning_the_same_image_is_nothing_to_do(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    let (other, _) = other_image(host)?;
    let same = host.images().into_iter().find(|path| *path != other);
    let same = same.unwrap_or_default().to_owned();
    let mutations = host.mutations()?;
    host.expect(&format!("burn {same} --yes --allow-older --backup-dir /tmp/backups"), 2)?;
    let later = host.mutations()?;
    ensure!(mutations == later, "{mutations:?} became {later:?}");
    before.assert_unchanged(host)
}

pub(super) fn activate_restores_the_host(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    host.expect("activate", 0)?;
    before.assert_unchanged(host)
}

pub(super) fn reading_commands_restore_the_host(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    for command in [
        "list",
        "doctor",
        "query --full",
        "verify",
        &format!("plan {}", host.images()[1]),
        "flash info",
        "host status",
        "host restore",
        "backup --out /tmp/copy",
    ] {
        let report = host.tool_json(command)?;
        // The plan ends with 2 when the image is on the card already.
        if report.code != 2 || !command.starts_with("plan") {
            report.exits(0).context(command.to_owned())?;
        }
        before.assert_unchanged(host)?;
    }
    host.must("rm -rf /tmp/copy")?;
    no_misuse(host)
}

/// `--report`: the archive holds lspci's output for the card, and none of its MACs.
pub(super) fn a_bug_report_holds_lspci_and_no_macs(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    let report = host.expect("query --report /tmp/reports", 0)?;
    before.assert_unchanged(host)?;
    let archive = report.text("/report/path")?.to_owned();
    let read = |host: &mut dyn TestHost, name: &str| {
        host.must(&format!("gunzip -c {archive} | tar -xOf - cx3flash-report/{name}"))
    };
    let lspci = read(host, "lspci.txt")?;
    shows(&lspci, "[15b3:100")?;
    shows(&lspci, "Kernel driver in use: mlx4_core")?;
    shows(&read(host, "journal.json")?, "\"driver\": \"mlx4_core\"")?;
    let macs = report.texts("/result/images/0/image/macs")?;
    for name in ["document.json", "query.json", "card.json", "log.jsonl"] {
        let text = read(host, name)?;
        for mac in &macs {
            ensure!(!text.contains(mac), "{name} shows {mac}");
        }
    }
    host.must("rm -rf /tmp/reports")?;
    Ok(())
}
