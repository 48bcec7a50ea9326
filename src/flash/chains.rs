//! Reads with chip-select held, and the proof that they work on this card.
//!
//! mstflint holds the source of such reads and does not use it (mflash/mflash.c,
//! `cntx_st_spi_page_read`), so no known tool confirms them on this silicon. They are used only
//! after this card has shown that they return what single reads return.

use super::gateway::{BLOCK, MAX_CHAIN};
use super::readings::difference;
use super::session::FlashSession;
use super::{Events, FlashError};
use crate::image::FlashAddr;
use serde::{Deserialize, Serialize};

/// Bytes to compare before chains are trusted.
pub(super) const LEAST_BYTES: u64 = 1 << 20;

/// What was compared on one card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainProof {
    /// Bytes of one chain.
    pub chain: u32,
    /// Bytes that would have shown a block left out, repeated or moved.
    pub bytes: u64,
}

impl ChainProof {
    /// Whether it covers the chains that this program reads, over enough bytes.
    pub fn holds(&self) -> bool {
        self.chain == MAX_CHAIN as u32 && self.bytes >= LEAST_BYTES
    }
}

/// Outcome of a comparison of chained with single reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum ChainVerdict {
    /// They agree; chained reads are used from now on.
    Proven(ChainProof),
    /// The flash holds too little that could show a difference.
    TooLittle {
        /// Bytes that could.
        bytes: u64,
    },
    /// They differ; chained reads are not used.
    Contradicted {
        /// First block that differs.
        at: u32,
    },
}

/// Reads the flash by chains of `chain` bytes and compares with `known`, the flash as read singly. The
/// first pass covers every chain, so it is a second reading of the flash as well; later
/// passes repeat those that count until `least` bytes were compared.
pub(super) fn prove(
    session: &mut FlashSession<'_>,
    known: &[u8],
    (chain, least): (usize, u64),
    events: &mut dyn Events,
) -> Result<ChainVerdict, FlashError> {
    let chains = || known.chunks_exact(chain);
    let counts: Vec<u64> = chains().map(significant_bytes).collect();
    let one_pass: u64 = counts.iter().sum();
    let mut bytes = 0;
    let mut first_pass = true;
    loop {
        for (n, (wanted, count)) in chains().zip(&counts).enumerate() {
            if !first_pass && (*count == 0 || bytes >= least) {
                continue;
            }
            if events.stop_requested() {
                return Err(FlashError::Interrupted);
            }
            if let Some(verdict) = compare(session, (n * chain) as u32, wanted)? {
                return Ok(verdict);
            }
            bytes += count;
        }
        first_pass = false;
        if one_pass < MAX_CHAIN as u64 {
            return Ok(ChainVerdict::TooLittle { bytes: one_pass });
        }
        if bytes >= least {
            let chain = chain as u32;
            return Ok(ChainVerdict::Proven(ChainProof { chain, bytes }));
        }
    }
}

/// Bytes of a chain that would show a block left out, repeated or moved: blocks that are not blank
/// and differ from the one before.
fn significant_bytes(chain: &[u8]) -> u64 {
    let (blocks, _) = chain.as_chunks::<BLOCK>();
    let significant = blocks
        .iter()
        .zip(blocks.iter().skip(1))
        .filter(|(before, block)| block != before && **block != [0xFF; BLOCK]);
    (significant.count() * BLOCK) as u64
}

/// One chain; `None` when it agrees. One wrong reading decides nothing: a chain that differs is read
/// again.
fn compare(
    session: &mut FlashSession<'_>,
    at: u32,
    wanted: &[u8],
) -> Result<Option<ChainVerdict>, FlashError> {
    let chained = |session: &mut FlashSession<'_>| {
        let mut found = vec![0; wanted.len()];
        session.read_as(FlashAddr(at), &mut found, wanted.len())?;
        Ok::<_, FlashError>(difference(at, &found, at, wanted))
    };
    let Some((first, ..)) = chained(session)? else {
        return Ok(None);
    };
    let block = first - first % BLOCK as u32;
    let agreed = session.agreed_block(block)?;
    if let Some((at, found, wanted)) = difference(block, &agreed, at, wanted) {
        return Err(FlashError::Differs { at, found, wanted });
    }
    if chained(session)?.is_none() {
        tracing::warn!(at = block, "one chained reading was wrong");
        return Ok(None);
    }
    tracing::warn!(at = block, "chained reads differ from single reads: not used");
    Ok(Some(ChainVerdict::Contradicted { at: block }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_the_length_used_and_over_a_mebibyte() {
        let holds = |chain, bytes| ChainProof { chain, bytes }.holds();
        assert!(holds(4096, 1 << 20));
        assert!(!holds(4096, (1 << 20) - 1));
        assert!(!holds(64, 1 << 30));
    }

    #[test]
    fn blank_and_repeated_blocks_prove_nothing() {
        let mut chain = [0xFF; MAX_CHAIN];
        assert_eq!(significant_bytes(&chain), 0);
        chain.fill(0x5A);
        assert_eq!(significant_bytes(&chain), 0);
        chain[16] = 1;
        assert_eq!(significant_bytes(&chain), 32, "the changed one and the next");
    }
}
