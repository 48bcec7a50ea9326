//! Ways to the card: its registers, users without rights, a passthrough host, the KVM probe.

use anyhow::{Context as _, Result, ensure};

use super::Shown;
use super::steps::{
    burn, flashed, forget, no_misuse, on_vfio, other_image, version, with_driver, without_driver,
};
use crate::bench::state::State;
use crate::bench::{Bench, Told};

/// The finding with an id in what `doctor` said: whether it is fine, what it says, and what mends it.
///
/// # Errors
///
/// When there is none.
pub(super) fn finding(told: &Told, id: &str) -> Result<(bool, String, String)> {
    let checks = told
        .at("/result/checks")?
        .as_array()
        .cloned()
        .unwrap_or_default();
    let found = checks
        .iter()
        .find(|check| check["id"] == id)
        .with_context(|| format!("doctor has no finding {id:?}"))?;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Ok((found["ok"] == true, text("detail"), text("fix")))
}

/// `query` and `verify` give the same by all three ways to the registers, and leave the host as it was.
pub(super) fn bar_access(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    forget(bench)?;
    let mut seen = Vec::new();
    for way in ["mmap", "pread", "config"] {
        let told = bench.expect(&format!("--bar-access {way} query"), 0)?;
        seen.push(told.at("/result/images")?.clone());
        before.must_be_again(bench)?;
    }
    ensure!(
        seen.windows(2).all(|w| w[0] == w[1]),
        "the ways differ: {seen:?}"
    );
    bench.expect("--bar-access config verify", 0)?;
    before.must_be_again(bench)?;
    no_misuse(bench)?;
    Ok(Shown::Yes)
}

/// A card that lives on vfio-pci: a user of the node's group may query it, and it stays where it is.
pub(super) fn without_root(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    let group = on_vfio(bench)?;
    let mine = State::of(bench)?;
    // What the udev rule of vfio-setup does.
    bench.must(&format!(
        "chown root:cx3flash /dev/vfio/{group} && chmod 660 /dev/vfio/{group}"
    ))?;
    let (tool, bdf) = (bench.tool().to_owned(), bench.bdf().to_owned());
    let user = "setpriv --reuid 1000 --regid 1000 --groups 2000 env HOME=/tmp/user XDG_STATE_HOME=/tmp/user";
    bench.must("mkdir -p /tmp/user && chown 1000:1000 /tmp/user")?;
    let ran = bench.sh(&format!("{user} {tool} -d {bdf} --json query"))?;
    ensure!(ran.code == 0, "exit {}: {}", ran.code, ran.all());
    mine.must_be_again(bench)?;
    // The same user without the group is refused, in words.
    let ran = bench.sh(&format!(
        "{} {tool} -d {bdf} --json query",
        user.replace("--groups 2000", "--clear-groups")
    ))?;
    ensure!(
        ran.code == 5,
        "exit {} without the group: {}",
        ran.code,
        ran.all()
    );
    mine.must_be_again(bench)?;
    without_driver(bench)?;
    with_driver(bench)?;
    before.must_be_again(bench)?;
    Ok(Shown::Yes)
}

/// A burn of a card that lives on vfio-pci leaves it there; `activate` starts the new firmware.
pub(super) fn passthrough_host(bench: &mut dyn Bench) -> Result<Shown> {
    with_driver(bench)?;
    let (image, new) = other_image(bench)?;
    on_vfio(bench)?;
    let mine = State::of(bench)?;
    burn(bench, &image, "")?;
    mine.must_be_again(bench)?;
    bench.expect("activate", 0)?;
    mine.must_be_again(bench)?;
    ensure!(version(&flashed(bench)?) == version(&new));
    let told = bench.expect("query", 0)?;
    ensure!(version(told.text("/result/card/running")?) == version(&new));
    without_driver(bench)?;
    with_driver(bench)?;
    Ok(Shown::Yes)
}

/// The KVM probe: skipped with its reason without `/dev/kvm`, run for real with it.
pub(super) fn kvm_probe(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    bench.must("rmmod kvm_amd 2>/dev/null; [ ! -e /dev/kvm ] || rm /dev/kvm")?;
    let told = bench.tool_json("doctor")?;
    let (_, skipped, _) = finding(&told, "kvm_passthrough")?;
    ensure!(
        skipped.contains("/dev/kvm"),
        "the reason is not named: {skipped}"
    );
    before.must_be_again(bench)?;
    // The CPU of the emulator has SVM (docs/lab.md#emulated-card).
    bench.must("rmmod kvm 2>/dev/null; modprobe kvm-amd && [ -c /dev/kvm ]")?;
    let told = bench.tool_json("doctor")?;
    let (ok, detail, _) = finding(&told, "kvm_passthrough")?;
    ensure!(ok && detail != skipped, "the probe did not run: {detail}");
    before.must_be_again(bench)?;
    Ok(Shown::Yes)
}

/// Under lockdown `doctor` says so and that it is no obstacle to this tool.
pub(super) fn doctor_names_lockdown(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    let level = bench.must("sed 's/.*\\[\\(.*\\)\\].*/\\1/' /sys/kernel/security/lockdown")?;
    let told = bench.tool_json("doctor")?;
    let (ok, detail, _) = finding(&told, "lockdown")?;
    ensure!(ok, "lockdown is called an obstacle: {detail}");
    ensure!(
        detail.contains(level.trim()),
        "{level:?} is not named: {detail}"
    );
    before.must_be_again(bench)?;
    Ok(Shown::Yes)
}
