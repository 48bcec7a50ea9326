//! SIGKILL and failing system calls at every step on the host, and SIGKILL at points of a burn: the
//! card boots after each, and `host restore` restores the host.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::steps::{burn, ethtool_version, flashed, pending, same_version, version, with_driver};
use crate::host::lab::SMALL_IMAGES;
use crate::host::snapshot::HostSnapshot;
use crate::host::{LIMIT, LONG, TestHost};

/// Kill points, spread over the erases and programs of a burn. The last one comes first, after burns of the same
/// length; a later burn may be shorter by the erases of sectors that the kill before it left blank.
const POINTS: [u64; 10] = [9, 0, 1, 2, 3, 4, 5, 6, 7, 8];

/// After these a burn is completed; after the others the next one, which is killed further on.
const COMPLETED: [u64; 4] = [9, 2, 5, 8];

/// System calls that change the host or the tool's own records: writes of files, the start of the
/// helper that writes to sysfs, VFIO's ioctls. A kill comes when such a call begins, so it is
/// between two steps.
const CALLS: &str = "openat,write,pwrite64,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,ftruncate,fsync,fdatasync,flock,clone,clone3,vfork,fork,wait4,waitid,ioctl,close";

/// The versions that the served card would boot, with a boot ROM that prefers either half.
fn bootable(host: &mut dyn TestHost) -> Result<Vec<String>> {
    booted_versions(&host.card()?.info()?)
}

fn booted_versions(info: &Value) -> Result<Vec<String>> {
    let either = info["power_on_either_order"].as_object();
    let either = either.context("no order of search in the server's info")?;
    [&info["power_on"], &info["reset"]]
        .into_iter()
        .chain(either.values())
        .map(|outcome| {
            let version = outcome["fw_version"].as_str().map(str::to_owned);
            version.with_context(|| format!("the card does not boot: {info}"))
        })
        .collect()
}

/// The small image that the card boots.
fn booted(host: &mut dyn TestHost) -> Result<&'static str> {
    let now = version(&flashed(host)?);
    let image = SMALL_IMAGES.iter().find(|(_, known)| version(known) == now);
    image.map(|(path, _)| *path).with_context(|| format!("{now:?} is no small image"))
}

/// Path and version of the small image that neither half holds, so that a burn writes all of it: the one half has what
/// the card boots, the other one `behind`.
fn next_image(host: &mut dyn TestHost, behind: &str) -> Result<(&'static str, &'static str)> {
    let now = booted(host)?;
    let image = SMALL_IMAGES.into_iter().find(|(path, _)| *path != now && *path != behind);
    image.context("both halves hold the same image")
}

/// Restores the host; the second time there is nothing to restore.
fn restore(host: &mut dyn TestHost, before: &HostSnapshot) -> Result<()> {
    host.bare_json("host restore")?.exits(0)?;
    let again = host.bare_json("host restore")?.exits(0)?;
    ensure!(again.at("/result/cards")?.as_array().is_some_and(Vec::is_empty), "{}", again.json);
    before.assert_unchanged(host)
}

/// Ten kills inside erase and program, each followed by `host restore`: the card boots, and the next burn goes on.
pub(super) fn the_card_boots_after_a_kill_inside_the_burn(host: &mut dyn TestHost) -> Result<()> {
    let before = with_driver(host)?;
    // After two burns both halves are used, so every later burn erases as many sectors as the
    // second one.
    let behind = complete(host, &before, "")?;
    let start = host.card()?.mutations()?;
    let mut behind = complete(host, &before, behind)?;
    let length = host.card()?.mutations()? - start;
    let count = POINTS.len() as u64;
    ensure!(length > count * 4, "a burn of {length} mutations is too short for {count} points");
    for point in POINTS {
        let (old, (image, _)) = (booted(host)?, next_image(host, behind)?);
        // From the first mutation to the last but one.
        let at = host.card()?.mutations()? + 1 + point * (length - 2) / (count - 1);
        let killed = host.signalled_at(&burn_line(host, image), "KILL", at, LONG)?;
        host.must("rm -rf /tmp/backups")?;
        ensure!(killed.reached, "the burn ended before its mutation {at}: {}", killed.output.all());
        let done = host.card()?.mutations()?;
        let boots = bootable(host)?;
        host.transcript().note(&format!(
            "point {point}: kill at {at}, {done} done at its end (exit {}), boots {boots:?}",
            killed.output.code
        ));
        restore(host, &before)?;
        bootable(host)?;
        // The kill may have come when the new image booted already.
        behind = if booted(host)? == image { old } else { image };
        if COMPLETED.contains(&point) {
            behind = complete(host, &before, behind)?;
        }
    }
    Ok(())
}

