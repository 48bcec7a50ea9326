//! The files of a backup, as `restore` reads them.

use super::backup::{FLASH, MANIFEST, SCHEMA};
use super::file::read_bytes;
use super::store::digest;
use super::{JobError, Manifest};
use crate::image::Mac;
use crate::plan::BackupFacts;
use std::path::Path;

/// A manifest and its files, every digest compared; or a bare dump of a flash.
pub(super) fn read_backup(
    path: &Path,
    change_mac: Option<(Mac, Mac)>,
) -> Result<BackupFacts, JobError> {
    let (dir, bare) = if path.is_dir() {
        (Some(path), false)
    } else {
        // The flash.bin of a backup is judged with its manifest.
        let beside = path
            .parent()
            .filter(|_| path.file_name().is_some_and(|name| name == FLASH))
            .filter(|dir| dir.join(MANIFEST).is_file());
        (beside, beside.is_none())
    };
    let Some(dir) = dir.filter(|_| !bare) else {
        let flash = read_bytes(path)?;
        return Ok(BackupFacts {
            provenance: format!("a bare dump of {} bytes, without a manifest", flash.len()),
            chip: None,
            flash,
            change_mac,
        });
    };
    let manifest_path = dir.join(MANIFEST);
    let bad = |path: &Path, why: String| JobError::BadFile { path: path.to_owned(), why };
    let manifest: Manifest = serde_json::from_slice(&read_bytes(&manifest_path)?)
        .map_err(|error| bad(&manifest_path, error.to_string()))?;
    if manifest.schema != SCHEMA {
        return Err(bad(&manifest_path, format!("schema {} is not {SCHEMA}", manifest.schema)));
    }
    let mut flash = None;
    for file in &manifest.files {
        // A manifest names files beside it and nothing else.
        if Path::new(&file.name).components().count() != 1 || file.name.starts_with('.') {
            return Err(bad(&manifest_path, format!("{:?} is no file of a backup", file.name)));
        }
        let path = dir.join(&file.name);
        let bytes = read_bytes(&path)?;
        if bytes.len() as u64 != file.len || digest(&bytes) != file.sha256 {
            return Err(bad(&path, "its digest is not that of the manifest".into()));
        }
        if file.name == FLASH {
            flash = Some(bytes);
        }
    }
    let flash = flash.ok_or_else(|| bad(&manifest_path, format!("{FLASH} is not listed")))?;
    Ok(BackupFacts {
        flash,
        chip: Some((manifest.hw_id, manifest.revision)),
        provenance: format!(
            "made {}, {} files match their digests",
            manifest.time,
            manifest.files.len()
        ),
        change_mac,
    })
}
