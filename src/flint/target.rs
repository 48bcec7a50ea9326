//! The card or the image file a command works on. What reads and prints is the same for both; where
//! flint makes a difference, [`Medium`] is matched.

use super::console::Console;
use super::errors::{card_error, describe, hardware_error, image_error, system_error};
use super::flags::Invocation;
use super::progress::{FlintProgress, ProgressLines};
use super::reading::{self, Lowest, ReadDepth};
use super::{Caller, FAILED};
use crate::escape::{self, ForeignText};
use crate::host::Borrowed;
use crate::image::{Contents, Form, Image, ImageError, SectionKind, sniff};
use crate::job::{
    self, CardReport, CardSelector, Device, Exit, HintContext, ImageFile, JobError, WriteRequest,
    error_chain,
};
use std::path::{Path, PathBuf};

/// The end of a command; the error is flint's exit code, its text is printed already.
pub(super) type FlintResult<T = ()> = Result<T, u8>;

/// The shortest file that flint takes for an image (docs/fs2.md#image-files).
const SHORTEST: usize = 0x28;
/// What `-i` names.
const IMAGE: &str = "an image";
/// Before flint's reason why `brom` fails.
pub(super) const BROM_FAILS: &str = "-E- Burn ROM failed: ";
/// flint's second line when `verify` cannot begin (measured; it has no line end).
pub(super) const NO_VERIFY: &str = "-E- FW image verification failed: No valid FS4 image found.Check the flash parameters, if \
                         specified..AN HCA DEVICE CAN NOT BOOT FROM THIS IMAGE";

pub(super) struct CommandTarget<'a> {
    pub(super) medium: Medium,
    /// The card or file, as named by the user.
    pub(super) name: ForeignText,
    /// The file of a command that has a card too, read before the card was taken: the image, or the ROM of
    /// `brom`.
    file: Option<Vec<u8>>,
    pub(super) console: &'a mut Console,
    /// `-qq`: the ROM of a card is not read.
    pub(super) quick: bool,
}

pub(super) enum Medium {
    Card(Box<Device>),
    File(ImageBytes),
}

/// The bytes of a file, which may hold a valid image or not.
pub(super) struct ImageBytes {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// `-striped_image`.
    pub(super) form: Form,
}

impl<'a> CommandTarget<'a> {
    /// Opens the target of a command; prints flint's error.
    pub(super) fn open(
        line: &Invocation,
        caller: &mut Caller<'_>,
        console: &'a mut Console,
        borrowed: &mut Option<Borrowed>,
    ) -> FlintResult<Self> {
        let opened = match (&line.device, &line.image) {
            (Some(card), image) => open_card(card, image.as_deref(), line, caller, console),
            (None, Some(path)) => open_file(path, line, console).map(|(m, n)| (m, n, None)),
            (None, None) => return Err(FAILED),
        };
        let (medium, name, file) = match opened {
            Ok(opened) => opened,
            Err(OpenFailure::Stopped) => return Err(Exit::Interrupted.code()),
            Err(OpenFailure::Text(text)) => {
                console.print(&text);
                if line.is("verify") {
                    console.print(NO_VERIFY);
                }
                return Err(FAILED);
            }
        };
        if let Medium::Card(device) = &medium {
            *borrowed = device.borrowed();
        }
        Ok(Self { medium, name, file, console, quick: line.has("qq") })
    }

    pub(super) fn is_card(&self) -> bool {
        matches!(self.medium, Medium::Card(_))
    }

    pub(super) fn print(&mut self, text: &str) {
        self.console.print(text);
    }

    /// Prints, and fails.
    pub(super) fn fail<T>(&mut self, text: &str) -> FlintResult<T> {
        self.print(text);
        Err(FAILED)
    }

    /// The value; or flint's reason, printed after `lead`.
    pub(super) fn or_fail<T>(&mut self, result: Result<T, String>, lead: &str) -> FlintResult<T> {
        result.or_else(|why| self.fail(&format!("{lead}{why}\n")))
    }

