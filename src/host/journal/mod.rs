//! The journal of a borrowed card: what another process needs to restore the host when this one
//! cannot. Written and synced before each change.
//!
//! Each card has one file, `0000:01:00.0.json` in [`Host::journal_dir`], that an administrator can
//! read. While the journal of another card has that name, it is `0000:01:00.0.1.json`.
//!
//! ```json
//! {
//!   "version": 2,
//!   "sha256": "9f86d081…",
//!   "record": { "bdf": "0000:01:00.0", … }
//! }
//! ```
//!
//! `sha256` is that of the record without white space: `jq -cj .record FILE | sha256sum`. A record
//! is written to a hidden file, synced, and renamed to that name, so a record that is cut short or
//! damaged is not ours, and is refused. The directory has no visible file when no card is borrowed:
//! the boot unit checks that.

mod aside;
mod record;
#[cfg(test)]
mod tests;

pub(super) use aside::{addresses, all_of, drop_all, kept_aside};
pub(super) use record::JournalRecord;
pub use record::{HostStep, Marks, MovedSibling, OriginalFunction, OriginalState};

use super::{Bdf, Host, is_root};
use crate::escape;
use nix::libc;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Version 1 had two binary files a card, `.a` and `.b`.
const VERSION: u64 = 2;
const OLD_EXTENSIONS: [&str; 2] = ["a", "b"];
/// A record has a few KiB, so a larger file is not a journal.
const LONGEST: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// An operation on a file or the directory failed.
    #[error("journal {}: cannot {doing}", escape::path(path))]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    /// Journals are root's.
    #[error("only root can read and write journals ({})", escape::path(path))]
    NotRoot { path: PathBuf },
    /// No valid record, and the host may have been changed.
    #[error("journal {} cannot be used: {why}", escape::path(path))]
    Damaged { path: PathBuf, why: String },
}

impl JournalError {
    /// Address in the name of a journal that cannot be used.
    pub fn bdf(&self) -> Option<Bdf> {
        match self {
            Self::Damaged { path, .. } => {
                let old = || path.file_stem()?.to_str()?.parse().ok();
                address_and_number(path).map(|(bdf, _)| bdf).or_else(old)
            }
            _ => None,
        }
    }

    fn io(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            if source.kind() == io::ErrorKind::PermissionDenied && !is_root() {
                Self::NotRoot { path }
            } else {
                Self::Io { path, doing, source }
            }
        }
    }
}

/// Called with the name of each operation on the disk, before it. An error is that operation's.
pub(super) type BeforeDisk<'a> = &'a dyn Fn(&'static str) -> io::Result<()>;

/// The journal of one card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Journal {
    bdf: Bdf,
    path: PathBuf,
    /// The hidden file of a record that is not complete. A killed process may leave it.
    unfinished: PathBuf,
}

impl Journal {
    pub(super) fn of(host: &Host, bdf: Bdf) -> Self {
        Self::numbered(host, bdf, 0)
    }

    /// The first name for this address that no file has.
    pub(super) fn unused(host: &Host, bdf: Bdf) -> Self {
        let is_unused = |journal: &Self| {
            let mut paths =
                OLD_EXTENSIONS.map(|extension| journal.path.with_extension(extension)).to_vec();
            paths.push(journal.path.clone());
            paths.iter().all(|path| fs::symlink_metadata(path).is_err())
        };
        let mut journals = (0..u32::MAX).map(|number| Self::numbered(host, bdf, number));
        journals.find(is_unused).unwrap_or_else(|| Self::of(host, bdf))
    }

    fn numbered(host: &Host, bdf: Bdf, number: u32) -> Self {
        let dir = host.journal_dir();
        let name = file_name(bdf, number);
        Self { bdf, unfinished: dir.join(format!(".{name}.new")), path: dir.join(name) }
    }

