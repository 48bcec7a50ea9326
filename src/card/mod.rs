//! One card seen through its CR-space: registers by name, identity, semaphores, reset, time.
//!
//! [`CrSpace`] is implemented by the real card (BAR0 through VFIO, or configuration cycles) and by the
//! simulated one. [`Card`] adds what every access needs: readiness before the first write, the
//! write-flush rule, all-ones detection, names in the trace. [`wait_for`] is behind every bounded wait.
//!
#![doc = include_str!("../../docs/hardware.md")]

mod clock;
mod device;
mod error;
mod hw_access;
mod hw_key;
mod logged;
pub mod nv;
mod ready;
mod registers;
mod semaphore;
mod session;
mod space;
mod tools;
mod transport;
mod wait;

pub use clock::{Clock, WallClock};
pub use device::{BAD_ACCESS, Chip, DeviceType, Function, RunningVersion};
pub use error::CardError;
pub use hw_key::HwKey;
pub use registers::{CrOffset, Reg, Semaphore};
pub use semaphore::{FlashHold, SemaphoreState, Staleness, WATCH};
pub use session::{BootStep, Card, FirmwareSeen, FirmwareState, ResetSeen, WATCHED};
pub use space::{CrError, CrSpace};
pub use tools::{ToolsError, ToolsInterface};
pub use transport::{BadBarAccess, BarAccess};
pub use wait::{Patience, wait_for, wait_until};
