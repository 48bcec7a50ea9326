//! Archives that hold an image: zip, tar and gzip, also in each other. They are unpacked in memory, within
//! bounds. Names of members are text; an archive with a path that leads out of it is refused.

use super::{
    Depth, FileFormat, FlashAddr, Form, ImageError, Version, guess_form, read, scan, sniff,
};
use crate::escape::{self, ForeignText};
use flate2::bufread::GzDecoder;
use std::fmt;
use std::io::{self, Cursor, Read};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// Bytes that are unpacked at most of one archive.
pub const MAX_UNPACKED: usize = 128 << 20;
/// Members that are counted at most, those of archives inside included.
const MAX_MEMBERS: usize = 4096;
/// Archives inside each other: `.tar.gz` is two.
const MAX_LEVELS: usize = 4;
/// Members that a message names where no image is inside.
const NAMED: usize = 8;
/// Images that a message lists.
const LISTED: usize = 64;
/// Bytes of a name that are kept.
const MAX_NAME: usize = 4096;
/// What an archive is that is not looked into.
const TOO_DEEP: &str = "an archive, nested too deep";
/// Name of the file in gzip data that has none.
const UNNAMED: &str = "unnamed";

/// An image taken out of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveMember {
    /// Its path inside, through the archives inside.
    pub name: ForeignText,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An image in an archive, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveImage {
    pub name: ForeignText,
    pub psid: Option<ForeignText>,
    pub version: Option<Version>,
}

/// Why no image was taken out of an archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    #[error("{format} that is damaged or incomplete: {}", escape::line(.why))]
    Damaged { format: FileFormat, why: String },
    #[error("it unpacks to more than {} MiB", MAX_UNPACKED >> 20)]
    TooLarge,
    #[error("it holds more than {MAX_MEMBERS} files")]
    TooMany,
    #[error("the path of a member leads out of the archive: {0}")]
    LeadsOut(ForeignText),
    /// Other files are inside; the first of them, and what they are.
    #[error("no ConnectX-3 image is inside: {}", holds(.others, *.count))]
    NoImage {
        others: Vec<(ForeignText, String)>,
        count: usize,
        /// One of them may be an image: it is encrypted, or packed in a way that is not read.
        unread: bool,
    },
    #[error("{} images are inside: {}", .0.len(), list(.0))]
    Several(Vec<ArchiveImage>),
    #[error("no image {wanted} is inside: {}", list(.images))]
    NoSuchMember { wanted: ForeignText, images: Vec<ArchiveImage> },
}

fn holds(others: &[(ForeignText, String)], count: usize) -> String {
    if count == 0 {
        return "it is empty".to_owned();
    }
    let mut text: Vec<String> =
        others.iter().map(|(name, what)| format!("{name} ({})", escape::line(what))).collect();
    if count > others.len() {
        text.push(format!("and {} more", count - others.len()));
    }
    text.join(", ")
}

fn list(images: &[ArchiveImage]) -> String {
    let mut text: Vec<String> = images.iter().take(LISTED).map(ToString::to_string).collect();
    if images.len() > LISTED {
        text.push(format!("and {} more", images.len() - LISTED));
    }
    if text.is_empty() { "it holds none".to_owned() } else { text.join(", ") }
}

impl fmt::Display for ArchiveImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.name)?;
        match &self.psid {
            Some(psid) => write!(f, "{psid}, ")?,
            None => f.write_str("no PSID, ")?,
        }
        match self.version {
            Some(version) => write!(f, "{version})"),
            None => f.write_str("version unknown)"),
        }
    }
}

