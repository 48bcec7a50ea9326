//! The job itself: a card in use, burnt through VFIO, and the host as before.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Shown;
use super::steps::{
    burn, ethtool_version, forget, no_misuse, other_image, version, with_driver, without_driver,
};
use crate::bench::{Bench, LONG};

/// Netdevs up, `burn --yes`, new firmware in `ethtool -i`, same names and MACs, driver and override as before.
fn burn_with(bench: &mut dyn Bench, access: &str) -> Result<()> {
    let before = with_driver(bench)?;
    let netdevs = before.netdevs();
    for netdev in &netdevs {
        bench.must(&format!("ip link set {netdev} up"))?;
    }
    let (image, new) = other_image(bench)?;
    for netdev in &netdevs {
        bench.must(&format!("ip link set {netdev} up"))?;
    }
    forget(bench)?;
    let report = burn(bench, &image, access)?;
    no_misuse(bench)?;
    before.must_be_again(bench)?;
    let running = ethtool_version(bench, &netdevs[0])?;
    ensure!(
        version(&running) == version(&new),
        "{running} runs, {new} was burnt"
    );
    let after = &report["result"]["activation"]["after"];
    ensure!(
        version(after.as_str().unwrap_or("")) == version(&new),
        "the report says that {after} runs"
    );
    Ok(())
}

/// The story with the default way to the registers: BAR0 mapped.
pub(super) fn burn_and_go_on(bench: &mut dyn Bench) -> Result<Shown> {
    burn_with(bench, "")?;
    Ok(Shown::Yes)
}

/// The story by 4-byte reads and writes of the VFIO descriptor.
pub(super) fn burn_by_pread(bench: &mut dyn Bench) -> Result<Shown> {
    burn_with(bench, "--bar-access pread")?;
    Ok(Shown::Yes)
}

/// The story by configuration cycles, which Linux closes to everything but VFIO under lockdown.
pub(super) fn burn_by_config(bench: &mut dyn Bench) -> Result<Shown> {
    burn_with(bench, "--bar-access config")?;
    Ok(Shown::Yes)
}

/// What `query` and `doctor` report, without what differs from one run to the next.
fn reported(bench: &mut dyn Bench) -> Result<(Value, Vec<(String, bool)>)> {
    let query = bench.expect("query", 0)?;
    let doctor = bench.expect("doctor", 0)?;
    let checks = doctor.at("/result/checks")?.as_array();
    let checks = checks.into_iter().flatten().map(|check| {
        let id = check["id"].as_str().unwrap_or("?").to_owned();
        (id, check["ok"] == true)
    });
    Ok((query.at("/result/images")?.clone(), checks.collect()))
}

/// The chip boots for 900 ms after each reset, those that VFIO does at open and close among them. Everything ends as on
/// a chip that is there at once, and nothing is written and no semaphore is read while it boots.
pub(super) fn slow_boot(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    let quick = reported(bench)?;
    let boots = |bench: &mut dyn Bench| -> Result<u64> {
        let info = bench.served(0).context("a served card")?.info()?;
        info["boots"].as_u64().context("the server counts no boots")
    };
    forget(bench)?;
    let served = bench.served(0).context("a served card")?;
    served.order("boot-ms 900")?;
    let start = boots(bench)?;
    let slow = reported(bench)?;
    ensure!(
        boots(bench)? >= start + 4,
        "VFIO's resets at open and close did not start the chip anew"
    );
    no_misuse(bench)?;
    ensure!(
        quick == slow,
        "at once: {quick:?}
slowly: {slow:?}"
    );
    before.must_be_again(bench)?;
    burn_with(bench, "")?;
    let served = bench.served(0).context("a served card")?;
    served.order("boot-ms 0")?;
    Ok(Shown::Yes)
}

