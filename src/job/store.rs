//! Where files of a job go and how they get there: written, synced, read back, compared; and a
//! backup's directory appears complete or not at all.

use super::JobError;
use crate::escape;
use crate::host::{Host, UserDirs};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Name inside the directory.
    pub name: String,
    pub len: u64,
    pub sha256: String,
}

/// Directory for backups when none is named.
pub fn default_backup_dir() -> PathBuf {
    UserDirs::new(&Host::system()).backups
}

pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn cannot_write(path: &Path) -> impl Fn(io::Error) -> JobError {
    let path = path.to_owned();
    move |source| JobError::WriteFile { path: path.clone(), source }
}

/// Write a file that must not exist yet, sync it, read it back from the disk and compare. Nothing
/// is left behind when that fails.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<BackupFile, JobError> {
    let file =
        OpenOptions::new().write(true).create_new(true).open(path).map_err(cannot_write(path))?;
    let written = fill(path, file, bytes);
    if written.is_err() {
        // It was made above, so it is ours to take away.
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(path = %escape::path(path), %error, "an incomplete file stays behind");
        }
    }
    written
}

fn fill(path: &Path, mut file: File, bytes: &[u8]) -> Result<BackupFile, JobError> {
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(cannot_write(path))?;
    // Let go of the cached pages, so that what is read back comes from the disk. Some file systems
    // keep everything in memory; then this has no effect.
    if let Err(error) = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED) {
        tracing::debug!(path = %escape::path(path), %error, "pages stay cached");
    }
    drop(file);
    let mut found = Vec::with_capacity(bytes.len());
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut found))
        .map_err(|source| JobError::ReadFile { path: path.to_owned(), source })?;
    if found != bytes {
        return Err(JobError::NotWritten { path: path.to_owned() });
    }
    Ok(BackupFile {
        name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        len: bytes.len() as u64,
        sha256: digest(&found),
    })
}

/// A backup's directory in the making. Dropped before [`NewDir::finish`] it leaves nothing behind.
pub(super) struct NewDir {
    /// Where it will be; an empty directory holds the name.
    dir: PathBuf,
    /// Where the files are until then.
    temp: PathBuf,
    /// Parents that were made on the way, outermost first.
    made: Vec<PathBuf>,
    finished: bool,
}

impl NewDir {
    /// Takes an unused name inside `out`: `name`, or `name-2` and so on.
    pub(super) fn create(out: &Path, name: &str) -> Result<Self, JobError> {
        let mut new = Self {
            dir: PathBuf::new(),
            temp: PathBuf::new(),
            made: make_parents(out)?,
            finished: false,
        };
        for number in 1_u32.. {
            let tail = if number == 1 { String::new() } else { format!("-{number}") };
            let dir = out.join(format!("{name}{tail}"));
            match fs::create_dir(&dir) {
                Ok(()) => {
                    new.dir = dir;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot_write(&dir)(error)),
            }
        }
        let mut temp = new.dir.clone().into_os_string();
        temp.push(".part");
        let temp = PathBuf::from(temp);
        fs::create_dir(&temp).map_err(cannot_write(&temp))?;
        new.temp = temp;
        Ok(new)
    }

    /// Where it will be.
    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// Write one file into it.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<BackupFile, JobError> {
        write_new(&self.temp.join(name), bytes)
    }

    /// All files are there: make the directory appear.
    pub(super) fn finish(mut self) -> Result<PathBuf, JobError> {
        sync_dir(&self.temp)?;
        // The empty directory that holds the name is replaced in one step.
        fs::rename(&self.temp, &self.dir).map_err(cannot_write(&self.dir))?;
        let mut parents = self.made.iter().map(PathBuf::as_path).rev();
        let synced = parents.try_for_each(sync_dir).and_then(|()| sync_dir(parent_of(&self.dir)));
        self.finished = synced.is_ok();
        if !self.finished
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            tracing::warn!(dir = %escape::path(&self.dir), %error, "a backup that is not synced stays behind");
        }
        synced.map(|()| self.dir.clone())
    }
}

impl Drop for NewDir {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let gone = |result: io::Result<()>, path: &Path| {
            if let Err(error) = result
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %escape::path(path), %error, "cannot be taken away");
            }
        };
        if !self.temp.as_os_str().is_empty() {
            gone(fs::remove_dir_all(&self.temp), &self.temp);
        }
        if !self.dir.as_os_str().is_empty() {
            gone(fs::remove_dir(&self.dir), &self.dir);
        }
        for parent in self.made.iter().rev() {
            // Another program may have put something there meanwhile; then it stays.
            if let Err(error) = fs::remove_dir(parent) {
                tracing::debug!(path = %escape::path(parent), %error, "stays");
                break;
            }
        }
    }
}

/// Make `dir` and what is missing above it; what was made is given back, outermost first.
pub(super) fn make_parents(dir: &Path) -> Result<Vec<PathBuf>, JobError> {
    let mut missing: Vec<PathBuf> = dir
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .map(Path::to_path_buf)
        .collect();
    missing.reverse();
    fs::create_dir_all(dir).map_err(cannot_write(dir))?;
    Ok(missing)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_dir(path: &Path) -> Result<(), JobError> {
    crate::host::sync_dir(path).map_err(cannot_write(path))
}
