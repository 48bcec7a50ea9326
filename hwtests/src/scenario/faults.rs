//! What is found broken, and what breaks on the way: only served cards do as they are told.

use anyhow::{Context as _, Result, ensure};

use super::Shown;
use super::steps::{other_image, with_driver, without_driver};
use super::ways::finding;
use crate::bench::{Bench, LONG};

/// A killed mstflint leaves semaphores taken: `doctor` names it, `unlock` frees it after proof, then the driver binds.
pub(super) fn stale_semaphore(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    let (image, _) = other_image(bench)?;
    without_driver(bench)?;
    let bdf = bench.bdf().trim_start_matches("0000:").to_owned();
    let start = bench.served(0).context("a served card")?.mutations()?;
    let killed = bench.signalled_at(
        &format!("mstflint -d {bdf} -i {image} -y burn"),
        "KILL",
        start + 30,
        LONG,
    )?;
    ensure!(
        killed.reached && killed.ran.code == 137,
        "mstflint: {:?}",
        killed.ran
    );
    let held = bench.served(0).context("a served card")?.info()?["semaphores_held"].clone();
    ensure!(
        held.as_array().is_some_and(|list| !list.is_empty()),
        "mstflint left no semaphore taken: {held}"
    );
    bench
        .transcript()
        .note(&format!("mstflint was killed; held: {held}"));
    let doctor = bench.tool_json("doctor")?;
    let (ok, detail, fix) = finding(&doctor, "semaphores")?;
    ensure!(
        !ok && fix.contains("unlock"),
        "doctor says {detail:?}, {fix:?}"
    );
    bench.expect("unlock", 0)?;
    let held = bench.served(0).context("a served card")?.info()?["semaphores_held"].clone();
    ensure!(
        held.as_array().is_some_and(Vec::is_empty),
        "still held: {held}"
    );
    let doctor = bench.tool_json("doctor")?;
    let (ok, detail, _) = finding(&doctor, "semaphores")?;
    ensure!(ok, "doctor after unlock: {detail}");
    with_driver(bench)?;
    before.must_be_again(bench)?;
    Ok(Shown::Yes)
}

/// The card vanishes in the middle of a burn: found out, never taken for data, and no process is left hanging.
pub(super) fn card_vanishes(bench: &mut dyn Bench) -> Result<Shown> {
    with_driver(bench)?;
    let (image, _) = other_image(bench)?;
    bench
        .served(0)
        .context("a served card")?
        .order(r#"fault {"fault":"removed","after":150000}"#)?;
    let told = bench.tool_json(&format!("burn {image} --yes --backup-dir /tmp/backups"))?;
    bench
        .served(0)
        .context("a served card")?
        .order("power-cycle")?;
    ensure!(
        [1, 5, 6, 7, 8].contains(&told.code),
        "exit {}: {}",
        told.code,
        told.json
    );
    ensure!(
        told.json.to_string().contains("gone"),
        "it is not said that the card is gone: {}",
        told.json
    );
    bench.must("[ -z \"$(pidof cx3flash)\" ]")?;
    // Back again, the journal puts the host in order.
    let restored = bench.bare_json("host restore")?;
    ensure!(restored.code == 0, "host restore: {}", restored.json);
    with_driver(bench)?;
    bench.expect("verify", 0)?;
    Ok(Shown::Yes)
}

/// Firmware that never answers the driver, which then cannot let go of the card for a minute: exit 8, the journal says
/// what is left, and once the firmware is well `host restore` puts the host back.
pub(super) fn dead_firmware(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    without_driver(bench)?;
    with_driver(bench)?;
    bench
        .served(0)
        .context("a served card")?
        .order("firmware dead")?;
    let told = bench.tool_json("query")?;
    bench
        .served(0)
        .context("a served card")?
        .order("firmware alive")?;
    ensure!(told.code == 8, "exit {}: {}", told.code, told.json);
    let status = bench.bare_json("host status")?;
    ensure!(
        status
            .at("/result/pending")?
            .as_array()
            .is_some_and(|p| p.len() == 1),
        "host status: {}",
        status.json
    );
    let restored = bench.bare_json("host restore")?;
    ensure!(restored.code == 0, "host restore: {}", restored.json);
    with_driver(bench)?;
    before.must_be_again(bench)?;
    Ok(Shown::Yes)
}
