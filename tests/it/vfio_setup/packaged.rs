//! The script on a host where a package has the files below /usr/lib.

use super::bench::{Bench, MODULES, RULES, UNIT, USUAL, here, run};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

const WANTED_BY: &str = "etc/systemd/system/multi-user.target.wants/cx3flash-restore.service";

fn vendor(name: &str) -> String {
    format!("usr/lib/{}", name.strip_prefix("etc/").unwrap())
}

/// The files a package installs.
fn install_package(bench: &Bench) {
    for name in USUAL {
        bench.write(&vendor(name), "# of the package\n");
    }
    let share = bench.path("usr/share/cx3flash");
    fs::create_dir_all(share.join("modprobe.d")).unwrap();
    for name in ["setup", "files", "modprobe.d/cx3flash-ci.conf"] {
        fs::copy(here().join(name), share.join(name)).unwrap();
    }
}

#[test]
fn the_list_has_the_files_and_their_places() {
    let list = fs::read_to_string(here().join("files")).unwrap();
    let mut places = Vec::new();
    for line in list.lines().filter(|l| !l.starts_with('#')) {
        let (source, place) = line.split_once(' ').unwrap();
        assert!(here().join(source).is_file(), "{source}");
        places.push(format!("etc/{place}"));
    }
    places.sort();
    let mut usual = USUAL.map(str::to_owned).to_vec();
    usual.sort();
    assert_eq!(places, usual);
}

#[test]
fn files_of_a_package_are_not_installed_twice() {
    let bench = Bench::new();
    install_package(&bench);
    let before = bench.files();
    bench.setup(&[]).exits(0).reports("nothing to change");
    assert_eq!(bench.files(), before);
    let ran = bench.setup(&["--check"]).exits(0);
    for name in USUAL {
        assert!(ran.stdout.contains(&vendor(name)), "{name}: {}", ran.stdout);
    }
    bench.setup(&["--uninstall"]).exits(0).reports("remove the package instead");
    assert_eq!(bench.files(), before);
}

#[test]
fn a_package_takes_the_place_of_unchanged_files() {
    let bench = Bench::new();
    bench.setup(&["--ci-host"]).exits(0);
    let link = bench.path(WANTED_BY);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(format!("/{UNIT}"), &link).unwrap();
    bench.write(RULES, "# mine\n");
    install_package(&bench);

    bench.setup(&["--check"]).exits(1).reports("hides the package's file");
    // As the package does it, with its own copy of the script.
    let mut packaged = Command::new(bench.path("usr/share/cx3flash/setup"));
    run(packaged.arg("--root").arg(bench.dir.path()))
        .exits(0)
        .reports("the package has it")
        .complains("used instead of the package's");
    for name in USUAL {
        assert_eq!(bench.path(name).exists(), name == RULES, "{name}");
    }
    assert_eq!(fs::read_link(&link).unwrap().to_str(), Some(&*format!("/{}", vendor(UNIT))));
    bench.setup(&["--check"]).exits(0).reports("note");
    let after = bench.files();
    bench.setup(&[]).exits(0).reports("nothing to change");
    assert_eq!(bench.files(), after);
    assert!(bench.path("etc/modprobe.d/cx3flash-ci.conf").exists());
}

#[test]
fn a_program_that_hides_the_packages_is_reported() {
    let bench = Bench::new();
    install_package(&bench);
    bench.write("usr/local/bin/cx3flash", "");
    bench.setup(&[]).exits(0).reports("usr/local/bin/cx3flash comes before /usr/bin/cx3flash");
    bench.setup(&["--check"]).exits(0).reports("remove it");
}

#[test]
fn a_package_may_not_go_while_a_journal_is_pending() {
    let bench = Bench::new();
    install_package(&bench);
    bench.setup(&["--may-remove"]).exits(0);
    bench.write("var/lib/cx3flash/journal/0000:05:00.0.journal", "x");
    bench.setup(&["--may-remove"]).exits(1).complains("cx3flash host restore");
    bench.setup(&["--may-remove", "--check"]).exits(64);
    assert!(!bench.path(MODULES).exists());
}
