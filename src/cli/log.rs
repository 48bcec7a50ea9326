//! The log of a job: a file of JSON lines, whatever the screen shows.
//!
//! Files lie in `$XDG_STATE_HOME/cx3flash/log` (`~/.local/state/...` without it, `/var/log/cx3flash`
//! for root) and are named after time, process and command. The file holds everything down to
//! debug level; every single register access (trace level: a million lines for a burn) only with
//! `-vv`. A log that cannot be written never makes a job fail.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use time::macros::format_description;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Start logging for this process: into a file when `command` names a job, on stderr with `-v`.
/// Returns the file, when there is one. Later calls in the same
/// process (the demo runs many commands) change nothing.
pub(super) fn start(command: Option<&str>, verbose: u8) -> Option<PathBuf> {
    let level = match verbose {
        0 | 1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let opened = command.and_then(|c| open(&directory()?, c));
    let (path, file) = opened.unzip();
    let file_layer = file.map(|file| {
        tracing_subscriber::fmt::layer()
            .json()
            .log_internal_errors(false)
            .with_writer(Mutex::new(file))
            .with_filter(level)
    });
    let screen_layer = (verbose > 0).then(|| {
        tracing_subscriber::fmt::layer()
            .compact()
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .with_writer(std::io::stderr)
            .with_filter(level)
    });
    let fresh = tracing_subscriber::registry()
        .with(file_layer)
        .with(screen_layer)
        .try_init()
        .is_ok();
    path.filter(|_| fresh)
}

fn directory() -> Option<PathBuf> {
    if let Some(state) = absolute("XDG_STATE_HOME") {
        return Some(state.join("cx3flash/log"));
    }
    if is_root() {
        return Some("/var/log/cx3flash".into());
    }
    Some(absolute("HOME")?.join(".local/state/cx3flash/log"))
}

/// By the owner of our own process entry; no entry (no /proc) counts as not root.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// Relative paths in these variables are to be ignored (XDG base directory specification).
fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
}

fn open(dir: &Path, command: &str) -> Option<(PathBuf, File)> {
    fs::create_dir_all(dir).ok()?;
    let stamp = time::OffsetDateTime::now_utc()
        .format(format_description!(
            "[year][month][day]T[hour][minute][second]Z"
        ))
        .ok()?;
    let path = dir.join(format!("{stamp}-{}-{command}.jsonl", std::process::id()));
    let file = OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(&path)
        .ok()?;
    Some((path, file))
}
