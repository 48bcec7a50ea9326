//! Other programs' opinion.

use super::bench::{Bench, RULES, UNIT, here, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Whether a program accepts these arguments; reports when it does not.
fn present(program: &str, probe: &[&str]) -> bool {
    let there = Command::new(program).args(probe).output().is_ok_and(|out| out.status.success());
    if !there {
        eprintln!("skipped: no {program} that takes {probe:?}");
    }
    there
}

#[test]
fn shellcheck_reports_nothing() {
    if present("shellcheck", &["--version"]) {
        let ran =
            run(Command::new("shellcheck").args(["--shell=sh", "--"]).arg(here().join("setup")));
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn systemd_reads_the_unit() {
    if !present("systemd-analyze", &["--version"]) {
        return;
    }
    let bench = Bench::new();
    let bin = bench.path("bin/cx3flash");
    bench.write("bin/cx3flash", "#!/bin/sh\n");
    fs::set_permissions(&bin, fs::Permissions::from_mode(0o755)).unwrap();
    let prefix = bench.dir.path().to_str().unwrap();
    bench.setup(&["--prefix", prefix]).exits(0);
    let ran =
        run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(bench.path(UNIT)));
    // Other units of the machine may be reported; ours may not.
    let reports: Vec<&str> =
        ran.stderr.lines().filter(|l| l.contains("cx3flash-restore")).collect();
    assert!(reports.is_empty(), "{}", ran.stderr);
    // The check can fail.
    let broken = bench.read(UNIT).replace("Type=oneshot", "Type=onesht");
    bench.write("x/cx3flash-restore.service", &broken);
    let ran = run(Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(bench.path("x/cx3flash-restore.service")));
    assert!(ran.stderr.contains("onesht"), "{}", ran.stderr);
}

/// A network stage before sysinit.target, as cloud-init has on Debian, must not meet itself in us.
#[test]
fn the_order_has_no_cycle() {
    if !present("systemd-analyze", &["--version"]) {
        return;
    }
    let bench = Bench::new();
    let root = bench.dir.path();
    bench.write("bin/cx3flash", "#!/bin/sh\n");
    fs::set_permissions(root.join("bin/cx3flash"), fs::Permissions::from_mode(0o755)).unwrap();
    bench.setup(&["--prefix", root.to_str().unwrap()]).exits(0);
    let unit = bench.read(UNIT);
    bench.write(
        "units/early-net.service",
        "[Unit]\nDefaultDependencies=no\nAfter=network-pre.target\nBefore=sysinit.target\n\
         [Service]\nType=oneshot\nExecStart=/bin/true\n",
    );
    bench.write(
        "units/t.target",
        "[Unit]\nRequires=multi-user.target early-net.service cx3flash-restore.service\n",
    );
    let cycles = |unit: &str| {
        bench.write("units/cx3flash-restore.service", unit);
        // A colon at the end: the usual directories as well.
        let path = format!("{}:", root.join("units").display());
        let ran = run(Command::new("systemd-analyze")
            .args(["verify", "--man=no", "t.target"])
            .env("SYSTEMD_UNIT_PATH", path));
        // Which unit systemd starts its complaint with is up to it.
        ran.stderr.contains("Found ordering cycle")
            && ran.stderr.contains("cx3flash-restore.service")
    };
    assert!(!cycles(&unit));
    // Without that line there is one: the check can fail, and the line is needed.
    assert!(cycles(&unit.replace("DefaultDependencies=no\n", "")));
}

#[test]
fn udev_reads_the_rules() {
    if present("udevadm", &["verify", "--help"]) {
        let bench = Bench::new();
        bench.setup(&[]).exits(0);
        let ran = run(Command::new("udevadm")
            .args(["verify", "--resolve-names=never"])
            .arg(bench.path(RULES)));
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }
}
