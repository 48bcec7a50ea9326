//! An image store: directories, files and archives that hold images; and the image in it for a card.

use super::choice::NotChosen;
use super::file::{MAX_FILE, member_path, not_read};
use super::images::{mark_active, read_images};
use super::session::CardFacts;
use super::{
    Device, ImageFile, JobError, LeftOutImage, StoreChoice, UnreadFile, read_bytes, read_image,
};
use crate::card::{Chip, DeviceType};
use crate::escape::ForeignText;
use crate::flash::Events;
use crate::host::{FileStart, InputDir, InputError, TreeError, TreeLimits, walk_tree};
use crate::image::{
    ArchiveEntry, Depth, FileFormat, Image, ImageError, MAX_UNPACKED, Version, may_hold_image,
    sniff, walk_archive,
};
use crate::plan::{ImageStatus, LeftOutReason, NoChoice, OfferedImage, choose_image};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A vendor's tree has three levels and some hundred files. Everything beyond is no image store.
const LIMITS: TreeLimits =
    TreeLimits { depth: 16, entries: 100_000, file: MAX_FILE, bytes: 8 << 30 };
/// Bytes that all archives together unpack to.
const UNPACKED: usize = 16 << 30;
/// Images.
const IMAGES: usize = 20_000;

/// An image of a store.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct StoredImage {
    /// Its path; in an archive, the path of that, `/` and its path inside.
    #[serde(serialize_with = "crate::escape::serialize_path")]
    #[schemars(with = "String")]
    pub file: PathBuf,
    /// SHA-256 of its bytes, lower-case hex; `None` of one that was not read in full.
    pub sha256: Option<String>,
    pub status: ImageStatus,
    /// Why it is not valid.
    pub problem: Option<String>,
    pub psid: Option<ForeignText>,
    pub fw_version: Option<Version>,
    /// `2017-09-05`.
    pub release_date: Option<String>,
    /// The chips it is for: `ConnectX-3 A0, ConnectX-3 A1`.
    pub silicon: Option<String>,
    /// `ConnectX-3`, `ConnectX-3 Pro`, or both.
    pub chip_family: Option<String>,
    pub part_number: Option<ForeignText>,
    pub description: Option<ForeignText>,
    #[serde(skip)]
    image: Option<Image>,
}

/// What a store holds; answer of `images`.
#[derive(Clone, Debug, Default, JsonSchema, Serialize)]
pub struct ImageStore {
    /// By PSID, the newest first.
    pub images: Vec<StoredImage>,
    /// What may hold images and was not read: damaged archives, archives that are not opened, directories
    /// without permission, symbolic links.
    pub unread: Vec<UnreadFile>,
    /// Number of files that are no images.
    pub other_files: u64,
}

impl ImageStore {
    /// Reads directories, files and archives. What is damaged inside is no error.
    pub fn read(paths: &[PathBuf], events: &dyn Events) -> Result<Self, JobError> {
        let mut reading = StoreReading::default();
        for path in paths {
            reading.read(path, events)?;
        }
        let mut store = reading.store;
        store.images.sort_by(|a, b| {
            let psid = |image: &StoredImage| image.psid.as_ref().map(|p| p.as_str().to_owned());
            let key = |image| (psid(image).is_none(), psid(image));
            let newest = b.fw_version.cmp(&a.fw_version);
            key(a).cmp(&key(b)).then(newest).then_with(|| a.file.cmp(&b.file))
        });
        Ok(store)
    }

    /// Chooses the image for the card and reads it. The flash is read for the card's PSID, a few KiB.
    pub fn choose(
        &self,
        paths: &[PathBuf],
        device: &mut Device,
        events: &dyn Events,
    ) -> Result<ImageFile, JobError> {
        let facts = CardFacts::of(device)?;
        let mut images = read_images(&mut device.lock()?.source(), Depth::Quick)?;
        let psid = mark_active(&mut images, facts.chip, facts.running)
            .and_then(|(index, _)| images.get(index)?.image.as_ref()?.psid().cloned());
        let not_chosen = |why| JobError::NotChosen { store: paths.to_vec(), why };
        let psid = psid.ok_or_else(|| not_chosen(NotChosen::NoPsid))?;
        let choice = self.choice(&psid, facts.chip).map_err(not_chosen)?;
        let file = read_image(&choice.file, events)?;
        if file.sha256 != choice.sha256 {
            let source = std::io::Error::other("it has changed since the store was read");
            return Err(JobError::ReadFile { path: choice.file, source });
        }
        Ok(ImageFile { choice: Some(choice), ..file })
    }

