//! `--trace FILE`, and the command `trace`.

mod file;
mod replay;
mod show;
mod structure;

#[cfg(test)]
pub(super) use structure::structure;

pub use file::{FinishedTrace, TraceFile, cut, read_trace};
pub use replay::{ReplayedResult, TraceDiffOutcome, TraceReplayOutcome, trace_diff, trace_replay};
pub use show::{RegisterCount, ShownTrace, TraceLine, TraceShowOutcome, trace_show};
