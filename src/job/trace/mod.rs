//! `--trace FILE`, and the command `trace`.

mod replay;
mod structure;

use super::bug_report::masked_text;
use super::store::cannot_write;
use super::{CardSelector, JobError};
use crate::escape;
use crate::flash::Events;
use crate::flash::trace::{
    LARGEST_FILE, Recorder, TRACE_FORMAT, Trace, TraceAccess, TraceHeader, TraceMark, TraceOp,
    TraceRecord,
};
use crate::host::{FileMode, HeldDir, Host, InputError, KernelLog, read_input};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

pub use replay::{ReplayedResult, TraceDiffOutcome, TraceReplayOutcome, trace_diff, trace_replay};

/// A trace in the making.
#[derive(Debug)]
pub struct TraceFile {
    /// Where the user wants it; `None` for a bug report alone.
    named: Option<NamedTrace>,
    file: File,
    recorder: Recorder,
    kernel: Option<KernelLog>,
}

#[derive(Debug)]
struct NamedTrace {
    path: PathBuf,
    dir: HeldDir,
    name: OsString,
}

impl TraceFile {
    /// Begins a trace of `command`, in a new file for its owner only, or in one without a name.
    pub fn begin(
        path: Option<&Path>,
        command: &str,
        with_report: bool,
        host: &Host,
    ) -> Result<Self, JobError> {
        let (named, file) = match path {
            None => (None, tempfile::tempfile().map_err(cannot_write(&std::env::temp_dir()))?),
            Some(path) => {
                let (named, file) = NamedTrace::create(path).map_err(cannot_write(path))?;
                (Some(named), file)
            }
        };
        let sink = file.try_clone().map_err(cannot_write(path.unwrap_or(Path::new("/"))))?;
        let kernel = std::fs::read_to_string(host.path("proc/sys/kernel/osrelease"));
        let header = TraceHeader {
            format: TRACE_FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: command.to_owned(),
            with_report,
            kernel: kernel.ok().map(|text| masked_text(text.trim())),
            machine: std::env::consts::ARCH.to_owned(),
            ..TraceHeader::default()
        };
        let recorder = Recorder::new(header, Box::new(sink), structure::structure);
        Ok(Self { named, file, recorder, kernel: KernelLog::open(host) })
    }

    /// What records.
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Ends it, after the card was given back. The answer: its path, where it has one, and its bytes. An
    /// empty one is removed.
    pub fn finish(
        mut self,
        host: &Host,
        card: Option<&CardSelector>,
        exit: u8,
    ) -> Result<Option<FinishedTrace>, JobError> {
        let bdf = card.filter(|card| !card.is_sim()).and_then(|card| card.address(host).ok());
        if let (Some(kernel), Some(bdf)) = (&mut self.kernel, bdf) {
            for line in kernel.lines(bdf) {
                self.recorder.mark(TraceMark::Kernel { text: masked_text(&line) });
            }
        }
        if self.recorder.is_empty() {
            if let Some(named) = &self.named {
                named.remove();
            }
            return Ok(None);
        }
        let path = self.named.as_ref().map(|named| named.path.clone());
        let shown = path.clone().unwrap_or_else(std::env::temp_dir);
        self.recorder
            .finish(exit)
            .and_then(|()| self.file.sync_all())
            .map_err(cannot_write(&shown))?;
        let mut bytes = Vec::new();
        self.file.rewind().map_err(cannot_write(&shown))?;
        (&self.file).take(LARGEST_FILE).read_to_end(&mut bytes).map_err(cannot_write(&shown))?;
        Ok(Some(FinishedTrace { path, bytes }))
    }
}

/// A trace that is complete.
#[derive(Debug)]
pub struct FinishedTrace {
    pub path: Option<PathBuf>,
    pub bytes: Vec<u8>,
}

impl NamedTrace {
    fn create(path: &Path) -> std::io::Result<(Self, File)> {
        let name = path.file_name().ok_or(std::io::ErrorKind::IsADirectory)?.to_owned();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = HeldDir::open(parent.unwrap_or(Path::new(".")))?;
        let file = dir.create_file(&name, FileMode::Private)?;
        Ok((Self { path: path.to_owned(), dir, name }, file))
    }