    /// Prints why flint refuses, if it does, after `lead`.
    pub(super) fn refuse(&mut self, why: Option<String>, lead: &str) -> FlintResult {
        self.or_fail(why.map_or(Ok(()), Err), lead)
    }

    /// Asks whether to continue, and fails on a no.
    pub(super) fn ask(&mut self) -> FlintResult {
        ask(self.console)
    }

    /// Runs a job that writes the card. `lines` are flint's progress, `lead` begins the text of an
    /// error.
    pub(super) fn write(
        &mut self,
        lines: ProgressLines,
        lead: &str,
        request: &WriteRequest<'_>,
    ) -> FlintResult {
        let (device, mut progress) = self.card(Some(lines))?;
        let done = progress.write(device, request);
        let done = progress.end(done);
        self.finish(done, lead)
    }

    /// The end of a command that ran a job.
    pub(super) fn finish(&mut self, done: Result<(), JobError>, lead: &str) -> FlintResult {
        let Err(error) = done else { return Ok(()) };
        let text = format!("{lead}{}\n", describe(&error, &self.name));
        self.print(&text);
        // flint has no exit code for a change of the flash whose outcome is unknown; ours is used.
        Err(match error.outcome().exit {
            Exit::OutcomeUnknown => Exit::OutcomeUnknown.code(),
            _ => FAILED,
        })
    }

    /// Prints that the card failed.
    pub(super) fn broken<T>(&mut self, error: &JobError) -> FlintResult<T> {
        let text = card_error(error, &self.name);
        self.fail(&text)
    }

    /// The card, and what prints the progress of a job. The table of commands lets no file come here.
    pub(super) fn card(
        &mut self,
        lines: Option<ProgressLines>,
    ) -> FlintResult<(&mut Device, FlintProgress<'_>)> {
        match &mut self.medium {
            Medium::Card(device) => Ok((device, FlintProgress::new(self.console, lines))),
            Medium::File(_) => Err(FAILED),
        }
    }

    /// The image at the lowest signature, and of a card what its flash does not hold. A file is always
    /// read in full.
    pub(super) fn lowest(&mut self, depth: ReadDepth) -> FlintResult<(Lowest, Option<CardReport>)> {
        match &mut self.medium {
            Medium::File(file) => Ok((file.lowest(), None)),
            Medium::Card(device) => match reading::of_card(device, depth) {
                Ok((card, image)) => Ok((image, Some(card))),
                Err(error) => self.broken(&error),
            },
        }
    }

    /// How deep flint's query reads.
    pub(super) fn query_depth(&self) -> ReadDepth {
        if self.quick { ReadDepth::Chain } else { ReadDepth::Query }
    }

    /// The image, when it passes flint's query; else the error, printed after `lead`.
    pub(super) fn queried(&mut self, depth: ReadDepth, lead: &str) -> FlintResult<Image> {
        let (image, _) = self.lowest(depth)?;
        self.or_fail(reading::queried(image), lead)
    }

    /// The image file of a command that has a card too.
    pub(super) fn image_file(&mut self, line: &Invocation) -> FlintResult<ImageFile> {
        let path = line.image.as_deref().unwrap_or(Path::new(""));
        let bytes = self.file.as_deref().unwrap_or_default();
        ImageFile::parse(path, bytes)
            .or_else(|error| self.fail(&image_error(&error, &escape::file_name(path).into())))
    }

    /// The file of `brom`. With a card it was read before the card was taken.
    pub(super) fn rom_file(&mut self, path: &Path) -> FlintResult<Vec<u8>> {
        match self.file.take() {
            Some(bytes) => Ok(bytes),
            None => match rom_bytes(path, self.console) {
                Ok(bytes) => Ok(bytes),
                Err(OpenFailure::Text(text)) => self.fail(&text),
                Err(OpenFailure::Stopped) => Err(Exit::Interrupted.code()),
            },
        }
    }

