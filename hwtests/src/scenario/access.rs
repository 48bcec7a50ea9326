//! Access to the card: register access, users without rights, passthrough hosts, the KVM probe,
//! lockdown.

use anyhow::{Context as _, Result, ensure};

use super::steps::{
    DoctorCheck, burn, flashed, no_misuse, on_vfio, other_image, rebound, reset_records,
    same_version, with_driver,
};
use crate::host::snapshot::HostSnapshot;
use crate::host::{TestHost, shows};

/// `query` and `verify` give the same by `mmap`, `pread` and `config`, and restore the host.
pub(super) fn three_register_accesses_agree(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    reset_records(host)?;
    let mut results = Vec::new();
    for access in ["mmap", "pread", "config"] {
        let report = host.expect(&format!("--bar-access {access} query"), 0)?;
        results.push(report.at("/result/images")?.clone());
        before.assert_unchanged(host)?;
    }
    ensure!(results.windows(2).all(|w| w[0] == w[1]), "the results differ: {results:?}");
    host.expect("--bar-access config verify", 0)?;
    before.assert_unchanged(host)?;
    no_misuse(host)
}

/// `selftest --reset` contradicts nothing, restarts the chip by VFIO or reports that there is no such reset, and
/// restores the host.
pub(super) fn selftest_tries_the_reset_of_vfio(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    let trace = "/tmp/selftest.trace.zst";
    host.must(&format!("rm -f {trace}"))?;
    let report = host.expect(&format!("--trace {trace} selftest --reset --yes"), 0)?;
    before.assert_unchanged(host)?;
    host.expect(&format!("trace replay {trace}"), 0)?;
    host.keep_trace(trace, "selftest")?;
    let stages = report.at("/result/stages")?.as_array().context("stages")?;
    let reset = stages.iter().find(|stage| stage["id"] == "reset").context("no stage `reset`")?;
    let figure = |name: &str| {
        let figures = reset["figures"].as_array().into_iter().flatten();
        figures.filter(|figure| figure["name"] == name).map(|figure| &figure["value"]).next()
    };
    let tried = figure("vfio_reset").context("VFIO's reset was not tried")?;
    // The lab's card has a function level reset.
    ensure!(host.server(0).is_none() || tried != "there is none", "{reset}");
    ensure!(figure("running").is_some(), "no firmware runs behind the reset: {reset}");
    Ok(())
}

/// A user of the node's group may query a card on vfio-pci, which stays there. Without the group:
/// exit 5.
pub(super) fn a_user_of_the_vfio_group_may_query(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    let group = on_vfio(host)?;
    let bound = HostSnapshot::of(host)?;
    // What the udev rule of vfio-setup does.
    host.must(&format!("chown root:cx3flash /dev/vfio/{group} && chmod 660 /dev/vfio/{group}"))?;
    host.must("mkdir -p /tmp/user && chown 1000:1000 /tmp/user")?;
    let query = host.tool_line("query");
    for (groups, code) in [("--groups 2000", 0), ("--clear-groups", 5)] {
        let output = host.sh(&format!(
            "setpriv --reuid 1000 --regid 1000 {groups} env HOME=/tmp/user XDG_STATE_HOME=/tmp/user {query}"
        ))?;
        output.exits(code).context(groups)?;
        bound.assert_unchanged(host)?;
    }
    rebound(host)?;
    before.assert_unchanged(host)
}

/// A burn of a card on vfio-pci leaves it there; `activate` starts the new firmware.
pub(super) fn a_card_on_vfio_pci_stays_there(host: &mut dyn TestHost) -> Result<()> {
    with_driver(host)?;
    let (image, new) = other_image(host)?;
    on_vfio(host)?;
    let bound = HostSnapshot::of(host)?;
    burn(host, &image, "")?;
    bound.assert_unchanged(host)?;
    host.expect("activate", 0)?;
    bound.assert_unchanged(host)?;
    same_version(&flashed(host)?, &new)?;
    let report = host.expect("query", 0)?;
    same_version(report.text("/result/card/running_fw_version")?, &new)?;
    rebound(host).map(drop)
}

/// The KVM probe is skipped with its reason without `/dev/kvm`, and runs with it.
pub(super) fn kvm_probe_runs_with_dev_kvm_only(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    host.must("rmmod kvm_amd 2>/dev/null; [ ! -e /dev/kvm ] || rm /dev/kvm")?;
    let skipped = DoctorCheck::of(&host.tool_json("doctor")?, "kvm_passthrough")?.detail;
    shows(&skipped, "/dev/kvm")?;
    before.assert_unchanged(host)?;
    // The CPU of the emulator has SVM.
    host.must("rmmod kvm 2>/dev/null; modprobe kvm-amd && [ -c /dev/kvm ]")?;
    let check = DoctorCheck::of(&host.tool_json("doctor")?, "kvm_passthrough")?;
    ensure!(check.ok && check.detail != skipped, "the probe did not run: {}", check.detail);
    before.assert_unchanged(host)
}

/// Under lockdown `doctor` reports its level, and that it is no obstacle.
pub(super) fn doctor_reports_lockdown(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    let level = host.must("sed 's/.*\\[\\(.*\\)\\].*/\\1/' /sys/kernel/security/lockdown")?;
    let check = DoctorCheck::of(&host.tool_json("doctor")?, "lockdown")?;
    ensure!(check.ok, "lockdown is an obstacle: {}", check.detail);
    shows(&check.detail, level.trim())?;
    before.assert_unchanged(host)
}
