//! What puts the host back when this process cannot: written and synced before each change.
//!
//! One journal per card, two files (`0000:01:00.0.a` and `.b`) in [`Host::journal_dir`], written in
//! turn. Each holds one record:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `CX3J` |
//! | 4 | version, little-endian: 1 |
//! | 8 | counter, little-endian: the larger one of two good records is the newer |
//! | 4 | length of the text |
//! | … | JSON of [`JournalRecord`] |
//! | 4 | CRC-32 (ISO-HDLC) of everything before |
//!
//! A record that is torn or damaged does not count; then the other one, which was whole before this
//! one was begun, does. The directory is empty when no card is borrowed: the boot-time unit asks for
//! just that.

mod record;
mod slot;
#[cfg(test)]
mod tests;

pub(super) use record::JournalRecord;
pub use record::{HostStep, Marks, MovedSibling, OriginalFunction, OriginalState};
pub use slot::JournalError;

use super::{Bdf, Host, sync_dir};
use slot::JournalFile;
use std::fs;
use std::path::{Path, PathBuf};

/// The journal of one card.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    bdf: Bdf,
    /// Counter of the newest record.
    counter: u64,
}

impl Journal {
    /// Open a card's journal: its newest good record, when there is one.
    ///
    /// # Errors
    /// [`JournalError`]: damaged beyond use, or not readable.
    pub(super) fn open(
        host: &Host,
        bdf: Bdf,
    ) -> Result<(Self, Option<JournalRecord>), JournalError> {
        let (mut journal, record) = Self::load(host, bdf)?;
        if record.is_none() {
            // Maybe one torn record: the first of all, which is written, and synced, before the first
            // change of the host. So nothing was changed.
            match journal.remove() {
                // Somebody else's, whom we cannot help; nothing was changed all the same.
                Err(JournalError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::PermissionDenied => {}
                other => other?,
            }
        }
        Ok((journal, record))
    }

    /// Look at a card's newest good record; changes nothing.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub(super) fn look(host: &Host, bdf: Bdf) -> Result<Option<JournalRecord>, JournalError> {
        Self::load(host, bdf).map(|(_, record)| record)
    }

    fn load(host: &Host, bdf: Bdf) -> Result<(Self, Option<JournalRecord>), JournalError> {
        let dir = host.journal_dir();
        let mut journal = Self {
            dir,
            bdf,
            counter: 0,
        };
        let mut newest: Option<(u64, JournalRecord)> = None;
        let mut damage = None;
        let mut files = 0;
        for slot in JournalFile::BOTH {
            let path = journal.path(slot);
            match slot::read(&path) {
                Ok(None) => {}
                Ok(Some((counter, record))) => {
                    files += 1;
                    if newest.as_ref().is_none_or(|(best, _)| counter > *best) {
                        newest = Some((counter, record));
                    }
                }
                Err(error @ JournalError::Damaged { .. }) => {
                    files += 1;
                    damage = damage.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        match (newest, damage) {
            (Some((counter, record)), _) => {
                if record.bdf != bdf {
                    return Err(JournalError::Damaged {
                        path: journal.path(JournalFile::of(counter)),
                        why: format!("it is of {}", record.bdf),
                    });
                }
                journal.counter = counter;
                Ok((journal, Some(record)))
            }
            (None, Some(error)) if files == 2 => Err(error),
            (None, _) => Ok((journal, None)),
        }
    }

    /// Write a record; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub(super) fn write(&mut self, record: &JournalRecord) -> Result<(), JournalError> {
        let counter = self.counter + 1;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { path, source }
        };
        fs::create_dir_all(&self.dir).map_err(io(&self.dir))?;
        let path = self.path(JournalFile::of(counter));
        slot::write(&path, counter, record)?;
        sync_dir(&self.dir).map_err(io(&self.dir))?;
        self.counter = counter;
        Ok(())
    }

    /// The card is back: no journal any more. The older record goes first, so that no older one is
    /// ever the newest.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub(super) fn remove(&mut self) -> Result<(), JournalError> {
        let newest = JournalFile::of(self.counter);
        for slot in [newest.other(), newest] {
            let path = self.path(slot);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(JournalError::Io {
                        path,
                        source: error,
                    });
                }
                _ => {}
            }
        }
        match sync_dir(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(JournalError::Io {
                path: self.dir.clone(),
                source: error,
            }),
            _ => Ok(()),
        }
    }

    /// File of one of the two records.
    fn path(&self, slot: JournalFile) -> PathBuf {
        self.dir.join(format!("{}.{}", self.bdf, slot.name()))
    }
}

/// Cards that have a journal, good or not.
///
/// # Errors
/// [`JournalError::Io`] when the directory is there and cannot be read.
pub(super) fn cards(host: &Host) -> Result<Vec<Bdf>, JournalError> {
    let dir = host.journal_dir();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(JournalError::Io { path: dir, source }),
    };
    let mut found: Vec<Bdf> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let (bdf, slot) = name.to_str()?.rsplit_once('.')?;
            JournalFile::named(slot)?;
            bdf.parse().ok()
        })
        .collect();
    found.sort();
    found.dedup();
    Ok(found)
}
