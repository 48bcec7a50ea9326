//! An image file, opened and looked at as flint does: it takes any bytes for an image that may be
//! damaged, and knows one error text for each stage.

use super::card::{CONTINUE, Ended, FAILED, Talk};
use super::card_copy::reason;
use super::verdict::{self, FlintVerdict};
use crate::image::{Depth, Form, Image, ImageError, SourceError, read, scan};
use crate::job::{FirstError, MAX_FILE};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// flint's shortest file that has a format (docs/fs2.md#image-files).
const SHORTEST: usize = 0x28;

/// A file that is looked at.
pub(super) struct OnFile<'a> {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// As `-striped_image` says.
    pub(super) form: Form,
    pub(super) talk: &'a mut dyn Talk,
}

/// Bytes of a file whose length is a multiple of 4, or flint's reason.
pub(super) fn bytes_of(path: &Path) -> Result<Vec<u8>, String> {
    let name = path.display();
    let failed =
        |error: std::io::Error| format!("Can not open file \"{name}\" - {}", reason(&error));
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("File \"{name}\" is longer than any image"));
    }
    if bytes.len() % 4 != 0 {
        return Err(format!(
            "Image size should be 4-bytes aligned. Make sure file {name} is in the right format (binary image)"
        ));
    }
    Ok(bytes)
}

impl<'a> OnFile<'a> {
    /// Open; the error is flint's reason.
    pub(super) fn open(path: &Path, striped: bool, talk: &'a mut dyn Talk) -> Result<Self, String> {
        let bytes = bytes_of(path)?;
        if bytes.len() < SHORTEST {
            return Err("Invalid Firmware Format (found FS Gen 1)".into());
        }
        Ok(Self {
            path: path.to_owned(),
            bytes,
            form: if striped {
                Form::Striped
            } else {
                Form::Contiguous
            },
            talk,
        })
    }

    /// Print and fail.
    pub(super) fn fail<T>(&mut self, text: &str) -> Result<T, u8> {
        self.talk.say(text);
        Err(FAILED)
    }

    /// Ask, and fail on a no.
    pub(super) fn ask(&mut self) -> Ended {
        if self.talk.ask(CONTINUE) {
            Ok(())
        } else {
            Err(FAILED)
        }
    }

    /// The image at the lowest signature, every CRC looked at (docs/flint.md#checks-of-query).
    pub(super) fn look(&self) -> Result<Image, FirstError> {
        let mut source = self.bytes.as_slice();
        let first = |text: String, failsafe_word| FirstError {
            text,
            failsafe_word,
        };
        let found =
            scan(&mut source).map_err(|error: SourceError| first(error.to_string(), false))?;
        if let Some(text) = verdict::scan_error(&found) {
            return Err(first(text, false));
        }
        let start = found
            .magics
            .first()
            .ok_or_else(|| first("No valid image found".into(), false))?;
        read(&mut source, *start, self.form, Depth::Full).map_err(|error| {
            let text = verdict::error_text(&error).map_or(error.to_string(), str::to_owned);
            first(text, matches!(error, ImageError::FailsafeWord(_)))
        })
    }

    /// The image, when flint can follow its chain; else its text.
    pub(super) fn walked(&self) -> Result<Image, String> {
        let image = self.look().map_err(|error| error.text)?;
        match FlintVerdict::of(&image) {
            FlintVerdict::Failed { text } => Err(text),
            _ => Ok(image),
        }
    }

    /// The image, when flint's query passes it; else its text.
    pub(super) fn queried(&self) -> Result<Image, String> {
        let image = self.look().map_err(|error| error.text)?;
        match verdict::query_error(&image) {
            Some(text) => Err(text),
            None => Ok(image),
        }
    }
}
