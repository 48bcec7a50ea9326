//! One card seen through its CR-space: registers by name, identity, semaphores, reset, time.
//!
//! [`CrSpace`] is the seam of the whole program: the real card (BAR0 through VFIO, or
//! configuration cycles) and the simulated one stand behind it. [`Card`] adds what every access
//! needs: the write-flush rule, all-ones detection, names in the trace.
//! Facts: `reference/flash-hardware.md` §1-§3, §7.

mod chip;
mod clock;
mod error;
mod logged;
pub mod nv;
mod registers;
mod semaphore;
mod session;
mod space;
mod tools;
mod wait;

pub use chip::{Chip, RunningVersion};
pub use clock::{Clock, WallClock};
pub use error::CardError;
pub use registers::{CrOffset, Reg};
pub use semaphore::{FlashHold, Semaphore, SemaphoreState, Staleness};
pub use session::Card;
pub use space::{CrError, CrSpace};
pub use tools::{Tools, ToolsError};
pub use wait::{Patience, wait_for};
