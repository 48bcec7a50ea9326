//! The tool under test, built as it is released.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// Targets that need no libraries in the guest: musl is static by itself, glibc on request.
const MUSL: &str = "x86_64-unknown-linux-musl";
const GLIBC: &str = "x86_64-unknown-linux-gnu";

/// Builds `cx3flash` in release mode into the workspace's own target directory, as a static program: with a loader of the
/// host before it, `/proc/self/exe`, by which the tool starts itself for writes to sysfs, would be that loader.
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
    let triple = if has_musl() { MUSL } else { GLIBC };
    command.args(["--target", triple]);
    if triple == GLIBC {
        command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    }
    let status = command.status()?;
    if !status.success() {
        bail!("building cx3flash ended with {status}");
    }
    Ok(target.join(triple).join("release/cx3flash"))
}

/// Whether the standard library for [`MUSL`] is installed.
fn has_musl() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", MUSL])
        .output();
    out.is_ok_and(|out| {
        out.status.success() && Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_dir()
    })
}