/// What a walk through an archive meets.
#[derive(Clone, Copy, Debug)]
pub enum ArchiveEntry<'a> {
    /// The bytes of a file.
    File(&'a [u8]),
    /// No regular file.
    NoFile,
    /// An archive, nested too deep.
    TooDeep,
    /// A file that may be an image, and why it is not read.
    Unread(&'static str),
}

/// Calls `visit` with the path and the bytes of every file in an archive, also of those in archives inside.
/// These bytes are an archive ([`FileFormat::is_opened`]). Returns how many bytes were unpacked.
pub fn walk_archive(
    bytes: &[u8],
    visit: &mut dyn FnMut(String, ArchiveEntry<'_>),
) -> Result<usize, ArchiveError> {
    let mut walk = ArchiveWalk { visit, members: 0, unpacked: 0 };
    walk.look_into(bytes, "", 1)?;
    Ok(walk.unpacked)
}

/// Takes the one image out of an archive, or the one of this name. These bytes are an archive
/// ([`FileFormat::is_opened`]).
pub fn image_in_archive(bytes: &[u8], wanted: Option<&str>) -> Result<ArchiveMember, ArchiveError> {
    let mut search = ArchiveSearch { wanted: wanted.map(plain), ..ArchiveSearch::default() };
    walk_archive(bytes, &mut |name, entry| search.visit(name, entry))?;
    let ArchiveSearch { mut images, mut taken, others, count, unread, .. } = search;
    match (taken.pop(), taken.is_empty(), wanted) {
        (Some(one), true, _) => Ok(one),
        (None, _, None) if images.is_empty() => {
            Err(ArchiveError::NoImage { others, count, unread })
        }
        (None, _, Some(wanted)) => {
            Err(ArchiveError::NoSuchMember { wanted: wanted.to_owned().into(), images })
        }
        (_, _, wanted) => {
            if let Some(wanted) = wanted {
                images.retain(|image| plain(image.name.as_str()) == plain(wanted));
            }
            Err(ArchiveError::Several(images))
        }
    }
}

/// A name without the `./` that tar writes before it.
fn plain(name: &str) -> &str {
    name.trim_start_matches("./")
}

/// An archive, maybe inside of another one.
struct NestedArchive<'a> {
    format: FileFormat,
    bytes: &'a [u8],
    /// Its own path.
    prefix: &'a str,
    level: usize,
}

impl NestedArchive<'_> {
    fn damaged(&self, why: impl fmt::Display) -> ArchiveError {
        ArchiveError::Damaged { format: self.format, why: why.to_string() }
    }
}

/// Bytes, and the name of the file they come from.
type GzipContents = (Vec<u8>, Option<Vec<u8>>);

/// The search for one image.
#[derive(Default)]
struct ArchiveSearch<'a> {
    wanted: Option<&'a str>,
    /// Every image.
    images: Vec<ArchiveImage>,
    /// Those that may be meant; only of the first one the bytes are kept.
    taken: Vec<ArchiveMember>,
    /// What else is inside, as far as a message names it.
    others: Vec<(ForeignText, String)>,
    count: usize,
    /// One of them was not read.
    unread: bool,
}

impl ArchiveSearch<'_> {
    fn visit(&mut self, name: String, entry: ArchiveEntry<'_>) {
        let bytes = match entry {
            ArchiveEntry::File(bytes) => bytes,
            ArchiveEntry::NoFile => return self.other(name, "no regular file".into()),
            ArchiveEntry::TooDeep => return self.other(name, TOO_DEEP.into()),
            ArchiveEntry::Unread(how) => {
                self.unread = true;
                return self.other(name, how.into());
            }
        };
        match described(bytes) {
            Err(error) => {
                let what = match error {
                    ImageError::Foreign(format) => format.to_string(),
                    other => other.to_string(),
                };
                self.other(name, what);
            }
            Ok((psid, version)) => {
                if self.wanted.is_none_or(|wanted| wanted == plain(&name)) {
                    let bytes = if self.taken.is_empty() { bytes.to_vec() } else { Vec::new() };
                    self.taken.push(ArchiveMember { name: name.clone().into(), bytes });
                }
                self.images.push(ArchiveImage { name: name.into(), psid, version });
            }
        }
    }

    fn other(&mut self, name: String, what: String) {
        self.count += 1;
        if self.others.len() < NAMED {
            self.others.push((name.into(), what));
        }
    }
}

/// A walk through an archive and those in it, within the bounds.
struct ArchiveWalk<'a> {
    visit: &'a mut dyn FnMut(String, ArchiveEntry<'_>),
    members: usize,
    unpacked: usize,
}

