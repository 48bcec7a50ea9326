//! Files a job reads: images and expansion ROMs.

use super::backup::{IMAGE, MANIFEST, SCHEMA};
use super::split::SplitName;
use super::store::{BackupFile, digest};
use super::{JobError, Manifest, StoreChoice};
use crate::flash::Events;
use crate::host::{InputDir, InputError, NamedInput, read_input, read_input_or_member, read_stdin};
use crate::image::{
    ArchiveError, Contents, FileFormat, Image, ImageError, Rom, Version, WalkEnd, image_in_archive,
};
use crate::plan::{BurnOptions, CardSnapshot, Check, Plan, PlanReport, plan_burn};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// Larger files than this (bytes) are refused: twice the largest flash an image can start in.
pub(super) const MAX_FILE: u64 = 64 << 20;
/// Bytes of a JSON file of a backup; the longest has a few KiB.
pub(super) const MAX_JSON: u64 = 1 << 20;

/// An image file, or one in an archive, read and understood.
#[derive(Clone, Debug)]
pub struct ImageFile {
    /// Its path; in an archive, the path of that, `/` and its path inside.
    pub path: PathBuf,
    /// Length of the file in bytes, bytes after the image included; not that of an archive around it.
    pub len: u64,
    /// SHA-256 of these bytes, lower-case hex.
    pub sha256: String,
    /// The image in it.
    pub contents: Contents,
    /// Hardware id and revision of the chip on which it ran, if it is `image.bin` of a backup whose manifest
    /// shows that.
    pub ran_on: Option<(u16, u8)>,
    /// How it was chosen from a store.
    pub choice: Option<StoreChoice>,
}

impl ImageFile {
    /// The check of `--expect`.
    fn check(&self, options: &BurnOptions) -> Option<Check> {
        let expected = options.expect.as_ref()?;
        Some(Check::expected_file(&self.sha256, expected))
    }

    /// Refuses another file than the one of `--expect`: no card is needed to know.
    pub fn expected(&self, options: &BurnOptions) -> Result<(), JobError> {
        match self.check(options) {
            Some(check) if !check.ok => {
                Err(JobError::Refused { report: Box::new(PlanReport::refused_by(check)) })
            }
            _ => Ok(()),
        }
    }

    /// The plan of a burn of this file.
    pub(super) fn plan(&self, card: &CardSnapshot, options: &BurnOptions) -> Plan {
        let options = BurnOptions { ran_on: self.ran_on, ..options.clone() };
        let mut plan = plan_burn(card, &self.contents, self.len, &options);
        if let Some(check) = self.check(&options) {
            if !check.ok {
                plan.report.refused = true;
                plan.action = None;
            }
            plan.report.checks.insert(0, check);
        }
        plan
    }
}

/// An expansion ROM file.
#[derive(Clone, Debug)]
pub struct RomFile {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// Its parsed header.
    pub rom: Rom,
}

/// Reads a file of at most [`MAX_FILE`] bytes, once; a stop that `events` reports ends the wait for a pipe.
pub(crate) fn read_bytes(path: &Path, events: &dyn Events) -> Result<Vec<u8>, JobError> {
    read_input(path, MAX_FILE, &|| events.stop_requested())
        .map_err(|error| not_read(path, MAX_FILE, error))
}

/// Reads the file with the key of a locked card; `-` is stdin.
pub(crate) fn read_key(path: &Path, events: &dyn Events) -> Result<Vec<u8>, JobError> {
    /// More than any key with blanks around it.
    const LONGEST: u64 = 4096;
    let stop = || events.stop_requested();
    let read = match path.as_os_str() == "-" {
        true => read_stdin(LONGEST, &stop),
        false => read_input(path, LONGEST, &stop),
    };
    read.map_err(|error| not_read(path, LONGEST, error))
}

/// The error of a job for a file that was not read.
pub(super) fn not_read(path: &Path, max: u64, error: InputError) -> JobError {
    let path = path.to_owned();
    match error {
        InputError::NotAFile(what) => JobError::NotAFile { path, what },
        InputError::TooLarge(len) => JobError::FileTooLarge { path, len, max },
        InputError::Stopped => JobError::Interrupted,
        InputError::Io(source) => JobError::ReadFile { path, source },
    }
}

/// Reads an image file, or takes the image out of an archive. Damage inside is no error: see
/// [`crate::image::Image::findings`].
pub fn read_image(path: &Path, events: &dyn Events) -> Result<ImageFile, JobError> {
    let (path, bytes) = image_bytes(read_named(path, events)?)?;
    let image = ImageFile::parse(&path, &bytes)?;
    let version = image.contents.image().fw_version();
    Ok(ImageFile { ran_on: ran_on(&path, &image.sha256, version, events), ..image })
}

