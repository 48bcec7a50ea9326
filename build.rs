//! Gives the program the commit it is built from, for `cx3flash --version`.
//!
//! Release builds only: in others each commit would build everything anew. Without git, or where the source
//! is no checkout of its own, such as a source package, there is none.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What a build is made of: a change of it that is not committed is reported.
const SOURCES: [&str; 4] = ["build.rs", "Cargo.lock", "Cargo.toml", "src"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let (root, profile) = (env::var_os("CARGO_MANIFEST_DIR"), env::var_os("PROFILE"));
    let Some(root) = root.filter(|_| profile.is_some_and(|profile| profile == "release")) else {
        return;
    };
    if let Some(commit) = commit(Path::new(&root)) {
        println!("cargo::rustc-env=CX3FLASH_COMMIT={commit}");
    }
}

/// `39c2819f3b1a`, `39c2819f3b1a (modified)`.
fn commit(root: &Path) -> Option<String> {
    let top = git(root, &["rev-parse", "--show-toplevel"])?;
    if fs::canonicalize(top).ok()? != fs::canonicalize(root).ok()? {
        return None;
    }
    for file in ["HEAD", "logs/HEAD"] {
        let path = root.join(git(root, &["rev-parse", "--git-path", file])?);
        // cargo takes a file that does not exist for one that has changed.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let head = git(root, &["rev-parse", "--short=12", "HEAD"])?;
    let status = ["status", "--porcelain", "--untracked-files=no", "--"];
    let changed = git(root, &[&status[..], &SOURCES[..]].concat())?;
    Some(if changed.is_empty() { head } else { format!("{head} (modified)") })
}

/// What git prints; `None` when it fails or is not there.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .env_remove("GIT_DIR")
        .args(["--no-optional-locks", "-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(root)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
