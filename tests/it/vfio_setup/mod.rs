//! `vfio-setup/`: the content of the installed files, and the script, which leaves other files
//! alone.
//!
//! No root and no systemd: files go below `--root`; the calls to the host go to stand-ins on PATH.

mod bench;
mod content;
mod host;
mod others;
mod packaged;

use bench::{Bench, CI, MODULES, RULES, UNIT, USUAL, here, run};
use cx3flash::host::Host;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

#[test]
fn installing_twice_changes_nothing() {
    let bench = Bench::new();
    bench.setup(&[]).exits(0).reports("installed");
    let first = bench.files();
    let mut usual: Vec<String> = USUAL.map(str::to_owned).to_vec();
    usual.sort();
    assert_eq!(first.keys().cloned().collect::<Vec<_>>(), usual);
    for (name, (_, mode, _)) in &first {
        assert_eq!(mode & 0o7777, 0o644, "{name}");
    }
    bench.setup(&[]).exits(0).reports("nothing to change");
    assert_eq!(bench.files(), first);
}

#[test]
fn check_reports_and_changes_nothing() {
    let bench = Bench::new();
    let ran = bench.setup(&["--check"]).exits(1);
    for name in USUAL {
        let line = format!("missing  {}", bench.path(name).display());
        assert!(ran.stdout.lines().any(|l| l == line), "{}", ran.stdout);
    }
    assert!(bench.names().is_empty(), "{:?}", bench.names());

    bench.setup(&[]).exits(0);
    let before = bench.files();
    let ran = bench.setup(&["--check"]).exits(0);
    assert!(!ran.stdout.contains("missing"), "{}", ran.stdout);
    bench.setup(&["--check", "--ci-host"]).exits(1).reports(CI);
    bench
        .setup(&["--check", "--prefix", "/opt/x"])
        .exits(1)
        .reports("of another version or prefix");
    assert_eq!(bench.files(), before);

    fs::remove_file(bench.path(UNIT)).unwrap();
    bench.setup(&["--check"]).exits(1).reports(UNIT);
}

#[test]
fn uninstall_removes_its_own_files_only() {
    let bench = Bench::new();
    bench.write("etc/udev/rules.d/60-mine.rules", "# mine\n");
    bench.write("etc/modprobe.d/vfio.conf", "options vfio-pci disable_vga=1\n");
    bench.write("var/lib/cx3flash/backups/card/flash.bin", "backup");
    let before = bench.files();
    bench.setup(&["--ci-host"]).exits(0);
    assert_eq!(bench.files().len(), before.len() + USUAL.len() + 1);
    bench.setup(&["--uninstall"]).exits(0).reports("removed");
    assert_eq!(bench.files(), before);
    bench.setup(&["--uninstall"]).exits(0).reports("nothing to remove");

    // A file of the same name that we never wrote.
    bench.write(MODULES, "vfio\nvfio-pci\n");
    let before = bench.files();
    bench.setup(&["--uninstall"]).exits(0).reports("not installed by this script");
    assert_eq!(bench.files(), before);
}

#[test]
fn uninstalling_the_ci_option_removes_only_its_file() {
    let bench = Bench::new();
    bench.setup(&[]).exits(0);
    let before = bench.files();
    bench.setup(&["--ci-host"]).exits(0).reports(CI);
    assert!(bench.path(CI).exists());
    // Plain setup does not take it away.
    bench.setup(&[]).exits(0);
    bench.setup(&["--check"]).exits(0).reports("note");
    assert!(bench.path(CI).exists());
    bench.setup(&["--uninstall", "--ci-host"]).exits(0);
    assert_eq!(bench.files(), before);
}

#[test]
fn files_that_the_administrator_changed_stay() {
    let bench = Bench::new();
    bench.setup(&[]).exits(0);
    let text = bench.read(UNIT).replace("TimeoutStartSec=5min", "TimeoutStartSec=9min");
    assert_ne!(text, bench.read(UNIT));
    bench.write(UNIT, &text);
    bench.setup(&["--check"]).exits(1).reports("was changed since it was installed");
    // Nothing is done: the missing file is not installed either.
    fs::remove_file(bench.path(RULES)).unwrap();
    let before = bench.files();
    bench
        .setup(&[])
        .exits(1)
        .complains("was changed since it was installed; not overwritten")
        .complains("nothing was done");
    assert_eq!(bench.files(), before);
    bench.setup(&["--uninstall"]).exits(1).complains(UNIT);
    assert_eq!(bench.names(), [UNIT]);
    assert_eq!(bench.read(UNIT), text);
}