    /// Body of a section of the image; flint's error is printed after `lead`. Of several sections the
    /// first ROM that is not empty counts, and the last of everything else
    /// (docs/fs2.md#fw-configuration-and-hash-file, docs/fs2.md#rom-content). Of a file flint requires a
    /// valid query for the ROM only (measured).
    pub(super) fn section(
        &mut self,
        kind: SectionKind,
        lead: &str,
    ) -> FlintResult<Option<Vec<u8>>> {
        let body = |image: &Image| {
            let section = match kind {
                SectionKind::Rom => image.rom_section(),
                _ => image.sections.iter().rfind(|s| s.kind == kind),
            };
            section.map(|s| (s.body_at, s.body_len))
        };
        let part = match &mut self.medium {
            Medium::File(file) => Ok(file.part(kind == SectionKind::Rom, body)),
            Medium::Card(device) => {
                let depth = match kind {
                    SectionKind::Rom => ReadDepth::Query,
                    _ => ReadDepth::Chain,
                };
                let mut events = FlintProgress::new(self.console, None);
                reading::part_of_card(device, depth, &mut events, body, |_| false)
            }
        };
        let part = part.or_else(|error| self.broken(&error))?;
        self.or_fail(part, lead)
    }

    /// The image of a card from its start to the end of its chain, or all bytes of a file; flint's error
    /// is printed after `lead`.
    pub(super) fn all_bytes(&mut self, lead: &str) -> FlintResult<Vec<u8>> {
        let bytes = match &mut self.medium {
            Medium::File(file) => return Ok(file.bytes.clone()),
            Medium::Card(device) => {
                let mut events = FlintProgress::new(self.console, None);
                reading::image_of_card(device, &mut events)
            }
        };
        let bytes = bytes.or_else(|error| self.broken(&error))?;
        self.or_fail(bytes, lead)
    }
}

impl ImageBytes {
    /// The image at the lowest signature.
    fn lowest(&self) -> Lowest {
        reading::lowest(&mut self.bytes.as_slice(), self.form, ReadDepth::Full)
            .unwrap_or_else(|error| Err(error.to_string()))
    }

    /// A part of the image that passes flint's query, or only its walk.
    fn part(
        &self,
        query: bool,
        which: impl Fn(&Image) -> Option<reading::Part>,
    ) -> Result<Option<Vec<u8>>, String> {
        let image = self.lowest();
        let image = if query { reading::queried(image)? } else { reading::walked(image)? };
        which(&image)
            .map(|part| reading::bytes(&mut self.bytes.as_slice(), &image, part))
            .transpose()
            .map_err(|error| error.to_string())
    }

    /// The contents of the image, for a change of it.
    pub(super) fn contents(&self, image: &Image) -> Result<Contents, String> {
        match self.form {
            Form::Contiguous => Contents::from_file(&self.bytes),
            Form::Striped => Contents::from_dump(&self.bytes, image.start),
        }
        .map_err(|error| error.to_string())
    }
}

/// Asks whether to continue, and fails on a no.
pub(super) fn ask(console: &mut Console) -> FlintResult {
    if console.ask("Do you want to continue") { Ok(()) } else { Err(FAILED) }
}

/// Why a target was not opened.
pub(super) enum OpenFailure {
    /// What flint prints.
    Text(String),
    /// A signal ended the wait for a file.
    Stopped,
}

impl OpenFailure {
    fn map(self, text: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Text(why) => Self::Text(text(why)),
            Self::Stopped => Self::Stopped,
        }
    }
}

/// Bytes of a file whose length is a multiple of 4, or flint's reason. A file of another format than the one
/// that is `wanted` is named.
fn bytes_of(
    path: &Path,
    wanted: Option<&'static str>,
    console: &mut Console,
) -> Result<Vec<u8>, OpenFailure> {
    let name = escape::path(path);
    let cannot_open = |why: &str| format!("Can not open file \"{name}\" - {why}");
    let bytes = job::read_bytes(path, &FlintProgress::new(console, None)).map_err(|error| {
        OpenFailure::Text(match &error {
            JobError::Interrupted => return OpenFailure::Stopped,
            JobError::ReadFile { source, .. } => cannot_open(&system_error(source)),
            JobError::NotAFile { what: "a directory", .. } => cannot_open("Is a directory"),
            JobError::NotAFile { what, .. } => cannot_open(&format!("It is {what}")),
            JobError::FileTooLarge { .. } => format!("File \"{name}\" is longer than any image"),
            error => error_chain(error),
        })
    })?;
    if let Some(text) = wanted.and_then(|wanted| otherwise(path, &bytes, wanted)) {
        return Err(OpenFailure::Text(text));
    }
    if bytes.len() % 4 != 0 {
        return Err(OpenFailure::Text(format!(
            "Image size should be 4-bytes aligned. Make sure file {name} is in the right format (binary image)"
        )));
    }
    Ok(bytes)
}

