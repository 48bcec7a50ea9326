//! The file behind a log: created at the first line, of bounded size, readable by its owner only.
//!
//! Nothing here returns an error: a log that cannot be written must not stop a job that is in the
//! middle of a flash.

use crate::escape;
use crate::host::{FileMode, MadeDir};
use crate::words;
use regex::Regex;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of one file.
    pub(super) file: u64,
    /// Bytes of one file that single register accesses may fill.
    pub(super) registers: u64,
    /// Register accesses beyond that are kept in memory, this many; they are written before a warning,
    /// an error and the end.
    pub(super) recent: usize,
    /// Files in the directory.
    pub(super) files: usize,
    /// Bytes of all files in the directory.
    pub(super) total: u64,
}

pub(super) const BOUNDS: Bounds =
    Bounds { file: 16 << 20, registers: 8 << 20, recent: 2000, files: 100, total: 64 << 20 };

/// Space for the line that ends a log at its bound.
const LAST_LINE: u64 = 256;

#[derive(Debug)]
enum FileState {
    /// No line yet.
    NotCreated,
    Open(File),
    /// At its bound, or it cannot be written.
    Ended,
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    bounds: Bounds,
    state: FileState,
    created: bool,
    written: u64,
    recent: VecDeque<Vec<u8>>,
    left_out: u64,
    registers_bounded: bool,
}

/// A log, shared by the subscriber that writes it and the command that names it.
#[derive(Clone, Debug)]
pub(in crate::cli) struct SharedLog(Arc<Mutex<LogFile>>);

impl SharedLog {
    /// A log at `path`; no file is created yet.
    pub(super) fn new(path: PathBuf, bounds: Bounds) -> Self {
        Self(Arc::new(Mutex::new(LogFile {
            path,
            bounds,
            state: FileState::NotCreated,
            created: false,
            written: 0,
            recent: VecDeque::new(),
            left_out: 0,
            registers_bounded: false,
        })))
    }

    /// The path, once the file exists.
    pub(in crate::cli) fn path(&self) -> Option<PathBuf> {
        let log = self.lock();
        log.created.then(|| log.path.clone())
    }

    /// Writes the register accesses that are still in memory.
    pub(in crate::cli) fn flush(&self) {
        self.lock().write_recent();
    }

    fn lock(&self) -> MutexGuard<'_, LogFile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for SharedLog {
    type Writer = EventWriter<'a>;

    fn make_writer(&'a self) -> EventWriter<'a> {
        EventWriter { log: self, level: Level::INFO }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> EventWriter<'a> {
        EventWriter { log: self, level: *event.level() }
    }
}

/// Writes one event, which arrives in one call.
pub(in crate::cli) struct EventWriter<'a> {
    log: &'a SharedLog,
    level: Level,
}

impl Write for EventWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let line_text = String::from_utf8_lossy(line);
        self.log.lock().event(self.level, escape::json(&line_text).as_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogFile {
    fn event(&mut self, level: Level, line: &[u8]) {
        if level == Level::TRACE && self.written >= self.bounds.registers {
            self.keep_in_memory(line);
            return;
        }
        if level <= Level::WARN {
            self.write_recent();
        }
        self.write(line);
    }

    fn keep_in_memory(&mut self, line: &[u8]) {
        if !self.registers_bounded {
            self.registers_bounded = true;
            self.write(&note(&format!(
                "from here on only the last {} register accesses before a warning, an error and the end \
                 are logged",
                self.bounds.recent
            )));
        }
        if self.recent.len() >= self.bounds.recent {
            self.recent.pop_front();
            self.left_out += 1;
        }
        self.recent.push_back(line.to_vec());
    }

    fn write_recent(&mut self) {
        if self.left_out > 0 {
            let text = format!("{} register accesses left out", self.left_out);
            self.left_out = 0;
            self.write(&note(&text));
        }
        for line in std::mem::take(&mut self.recent) {
            self.write(&line);
        }
    }

    fn write(&mut self, line: &[u8]) {
        if matches!(self.state, FileState::NotCreated) {
            self.state = create(&self.path, &self.bounds).map_or(FileState::Ended, FileState::Open);
            self.created = matches!(self.state, FileState::Open(_));
        }
        if self.written + line.len() as u64 + LAST_LINE > self.bounds.file {
            let text = format!("log cut at {} MiB", self.bounds.file >> 20);
            self.append(&note(&text));
            self.state = FileState::Ended;
        } else {
            self.append(line);
        }
    }

    /// Appends to the open file. A line that does not fit on the disk is removed again.
    fn append(&mut self, line: &[u8]) {
        let FileState::Open(file) = &mut self.state else {
            return;
        };
        if file.write_all(line).is_ok() {
            self.written += line.len() as u64;
        } else {
            // There is nowhere to report this.
            let _ = file.set_len(self.written);
            self.state = FileState::Ended;
        }
    }
}

/// A log line about the log itself.
fn note(text: &str) -> Vec<u8> {
    let line = serde_json::json!({
        "timestamp": words::now(),
        "level": "INFO",
        "fields": { "message": text },
        "target": module_path!(),
    });
    format!("{line}\n").into_bytes()
}

/// Creates the file, readable by its owner only, and removes old logs beside it.
fn create(path: &Path, bounds: &Bounds) -> Option<File> {
    let dir = path.parent()?;
    let mut made = MadeDir::create(dir).ok()?;
    made.keep();
    remove_old(dir, bounds);
    made.dir().create_file(path.file_name()?, FileMode::Private).ok()
}

/// Removes the oldest logs until a new one of the greatest size fits the bounds of the directory.
/// Only regular files with a name of ours are counted and removed; links stay.
fn remove_old(dir: &Path, bounds: &Bounds) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut logs: Vec<(String, u64)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            // The metadata of an entry is that of a link itself.
            let about = entry.metadata().ok()?;
            (is_log(&name) && about.is_file()).then_some((name, about.len()))
        })
        .collect();
    // Names begin with the time.
    logs.sort_unstable_by(|a, b| b.cmp(a));
    let mut total = bounds.file;
    for (number, (name, len)) in (1..).zip(&logs) {
        total += len;
        if number >= bounds.files || total > bounds.total {
            // The next job tries again.
            let _ = fs::remove_file(dir.join(name));
        }
    }
}

/// Name of the log of `command`, run by `process` at `stamp` (`20261126T043850Z`).
pub(super) fn name(stamp: &str, process: u32, command: &str) -> String {
    format!("{stamp}-{process}-{command}.jsonl")
}

/// Whether this is a name that [`name`] returns.
fn is_log(name: &str) -> bool {
    static NAME: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[0-9]{8}T[0-9]{6}Z-[0-9]+-[a-z0-9_-]+\.jsonl$").ok());
    NAME.as_ref().is_some_and(|pattern| pattern.is_match(name))
}

#[cfg(test)]
mod tests;