    fn choice(&self, psid: &ForeignText, chip: Chip) -> Result<StoreChoice, NotChosen> {
        let offers: Vec<OfferedImage<'_>> = self.images.iter().map(StoredImage::offered).collect();
        let left_out = |list: Vec<(usize, LeftOutReason)>| {
            let images = list.into_iter().filter_map(|(n, why)| Some((self.images.get(n)?, why)));
            images.map(|(image, reason)| image.left_out(reason)).collect::<Vec<_>>()
        };
        let choice = match choose_image(&offers, psid.as_str(), chip) {
            Ok(choice) => choice,
            Err(NoChoice::NoneFits(list)) => {
                return Err(NotChosen::NoneFits {
                    psid: psid.clone(),
                    chip: chip.name(),
                    left_out: left_out(list),
                    unread: self.unread.len(),
                });
            }
            Err(NoChoice::Several(list)) => {
                let fit: Vec<_> = list.into_iter().filter_map(|n| self.images.get(n)).collect();
                return Err(NotChosen::Several {
                    version: fit.first().and_then(|image| image.fw_version),
                    files: fit.into_iter().map(|image| image.file.clone()).collect(),
                });
            }
        };
        let chosen = &self.images[choice.chosen];
        Ok(StoreChoice {
            file: chosen.file.clone(),
            sha256: chosen.sha256.clone().unwrap_or_default(),
            psid: psid.to_string(),
            fw_version: chosen.fw_version,
            left_out: left_out(choice.left_out),
            unread: self.unread.clone(),
        })
    }
}

impl StoredImage {
    fn new(file: PathBuf, status: ImageStatus, problem: Option<String>) -> Self {
        Self {
            file,
            sha256: None,
            status,
            problem,
            psid: None,
            fw_version: None,
            release_date: None,
            silicon: None,
            chip_family: None,
            part_number: None,
            description: None,
            image: None,
        }
    }

    fn of(file: PathBuf, read: &ImageFile) -> Self {
        // The ini and the sections are the largest parts, and are not needed any more.
        let full = read.contents.image();
        let image = Image { ini: None, sections: Vec::new(), ..full.clone() };
        let (status, problem) = ImageStatus::of(full);
        let date = image.info.as_ref().and_then(|info| info.release_date);
        Self {
            sha256: Some(read.sha256.clone()),
            psid: image.psid().cloned(),
            fw_version: image.fw_version(),
            release_date: date.map(|date| date.to_string()),
            silicon: silicon(&image),
            chip_family: chip_family(&image),
            part_number: image.part_number.clone(),
            description: image.description.clone(),
            image: Some(image),
            ..Self::new(file, status, problem)
        }
    }

    fn offered(&self) -> OfferedImage<'_> {
        let sha256 = self.sha256.as_deref().unwrap_or_default();
        OfferedImage { status: self.status, image: self.image.as_ref(), sha256 }
    }

    fn left_out(&self, reason: LeftOutReason) -> LeftOutImage {
        let detail = match reason {
            LeftOutReason::Damaged | LeftOutReason::OtherFamily => self.problem.clone(),
            LeftOutReason::OtherSilicon => self.silicon.clone(),
            _ => None,
        };
        let (psid, fw_version) = (self.psid.clone(), self.fw_version);
        LeftOutImage { file: self.file.clone(), psid, fw_version, reason, detail }
    }
}

/// The chips that an image is for, by its list of hardware or its device id.
fn silicon(image: &Image) -> Option<String> {
    let info = image.info.as_ref()?;
    match info.supported_hw.as_ref().filter(|list| !list.is_empty()) {
        Some(list) => Some(Chip::names(list)),
        None => Some(DeviceType::of_image(info.device_id?)?.name.to_owned()),
    }
}

/// The devices of the family that an image is for.
fn chip_family(image: &Image) -> Option<String> {
    let info = image.info.as_ref()?;
    let listed = info.supported_hw.iter().flatten().map(|(hw_id, _)| *hw_id);
    let hw_ids: BTreeSet<u16> = listed.collect();
    let named = hw_ids.into_iter().filter_map(DeviceType::with_hw_id).map(|device| device.name);
    let names: Vec<&str> = named.collect();
    match names.is_empty() {
        true => Some(DeviceType::of_image(info.device_id?)?.name.to_owned()),
        false => Some(names.join(", ")),
    }
}

/// What a file is to a store.
enum FileKind {
    Image(Box<StoredImage>),
    /// It may hold images.
    Unread(String),
    Other,
}

/// A store while it is read.
#[derive(Default)]
struct StoreReading {
    store: ImageStore,
    unpacked: usize,
}

impl StoreReading {
    fn read(&mut self, path: &Path, events: &dyn Events) -> Result<(), JobError> {
        let stop = || events.stop_requested();
        let not_read = |error| not_read(path, LIMITS.file, error);
        let too_large = |why: String| JobError::StoreTooLarge { path: path.to_owned(), why };
        match InputDir::open(path, &stop).map_err(not_read)? {
            None => self.whole(path, &read_bytes(path, events)?),
            Some(dir) => {
                let mut visit = |path: &Path, read: Result<FileStart, InputError>| {
                    self.file(path, read);
                    match self.beyond() {
                        None => ControlFlow::Continue(()),
                        Some(_) => ControlFlow::Break(()),
                    }
                };
                match walk_tree(&dir, path, LIMITS, may_hold_image, &stop, &mut visit) {
                    Err(TreeError::Stopped) if self.beyond().is_none() => {
                        return Err(JobError::Interrupted);
                    }
                    Ok(()) | Err(TreeError::Stopped) => {}
                    Err(error) => return Err(too_large(error.to_string())),
                }
            }
        }
        self.beyond().map_or(Ok(()), |why| Err(too_large(why)))
    }