/// What a file is instead of what is wanted, and how to get to that. flint judges the length first.
fn otherwise(path: &Path, bytes: &[u8], wanted: &'static str) -> Option<String> {
    let (what, error) = match sniff(bytes).err()? {
        ImageError::Foreign(format) => {
            (format!("It is {format}, not {wanted}"), JobError::foreign(path, format, wanted))
        }
        source @ (ImageError::Empty
        | ImageError::OtherFormat(_)
        | ImageError::CutShort { .. }
        | ImageError::RomFile)
            if wanted == IMAGE =>
        {
            (source.to_string(), JobError::ImageFile { path: path.to_owned(), source })
        }
        _ => return None,
    };
    Some(match error.hint(&HintContext::of_process()) {
        Some(hint) => format!("{what}; {hint}"),
        None => what,
    })
}

fn cannot_open_image(path: &Path, why: &str) -> String {
    format!("-E- Cannot open Image: {}. {why}\n", escape::path(path))
}

fn open_file(
    path: &Path,
    line: &Invocation,
    console: &mut Console,
) -> Result<(Medium, ForeignText), OpenFailure> {
    // These two accept any file.
    let any = line.is("qrom") || line.is("rw");
    let wanted = (!any).then_some(IMAGE);
    let bytes = bytes_of(path, wanted, console).map_err(|failure| {
        failure.map(|why| match any {
            true => format!("-E- Failed to open Image: {why}\n"),
            false => cannot_open_image(path, &why),
        })
    })?;
    if bytes.len() < SHORTEST && !any {
        let why = "Invalid Firmware Format (found FS Gen 1)";
        return Err(OpenFailure::Text(cannot_open_image(path, why)));
    }
    let form = if line.has("striped_image") { Form::Striped } else { Form::Contiguous };
    let path = path.to_owned();
    let name = escape::file_name(&path).into();
    Ok((Medium::File(ImageBytes { path, bytes, form }), name))
}

fn open_card(
    selector: &CardSelector,
    image: Option<&Path>,
    line: &Invocation,
    caller: &mut Caller<'_>,
    console: &mut Console,
) -> Result<(Medium, ForeignText, Option<Vec<u8>>), OpenFailure> {
    // flint complains of the image first; and no card is borrowed for a file that cannot be read.
    let file = match (image, line.args.first()) {
        (Some(path), _) => {
            let bytes = bytes_of(path, Some(IMAGE), console);
            Some(bytes.map_err(|failure| failure.map(|why| cannot_open_image(path, &why)))?)
        }
        (None, Some(path)) if line.is("brom") => Some(rom_bytes(Path::new(path), console)?),
        _ => None,
    };
    if (console.stop_requested)() {
        return Err(OpenFailure::Stopped);
    }
    // An mst name without a card is an unknown name like any other: its error lists the cards.
    let name = ForeignText::from(selector.to_string());
    let selector = selector.or_simulated(&caller.simulated, caller.host);
    match job::open(&selector, caller.host, caller.options) {
        Ok(mut device) => {
            (caller.opened)(&mut device);
            Ok((Medium::Card(Box::new(device)), name, file))
        }
        Err(error) if line.is("hw") => Err(OpenFailure::Text(hardware_error(&error, &name))),
        Err(error) => Err(OpenFailure::Text(card_error(&error, &name))),
    }
}

/// The ROM file of `brom`, or flint's text.
fn rom_bytes(path: &Path, console: &mut Console) -> Result<Vec<u8>, OpenFailure> {
    bytes_of(path, Some("an expansion ROM"), console)
        .map_err(|failure| failure.map(|why| format!("{BROM_FAILS}{why}\n")))
}