    /// Address of the card when the record was written.
    pub(super) fn bdf(&self) -> Bdf {
        self.bdf
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The record; `None` when there is no journal. Returns at once whatever is in its place.
    pub(super) fn read(&self) -> Result<Option<JournalRecord>, JournalError> {
        self.read_after(&|_| Ok(()))
    }

    pub(super) fn read_after(
        &self,
        before: BeforeDisk<'_>,
    ) -> Result<Option<JournalRecord>, JournalError> {
        let damaged = |path: &Path, why| JournalError::Damaged { path: path.to_owned(), why };
        let meta = self.does(before, "look for it", || match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        })?;
        let Some(meta) = meta else {
            let old = OLD_EXTENSIONS.map(|extension| self.path.with_extension(extension));
            return match old.iter().find(|path| path.exists()) {
                Some(path) => Err(damaged(path, other_version(1))),
                None => Ok(None),
            };
        };
        // Before it is opened, too: opening a device may do something.
        if let Some(why) = not_a_file(&meta) {
            return Err(damaged(&self.path, why));
        }
        let (meta, file) = self.does(before, "open it", || {
            let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
            let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
            Ok((file.metadata()?, file))
        })?;
        if let Some(why) = not_a_file(&meta).or_else(|| not_ours(&meta)) {
            return Err(damaged(&self.path, why));
        }
        let mut bytes = Vec::new();
        self.does(before, "read it", || file.take(LONGEST + 1).read_to_end(&mut bytes))?;
        let record = decode(&bytes).map_err(|why| damaged(&self.path, why))?;
        if record.bdf != self.bdf {
            return Err(damaged(&self.path, format!("it belongs to {}", record.bdf)));
        }
        Ok(Some(record))
    }

    /// Writes a record in the place of the older one; it is on the disk when this returns. After an
    /// error the file holds the one or the other.
    pub(super) fn write(
        &self,
        record: &JournalRecord,
        before: BeforeDisk<'_>,
    ) -> Result<(), JournalError> {
        self.does(before, "make its directory", || make_directory(self.dir()))?;
        let renamed = self.write_unfinished(record, before).and_then(|()| {
            self.does(before, "rename it", || fs::rename(&self.unfinished, &self.path))
        });
        if let Err(error) = renamed {
            let removed = self.does(before, "remove an unfinished one", || gone(&self.unfinished));
            if removed.is_err() {
                tracing::debug!("an unfinished record is left: the next write removes it");
            }
            return Err(error);
        }
        self.sync_directory(before)
    }

    fn write_unfinished(
        &self,
        record: &JournalRecord,
        before: BeforeDisk<'_>,
    ) -> Result<(), JournalError> {
        let path = &self.unfinished;
        self.does(before, "remove an unfinished one", || gone(path))?;
        let mut file = self.does(before, "create it", || {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            // Whatever the umask.
            file.set_permissions(Permissions::from_mode(0o600))?;
            Ok(file)
        })?;
        self.does(before, "write it", || file.write_all(&encode(record)?))?;
        self.does(before, "sync it", || file.sync_all())
    }

    /// Removes the journal.
    pub(super) fn remove(&self, before: BeforeDisk<'_>) -> Result<(), JournalError> {
        self.does(before, "remove an unfinished one", || gone(&self.unfinished))?;
        self.does(before, "remove it", || gone(&self.path))?;
        self.sync_directory(before)
    }

    /// Removes what a killed process left of a record. No other process may be writing one.
    pub(super) fn remove_unfinished(&self) -> Result<(), JournalError> {
        gone(&self.unfinished).map_err(JournalError::io(&self.unfinished, "remove it"))
    }

    fn sync_directory(&self, before: BeforeDisk<'_>) -> Result<(), JournalError> {
        self.does(before, "sync its directory", || match open_directory(self.dir()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            dir => dir?.sync_all(),
        })
    }

    fn does<T>(
        &self,
        before: BeforeDisk<'_>,
        doing: &'static str,
        act: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, JournalError> {
        before(doing).and_then(|()| act()).map_err(JournalError::io(&self.path, doing))
    }
}

/// Every journal, valid or not, by address.
pub(super) fn all(host: &Host) -> Result<Vec<Journal>, JournalError> {
    let dir = host.journal_dir();
    let failed = JournalError::io(&dir, "list");
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.map_err(&failed)?.path();
        let is_old = path.extension().is_some_and(|e| OLD_EXTENSIONS.iter().any(|old| e == *old));
        let old = || path.file_stem().filter(|_| is_old)?.to_str()?.parse().ok();
        names.extend(address_and_number(&path).or_else(|| Some((old()?, 0))));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().map(|(bdf, number)| Journal::numbered(host, bdf, number)).collect())
}

/// Journals of which a killed process left an unfinished record.
pub(super) fn unfinished(host: &Host) -> Vec<Journal> {
    let names = fs::read_dir(host.journal_dir()).into_iter().flatten().flatten();
    let journal = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_str()?.strip_prefix('.')?.strip_suffix(".new")?;
        let (bdf, number) = address_and_number(Path::new(name))?;
        Some(Journal::numbered(host, bdf, number))
    };
    names.filter_map(journal).collect()
}

