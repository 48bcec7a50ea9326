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
pub use recorder::{Recorder, SIMULATED, SeenFlash, SeenWord, Structure};
pub use replay::{Divergence, ReplayProgress, ReplayedCard, stand_in};

/// Records of one trace.
const MOST_RECORDS: u64 = 8 << 20;
/// Bytes of its text.
const LARGEST_TEXT: u64 = 512 << 20;
/// Bytes of its file.
pub const LARGEST_FILE: u64 = 64 << 20;
