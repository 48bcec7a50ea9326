//! Traces: every access to a card, recorded so that it may be published and played back
//! (docs/traces.md).

mod compare;
mod contents;
mod format;
mod reader;
mod recorder;
mod replay;
#[cfg(test)]
mod tests;

pub use compare::{DifferenceKind, TraceComparison, TraceDifference, compare};
pub use format::{
    TRACE_FORMAT, TraceAccess, TraceHeader, TraceMark, TraceOp, TraceRecord, TraceValue,
};
pub use reader::{Trace, TraceError};
pub use recorder::{Recorder, SeenFlash, SeenWord, Structure};
pub use replay::{Divergence, ReplayProgress, ReplayedCard, stand_in};

/// Accesses of one trace: a self-test of 2 MiB of flash has about 8 million.
const MOST_ACCESSES: u64 = 12 << 20;
/// Its lines.
const MOST_RECORDS: u64 = MOST_ACCESSES + (1 << 20);
/// Bytes of its text.
const LARGEST_TEXT: u64 = 512 << 20;
/// Bytes of its file.
pub const LARGEST_FILE: u64 = 64 << 20;
