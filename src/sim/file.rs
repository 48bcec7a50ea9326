//! Card files: layout and what can be wrong with one. [`super::store`] writes them.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4096 | head: magic, version, flash size, CRC; at 64 the holder's pid in text |
//! | 4096.., 34816.. | two slots for a record: counter, length, CRC, JSON. The newest good one counts, the other one is overwritten next, so a write cut short loses one step at most |
//! | 65536.. | flash contents, raw |
//!
//! Numbers are little-endian. CRC is CRC-32/ISO-HDLC.

use crc::{CRC_32_ISO_HDLC, Crc};

/// Version of the file this program writes and reads.
pub(super) const VERSION: u32 = 1;
pub(super) const HEAD_LEN: usize = 28;
pub(super) const PID_AT: u64 = 64;
pub(super) const SLOTS_AT: [u64; 2] = [4096, 34816];
pub(super) const SLOT_LEN: usize = 30720;
pub(super) const FLASH_AT: u64 = 65536;
const MAGIC: &[u8; 16] = b"CX3FLASH SIMCARD";
const RECORD_HEAD: usize = 16;

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Why a card file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CardFileError {
    /// The system said no.
    #[error("card file {path}")]
    Io {
        /// Path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not a card file.
    #[error("{0} is not a card file")]
    NotOne(String),
    /// Made by another version of this program.
    #[error("{path} is a card file of version {found}, this program reads {known}")]
    Version {
        /// Path.
        path: String,
        /// In the file.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Cut short or its checksum is wrong.
    #[error("{0} is damaged: {1}")]
    Damaged(String, String),
    /// It is open in another process.
    #[error("{path} is in use by process {pid}")]
    Busy {
        /// Path.
        path: String,
        /// Holder, 0 when not known.
        pid: u32,
    },
    /// It exists already.
    #[error("{0} exists already")]
    Exists(String),
}

/// The head of a file for a flash of `size` bytes.
pub(super) fn head(size: u32) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..16].copy_from_slice(MAGIC);
    head[16..20].copy_from_slice(&VERSION.to_le_bytes());
    head[20..24].copy_from_slice(&size.to_le_bytes());
    let crc = CRC.checksum(&head[..24]);
    head[24..].copy_from_slice(&crc.to_le_bytes());
    head
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

/// Flash size out of a head, as many bytes of it as there are.
pub(super) fn parse_head(head: &[u8], path: &str) -> Result<u32, CardFileError> {
    if head.get(..16) != Some(MAGIC.as_slice()) {
        return Err(CardFileError::NotOne(path.into()));
    }
    let damaged = |why: &str| CardFileError::Damaged(path.into(), why.into());
    if head.len() < HEAD_LEN {
        return Err(damaged("it is cut short"));
    }
    // The version stands outside of what later versions may change, so it is judged first.
    let found = word(head, 16);
    if found != VERSION {
        return Err(CardFileError::Version {
            path: path.into(),
            found,
            known: VERSION,
        });
    }
    if word(head, 24) != CRC.checksum(&head[..24]) {
        return Err(damaged("the checksum of its head is wrong"));
    }
    Ok(word(head, 20))
}

/// A record for a slot; `None` when it does not fit one.
pub(super) fn record(counter: u64, json: &[u8]) -> Option<Vec<u8>> {
    let len = u32::try_from(json.len()).ok()?;
    if json.len() > SLOT_LEN - RECORD_HEAD {
        return None;
    }
    let mut out = Vec::with_capacity(RECORD_HEAD + json.len());
    out.extend_from_slice(&counter.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&record_crc(counter, json).to_le_bytes());
    out.extend_from_slice(json);
    Some(out)
}

fn record_crc(counter: u64, json: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&counter.to_le_bytes());
    digest.update(json);
    digest.finalize()
}

/// Counter and JSON of a slot, if what it holds is whole.
pub(super) fn parse_record(slot: &[u8]) -> Option<(u64, &[u8])> {
    let counter = u64::from(word(slot, 0)) | u64::from(word(slot, 4)) << 32;
    let json = slot.get(RECORD_HEAD..)?.get(..word(slot, 8) as usize)?;
    (counter != 0 && word(slot, 12) == record_crc(counter, json)).then_some((counter, json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_cut_or_changed_anywhere_is_not_taken() {
        let whole = record(7, b"{\"a\":1}").expect("fits");
        assert_eq!(parse_record(&whole), Some((7, b"{\"a\":1}".as_slice())));
        for len in 0..whole.len() {
            assert_eq!(parse_record(&whole[..len]), None, "cut to {len}");
        }
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            assert_eq!(parse_record(&bad), None, "byte {at} changed");
        }
        assert_eq!(parse_record(&[0; 64]), None, "a slot never written");
        assert!(record(1, &[b' '; SLOT_LEN]).is_none());
    }
}