/// `0000:05:00.0.json`, then `0000:05:00.0.1.json`.
fn file_name(bdf: Bdf, number: u32) -> String {
    match number {
        0 => format!("{bdf}.json"),
        number => format!("{bdf}.{number}.json"),
    }
}

/// What [`file_name`] made this name of.
fn address_and_number(path: &Path) -> Option<(Bdf, u32)> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".json")?;
    let (bdf, number) = match stem.parse() {
        Ok(bdf) => (bdf, 0),
        Err(_) => {
            let (bdf, number) = stem.rsplit_once('.')?;
            (bdf.parse().ok()?, number.parse().ok()?)
        }
    };
    (file_name(bdf, number) == name).then_some((bdf, number))
}

/// Makes the directory, for its owner alone whatever the umask, and syncs its name.
fn make_directory(dir: &Path) -> io::Result<()> {
    match open_directory(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = dir.parent().unwrap_or(Path::new("/"));
            DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
            create_directory(dir)?;
            for above in parent.ancestors().take(2) {
                File::open(above)?.sync_all()?;
            }
        }
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let dir = open_directory(dir)?;
    let meta = dir.metadata()?;
    if meta.mode() & 0o777 != 0o700 && meta.uid() == own_id() {
        dir.set_permissions(Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Another process may have made it since: whatever is there is judged when it is opened.
fn create_directory(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Not through a link: its target's mode would be changed.
fn open_directory(dir: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags).open(dir)
}

fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn own_id() -> u32 {
    nix::unistd::geteuid().as_raw()
}

fn not_a_file(meta: &fs::Metadata) -> Option<String> {
    let kind = meta.file_type();
    let what = match () {
        () if kind.is_file() => return None,
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Some(format!("it is {what}"))
}

/// Root carries out what a journal contains, so no other user may have written it.
fn not_ours(meta: &fs::Metadata) -> Option<String> {
    let (owner, mode) = (meta.uid(), meta.mode() & 0o777);
    if owner != 0 && owner != own_id() {
        return Some(format!("it belongs to user {owner}"));
    }
    (mode & 0o022 != 0).then(|| format!("others may write it (mode {mode:03o})"))
}

fn other_version(version: u64) -> String {
    format!("it has version {version}, this program reads version {VERSION}")
}

fn digest(record: &Value) -> String {
    Sha256::digest(record.to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode(record: &JournalRecord) -> io::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct JournalFile {
        version: u64,
        sha256: String,
        record: Value,
    }
    let record = serde_json::to_value(record)?;
    let file = JournalFile { version: VERSION, sha256: digest(&record), record };
    let mut bytes = serde_json::to_vec_pretty(&file)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The record in these bytes, or why there is none.
fn decode(bytes: &[u8]) -> Result<JournalRecord, String> {
    if bytes.is_empty() {
        return Err("it is empty".into());
    }
    if bytes.len() as u64 > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let file: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("bad JSON: {error}"))?;
    let (Some(version), Some(sha256)) = (file["version"].as_u64(), file.get("sha256")) else {
        return Err("it is not a journal".into());
    };
    if version != VERSION {
        return Err(other_version(version));
    }
    let record = &file["record"];
    if *sha256 != digest(record) {
        return Err("its checksum is wrong".into());
    }
    JournalRecord::deserialize(record).map_err(|error| error.to_string())
}

/// For the fuzz target `journal`: what is decoded is a record that is encoded to an equal one.
#[cfg(any(test, fuzzing))]
pub(crate) fn decode_and_encode(bytes: &[u8]) {
    // The digest is that of the record, so that what lies behind it is reached as well.
    let mut signed = bytes.to_vec();
    if let Ok(mut file) = serde_json::from_slice::<Value>(bytes)
        && file.is_object()
    {
        file["sha256"] = digest(&file["record"]).into();
        file["version"] = VERSION.into();
        signed = file.to_string().into_bytes();
    }
    for bytes in [bytes, &signed] {
        if let Ok(record) = decode(bytes) {
            let again = encode(&record).expect("what was decoded can be encoded");
            assert!(again.len() as u64 <= LONGEST + 0x1000, "{} bytes", again.len());
            assert_eq!(decode(&again).as_ref(), Ok(&record));
        }
    }
}
