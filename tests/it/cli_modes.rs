//! Who may read what a command leaves: the umask of the user decides only where it may.

use crate::support::cli::Sandbox;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Everything below `dir` with its mode.
fn below(dir: &Path) -> Vec<(PathBuf, bool, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let about = path.symlink_metadata().unwrap();
        found.push((path.clone(), about.is_dir(), about.permissions().mode() & 0o7777));
        if about.is_dir() {
            found.extend(below(&path));
        }
    }
    found
}

#[track_caller]
fn private(bench: &Sandbox, dir: &str, files: usize) {
    let all = below(&bench.path(dir));
    assert!(all.iter().filter(|(_, is_dir, _)| !is_dir).count() >= files, "{all:?}");
    for (path, is_dir, mode) in all {
        let wanted = if is_dir { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{}: {mode:o}", path.display());
    }
}

#[test]
fn what_holds_an_identity_is_private_whatever_the_umask() {
    for umask in ["000", "022", "777"] {
        let bench = Sandbox::owner();
        std::fs::create_dir(bench.path("top")).unwrap();
        let run = |args: &str| {
            bench.shell(&format!("umask {umask}; cx3flash -d sim:card.cx3 {args}")).exits(0)
        };
        run("backup --out top/made/twice");
        run("burn new.bin --yes --no-activate --backup-dir top/burn");
        run("--report top/report/here query");
        private(&bench, "top", 13);
        // Log and the proof of chained reads; backups of no `--backup-dir` go there too.
        run("backup");
        private(&bench, "state", 8);
    }
}

#[test]
fn what_the_user_names_follows_the_umask_and_no_link() {
    for (umask, mode) in [("000", 0o666), ("027", 0o640), ("077", 0o600)] {
        let bench = Sandbox::owner();
        let shell =
            |args: &str| bench.shell(&format!("umask {umask}; cx3flash -d sim:card.cx3 {args}"));
        shell("flash read flash.bin").exits(0);
        shell("rom read rom.bin").exits(0);
        shell("sim image other.bin").exits(0);
        for file in ["flash.bin", "rom.bin", "other.bin"] {
            let found = std::fs::metadata(bench.path(file)).unwrap().permissions().mode();
            assert_eq!(found & 0o7777, mode, "{file}: {found:o}");
        }
        symlink(bench.path("victim"), bench.path("planted")).unwrap();
        for args in ["flash read planted", "rom read planted", "sim image planted"] {
            shell(args).exits(1).one_clear_line().reports("planted");
            assert!(!bench.path("victim").exists(), "{args}");
        }
    }
}

#[test]
fn a_file_that_exists_is_refused_before_the_card_is_opened() {
    let bench = Sandbox::owner();
    bench.write("there", b"mine");
    let card = bench.read("card.cx3");
    for args in [["flash", "read"], ["rom", "read"]] {
        for (out, hint) in [("there", "never overwritten"), ("missing/out", "hint: ")] {
            let ran = bench.card(&[args[0], args[1], out]).exits(1).one_clear_line();
            ran.reports(out).reports(hint);
        }
        assert!(bench.read("card.cx3") == card, "the card was opened");
    }
    assert_eq!(bench.read("there"), b"mine");
    // A card that cannot be read leaves no file.
    bench.run(&["-d", "sim:missing.cx3", "flash", "read", "out"]).exits(3);
    assert!(!bench.path("out").exists());
}