impl ArchiveWalk<'_> {
    /// Looks at every member of an archive; `prefix` is its own path.
    fn look_into(&mut self, bytes: &[u8], prefix: &str, level: usize) -> Result<(), ArchiveError> {
        let format = FileFormat::of(bytes).unwrap_or(FileFormat::Tar);
        let archive = NestedArchive { format, bytes, prefix, level };
        match format {
            FileFormat::Zip => self.zip(&archive),
            FileFormat::Gzip => {
                let (unpacked, name) = self.gzip(bytes)?.map_err(|e| archive.damaged(e))?;
                let inner = name.map_or_else(|| UNNAMED.to_owned(), |name| text_of(&name));
                stays_inside(&inner)?;
                // The file in a `.tgz` is the archive itself.
                match FileFormat::of(&unpacked) {
                    Some(FileFormat::Tar) if level < MAX_LEVELS => {
                        self.look_into(&unpacked, prefix, level + 1)
                    }
                    _ => self.member(&unpacked, join(prefix, &inner), level),
                }
            }
            _ => self.tar(&archive),
        }
    }

    /// What gzip data holds, and the name in it. Bytes behind it are left out, as gzip does.
    fn gzip(&mut self, mut bytes: &[u8]) -> Result<io::Result<GzipContents>, ArchiveError> {
        let (mut unpacked, mut name) = (Vec::new(), None);
        while unpacked.is_empty() || bytes.starts_with(b"\x1F\x8B") {
            let mut decoder = GzDecoder::new(bytes);
            match self.unpack(&mut decoder)? {
                Ok(part) => unpacked.extend(part),
                Err(error) => return Ok(Err(error)),
            }
            let named = decoder.header().and_then(|header| header.filename());
            name = name.or_else(|| named.map(<[u8]>::to_vec));
            bytes = decoder.into_inner();
            if bytes.is_empty() {
                break;
            }
        }
        Ok(Ok((unpacked, name)))
    }

    fn zip(&mut self, archive: &NestedArchive<'_>) -> Result<(), ArchiveError> {
        // Each member has such a header in the directory, of which the whole is read at once.
        let headers = archive.bytes.windows(4).filter(|four| *four == b"PK\x01\x02").count();
        if headers > MAX_MEMBERS {
            return Err(ArchiveError::TooMany);
        }
        let mut zip =
            ZipArchive::new(Cursor::new(archive.bytes)).map_err(|e| archive.damaged(e))?;
        if zip.has_duplicate_names() {
            return Err(archive.damaged("two members have the same name"));
        }
        for index in 0..zip.len() {
            self.one_more()?;
            let entry = zip.by_index_raw(index).map_err(|e| archive.damaged(e))?;
            let name = entry.name().map_or_else(|_| text_of(entry.name_raw()), |n| n.into_owned());
            stays_inside(&name)?;
            let name = join(archive.prefix, &cut(name));
            if entry.is_dir() {
                continue;
            }
            if entry.encrypted() {
                self.unread(name, "encrypted");
                continue;
            }
            if !matches!(
                entry.compression(),
                CompressionMethod::Stored | CompressionMethod::Deflated
            ) {
                self.unread(name, "packed by a method that is not read");
                continue;
            }
            drop(entry);
            match zip.by_index(index) {
                Ok(mut entry) => {
                    let unpacked = self.unpack(&mut entry)?;
                    let unpacked =
                        unpacked.map_err(|e| archive.damaged(format_args!("{name}: {e}")))?;
                    self.member(&unpacked, name, archive.level)?;
                }
                Err(
                    ZipError::CompressionMethodNotSupported(_) | ZipError::UnsupportedArchive(_),
                ) => {
                    self.unread(name, "packed by a method that is not read");
                }
                Err(error) => return Err(archive.damaged(format_args!("{name}: {error}"))),
            }
        }
        Ok(())
    }

    fn tar(&mut self, archive: &NestedArchive<'_>) -> Result<(), ArchiveError> {
        let bytes = archive.bytes;
        let mut tar = tar::Archive::new(bytes);
        for entry in tar.entries().map_err(|e| archive.damaged(e))? {
            self.one_more()?;
            let mut entry = entry.map_err(|e| archive.damaged(e))?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            stays_inside(&name)?;
            let name = join(archive.prefix, &cut(name));
            let kind = entry.header().entry_type();
            let sparse = |key: &str| key.starts_with("GNU.sparse.");
            let extensions = entry.pax_extensions().map_err(|e| archive.damaged(e))?;
            let mut keys = extensions.into_iter().flatten().flatten();
            if kind.is_gnu_sparse() || keys.any(|pax| pax.key().is_ok_and(sparse)) {
                self.unread(name, "a sparse file");
                continue;
            }
            if !kind.is_file() && !kind.is_contiguous() {
                // A link has no bytes of its own.
                if !kind.is_dir() {
                    (self.visit)(name, ArchiveEntry::NoFile);
                }
                continue;
            }
            let at = usize::try_from(entry.raw_file_position()).ok();
            let end =
                at.zip(usize::try_from(entry.size()).ok()).and_then(|(at, n)| at.checked_add(n));
            let member = at.zip(end).and_then(|(at, end)| bytes.get(at..end));
            let member =
                member.ok_or_else(|| archive.damaged(format_args!("{name} is cut short")))?;
            self.member(member, name, archive.level)?;
        }
        Ok(())
    }

    fn one_more(&mut self) -> Result<(), ArchiveError> {
        self.members += 1;
        if self.members > MAX_MEMBERS { Err(ArchiveError::TooMany) } else { Ok(()) }
    }

    /// What a decoder gives, within the bound.
    fn unpack(&mut self, from: &mut dyn Read) -> Result<io::Result<Vec<u8>>, ArchiveError> {
        let left = MAX_UNPACKED - self.unpacked;
        let mut bytes = Vec::new();
        let read = from.take(left as u64 + 1).read_to_end(&mut bytes);
        if bytes.len() > left {
            return Err(ArchiveError::TooLarge);
        }
        self.unpacked += bytes.len();
        Ok(read.map(|_| bytes))
    }

    /// Passes a member on, or looks into one that is an archive.
    fn member(&mut self, bytes: &[u8], name: String, level: usize) -> Result<(), ArchiveError> {
        if !FileFormat::of(bytes).is_some_and(FileFormat::is_opened) {
            (self.visit)(name, ArchiveEntry::File(bytes));
            return Ok(());
        }
        if level < MAX_LEVELS {
            return self.look_into(bytes, &name, level + 1);
        }
        (self.visit)(name, ArchiveEntry::TooDeep);
        Ok(())
    }

    /// A file that may be an image, and is not read.
    fn unread(&mut self, name: String, how: &'static str) {
        (self.visit)(name, ArchiveEntry::Unread(how));
    }
}

