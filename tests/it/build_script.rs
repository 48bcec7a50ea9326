//! Which commit a build names (`build.rs`), and when it names none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The build script as a program; `None` without a compiler or git.
fn script(dir: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
    let program = dir.join("build-script");
    let mut compiler = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let built = compiler.args(["--edition", "2024", "-o"]).arg(&program).arg(source).output();
    let git = Command::new("git").arg("--version").output();
    match (built, git) {
        (Ok(built), Ok(_)) => {
            assert!(built.status.success(), "{built:?}");
            Some(program)
        }
        _ => {
            println!("skipped: no rustc or no git here");
            None
        }
    }
}

/// What the script prints for the sources in `dir`.
fn ran(script: &Path, dir: &Path, profile: &str, path: &str) -> String {
    let output = Command::new(script)
        .current_dir(dir)
        .env("CARGO_MANIFEST_DIR", dir)
        .env("PROFILE", profile)
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .env_remove("GIT_DIR")
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_release_build_names_its_commit_and_others_name_none() {
    let bench = tempfile::tempdir().unwrap();
    let Some(script) = script(bench.path()) else { return };
    let path = std::env::var("PATH").unwrap();
    let source = bench.path().join("source");
    fs::create_dir_all(source.join("src")).unwrap();
    fs::write(source.join("src/main.rs"), "fn main() {}\n").unwrap();
    let none = |printed: &str| !printed.contains("CX3FLASH_COMMIT");

    assert!(none(&ran(&script, &source, "release", &path)), "no checkout");
    git(&source, &["init", "-q"]);
    assert!(none(&ran(&script, &source, "release", &path)), "no commit yet");
    git(&source, &["add", "."]);
    git(&source, &["commit", "-qm", "first"]);
    let head = git(&source, &["rev-parse", "--short=12", "HEAD"]);
    let line = format!("cargo::rustc-env=CX3FLASH_COMMIT={}", head.trim());
    let named = |expected: &str| {
        let printed = ran(&script, &source, "release", &path);
        assert!(printed.lines().any(|printed| printed == expected), "{expected}\n{printed}");
    };
    named(&line);
    assert!(none(&ran(&script, &source, "debug", &path)), "a debug build");
    assert!(none(&ran(&script, &source, "release", "/nonexistent")), "no git");

    fs::write(source.join("src/main.rs"), "fn main() { }\n").unwrap();
    named(&format!("{line} (modified)"));

    // Unpacked below another checkout.
    let package = source.join("target/package");
    fs::create_dir_all(package.join("src")).unwrap();
    assert!(none(&ran(&script, &package, "release", &path)), "another checkout");
}
