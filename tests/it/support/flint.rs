//! Finding and running mstflint on image files.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A missing witness fails the test instead of skipping it when this is set to 1.
const REQUIRE: &str = "CX3FLASH_REQUIRE_WITNESS";

/// Seconds after which a run counts as hung. A normal one takes 20 ms.
const LIMIT: &str = "20";

/// mstflint.
pub struct Flint(PathBuf);

/// What one run printed.
pub struct FlintRun {
    /// Exit code.
    pub code: i32,
    /// stdout, where flint prints everything.
    pub text: String,
    /// It did not end by itself.
    pub hung: bool,
}

/// The witness; `None`, with the reason on stderr, when there is none and none is required.
pub fn witness() -> Option<&'static Flint> {
    static FOUND: OnceLock<Result<Flint, String>> = OnceLock::new();
    match FOUND.get_or_init(find_or_install) {
        Ok(flint) => Some(flint),
        Err(why) => {
            assert!(
                std::env::var_os(REQUIRE).is_none_or(|v| v != "1"),
                "{REQUIRE}=1 but there is no mstflint: {why}"
            );
            eprintln!("SKIPPED: no mstflint to compare with: {why}");
            None
        }
    }
}

fn find_or_install() -> Result<Flint, String> {
    if let Some(path) = on_path() {
        return Ok(Flint(path));
    }
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    if !root {
        return Err("not on the PATH, and installing it needs root".into());
    }
    // Tests of several crates may come here at once; one installs, the others wait.
    let marker = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mstflint-install");
    let file = File::options()
        .create(true)
        .append(true)
        .open(&marker)
        .map_err(|e| format!("{}: {e}", marker.display()))?;
    let mut lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive)
        .map_err(|(_, e)| format!("{}: {e}", marker.display()))?;
    if let Some(path) = on_path() {
        return Ok(Flint(path));
    }
    let tried = std::fs::read_to_string(&marker).unwrap_or_default();
    if !tried.is_empty() {
        return Err(format!("{tried} (delete {} to try again)", marker.display()));
    }
    let outcome = Command::new("apt-get")
        .args(["install", "-y", "mstflint"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match (on_path(), outcome) {
        (Some(path), _) => Ok(Flint(path)),
        (None, Ok(status)) => {
            let why = format!("apt-get install mstflint: {status}");
            let _ = lock.write_all(why.as_bytes());
            Err(why)
        }
        (None, Err(e)) => {
            let why = format!("apt-get: {e}");
            let _ = lock.write_all(why.as_bytes());
            Err(why)
        }
    }
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join("mstflint"))
        .find(|candidate| candidate.is_file())
}

impl Flint {
    /// The program.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Run on an image file: `flags` and `-i file`, then the command with its arguments.
    pub fn run(&self, file: &Path, flags: &[&str], command: &[&str]) -> FlintRun {
        let output = Command::new("timeout")
            .arg(LIMIT)
            .arg(&self.0)
            .args(flags)
            .arg("-i")
            .arg(file)
            .args(command)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .expect("timeout of coreutils runs");
        let code = output.status.code().unwrap_or(-1);
        FlintRun {
            code,
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            hung: code == 124,
        }
    }
}

/// Ids of the rows of the table of differences.
pub fn table_of_differences() -> Vec<&'static str> {
    let page = include_str!("../../../docs/flint.md");
    let (_, section) = page.split_once("\n## Differences\n").unwrap();
    let (table, _) = section.split_once("\n## ").unwrap();
    table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .map(|(id, _)| id)
        .filter(|id| *id != "id")
        .collect()
}
