//! Faults of a served card before and during a job.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::steps::{
    DoctorCheck, other_image, pending, rebound, short_bdf, with_driver, without_driver,
};
use crate::host::{LONG, TestHost};

/// A killed mstflint leaves semaphores taken: `doctor` reports it, `unlock` frees them, and the
/// driver binds.
pub(super) fn unlock_frees_semaphores_of_a_killed_mstflint(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    let (image, _) = other_image(host)?;
    without_driver(host)?;
    let start = host.card()?.mutations()?;
    let command = format!("mstflint -d {} -i {image} -y burn", short_bdf(host));
    let killed = host.signalled_at(&command, "KILL", start + 30, LONG)?;
    ensure!(killed.reached && killed.output.code == 137, "mstflint: {:?}", killed.output);
    let held = host.card()?.info()?["semaphores_held"].clone();
    ensure!(
        held.as_array().is_some_and(|list| !list.is_empty()),
        "mstflint left no semaphore taken: {held}"
    );
    host.transcript().note(&format!("mstflint was killed; held: {held}"));
    let check = DoctorCheck::of(&host.tool_json("doctor")?, "semaphores")?;
    ensure!(
        !check.ok && check.fix.contains("unlock"),
        "doctor: {:?}, {:?}",
        check.detail,
        check.fix
    );
    host.expect("unlock", 0)?;
    let held = host.card()?.info()?["semaphores_held"].clone();
    ensure!(held == Value::Array(Vec::new()), "still held: {held}");
    let check = DoctorCheck::of(&host.tool_json("doctor")?, "semaphores")?;
    ensure!(check.ok, "doctor after unlock: {}", check.detail);
    with_driver(host)?;
    before.assert_unchanged(host)
}

/// The card vanishes during a burn: it is reported as gone, and no process hangs.
pub(super) fn a_card_that_vanishes_during_a_burn_is_reported(
    host: &mut dyn TestHost,
) -> Result<()> {
    with_driver(host)?;
    let (image, _) = other_image(host)?;
    host.card()?.order(r#"fault {"fault":"removed","after":150000}"#)?;
    let report =
        host.tool_json(&format!("burn {image} --yes --allow-older --backup-dir /tmp/backups"))?;
    host.card()?.order("power-cycle")?;
    ensure!([1, 5, 6, 7, 8].contains(&report.code), "exit {}: {}", report.code, report.json);
    report.names("gone")?;
    host.must("[ -z \"$(pidof cx3flash)\" ]")?;
    // With the card back, the journal restores the host.
    host.bare_json("host restore")?.exits(0)?;
    with_driver(host)?;
    host.expect("verify", 0)?;
    Ok(())
}

/// Firmware that never answers keeps the driver in its probe for a minute: exit 8. The journal
/// lists what is left to do, and `host restore` does it once the firmware answers.
pub(super) fn a_failed_rebind_is_left_to_host_restore(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    rebound(host)?;
    host.card()?.order("firmware dead")?;
    let report = host.tool_json("query")?;
    host.card()?.order("firmware alive")?;
    report.exits(8)?;
    pending(host, 1)?;
    host.bare_json("host restore")?.exits(0)?;
    with_driver(host)?;
    before.assert_unchanged(host)
}