fn burn_line(host: &dyn TestHost, image: &str) -> String {
    host.tool_line(&format!("burn {image} --yes --allow-older --backup-dir /tmp/backups"))
}

/// Burns the image that neither half holds; returns the one that is behind it then.
fn complete(host: &mut dyn TestHost, before: &HostSnapshot, behind: &str) -> Result<&'static str> {
    let (old, (image, new)) = (booted(host)?, next_image(host, behind)?);
    burn(host, image, "")?;
    before.assert_unchanged(host)?;
    for version in bootable(host)? {
        same_version(&version, new)?;
    }
    let netdev = before.netdevs().remove(0);
    same_version(&ethtool_version(host, &netdev)?, new)?;
    Ok(old)
}

/// One kill before each system call that changes the host or the journal, from the lock to the
/// journal's removal.
pub(super) fn host_restore_follows_a_kill_at_every_host_step(
    host: &mut dyn TestHost,
) -> Result<()> {
    let before = with_driver(host)?;
    let command = host.tool_line("query");
    for point in &host_steps(host, &before)? {
        host.must(&format!(
            "strace -o /dev/null -e trace={} -e inject={}:signal=KILL:when={} {command} >/dev/null 2>&1; sleep 0.2; while pidof cx3flash >/dev/null; do sleep 0.1; done",
            point.call, point.call, point.number
        ))?;
        let left = HostSnapshot::of(host)?;
        let changed = before.differences(&left).lines().count();
        host.transcript().note(&format!(
            "killed before {}: {changed} properties differ, driver {:?}",
            point.line,
            left.get("driver")
        ));
        restore(host, &before).with_context(|| format!("killed before {}", point.line))?;
    }
    host.expect("query", 0)?;
    before.assert_unchanged(host)?;
    let info: Value = host.card()?.info()?;
    ensure!(info["semaphores_held"] == Value::Array(Vec::new()), "{info}");
    Ok(())
}

/// Each of those calls fails once, and those that only the disk answers fail from there on. The
/// host is as it was, or the command ends with 8 and `host restore` restores it.
pub(super) fn the_host_comes_back_after_a_failure_of_any_host_step(
    host: &mut dyn TestHost,
) -> Result<()> {
    let before = with_driver(host)?;
    let command = host.tool_line("query");
    let mut ended = std::collections::BTreeMap::<i32, usize>::new();
    for point in &host_steps(host, &before)? {
        let ways: &[(&str, &str)] = match point.call.as_str() {
            "fsync" | "fdatasync" => &[("EIO", ""), ("EIO", "+")],
            "rename" | "renameat" | "renameat2" | "unlink" | "unlinkat" | "ftruncate" => {
                &[("EROFS", ""), ("EROFS", "+")]
            }
            "openat" => &[("EMFILE", ""), ("EROFS", "")],
            "write" | "pwrite64" | "mkdir" | "mkdirat" => &[("ENOSPC", "")],
            "flock" | "ioctl" => &[("EIO", "")],
            "clone" | "clone3" | "fork" | "vfork" => &[("EAGAIN", "")],
            // The kernel has no error for these that a program could meet.
            _ => &[],
        };
        for (errno, further) in ways {
            let failing = format!("{errno} {further} at {}", point.line);
            let output = host.sh_within(
                &format!(
                    "strace -o /dev/null -e trace={} -e inject={}:error={errno}:when={}{further} {command} >/tmp/failing 2>&1",
                    point.call, point.call, point.number
                ),
                LIMIT,
            )?;
            *ended.entry(output.code).or_default() += 1;
            let left = HostSnapshot::of(host)?;
            let differences = before.differences(&left);
            // A journal that could not be removed stays until `host restore`.
            let changed: Vec<&str> =
                differences.lines().filter(|line| !line.starts_with("left.")).collect();
            host.transcript().note(&format!(
                "{failing}: exit {}, {} properties differ",
                output.code,
                changed.len()
            ));
            ensure!(
                changed.is_empty() || output.code == 8,
                "{failing}: exit {}\n{differences}",
                output.code
            );
            if !differences.is_empty() {
                restore(host, &before).with_context(|| failing)?;
            }
        }
    }
    host.transcript().note(&format!("exit codes: {ended:?}"));
    host.expect("query", 0)?;
    before.assert_unchanged(host)
}

/// The steps of a query, which borrows the card and restores the host as a burn does.
fn host_steps(host: &mut dyn TestHost, before: &HostSnapshot) -> Result<Vec<KillPoint>> {
    let command = host.tool_line("query");
    // The first run makes directories; all later ones make the same calls.
    host.expect("query", 0)?;
    host.must(&format!(
        "strace -o /tmp/steps -e trace={CALLS} {command} >/dev/null; code=$?; cat /tmp/steps >/tmp/all; exit $code"
    ))?;
    before.assert_unchanged(host)?;
    let trace = host.must("cat /tmp/all")?;
    let points = points_of(&trace);
    ensure!(points.len() >= 20, "only {} host steps in the trace:\n{trace}", points.len());
    host.transcript().note(&format!("{} host steps", points.len()));
    Ok(points)
}