/// What was burnt is what mstflint reads: `query full` and `verify`.
pub(super) fn witness_agrees(bench: &mut dyn Bench) -> Result<Shown> {
    let told = bench.expect("query", 0)?;
    let image = told.at("/result/images/0/image")?.clone();
    without_driver(bench)?;
    let bdf = bench.bdf().trim_start_matches("0000:").to_owned();
    let query = bench.must(&format!("mstflint -d {bdf} query full"))?;
    for field in ["fw_version", "psid"] {
        let value = image[field].as_str().unwrap_or("?");
        ensure!(
            query.contains(value),
            "mstflint does not show {field} {value}:\n{query}"
        );
    }
    for mac in image["macs"].as_array().into_iter().flatten() {
        let mac = mac.as_str().unwrap_or("?");
        ensure!(
            query.contains(mac),
            "mstflint does not show MAC {mac}:\n{query}"
        );
    }
    let verify = bench.sh_within(&format!("mstflint -d {bdf} verify"), LONG)?;
    ensure!(verify.code == 0, "{}", verify.all());
    with_driver(bench)?;
    Ok(Shown::Yes)
}

/// The same image again: nothing to do, exit 2, no erase and no program.
pub(super) fn burn_the_same(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    let (image, _) = other_image(bench)?;
    let other = bench.images().into_iter().find(|path| *path != image);
    let same = other.unwrap_or_default().to_owned();
    let mutations = bench.served(0).map(|s| s.mutations()).transpose()?;
    bench.expect(&format!("burn {same} --yes --backup-dir /tmp/backups"), 2)?;
    let later = bench.served(0).map(|s| s.mutations()).transpose()?;
    ensure!(mutations == later, "{mutations:?} became {later:?}");
    before.must_be_again(bench)?;
    Ok(Shown::Yes)
}

/// `burn --no-activate` gives the card back all the same; the driver's reset starts the firmware, which is said.
pub(super) fn activate_alone(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    bench.expect("activate", 0)?;
    before.must_be_again(bench)?;
    Ok(Shown::Yes)
}

/// `backup`, `verify`, `doctor`, `list`, `host status`: each leaves the host as found.
pub(super) fn looking_changes_nothing(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    for command in [
        "list",
        "doctor",
        "query --full",
        "verify",
        "plan /images/new.bin",
        "flash info",
        "host status",
        "host restore",
        "backup --out /tmp/looked",
    ] {
        let command = if command.starts_with("plan") {
            format!("plan {}", bench.images()[1])
        } else {
            command.to_owned()
        };
        let told = bench.tool_json(&command)?;
        // A plan that finds the image on the card already says so with 2; doctor may have findings.
        let fine: &[i32] = match command.split(' ').next() {
            Some("plan") => &[0, 2],
            _ => &[0],
        };
        ensure!(
            fine.contains(&told.code),
            "{command}: exit {}: {}\n{}",
            told.code,
            told.json,
            told.stderr
        );
        before.must_be_again(bench)?;
    }
    bench.must("rm -rf /tmp/looked")?;
    no_misuse(bench)?;
    Ok(Shown::Yes)
}

/// `--report`: the archive holds what lspci says of the card, and none of its MACs.
pub(super) fn report_of_a_card(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    let told = bench.expect("query --report /tmp/reports", 0)?;
    before.must_be_again(bench)?;
    let archive = told.text("/report/path")?.to_owned();
    let read = |bench: &mut dyn Bench, name: &str| {
        bench.must(&format!(
            "gunzip -c {archive} | tar -xOf - cx3flash-report/{name}"
        ))
    };
    let lspci = read(bench, "lspci.txt")?;
    ensure!(
        lspci.contains("[15b3:100") && lspci.contains("Kernel driver in use: mlx4_core"),
        "not the card given back:\n{lspci}"
    );
    let journal = read(bench, "journal.json")?;
    ensure!(
        journal.contains("\"driver\": \"mlx4_core\""),
        "the journal of the borrowed card is not in it:\n{journal}"
    );
    let macs = told.at("/result/images/0/image/macs")?.clone();
    for name in ["document.json", "query.json", "card.json", "log.jsonl"] {
        let text = read(bench, name)?;
        for mac in macs.as_array().into_iter().flatten() {
            let mac = mac.as_str().unwrap_or("?");
            ensure!(!text.contains(mac), "{name} shows {mac}");
        }
    }
    bench.must("rm -rf /tmp/reports")?;
    Ok(Shown::Yes)
}
