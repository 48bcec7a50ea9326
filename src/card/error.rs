//! Errors of the card module.

use super::{CrError, Reg};

/// What can go wrong between this program and a card.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] CrError),
    /// All ones where that cannot be (P7).
    #[error("the card is gone: {register} reads all ones")]
    Gone { register: Reg },
    /// 0xbad0cafe at the device id (secure host; mstflint mflash.c, `CR_LOCK_HW_ID`).
    #[error("the card's CR-space is locked (0xbad0cafe at 0xf0014)")]
    Locked,
    /// The firmware of a locked card does not accept the key.
    #[error("the card is locked, and its firmware does not accept this key")]
    KeyRefused,
    /// The firmware of a locked card does not have the command, whatever the key.
    #[error("the card is locked, and its firmware accepts no key")]
    NoHwAccess,
    /// The key could not be sent.
    #[error("hardware access of the locked card was not enabled: {0}")]
    HwAccess(String),
    /// 0xbadacce5: filtered, or not BAR0 (mstflint mtcr_ul_com.c, `mtcr_check_signature`).
    #[error("{register} cannot be read through this access (0xbadacce5)")]
    BadAccess { register: Reg },
    /// Not a ConnectX-3.
    #[error("hardware id {0:#010x} is not a ConnectX-3 or ConnectX-3 Pro")]
    NotOurs(u32),
    /// The registers did not show one state for long enough.
    #[error("the card is not ready after {waited_ms} ms: {seen}")]
    NotReady {
        waited_ms: u64,
        /// What it showed last.
        seen: String,
    },
    /// The flush semaphore never came back.
    #[error("writes to the card are not confirmed within {0} ms")]
    FlushTimeout(u64),
    /// The chip does not answer after a software reset (drivers/net/ethernet/mellanox/mlx4/reset.c).
    #[error("the card does not answer {0} ms after its reset")]
    ResetTimeout(u64),
    /// A semaphore that was ours is free.
    #[error(
        "semaphore {number} ({name}) was lost: the card was reset, or another program freed it"
    )]
    SemaphoreLost { number: u8, name: &'static str },
    /// A register does not hold what was written to it last.
    #[error(
        "{register} reads {found:#010x} instead of {wanted:#010x}: the card was reset, or another program uses it"
    )]
    WasReset { register: Reg, found: u32, wanted: u32 },
    /// A semaphore stayed taken.
    #[error("semaphore {number} ({name}) is held by another program")]
    SemaphoreHeld { number: u8, name: &'static str },
}