/// The `number`th call of a name.
#[derive(Debug, PartialEq, Eq)]
struct KillPoint {
    call: String,
    number: usize,
    line: String,
}

/// The calls of a trace that are steps: those on the journal, the lock and VFIO, and the helper's
/// start and end. Calls that only read, or that are on terminal, log and libraries, leave nothing
/// to restore.
fn points_of(trace: &str) -> Vec<KillPoint> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    let mut points = Vec::new();
    let mut journal = Vec::<String>::new();
    let mut waited = false;
    for line in trace.lines() {
        let Some((call, rest)) = line.split_once('(') else {
            continue;
        };
        let count = counts.entry(call).or_default();
        *count += 1;
        let descriptor = rest.split([',', ')']).next().unwrap_or_default();
        let records = rest.contains("cx3flash") && !rest.contains("/var/log/");
        let ours = records || rest.contains("/dev/vfio");
        // One wait for each helper: the number of polls differs from run to run.
        let polled = call.starts_with("wait") && std::mem::replace(&mut waited, true);
        waited &= !call.starts_with("clone") && !call.ends_with("fork");
        let step = match call {
            _ if polled => false,
            "openat" => {
                if ours && let Some((_, fd)) = rest.rsplit_once("= ") {
                    journal.push(fd.trim().to_owned());
                }
                ours && (rest.contains("O_CREAT") || rest.contains("/dev/vfio"))
            }
            "clone" | "clone3" | "fork" | "vfork" | "wait4" | "waitid" | "fsync" | "fdatasync"
            | "flock" => true,
            "ioctl" => rest.contains("VFIO") || rest.contains("0x3b"),
            "rename" | "renameat" | "renameat2" | "unlink" | "unlinkat" | "mkdir" | "mkdirat" => {
                ours
            }
            "write" | "pwrite64" | "ftruncate" => journal.iter().any(|fd| fd == descriptor),
            _ => false,
        };
        if call == "close" {
            journal.retain(|fd| fd != descriptor);
        }
        if step {
            points.push(KillPoint {
                call: call.to_owned(),
                number: *count,
                line: line.chars().take(120).collect(),
            });
        }
    }
    points
}

pub(super) fn host_restore_without_a_journal_changes_nothing(
    host: &mut dyn TestHost,
) -> Result<()> {
    let before = with_driver(host)?;
    restore(host, &before)?;
    pending(host, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_boots_only_if_both_orders_of_search_find_an_image() {
        let image = serde_json::json!({"boots": "image", "start": 0, "fw_version": "2.42.5000"});
        let mut info = serde_json::json!({
            "power_on": image,
            "reset": image,
            "power_on_either_order": {"lowest_first": image, "highest_first": image},
        });
        assert_eq!(booted_versions(&info).unwrap(), ["2.42.5000"; 4]);
        info["power_on_either_order"]["highest_first"] = serde_json::json!({"boots": "recovery"});
        assert!(booted_versions(&info).is_err());
    }

    #[test]
    fn calls_that_change_the_host_are_kill_points() {
        let trace = "openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY) = 3\n\
            write(3, \"x\", 1) = 1\n\
            openat(AT_FDCWD, \"/var/lib/cx3flash/j.new\", O_WRONLY|O_CREAT|O_CLOEXEC, 0600) = 4\n\
            write(4, \"journal\", 7) = 7\n\
            fsync(4) = 0\n\
            close(4) = 0\n\
            write(4, \"x\", 1) = 1\n\
            rename(\"/var/lib/cx3flash/j.new\", \"/var/lib/cx3flash/j\") = 0\n\
            vfork() = 77\n\
            wait4(77, 0x7ffe, WNOHANG, NULL) = 0\n\
            wait4(77, 0x7ffe, WNOHANG, NULL) = 77\n\
            ioctl(5, VFIO_GROUP_GET_STATUS, 0x7ffd) = 0\n\
            ioctl(0, TCGETS, 0x7ffd) = -1 ENOTTY\n";
        let points: Vec<(String, usize)> =
            points_of(trace).into_iter().map(|p| (p.call, p.number)).collect();
        let wanted = [
            ("openat", 2),
            ("write", 2),
            ("fsync", 1),
            ("rename", 1),
            ("vfork", 1),
            ("wait4", 1),
            ("ioctl", 1),
        ];
        assert_eq!(points, wanted.map(|(call, n)| (call.to_owned(), n)));
    }
}