/// The chip on which the image at `path`, with this digest and version, ran: it is `image.bin` of a backup whose
/// manifest has its digest and the version that ran then. What cannot be read shows nothing.
fn ran_on(
    path: &Path,
    sha256: &str,
    version: Option<Version>,
    events: &dyn Events,
) -> Option<(u16, u8)> {
    let parent = path.parent().filter(|_| path.file_name().is_some_and(|name| name == IMAGE))?;
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let dir = InputDir::open(parent, &|| events.stop_requested()).ok()??;
    let manifest = read_file(&dir, parent, MANIFEST, MAX_JSON, events).ok()?;
    let manifest: Manifest = serde_json::from_slice(&manifest).ok()?;
    let is_this = |file: &BackupFile| file.name == IMAGE && file.sha256 == sha256;
    let shows = manifest.schema == SCHEMA
        && version.is_some()
        && manifest.running == version
        && manifest.files.iter().any(is_this);
    shows.then_some((manifest.hw_id, manifest.revision))
}

/// A file of a directory that was opened.
pub(super) fn read_file(
    dir: &InputDir,
    path: &Path,
    name: &str,
    max: u64,
    events: &dyn Events,
) -> Result<Vec<u8>, JobError> {
    let read: Result<_, InputError> = dir.read(name, max, &|| events.stop_requested());
    read.map_err(|error| not_read(&path.join(name), max, error))
}

/// Reads a file of at most [`MAX_FILE`] bytes, or the archive of which the path names a member.
pub(super) fn read_named(path: &Path, events: &dyn Events) -> Result<NamedInput, JobError> {
    read_input_or_member(path, MAX_FILE, &|| events.stop_requested())
        .map_err(|error| not_read(path, MAX_FILE, error))
}

/// The bytes of a file, or of the image in it if it is an archive, and the path of these bytes.
pub(super) fn image_bytes(input: NamedInput) -> Result<(PathBuf, Vec<u8>), JobError> {
    let NamedInput { file, member, bytes } = input;
    if FileFormat::of(&bytes).is_some_and(FileFormat::is_opened) {
        let wanted = member.as_ref().map(|name| name.to_string_lossy());
        let found = image_in_archive(&bytes, wanted.as_deref()).map_err(|source| {
            match (source, SplitName::of(&file)) {
                (source @ ArchiveError::Damaged { .. }, Some(split)) => {
                    JobError::SplitFile { path: file.clone(), split, why: source.to_string() }
                }
                (source, _) => JobError::Archive { path: file.clone(), source },
            }
        })?;
        return Ok((member_path(&file, String::from(found.name).as_ref()), found.bytes));
    }
    match member {
        None => Ok((file, bytes)),
        // What the system reported.
        Some(name) => {
            let source = io::Error::from(io::ErrorKind::NotADirectory);
            Err(JobError::ReadFile { path: member_path(&file, &name), source })
        }
    }
}

/// The path of a member of an archive: that of the archive, `/` and its path inside.
pub(super) fn member_path(archive: &Path, name: &OsStr) -> PathBuf {
    let mut path = archive.to_owned().into_os_string();
    path.push("/");
    path.push(name);
    path.into()
}

/// Only the beginning of an image: its header declares more, and its sections do not end before.
fn cut_short(image: &Image, len: usize) -> Option<ImageError> {
    let (size, len) = (image.header.declared_size, len as u64);
    let missing = len < size.into() && u64::from(size) <= MAX_FILE;
    (missing && image.walk_end != WalkEnd::Complete)
        .then_some(ImageError::CutShort { len, size: Some(size) })
}

/// Reads an expansion ROM file.
pub fn read_rom(path: &Path, events: &dyn Events) -> Result<RomFile, JobError> {
    RomFile::parse(path, read_bytes(path, events)?)
}

impl ImageFile {
    /// The image in the bytes of the file at `path`.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, JobError> {
        let complete = |contents: Contents| match cut_short(contents.image(), bytes.len()) {
            Some(error) => Err(error),
            None => Ok(contents),
        };
        let contents = Contents::from_file(bytes).and_then(complete).map_err(|source| {
            use FileFormat::{Blank, Zeros};
            use ImageError::{CutShort, Foreign, NoMagic, RawDump, TooShort, Unaligned};
            let path = path.to_owned();
            match (source, SplitName::of(&path)) {
                (RawDump, _) => JobError::RawDump { path },
                (
                    source @ (CutShort { .. }
                    | Foreign(Blank | Zeros)
                    | NoMagic
                    | TooShort(_)
                    | Unaligned(_)),
                    Some(split),
                ) => JobError::SplitFile { path, split, why: source.to_string() },
                (Foreign(format), _) => JobError::foreign(&path, format, "an image"),
                (source, _) => JobError::ImageFile { path, source },
            }
        })?;
        let (path, len) = (path.to_owned(), bytes.len() as u64);
        Ok(Self { path, len, sha256: digest(bytes), contents, ran_on: None, choice: None })
    }
}

impl RomFile {
    /// The ROM in the bytes of the file at `path`. Damage inside is no error: see [`Rom::chain_fault`];
    /// a plan refuses it.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, JobError> {
        if let Some(format) = FileFormat::of(&bytes) {
            return Err(JobError::foreign(path, format, "an expansion ROM"));
        }
        Rom::check(&bytes).map_err(|source| JobError::RomFile { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), rom: Rom::parse(&bytes), bytes })
    }
}
