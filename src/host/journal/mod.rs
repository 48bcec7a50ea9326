//! The journal of a borrowed card: what another process needs to restore the host when this one
//! cannot. Written and synced before each change.
//!
//! Each card has two files, `0000:01:00.0.a` and `.b`, in [`Host::journal_dir`]. They are written
//! in turn, and each holds one record:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `CX3J` |
//! | 4 | version, little-endian: 1 |
//! | 8 | counter, little-endian: the record with the larger counter is the newer one |
//! | 4 | length of the text |
//! | … | JSON of [`JournalRecord`] |
//! | 4 | CRC-32 (ISO-HDLC) of everything before |
//!
//! A torn or damaged record does not count. The other file was complete before this one was begun,
//! so its record counts then. The directory is empty when no card is borrowed: the boot unit checks
//! that.

mod record;
#[cfg(test)]
mod tests;

pub(super) use record::JournalRecord;
pub use record::{HostStep, Marks, MovedSibling, OriginalFunction, OriginalState};

use super::{Bdf, Host, sync_dir};
use crate::escape;
use crc::{CRC_32_ISO_HDLC, Crc};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 4] = *b"CX3J";
const VERSION: u32 = 1;
/// Magic, version, counter, length.
const HEAD: usize = 20;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
/// A record has a few KiB, so a larger file is not a journal.
const LONGEST: u64 = 1 << 20;
/// Extensions of the two files: odd counters, even counters.
const EXTENSIONS: [&str; 2] = ["a", "b"];

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file or the directory cannot be read or written.
    #[error("journal {}", escape::path(path))]
    Io { path: PathBuf, source: io::Error },
    /// No valid record, and the host may have been changed.
    #[error("journal {} is damaged: {why}", escape::path(path))]
    Damaged { path: PathBuf, why: String },
}

impl JournalError {
    fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// The journal of one card.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    bdf: Bdf,
    /// Counter of the newest record; 0 without one.
    counter: u64,
}

impl Journal {
    /// Opens a card's journal and returns its newest valid record.
    pub(super) fn open(
        host: &Host,
        bdf: Bdf,
    ) -> Result<(Self, Option<JournalRecord>), JournalError> {
        let (mut journal, record) = Self::load(host, bdf)?;
        if record.is_none() {
            // There may be one torn record. Then it is the first one, which is written and synced
            // before the first change of the host, so nothing was changed.
            match journal.remove() {
                // Another user's file stays.
                Err(JournalError::Io { source, .. })
                    if source.kind() == io::ErrorKind::PermissionDenied => {}
                other => other?,
            }
        }
        Ok((journal, record))
    }

    /// Returns a card's newest valid record and changes nothing.
    pub(super) fn read(host: &Host, bdf: Bdf) -> Result<Option<JournalRecord>, JournalError> {
        Self::load(host, bdf).map(|(_, record)| record)
    }

    fn load(host: &Host, bdf: Bdf) -> Result<(Self, Option<JournalRecord>), JournalError> {
        let mut journal = Self { dir: host.journal_dir(), bdf, counter: 0 };
        let mut newest = None;
        let mut damaged = Vec::new();
        for extension in EXTENSIONS {
            let path = journal.path(extension);
            match read_file(&path) {
                Ok(Some((counter, record))) if counter > journal.counter || newest.is_none() => {
                    journal.counter = counter;
                    newest = Some((path, record));
                }
                Ok(_) => {}
                Err(error @ JournalError::Damaged { .. }) => damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        match newest {
            Some((path, record)) if record.bdf != bdf => {
                Err(JournalError::Damaged { path, why: format!("it belongs to {}", record.bdf) })
            }
            Some((_, record)) => Ok((journal, Some(record))),
            None if damaged.len() == EXTENSIONS.len() => Err(damaged.swap_remove(0)),
            None => Ok((journal, None)),
        }
    }

    /// Writes a record over the older one; it is on the disk when this returns.
    pub(super) fn write(&mut self, record: &JournalRecord) -> Result<(), JournalError> {
        let counter = self.counter + 1;
        fs::create_dir_all(&self.dir).map_err(JournalError::io(&self.dir))?;
        let path = self.path(extension(counter));
        encode(counter, record)
            .and_then(|bytes| {
                let mut file = File::create(&path)?;
                file.write_all(&bytes)?;
                file.sync_all()
            })
            .map_err(JournalError::io(&path))?;
        sync_dir(&self.dir).map_err(JournalError::io(&self.dir))?;
        self.counter = counter;
        Ok(())
    }

    /// Removes the journal. The older record goes first, so that it never becomes the newest.
    pub(super) fn remove(&mut self) -> Result<(), JournalError> {
        let gone = |result: io::Result<()>, path: &Path| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(JournalError::io(path)(error))
            }
            _ => Ok(()),
        };
        for counter in [self.counter + 1, self.counter] {
            let path = self.path(extension(counter));
            gone(fs::remove_file(&path), &path)?;
        }
        gone(sync_dir(&self.dir), &self.dir)
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", self.bdf))
    }
}

/// Cards that have a journal file, valid or not.
pub(super) fn cards(host: &Host) -> Result<Vec<Bdf>, JournalError> {
    let dir = host.journal_dir();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(JournalError::io(&dir)(error)),
    };
    let mut cards: Vec<Bdf> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let (bdf, extension) = name.to_str()?.rsplit_once('.')?;
            EXTENSIONS.contains(&extension).then_some(())?;
            bdf.parse().ok()
        })
        .collect();
    cards.sort();
    cards.dedup();
    Ok(cards)
}

/// Extension of the file that holds the record with this counter.
fn extension(counter: u64) -> &'static str {
    let [odd, even] = EXTENSIONS;
    if counter % 2 == 1 { odd } else { even }
}

fn encode(counter: u64, record: &JournalRecord) -> io::Result<Vec<u8>> {
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

/// The record in these bytes, or why there is none.
fn decode(bytes: &[u8]) -> Result<(u64, JournalRecord), String> {
    let word = |at: usize| -> Option<u32> {
        let four = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(four))
    };
    if bytes.get(..4) != Some(&MAGIC) {
        return Err("it does not start with CX3J".into());
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
        return Err(format!("it has version {version}, this program writes {VERSION}"));
    }
    let record = serde_json::from_slice(&bytes[HEAD..end]).map_err(|error| error.to_string())?;
    Ok((u64::from(high) << 32 | u64::from(low), record))
}

/// Reads one file; `None` when it does not exist.
fn read_file(path: &Path) -> Result<Option<(u64, JournalRecord)>, JournalError> {
    let damaged = |why| JournalError::Damaged { path: path.to_owned(), why };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(meta) if meta.len() > LONGEST => return Err(damaged("it is too long".into())),
        other => other.map_err(JournalError::io(path))?,
    };
    let bytes = fs::read(path).map_err(JournalError::io(path))?;
    decode(&bytes).map(Some).map_err(damaged)
}
