//! Journals that nothing can be restored from here: kept beside, so that the journal's directory
//! is empty, and dropped by `host forget`.

use super::{BeforeDisk, Journal, JournalError, OLD_EXTENSIONS, address_and_number, file_name};
use super::{gone, make_directory, unfinished};
use crate::host::{Bdf, Host, sync_dir};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

impl Journal {
    /// Moves the journal to [`Host::journal_aside_dir`], under a name that is free there, and
    /// returns its new path.
    pub(in crate::host) fn set_aside(
        &self,
        host: &Host,
        before: BeforeDisk<'_>,
    ) -> Result<PathBuf, JournalError> {
        let dir = host.journal_aside_dir();
        let failed = JournalError::io(&dir, "write to");
        make_directory(&dir).map_err(&failed)?;
        let bytes = fs::read(&self.path).map_err(JournalError::io(&self.path, "read it"))?;
        let kept =
            (0..u32::MAX).map(|number| dir.join(file_name(self.bdf, number))).find_map(|path| {
                match create(&path, &bytes) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                    created => Some(created.map(|()| path)),
                }
            });
        let kept = kept.unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()));
        let kept = kept.and_then(|path| sync_dir(&dir).map(|()| path)).map_err(&failed)?;
        self.remove(before)?;
        Ok(kept)
    }
}

fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| {
        // It holds nothing that is not in the journal still.
        let _ = fs::remove_file(path);
    })
}

/// Addresses that journals have, also those that were set aside.
pub(in crate::host) fn addresses(host: &Host) -> Vec<Bdf> {
    let aside = kept_aside(host, None).unwrap_or_default();
    let journals = super::all(host).unwrap_or_default();
    let aside = aside.iter().filter_map(|path| address_and_number(path));
    journals.iter().map(Journal::bdf).chain(aside.map(|(bdf, _)| bdf)).collect()
}

/// The journals that were set aside, of one card or of all.
pub(in crate::host) fn kept_aside(
    host: &Host,
    card: Option<Bdf>,
) -> Result<Vec<PathBuf>, JournalError> {
    let dir = host.journal_aside_dir();
    let failed = JournalError::io(&dir, "list");
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(&failed)?,
    };
    let mut kept = Vec::new();
    for entry in entries {
        let path = entry.map_err(&failed)?.path();
        if address_and_number(&path).is_some_and(|(bdf, _)| card.is_none_or(|card| card == bdf)) {
            kept.push(path);
        }
    }
    kept.sort();
    Ok(kept)
}

/// Everything that stands for a journal of this card, usable or not.
pub(in crate::host) fn all_of(host: &Host, bdf: Bdf) -> Result<Vec<PathBuf>, JournalError> {
    let plain = Journal::of(host, bdf).path;
    let old = OLD_EXTENSIONS.map(|extension| plain.with_extension(extension));
    let mut all: Vec<PathBuf> = Vec::new();
    for path in std::iter::once(plain.clone()).chain(old) {
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::io(&path, "look for it")(error)),
            Ok(_) => all.push(path),
        }
    }
    let numbered = super::all(host)?.into_iter().filter(|journal| journal.bdf == bdf);
    all.extend(numbered.map(|journal| journal.path).filter(|path| *path != plain));
    all.extend(kept_aside(host, Some(bdf))?);
    Ok(all)
}

/// Removes these files, and what a killed process left of an unfinished record. A directory stays.
pub(in crate::host) fn drop_all(
    host: &Host,
    bdf: Bdf,
    files: &[PathBuf],
) -> Result<(), JournalError> {
    let unfinished = unfinished(host).into_iter().filter(|journal| journal.bdf == bdf);
    let unfinished: Vec<PathBuf> = unfinished.map(|journal| journal.unfinished).collect();
    for path in files.iter().chain(&unfinished) {
        gone(path).map_err(JournalError::io(path, "remove it"))?;
        let dir = path.parent().unwrap_or(Path::new("/"));
        match sync_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            synced => synced.map_err(JournalError::io(dir, "sync it"))?,
        }
    }
    Ok(())
}
