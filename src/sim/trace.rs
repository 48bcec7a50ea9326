//! What happened on the card, in order: order tests read this.

use serde::Serialize;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "op")]
pub enum Op {
    /// Flash bytes read; adjacent reads in a row are one.
    Read {
        /// First flash address.
        at: u32,
        /// Bytes.
        len: u32,
    },
    /// Sector (or chip) erased.
    Erase {
        /// First flash address.
        at: u32,
        /// Bytes.
        len: u32,
    },
    /// Bytes programmed by one command.
    Program {
        /// First flash address.
        at: u32,
        /// What was sent.
        bytes: Vec<u8>,
    },
    /// Status register written.
    WriteStatus {
        /// Status register 1.
        first: u8,
        /// Second register, if the command had two bytes.
        second: Option<u8>,
    },
    /// A register other than the gateway's and the flush semaphore was written.
    Register {
        /// CR offset.
        at: u32,
        /// Value.
        value: u32,
    },
    /// A semaphore was taken.
    Acquire {
        /// Index in the bank.
        number: u8,
    },
    /// The card was reset, by us or by somebody else.
    Reset,
    /// Power went off (fault) or was switched off and on.
    PowerLost,
}
