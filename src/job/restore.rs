//! The files of a backup, as `restore` reads them.

use super::backup::{FLASH, MANIFEST, SCHEMA};
use super::file::{MAX_FILE, MAX_JSON, not_read, read_bytes, read_file};
use super::store::digest;
use super::{JobError, Manifest, UnsteadyRange};
use crate::flash::Events;
use crate::host::InputDir;
use crate::image::{FileFormat, Mac};
use crate::plan::BackupFacts;
use crate::words::{counted, moment};
use std::io::ErrorKind;
use std::path::Path;

/// Files in a manifest; ours have at most five.
const MAX_FILES: usize = 32;

/// Reads a backup: its directory, the `flash.bin` of one, or a bare dump of a flash. Every digest of a
/// manifest is compared. `change_mac` is the change of identity that the user specified: MAC of port 1 on
/// the card, and in the backup.
pub fn read_backup(
    path: &Path,
    change_mac: Option<(Mac, Mac)>,
    events: &dyn Events,
) -> Result<BackupFacts, JobError> {
    let stop = || events.stop_requested();
    let open =
        |dir: &Path| InputDir::open(dir, &stop).map_err(|error| not_read(dir, MAX_JSON, error));
    if let Some(dir) = open(path)? {
        let manifest = read_file(&dir, path, MANIFEST, MAX_JSON, events)?;
        return with_manifest(&dir, path, &manifest, change_mac, events);
    }
    // The flash.bin of a backup is judged with its manifest.
    let parent = path.parent().filter(|_| path.file_name().is_some_and(|name| name == FLASH));
    let parent = parent.map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
    if let Some(parent) = parent
        && let Some(dir) = open(parent)?
    {
        match read_file(&dir, parent, MANIFEST, MAX_JSON, events) {
            Ok(manifest) => return with_manifest(&dir, parent, &manifest, change_mac, events),
            Err(JobError::ReadFile { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let flash = read_bytes(path, events)?;
    let blank = |format: &FileFormat| matches!(format, FileFormat::Blank | FileFormat::Zeros);
    if let Some(format) = FileFormat::of(&flash).filter(|format| !blank(format)) {
        return Err(JobError::foreign(path, format, "a dump of a flash"));
    }
    Ok(BackupFacts {
        provenance: format!("a bare dump of {}, without a manifest", counted(flash.len(), "byte")),
        chip: None,
        running: None,
        wavering: Vec::new(),
        flash,
        change_mac,
    })
}

fn with_manifest(
    dir: &InputDir,
    path: &Path,
    manifest: &[u8],
    change_mac: Option<(Mac, Mac)>,
    events: &dyn Events,
) -> Result<BackupFacts, JobError> {
    let bad = |name: &str, why: String| JobError::BadFile { path: path.join(name), why };
    let manifest: Manifest =
        serde_json::from_slice(manifest).map_err(|error| bad(MANIFEST, error.to_string()))?;
    if manifest.schema != SCHEMA {
        return Err(bad(MANIFEST, format!("schema {} is not {SCHEMA}", manifest.schema)));
    }
    if manifest.files.len() > MAX_FILES {
        let why = format!("it lists {} files, more than {MAX_FILES}", manifest.files.len());
        return Err(bad(MANIFEST, why));
    }
    let mut flash = None;
    for (at, file) in manifest.files.iter().enumerate() {
        let name = &file.name;
        // A manifest names files beside it and nothing else.
        if Path::new(name).components().count() != 1 || name.contains('/') || name.starts_with('.')
        {
            return Err(bad(MANIFEST, format!("{name:?} is no file of a backup")));
        }
        if manifest.files.iter().take(at).any(|other| other.name == *name) {
            return Err(bad(MANIFEST, format!("{name:?} is listed twice")));
        }
        let bytes = read_file(dir, path, name, MAX_FILE, events)?;
        if bytes.len() as u64 != file.len || digest(&bytes) != file.sha256 {
            return Err(bad(name, "its digest is not that of the manifest".into()));
        }
        if name == FLASH {
            flash = Some(bytes);
        }
    }
    let flash = flash.ok_or_else(|| bad(MANIFEST, format!("{FLASH} is not listed")))?;
    Ok(BackupFacts {
        flash,
        wavering: manifest.wavering.iter().map(UnsteadyRange::range).collect(),
        chip: Some((manifest.hw_id, manifest.revision)),
        running: manifest.running,
        provenance: format!(
            "made {}, {} checked by digest",
            moment(&manifest.time),
            counted(manifest.files.len(), "file")
        ),
        change_mac,
    })
}
