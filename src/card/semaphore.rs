//! The semaphore bank: a read of 0 takes, a write of 0 frees (flash-hardware §3).

use serde::Serialize;

/// Semaphores with a meaning for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Semaphore {
    /// 32: write flush of external tools; harmless when left taken.
    Flush,
    /// 40: exclusive right of flash programming between tools.
    FlashProgramming,
    /// 47: tools command interface.
    ToolsHcr,
    /// 63: flash gateway, GPIO and software reset.
    Flash,
}

/// Outcome of one look. Looking takes a free semaphore, so the looker frees it again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SemaphoreState {
    /// It was free.
    Free,
    /// Somebody holds it.
    Held,
}
