//! One file of a journal.

use super::JournalRecord;
use crc::{CRC_32_ISO_HDLC, Crc};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 4] = *b"CX3J";
const VERSION: u32 = 1;
/// Magic, version, counter, length.
const HEAD: usize = 20;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
/// A record has a few KiB; a file of this size is none of ours.
const LONGEST: u64 = 1 << 20;

/// The journal failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file or its directory cannot be read or written.
    #[error("journal {}", path.display())]
    Io {
        /// Path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No good record, and the host may have been changed.
    #[error("journal {} is damaged: {why}", path.display())]
    Damaged {
        /// Path.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JournalFile {
    /// Odd counters.
    A,
    /// Even counters.
    B,
}

impl JournalFile {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    /// Where the record with this counter is.
    pub(super) fn of(counter: u64) -> Self {
        if counter % 2 == 1 { Self::A } else { Self::B }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|slot| slot.name() == name)
    }
}

/// The bytes of a record.
pub(super) fn encode(counter: u64, record: &JournalRecord) -> Result<Vec<u8>, serde_json::Error> {
    let text = serde_json::to_vec(record)?;
    let mut bytes = Vec::with_capacity(HEAD + text.len() + 4);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(counter.to_le_bytes());
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text);
    bytes.extend(CRC.checksum(&bytes).to_le_bytes());
    Ok(bytes)
}

/// The record in these bytes, or what is wrong with them.
pub(super) fn decode(bytes: &[u8]) -> Result<(u64, JournalRecord), String> {
    let word = |at: usize| -> Option<u32> {
        let four = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(four))
    };
    if bytes.get(..4) != Some(&MAGIC) {
        return Err("it does not begin like one".into());
    }
    let (Some(version), Some(low), Some(high), Some(len)) = (word(4), word(8), word(12), word(16))
    else {
        return Err("it is cut short".into());
    };
    let end = HEAD.saturating_add(len as usize);
    let Some(crc) = word(end).filter(|_| bytes.len() == end + 4) else {
        return Err("it is cut short".into());
    };
    if CRC.checksum(&bytes[..end]) != crc {
        return Err("its checksum is wrong".into());
    }
    if version != VERSION {
        return Err(format!(
            "it is of version {version}, this program writes {VERSION}"
        ));
    }
    let record = serde_json::from_slice(&bytes[HEAD..end]).map_err(|error| error.to_string())?;
    Ok((u64::from(high) << 32 | u64::from(low), record))
}

/// Read one file; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<(u64, JournalRecord)>, JournalError> {
    let io = |source| JournalError::Io {
        path: path.to_owned(),
        source,
    };
    let damaged = |why| JournalError::Damaged {
        path: path.to_owned(),
        why,
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(meta) if meta.len() > LONGEST => return Err(damaged("it is far too long".into())),
        other => other.map_err(io)?,
    };
    decode(&fs::read(path).map_err(io)?)
        .map(Some)
        .map_err(damaged)
}

/// Write one file and sync it. What it held before is the older of the two records, so it may be
/// torn.
pub(super) fn write(path: &Path, counter: u64, record: &JournalRecord) -> Result<(), JournalError> {
    let io = |source| JournalError::Io {
        path: path.to_owned(),
        source,
    };
    let bytes = encode(counter, record).map_err(|error| io(error.into()))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(io)?;
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .map_err(io)
}
