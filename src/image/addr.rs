//! Addresses and the failsafe interleaving ("striping") of FS2 (fs2-image §1.4).

use serde::{Deserialize, Serialize};

/// Byte offset inside one image, header at 0 (the reference's "logical" address).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageOffset(pub u32);

/// Byte address in the flash chip or in a raw dump of it (the reference's "physical" address).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlashAddr(pub u32);

/// One of the two failsafe slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// Even chunks, image start at 0 ("primary").
    Even,
    /// Odd chunks, image start at the chunk size ("secondary").
    Odd,
}

/// How image offsets become flash addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressMap {
    /// Offset 0 is address 0 and nothing is interleaved: a vendor `.bin`, a `ri` file, a
    /// non-failsafe card.
    Contiguous,
    /// Chunk `k` of the image lies in flash chunk `2k` (even) or `2k + 1` (odd).
    Striped {
        /// log2 of the chunk size in bytes, 16..=23.
        chunk_log2: u8,
        /// Which of the two.
        half: Half,
    },
}
