//! SIGKILL, at every step on the host and all over the flash work: the card boots all along, and `host restore` puts the
//! host back.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Shown;
use super::steps::{burn, ethtool_version, flashed, version, with_driver};
use crate::bench::Bench;
use crate::bench::lab::SMALL_IMAGES;
use crate::bench::state::State;

/// Points spread over the erases and programs of a burn.
const POINTS: u64 = 20;

/// System calls by which the tool changes the host or its own records: writing files, starting the helper that writes to
/// sysfs, VFIO's ioctls. Kills come when such a call begins, so each lies between two steps.
const STEPS: &str = "openat,write,pwrite64,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,ftruncate,fsync,fdatasync,flock,clone,clone3,vfork,fork,wait4,waitid,ioctl,close";

/// What the served card would boot, whichever half its boot ROM prefers.
fn bootable(bench: &mut dyn Bench) -> Result<Vec<String>> {
    let info = bench.served(0).context("a served card")?.info()?;
    let mut versions = Vec::new();
    let outcomes = [&info["power_on"], &info["reset"]];
    let either = info["power_on_either_order"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    for outcome in outcomes.into_iter().chain(&either) {
        ensure!(
            outcome["boots"] == "image",
            "the card does not boot any more: {info}"
        );
        versions.push(outcome["version"].as_str().unwrap_or_default().to_owned());
    }
    Ok(versions)
}

/// The small image to burn next, and its version: never the one that the half to be written holds.
fn next_image(bench: &mut dyn Bench) -> Result<(&'static str, &'static str)> {
    let now = version(&flashed(bench)?);
    let at = SMALL_IMAGES
        .iter()
        .position(|(_, known)| version(known) == now)
        .with_context(|| format!("{now:?} is none of the small images"))?;
    Ok(SMALL_IMAGES[(at + 1) % SMALL_IMAGES.len()])
}

/// Puts the host back and looks that it is as it was, twice: restoring is idempotent.
fn restored(bench: &mut dyn Bench, before: &State) -> Result<()> {
    for _ in 0..2 {
        let told = bench.bare_json("host restore")?;
        ensure!(
            told.code == 0,
            "host restore: exit {}: {}\n{}",
            told.code,
            told.json,
            told.stderr
        );
        before.must_be_again(bench)?;
    }
    Ok(())
}

/// Killed at twenty points inside erase and program, each followed by `host restore` and a burn that succeeds.
pub(super) fn inside_the_burn(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    let served = |bench: &mut dyn Bench| {
        bench
            .served(0)
            .context("a served card")
            .and_then(|s| s.mutations())
    };
    // Both halves are used after this, so that every later burn erases; its count says where the points are.
    let (image, _) = next_image(bench)?;
    burn(bench, image, "")?;
    let start = served(bench)?;
    let (image, _) = next_image(bench)?;
    burn(bench, image, "")?;
    let length = served(bench)? - start;
    ensure!(
        length > POINTS * 2,
        "a burn of {length} mutations has no twenty points"
    );
    for point in 0..POINTS {
        let (image, new) = next_image(bench)?;
        // From the first mutation to the last but one, which write the signature.
        let at = served(bench)? + 1 + point * (length - 2) / (POINTS - 1);
        let command = format!(
            "{} -d {} --json burn {image} --yes --backup-dir /tmp/backups",
            bench.tool(),
            bench.bdf()
        );
        let killed = bench.signalled_at(&command, "KILL", at, Duration::from_secs(240))?;
        bench.must("rm -rf /tmp/backups")?;
        ensure!(
            killed.reached,
            "the burn ended before its mutation {at}: {}",
            killed.ran.all()
        );
        let done = served(bench)?;
        let boots = bootable(bench)?;
        bench.transcript().note(&format!(
            "point {point}: asked at {at}, {done} done when the process was gone (exit {}), boots {boots:?}",
            killed.ran.code
        ));
        restored(bench, &before)?;
        bootable(bench)?;
        let told = bench.tool_json(&format!("burn {image} --yes --backup-dir /tmp/backups"))?;
        bench.must("rm -rf /tmp/backups")?;
        // 2 when the kill came after the last write: the card holds exactly this already.
        ensure!(
            told.code == 0 || told.code == 2,
            "the burn after it: exit {}: {}\n{}",
            told.code,
            told.json,
            told.stderr
        );
        before.must_be_again(bench)?;
        ensure!(bootable(bench)?.iter().all(|v| version(v) == version(new)));
        let netdev = before.netdevs().remove(0);
        ensure!(version(&ethtool_version(bench, &netdev)?) == version(new));
    }
    Ok(Shown::Yes)
}

/// Killed before each system call that changes the host or the journal, from the lock to the journal's removal.
pub(super) fn at_every_host_step(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    // A query takes and gives back as a burn does, and nothing else.
    let command = format!("{} -d {} --json query", bench.tool(), bench.bdf());
    // Directories and journal files are made by the first run; all later ones take the same steps.
    bench.expect("query", 0)?;
    let traced = bench.sh(&format!(
        "strace -o /tmp/steps -e trace={STEPS} {command} >/dev/null; code=$?; cat /tmp/steps >/tmp/all; exit $code"
    ))?;
    ensure!(traced.code == 0, "{}", traced.all());
    before.must_be_again(bench)?;
    let trace = bench.must("cat /tmp/all")?;
    let points = points_of(&trace);
    ensure!(
        points.len() >= 20,
        "only {} host steps are seen:\n{trace}",
        points.len()
    );
    bench
        .transcript()
        .note(&format!("{} host steps", points.len()));
    for point in &points {
        let ran = bench.sh(&format!(
            "strace -o /dev/null -e trace={} -e inject={}:signal=KILL:when={} {command} >/dev/null 2>&1; sleep 0.2; while pidof cx3flash >/dev/null; do sleep 0.1; done",
            point.call, point.call, point.number
        ))?;
        ensure!(
            ran.code == 0,
            "the guest's helper does not end: {}",
            ran.all()
        );
        let left = State::of(bench)?;
        let changed = before.differences(&left).lines().count();
        bench.transcript().note(&format!(
            "killed before {}: {changed} facts differ, driver {:?}",
            point.line,
            left.get("driver")
        ));
        restored(bench, &before).with_context(|| format!("killed before {}", point.line))?;
    }
    bench.expect("query", 0)?;
    before.must_be_again(bench)?;
    let info: Value = bench.served(0).context("a served card")?.info()?;
    ensure!(
        info["semaphores_held"]
            .as_array()
            .is_some_and(Vec::is_empty),
        "{info}"
    );
    Ok(Shown::Yes)
}

/// A place to kill at: the `number`th call of its name.
#[derive(Debug, PartialEq, Eq)]
struct Point {
    call: String,
    number: usize,
    line: String,
}

/// The calls of a trace that are steps: those on the journal, the lock, sysfs and VFIO, and the helper's start and end.
/// Calls that only read, or concern the terminal, the log and the libraries, change nothing a kill could leave behind.
fn points_of(trace: &str) -> Vec<Point> {
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
        // One wait for each helper: the polls after the first differ in number from run to run.
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
            points.push(Point {
                call: call.to_owned(),
                number: *count,
                line: line.chars().take(120).collect(),
            });
        }
    }
    points
}

/// `host restore` of a host that has nothing to restore says so and changes nothing.
pub(super) fn nothing_to_restore(bench: &mut dyn Bench) -> Result<Shown> {
    let before = with_driver(bench)?;
    restored(bench, &before)?;
    let status = bench.bare_json("host status")?;
    match status.at("/result/pending")?.as_array().map(Vec::len) {
        Some(0) => Ok(Shown::Yes),
        _ => bail!("host status: {}", status.json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_from_the_rest() {
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
        let points: Vec<(String, usize)> = points_of(trace)
            .into_iter()
            .map(|p| (p.call, p.number))
            .collect();
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
