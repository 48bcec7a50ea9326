//! Traces: every access to a card, recorded so that it may be published and played back
//! (docs/traces.md).

mod access;
mod blocks;
mod collector;
mod compare;
mod contents;
mod format;
mod reader;
mod recorder;
mod replay;
#[cfg(test)]
mod tests;

pub use access::{TraceAccess, TraceOp, TraceValue};
pub use blocks::{BlockWords, TraceBlock};
pub use compare::{DifferenceKind, TraceComparison, TraceDifference, compare};
pub use contents::Majority;
pub use format::{FULL, LARGEST_FILE, TRACE_FORMAT, TraceHeader, TraceMark, TraceRecord};
pub use reader::{Trace, TraceError, TraceRecords};
pub use recorder::{SeenFlash, SeenWord, Structure, TraceRecorder};
pub use replay::{Divergence, ReplayProgress, ReplayedCard, stand_in};
