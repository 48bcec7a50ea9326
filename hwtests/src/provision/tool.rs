//! The tool under test, built as it is released.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// The target whose programs run in any guest: no libraries to pack.
pub(super) const STATIC: &str = "x86_64-unknown-linux-musl";

/// Builds `cx3flash` in release mode into the workspace's own target directory.
///
/// Statically where the standard library for it is installed, which the lab needs; else for this host, which is enough
/// for a real card.
pub(super) fn build(target: &Path) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--release", "--package", "cx3flash"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target);
    let mut dir = target.to_owned();
    if has_static() {
        command.args(["--target", STATIC]);
        dir.push(STATIC);
    }
    let status = command.status()?;
    if !status.success() {
        bail!("building cx3flash ended with {status}");
    }
    Ok(dir.join("release/cx3flash"))
}

/// Whether the standard library for [`STATIC`] is installed.
pub(super) fn has_static() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", STATIC])
        .output();
    out.is_ok_and(|out| {
        out.status.success() && Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_dir()
    })
}
