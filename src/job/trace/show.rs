//! `trace show`.

use super::file::{cut_after, read_bytes, unreadable};
use crate::flash::trace::{
    TraceAccess, TraceHeader, TraceMark, TraceOp, TraceRecord, TraceRecords,
};
use crate::job::JobError;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Registers that are listed by themselves; a command has some dozens.
const MOST_REGISTERS: usize = 4096;

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
    /// Every access, those of a read of 16 bytes in one line; null unless requested.
    pub lines: Option<Vec<TraceLine>>,
    /// Exit code of the command; null where the recording was cut short.
    pub command_exit: Option<u8>,
    /// Why what follows the last record is not there; null for a complete trace.
    pub cut: Option<String>,
    /// Later accesses were not recorded: the trace was full.
    pub full: bool,
}

/// A trace that is shown: what is known of all of it, and its lines, which are read anew each time, because
/// there may be millions of them.
pub struct ShownTrace {
    /// Without its lists.
    pub outcome: TraceShowOutcome,
    bytes: Vec<u8>,
    stop: Arc<AtomicBool>,
}

/// Reads what a trace holds. One that is cut short is shown as far as it goes. With `lines` every access is
/// listed.
pub fn trace_show(path: &Path, lines: bool, stop: Arc<AtomicBool>) -> Result<ShownTrace, JobError> {
    let bytes = read_bytes(path, &stop)?;
    let (header, records) =
        TraceRecords::open(&bytes, Arc::clone(&stop)).map_err(|source| unreadable(path, source))?;
    let outcome = summary(path, header, records, lines);
    if stop.load(Ordering::Relaxed) {
        return Err(JobError::Interrupted);
    }
    Ok(ShownTrace { outcome, bytes, stop })
}

fn summary(
    path: &Path,
    header: TraceHeader,
    mut records: TraceRecords<'_>,
    lines: bool,
) -> TraceShowOutcome {
    let mut counts: BTreeMap<Option<u32>, (u64, u64)> = BTreeMap::new();
    let (mut accesses, mut full, mut command_exit) = (0, false, None);
    let mut times: Option<(u64, u64)> = None;
    for record in records.by_ref() {
        let (first, last) = times.unwrap_or((record.time(), record.time()));
        times = Some((first, last.max(record.time())));
        for access in record.accesses() {
            accesses += 1;
            let counted = match access.op {
                TraceOp::Read => (1, 0),
                TraceOp::Write => (0, 1),
                TraceOp::PciId | TraceOp::Back | TraceOp::Reset => continue,
            };
            let at = Some(access.at);
            let has_place = counts.len() < MOST_REGISTERS || counts.contains_key(&at);
            let count = counts.entry(at.filter(|_| has_place)).or_default();
            *count = (count.0 + counted.0, count.1 + counted.1);
        }
        if let TraceRecord::Mark { mark, .. } = record {
            full |= mark == TraceMark::Full;
            command_exit = match mark {
                TraceMark::End { exit } => Some(exit),
                _ => None,
            };
        }
    }
    TraceShowOutcome {
        file: path.to_owned(),
        header,
        accesses,
        duration: times.map_or(0, |(first, last)| last.saturating_sub(first)),
        registers: counts
            .into_iter()
            .map(|(at, (reads, writes))| RegisterCount {
                register: at.map_or_else(|| "other registers".to_owned(), TraceAccess::register),
                reads,
                writes,
            })
            .collect(),
        marks: Vec::new(),
        lines: lines.then(Vec::new),
        command_exit,
        cut: records.cut().map(str::to_owned),
        full,
    }
}

impl ShownTrace {
    /// What happened beside accesses.
    pub fn marks(&self) -> impl Iterator<Item = TraceLine> {
        let is_mark = |record: &TraceRecord| matches!(record, TraceRecord::Mark { .. });
        self.records().filter(is_mark).map(|record| line(&record))
    }

    /// Every record.
    pub fn lines(&self) -> impl Iterator<Item = TraceLine> {
        self.records().map(|record| line(&record))
    }

    fn records(&self) -> impl Iterator<Item = TraceRecord> {
        let opened = TraceRecords::open(&self.bytes, Arc::clone(&self.stop));
        opened.ok().into_iter().flat_map(|(_, records)| records)
    }

    /// The user has asked to stop: the lines have ended before the last one.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The error of a trace that is cut short or was full.
    pub fn cut(&self) -> Option<JobError> {
        let TraceShowOutcome { file, accesses, cut, full, .. } = &self.outcome;
        cut_after(file, *accesses as u64, cut.as_deref(), *full)
    }
}

fn line(record: &TraceRecord) -> TraceLine {
    let time = record.time();
    let text = match record {
        TraceRecord::Mark { mark, .. } => mark.to_string(),
        TraceRecord::Access(access) if access.op == TraceOp::Write => {
            format!("{} = {}", access.question(), access.value)
        }
        TraceRecord::Access(access) => format!("{}: {}", access.question(), access.value),
        TraceRecord::Block(block) => block.to_string(),
    };
    TraceLine { time, text }
}
