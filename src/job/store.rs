//! Where files of a job go and how they get there: written, synced, read back, compared; and a
//! backup's directory appears complete or not at all.

use super::JobError;
use crate::escape;
use crate::host::{HeldDir, Host, MadeDir, NewFile, UserDirs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
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

pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn cannot_write(path: &Path) -> impl Fn(io::Error) -> JobError {
    let path = path.to_owned();
    move |source| JobError::WriteFile { path: path.clone(), source }
}

/// A file that a user names for the result of a command. Created before the card is opened; dropped before
/// `write` it is removed.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    file: NewFile,
}

impl OutputFile {
    /// Creates a file that must not exist yet.
    pub fn create(path: &Path) -> Result<Self, JobError> {
        let file = NewFile::create(path).map_err(cannot_write(path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes, syncs, reads back and compares.
    pub(super) fn write(self, bytes: &[u8]) -> Result<BackupFile, JobError> {
        fill(self.file, &self.path, bytes)
    }
}

fn fill(file: NewFile, path: &Path, bytes: &[u8]) -> Result<BackupFile, JobError> {
    if !file.write(bytes).map_err(cannot_write(path))? {
        return Err(JobError::NotWritten { path: path.to_owned() });
    }
    Ok(BackupFile {
        name: path.file_name().map(escape::file_name).unwrap_or_default(),
        len: bytes.len() as u64,
        sha256: digest(bytes),
    })
}

/// A backup's directory in the making. Dropped before [`NewDir::finish`] it leaves nothing behind.
pub(super) struct NewDir {
    /// Where it will be; an empty directory holds the name.
    path: PathBuf,
    /// The directory it is in.
    parent: MadeDir,
    name: OsString,
    /// The name of `files` until then.
    temp: OsString,
    files: HeldDir,
    names: Vec<OsString>,
    finished: bool,
}

impl NewDir {
    /// Takes an unused name inside `out`: `name`, or `name-2` and so on.
    pub(super) fn create(out: &Path, name: &str) -> Result<Self, JobError> {
        let parent = MadeDir::create(out).map_err(cannot_write(out))?;
        for number in 1_u32.. {
            let tail = if number == 1 { String::new() } else { format!("-{number}") };
            let name = OsString::from(format!("{name}{tail}"));
            let path = out.join(&name);
            match parent.dir().create_dir(&name) {
                Ok(_) => return Self::in_place_of(parent, path, name),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot_write(&path)(error)),
            }
        }
        Err(cannot_write(out)(io::ErrorKind::AlreadyExists.into()))
    }

    fn in_place_of(parent: MadeDir, path: PathBuf, name: OsString) -> Result<Self, JobError> {
        let mut temp = name.clone();
        temp.push(".part");
        match parent.dir().create_dir(&temp) {
            Ok(files) => {
                let names = Vec::new();
                Ok(Self { path, parent, name, temp, files, names, finished: false })
            }
            Err(error) => {
                gone(parent.dir().remove_dir(&name), &path);
                Err(cannot_write(&path)(error))
            }
        }
    }

    /// Where it will be.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Write one file into it.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<BackupFile, JobError> {
        let path = self.path.join(name);
        let name = OsString::from(name);
        let file = NewFile::private(&self.files, &name).map_err(cannot_write(&path))?;
        let written = fill(file, &path, bytes)?;
        self.names.push(name);
        Ok(written)
    }

    /// All files are there: make the directory appear.
    pub(super) fn finish(mut self) -> Result<PathBuf, JobError> {
        let parent = self.parent.dir();
        self.files
            .sync()
            // The empty directory that holds the name is replaced in one step.
            .and_then(|()| parent.rename(&self.temp, &self.name))
            .and_then(|()| parent.sync())
            .and_then(|()| self.parent.sync())
            .map_err(cannot_write(&self.path))?;
        self.finished = true;
        self.parent.keep();
        Ok(std::mem::take(&mut self.path))
    }
}

impl Drop for NewDir {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        for name in &self.names {
            gone(self.files.remove_file(name), &self.path.join(name));
        }
        gone(self.parent.dir().remove_dir(&self.temp), &self.path);
        gone(self.parent.dir().remove_dir(&self.name), &self.path);
    }
}

fn gone(result: io::Result<()>, path: &Path) {
    if let Err(error) = result
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %escape::path(path), %error, "cannot be taken away");
    }
}

/// Removes the directory of a backup, with these files.
pub(super) fn remove_backup(path: &Path, files: &[&str]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = HeldDir::open(parent.unwrap_or(Path::new(".")))?;
    let dir = parent.enter(name)?;
    files.iter().try_for_each(|file| dir.remove_file(file.as_ref()))?;
    parent.remove_dir(name)
}