/// PSID and version of an image; the error names what the bytes are instead.
fn described(bytes: &[u8]) -> Result<(Option<ForeignText>, Option<Version>), ImageError> {
    sniff(bytes)?;
    let mut source = bytes;
    let start = scan(&mut source)?.first().copied().unwrap_or(FlashAddr(0));
    if guess_form(&mut source, start)? == Form::Striped {
        return Err(ImageError::RawDump);
    }
    let image = read(&mut source, start, Form::Contiguous, Depth::Quick)?;
    let info = image.info.as_ref();
    Ok((info.and_then(|info| info.psid.clone()), info.and_then(|info| info.fw_version)))
}

/// No vendor packs an absolute path, `..` or a drive letter: what tools make of one depends on the tool, so an
/// archive with one is not what it appears to be. Some packers of Windows separate directories by backslashes.
fn stays_inside(name: &str) -> Result<(), ArchiveError> {
    let drive = matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    let up = name.split(['/', '\\']).any(|part| part == "..");
    match name.starts_with(['/', '\\']) || drive || up {
        true => Err(ArchiveError::LeadsOut(cut(name.to_owned()).into())),
        false => Ok(()),
    }
}

fn text_of(name: &[u8]) -> String {
    cut(String::from_utf8_lossy(name).into_owned())
}

/// A name that is not longer than any path.
fn cut(mut name: String) -> String {
    if name.len() > MAX_NAME {
        let end = (0..=MAX_NAME).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
        name.truncate(end);
    }
    name
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { plain(name).to_owned() } else { format!("{prefix}/{}", plain(name)) }
}

#[cfg(test)]
mod tests;