#[test]
fn another_packages_file_or_a_mask_is_not_overwritten() {
    let bench = Bench::new();
    bench.write(RULES, "# my own rules\n");
    let before = bench.files();
    bench.setup(&[]).exits(1).complains("was not installed by this script");
    assert_eq!(bench.files(), before);

    let bench = Bench::new();
    fs::create_dir_all(bench.path(UNIT).parent().unwrap()).unwrap();
    symlink("/dev/null", bench.path(UNIT)).unwrap();
    let before = bench.files();
    bench.setup(&[]).exits(1).complains("was not installed by this script");
    bench.setup(&["--check"]).exits(1);
    bench.setup(&["--uninstall"]).exits(0);
    assert_eq!(bench.files(), before);
}

#[test]
fn an_older_install_is_updated_and_removed() {
    // Our own text of another prefix is untouched by the admin: it is brought up to date.
    let bench = Bench::new();
    bench.setup(&["--prefix", "/opt/cx3"]).exits(0);
    assert!(bench.read(UNIT).contains("\nExecStart=/opt/cx3/bin/cx3flash host restore\n"));
    bench.setup(&[]).exits(0).reports("updated");
    assert!(bench.read(UNIT).contains("\nExecStart=/usr/local/bin/cx3flash host restore\n"));
    bench.setup(&["--uninstall", "--prefix=/opt/other"]).exits(0);
    assert!(bench.names().is_empty(), "{:?}", bench.names());
}

#[test]
fn a_file_that_was_copied_by_hand_is_accepted() {
    let bench = Bench::new();
    let text = fs::read_to_string(here().join("modules-load.d/cx3flash.conf")).unwrap();
    bench.write(MODULES, &text);
    bench.setup(&[]).exits(0);
    bench.setup(&["--check"]).exits(0);
    assert_eq!(bench.read(MODULES), text);
    bench.setup(&["--uninstall"]).exits(0);
    assert_eq!(bench.names(), [MODULES]);
}

#[test]
fn uninstall_is_refused_while_a_journal_is_pending() {
    let bench = Bench::new();
    bench.setup(&[]).exits(0);
    let journals = Host::at(bench.dir.path()).journal_dir();
    fs::create_dir_all(&journals).unwrap();
    bench.setup(&["--uninstall"]).exits(0);
    bench.setup(&[]).exits(0);
    fs::write(journals.join("0000:05:00.0.journal"), "x").unwrap();
    let before = bench.files();
    bench.setup(&["--uninstall"]).exits(1).complains("cx3flash host restore");
    assert_eq!(bench.files(), before);
    bench.setup(&["--check"]).exits(0).reports("a journal is pending");
}

#[test]
fn a_second_list_of_ids_is_refused() {
    for (name, text, fine) in [
        ("etc/modprobe.d/gpu.conf", "options vfio-pci ids=10de:1c03\n", false),
        ("etc/modprobe.d/gpu.conf", "options vfio_pci disable_vga=1 ids=10de:1c03\n", false),
        ("proc/cmdline", "root=/dev/sda1 vfio-pci.ids=10de:1c03 quiet\n", false),
        ("etc/modprobe.d/gpu.conf", "#options vfio-pci ids=10de:1c03\n", true),
        ("etc/modprobe.d/gpu.conf", "options vfio-pci disable_vga=1\n", true),
    ] {
        let bench = Bench::new();
        bench.write(name, text);
        let before = bench.files();
        if fine {
            bench.setup(&["--ci-host"]).exits(0);
        } else {
            bench.setup(&["--ci-host"]).exits(1).complains("only one list counts");
            assert_eq!(bench.files(), before, "{text}");
        }
        bench.setup(&[]).exits(0);
    }
}

#[test]
fn wrong_arguments_are_64_with_a_message() {
    let bench = Bench::new();
    for (args, message) in [
        (&["--chekc"][..], "unknown argument '--chekc'"),
        (&["install"], "unknown argument 'install'"),
        (&["--check", "--uninstall"], "exclude each other"),
        (&["--user"], "--user needs a value"),
        (&["--prefix", ""], "--prefix needs a value"),
        (&["--prefix", "usr/local"], "must be an absolute path"),
        (&["--prefix", "/opt/a b"], "must be an absolute path"),
        (&["--prefix=/opt/%h"], "must be an absolute path"),
        (&["--user", "-x"], "'-x' is not a user name"),
        (&["--user", "a;b"], "is not a user name"),
        (&["--user", "root", "--uninstall"], "--user does not go with --uninstall"),
    ] {
        let ran =
            run(Command::new(here().join("setup")).arg("--root").arg(bench.dir.path()).args(args));
        ran.exits(64).complains(message);
    }
    bench.setup(&["--user", "root"]).exits(64).complains("--user does not go with --root");
    assert!(bench.names().is_empty(), "{:?}", bench.names());
    run(Command::new(here().join("setup")).args(["--root", "/nonexistent/x"]))
        .exits(1)
        .complains("no such directory");
    let ran = run(Command::new(here().join("setup")).arg("--help")).exits(0);
    for option in ["--check", "--uninstall", "--user", "--ci-host", "--prefix", "--root"] {
        assert!(ran.stdout.contains(option), "{}", ran.stdout);
    }
}
