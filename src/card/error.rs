//! What can go wrong between us and a card.

use super::CrError;

/// Errors of the card room.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// The road failed.
    #[error(transparent)]
    Road(#[from] CrError),
    /// All ones where that cannot be (P7).
    #[error("the card is gone: {register} reads all ones")]
    Gone {
        /// Register name.
        register: String,
    },
    /// 0xbad0cafe at the device id (secure host, flash-hardware §1.3).
    #[error("the card's CR-space is locked (0xbad0cafe at 0xf0014)")]
    Locked,
    /// 0xbadacce5: filtered or wrong BAR (§1.3, §2.6).
    #[error("{register} cannot be read through this access (0xbadacce5)")]
    BadAccess {
        /// Register name.
        register: String,
    },
    /// Not a ConnectX-3.
    #[error("hardware id {0:#010x} is not a ConnectX-3 or ConnectX-3 Pro")]
    NotOurs(u32),
    /// The flush semaphore never came back (§2.3).
    #[error("writes to the card are not confirmed within {0} ms")]
    FlushTimeout(u64),
    /// The chip does not answer after a software reset (§7.1).
    #[error("the card does not answer {0} ms after its reset")]
    ResetTimeout(u64),
    /// A semaphore stayed taken (§3).
    #[error("semaphore {number} ({name}) is held by another program")]
    SemaphoreHeld {
        /// Index in the bank.
        number: u8,
        /// What it guards.
        name: &'static str,
    },
}
