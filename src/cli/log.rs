//! The log of a job: a file of JSON lines, whatever is printed on the terminal.
//!
//! Files are in the log directory of [`UserDirs`] and are named after time, process and command. A file
//! holds everything down to debug level; register accesses (trace level) only with `-vv`. From other
//! crates it holds warnings and errors. [`file`] bounds its size and the number of files. A log that
//! cannot be written never makes a job fail.

mod file;

pub(super) use file::SharedLog;

use super::page::Page;
use crate::host::{Host, UserDirs};
use crate::words;
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

/// Starts logging for this process: into a file when `command` names a job, on stderr with `-v`.
/// Later calls in the same process (the demo runs many commands) change nothing.
pub(super) fn start(command: Option<&str>, verbose: u8) -> Option<SharedLog> {
    let level = match verbose {
        0 | 1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let targets =
        Targets::new().with_target(env!("CARGO_CRATE_NAME"), level).with_default(LevelFilter::WARN);
    let file = command.and_then(path).map(|path| SharedLog::new(path, file::BOUNDS));
    let file_layer = file.clone().map(|file| {
        tracing_subscriber::fmt::layer()
            .json()
            // The list repeats the current span.
            .with_span_list(false)
            .log_internal_errors(false)
            .with_writer(file)
            .with_filter(targets.clone())
    });
    let screen_layer = (verbose > 0).then(|| {
        tracing_subscriber::fmt::layer()
            .compact()
            .without_time()
            .with_target(false)
            .with_ansi(false)
            // Such an error is printed by a macro that panics when stderr cannot be written.
            .log_internal_errors(false)
            .with_writer(|| super::terminal::LogLines)
            .with_filter(targets)
    });
    let subscriber = tracing_subscriber::registry().with(file_layer).with(screen_layer);
    tracing::subscriber::set_global_default(subscriber).ok()?;
    // Fails only when another logger is set; this process has set none.
    if log::set_logger(&OtherCrates).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
    note_panics();
    file
}

/// Forwards what other crates report through the `log` crate, without the source paths of the build
/// machine (`tracing-log` adds them to each line).
struct OtherCrates;

impl log::Log for OtherCrates {
    fn enabled(&self, about: &log::Metadata<'_>) -> bool {
        about.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        let (from, text) = (record.target(), record.args());
        match record.level() {
            log::Level::Error => tracing::error!(target: "other_crate", from, "{text}"),
            log::Level::Warn => tracing::warn!(target: "other_crate", from, "{text}"),
            _ => {}
        }
    }

    fn flush(&self) {}
}

/// Logs panics. stderr and the log name the crate and its file, not their path on the build machine.
fn note_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map_or_else(String::new, |at| {
            format!("{}:{}:{}", in_crate(at.file()), at.line(), at.column())
        });
        let text = panic
            .payload()
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        tracing::error!(at, text, "panicked");
        let backtrace = std::backtrace::Backtrace::capture();
        let mut page = Page::of(format_args!("cx3flash panicked at {at}: {text}"));
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            page.lines(&format!("{backtrace}\n"));
        }
        super::terminal::Out::default().error(&page);
    }));
}

/// `log-0.4.35/src/lib.rs` of `/home/me/.cargo/registry/src/index.crates.io-0a1b/log-0.4.35/src/lib.rs`;
/// files of this crate are relative already.
fn in_crate(file: &str) -> &str {
    let Some(source) = file.rfind("/src/") else {
        return file;
    };
    let name = file[..source].rfind('/').map_or(0, |slash| slash + 1);
    &file[name..]
}

fn path(command: &str) -> Option<PathBuf> {
    let dir = UserDirs::new(&Host::system()).log?;
    Some(dir.join(file::name(&words::stamp(), std::process::id(), command)))
}

#[cfg(test)]
mod tests {
    use super::{OtherCrates, SharedLog, file, in_crate};
    use log::Log as _;

    #[test]
    fn a_source_file_is_named_without_the_directories_of_the_build_machine() {
        for (file, shown) in [
            (
                "/home/me/.cargo/registry/src/index.crates.io-0a1b/log-0.4.35/src/lib.rs",
                "log-0.4.35/src/lib.rs",
            ),
            ("/rustc/0a1b/library/core/src/option.rs", "core/src/option.rs"),
            ("src/cli/log.rs", "src/cli/log.rs"),
        ] {
            assert_eq!(in_crate(file), shown);
        }
    }

    #[test]
    fn other_crates_are_logged_from_warning_on_and_without_source_paths() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        let writer = SharedLog::new(path.clone(), file::BOUNDS);
        let subscriber = tracing_subscriber::fmt().json().with_writer(writer).finish();
        tracing::subscriber::with_default(subscriber, || {
            for level in log::Level::iter() {
                let record = log::Record::builder()
                    .level(level)
                    .target("vfio_ioctls::vfio_device")
                    .file(Some("/home/me/.cargo/registry/src/lib.rs"))
                    .args(format_args!("a message"))
                    .build();
                OtherCrates.log(&record);
            }
        });
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("vfio_ioctls::vfio_device"), "{text}");
        assert!(!text.contains("/home/"), "{text}");
    }
}