    fn remove(&self) {
        if let Err(error) = self.dir.remove_file(&self.name) {
            tracing::warn!(path = %escape::path(&self.path), %error, "an empty trace stays behind");
        }
    }
}

/// Reads a trace.
pub fn read_trace(path: &Path, events: &dyn Events) -> Result<Trace, JobError> {
    let bytes = read_input(path, LARGEST_FILE, &|| events.stop_requested());
    let bytes = bytes.map_err(|error| match error {
        InputError::NotAFile(what) => JobError::NotAFile { path: path.to_owned(), what },
        InputError::TooLarge(len) => {
            JobError::FileTooLarge { path: path.to_owned(), len, max: LARGEST_FILE }
        }
        InputError::Stopped => JobError::Interrupted,
        InputError::Io(source) => JobError::ReadFile { path: path.to_owned(), source },
    })?;
    Trace::read(&bytes).map_err(|source| JobError::Trace { path: path.to_owned(), source })
}

/// Accesses of a trace to one register.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct RegisterCount {
    /// Its name and offset.
    pub register: String,
    pub reads: u64,
    pub writes: u64,
}

/// One line of a trace.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct TraceLine {
    /// Microseconds since the recording began.
    pub time: u64,
    /// In words.
    pub text: String,
}

/// Answer of `trace show`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct TraceShowOutcome {
    /// Path of the file.
    #[serde(serialize_with = "crate::escape::serialize_path")]
    #[schemars(with = "String")]
    pub file: PathBuf,
    pub header: TraceHeader,
    pub accesses: usize,
    /// Microseconds from the first record to the last.
    pub duration: u64,
    /// By offset.
    pub registers: Vec<RegisterCount>,
    /// What happened beside accesses.
    pub marks: Vec<TraceLine>,
    /// Every access; null unless requested.
    pub lines: Option<Vec<TraceLine>>,
    /// Exit code of the command; null where the recording was cut short.
    pub command_exit: Option<u8>,
    /// Why what follows the last record is not there; null for a complete trace.
    pub cut: Option<String>,
}

/// What a trace holds. One that is cut short is shown as far as it goes.
pub fn trace_show(path: &Path, trace: &Trace, lines: bool) -> TraceShowOutcome {
    let mut counts: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut accesses = 0;
    for record in &trace.records {
        let TraceRecord::Access(access) = record else { continue };
        accesses += 1;
        let count = counts.entry(access.at).or_default();
        match access.op {
            TraceOp::Read => count.0 += 1,
            TraceOp::Write => count.1 += 1,
            TraceOp::PciId | TraceOp::Back => {}
        }
    }
    let first = trace.records.first().map_or(0, TraceRecord::time);
    let last = trace.records.last().map_or(0, TraceRecord::time);
    TraceShowOutcome {
        file: path.to_owned(),
        header: trace.header.clone(),
        accesses,
        duration: last.saturating_sub(first),
        registers: counts
            .into_iter()
            .filter(|(_, count)| *count != (0, 0))
            .map(|(at, (reads, writes))| RegisterCount {
                register: TraceAccess::register(at),
                reads,
                writes,
            })
            .collect(),
        marks: trace
            .marks()
            .map(|(time, mark)| TraceLine { time, text: mark.to_string() })
            .collect(),
        lines: lines.then(|| trace.records.iter().map(line).collect()),
        command_exit: trace.exit(),
        cut: trace.cut.clone(),
    }
}

fn line(record: &TraceRecord) -> TraceLine {
    let time = record.time();
    let text = match record {
        TraceRecord::Mark { mark, .. } => mark.to_string(),
        TraceRecord::Access(access) => match access.value {
            value if access.op == TraceOp::Write => format!("{} = {value}", access.question()),
            value => format!("{}: {value}", access.question()),
        },
    };
    TraceLine { time, text }
}

/// The error of a trace that is cut short.
pub fn cut(path: &Path, trace: &Trace) -> Option<JobError> {
    let why = trace.cut.clone()?;
    let accesses = trace.records.iter().filter(|r| matches!(r, TraceRecord::Access(_))).count();
    Some(JobError::TraceCut { path: path.to_owned(), accesses, why })
}
