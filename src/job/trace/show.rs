//! `trace show`.

use crate::flash::trace::{Trace, TraceAccess, TraceHeader, TraceOp, TraceRecord};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

/// What a trace holds. One that is cut short is shown as far as it goes.
pub fn trace_show(path: &Path, trace: &Trace, lines: bool) -> TraceShowOutcome {
    let mut counts: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut accesses = 0;
    for access in trace.accesses() {
        accesses += 1;
        let count = counts.entry(access.at).or_default();
        match access.op {
            TraceOp::Read => count.0 += 1,
            TraceOp::Write => count.1 += 1,
            TraceOp::PciId | TraceOp::Back | TraceOp::Reset => {}
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
        full: trace.is_full(),
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