    /// The limit that was exceeded.
    fn beyond(&self) -> Option<String> {
        if self.store.images.len() > IMAGES {
            return Some(format!("it holds more than {IMAGES} images"));
        }
        let more = format!("its archives unpack to more than {} MiB", UNPACKED >> 20);
        (self.unpacked > UNPACKED).then_some(more)
    }

    fn file(&mut self, path: &Path, read: Result<FileStart, InputError>) {
        match read {
            Ok(start) if start.complete => self.whole(path, &start.bytes),
            Ok(start) => self.keep(path.to_owned(), kind_of_start(path, &start.bytes)),
            Err(error) => {
                let problem = match error {
                    InputError::NotAFile(what) => what.to_owned(),
                    InputError::TooLarge(len) => {
                        format!("{len} bytes, more than the maximum of {}", LIMITS.file)
                    }
                    InputError::Stopped => return,
                    InputError::Io(error) => error.to_string(),
                };
                self.keep(path.to_owned(), FileKind::Unread(problem));
            }
        }
    }

    /// A file of which every byte is there.
    fn whole(&mut self, path: &Path, bytes: &[u8]) {
        if !FileFormat::of(bytes).is_some_and(FileFormat::is_opened) {
            return self.keep(path.to_owned(), kind_of(path, bytes));
        }
        // An archive that ends in an error gives no image: `burn` would not take one from it either.
        let mut found: Vec<(PathBuf, FileKind)> = Vec::new();
        let walked = walk_archive(bytes, &mut |name, entry| {
            let inside = member_path(path, name.as_ref());
            let kind = match entry {
                ArchiveEntry::File(bytes) => kind_of(&inside, bytes),
                ArchiveEntry::NoFile => FileKind::Other,
                ArchiveEntry::TooDeep => FileKind::Unread("an archive, nested too deep".into()),
                ArchiveEntry::Unread(how) => FileKind::Unread(how.into()),
            };
            found.push((inside, kind));
        });
        self.unpacked += walked.as_ref().map_or(MAX_UNPACKED, |unpacked| *unpacked);
        match walked {
            Ok(_) => found.into_iter().for_each(|(path, kind)| self.keep(path, kind)),
            Err(error) => self.keep(path.to_owned(), FileKind::Unread(error.to_string())),
        }
    }

    fn keep(&mut self, file: PathBuf, kind: FileKind) {
        match kind {
            FileKind::Image(image) => self.store.images.push(*image),
            FileKind::Unread(problem) => self.store.unread.push(UnreadFile { file, problem }),
            FileKind::Other => self.store.other_files += 1,
        }
    }
}

/// What a file is whose first bytes hold neither an image nor an archive that is opened.
fn kind_of_start(path: &Path, start: &[u8]) -> FileKind {
    match sniff(start) {
        Err(ImageError::OtherFormat(format)) => other_family(path, format),
        Err(ImageError::Foreign(format)) => foreign(format),
        _ => FileKind::Other,
    }
}

fn kind_of(path: &Path, bytes: &[u8]) -> FileKind {
    let damaged = |problem: String| {
        let status = ImageStatus::Damaged;
        FileKind::Image(Box::new(StoredImage::new(path.to_owned(), status, Some(problem))))
    };
    match ImageFile::parse(path, bytes) {
        Ok(file) => FileKind::Image(Box::new(StoredImage::of(path.to_owned(), &file))),
        Err(JobError::ImageFile { source, .. }) => match source {
            ImageError::OtherFormat(format) => other_family(path, format),
            ImageError::Empty
            | ImageError::RomFile
            | ImageError::TooShort(_)
            | ImageError::NoMagic => FileKind::Other,
            other => damaged(other.to_string()),
        },
        Err(JobError::ForeignFile { format, .. }) => foreign(format),
        Err(JobError::SplitFile { why, .. }) => {
            FileKind::Unread(format!("one part of several: {why}"))
        }
        Err(JobError::RawDump { .. }) => {
            FileKind::Unread("a raw dump of a flash chip, not an image".into())
        }
        Err(other) => FileKind::Unread(other.to_string()),
    }
}

fn other_family(path: &Path, format: u8) -> FileKind {
    let problem = format!("an FS{format} image, made for a later chip");
    let (file, status) = (path.to_owned(), ImageStatus::OtherFamily);
    FileKind::Image(Box::new(StoredImage::new(file, status, Some(problem))))
}

fn foreign(format: FileFormat) -> FileKind {
    match format.is_packed() {
        true => FileKind::Unread(format!("{format}, which is not opened: unpack it")),
        false => FileKind::Other,
    }
}
