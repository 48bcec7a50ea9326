//! What this program prints for the same bytes, parsed like the output of mstflint.

use super::flint_text::{self, VerifyEnd, VerifyText};
use cx3flash::flint::text::{self, QueryText};
use cx3flash::flint::verdict::{self, FlintVerdict};
use cx3flash::image::{Depth, Form, ImageError, read, scan};

/// flint's error for a file whose length is no multiple of 4, up to the file's name.
pub const UNALIGNED: &str = "Image size should be 4-bytes aligned. Make sure file ";
/// flint's error for a file shorter than 0x28 bytes (docs/fs2.md#image-files).
pub const TOO_SHORT: &str = "Invalid Firmware Format (found FS Gen 1)";

/// The output of `verify`; `None` where mstflint does not end.
pub fn verify(bytes: &[u8], form: Form) -> Option<VerifyText> {
    let without_table = |notes: Vec<String>, end| {
        Some(VerifyText { heading: None, lines: Vec::new(), notes, end, code: 1 })
    };
    if !bytes.len().is_multiple_of(4) {
        return without_table(vec![], VerifyEnd::CannotOpen(UNALIGNED.into()));
    }
    if bytes.len() < 0x28 {
        return without_table(vec![], VerifyEnd::CannotOpen(TOO_SHORT.into()));
    }
    let scan = scan(&mut &*bytes).unwrap();
    if let Some(error) = verdict::scan_error(&scan) {
        return without_table(vec![], VerifyEnd::Failed(error));
    }
    let image = match read(&mut &*bytes, scan[0], form, Depth::Full) {
        Ok(image) => image,
        Err(error) => {
            let text = verdict::error_text(&error).expect("an error that flint has");
            let notes = match error {
                ImageError::FailsafeWord(_) => {
                    vec![format!("Can not read failsafe info word: {text}")]
                }
                _ => vec![],
            };
            return without_table(notes, VerifyEnd::Failed(text.to_owned()));
        }
    };
    let verdict = FlintVerdict::of(&image);
    let code = match verdict {
        FlintVerdict::Undecided { .. } => return None,
        FlintVerdict::Bootable => 0,
        _ => 1,
    };
    let text = if verdict::prints_heading(&image) {
        text::verify(&image)
    } else {
        text::verdict(&verdict)
    };
    Some(flint_text::verify(&text, code).unwrap())
}

/// The fields of `query full`, or its error text.
pub fn query(bytes: &[u8], form: Form) -> Result<Vec<(String, String)>, String> {
    let scan = scan(&mut &*bytes).unwrap();
    if let Some(error) = verdict::scan_error(&scan) {
        return Err(error);
    }
    let image = read(&mut &*bytes, scan[0], form, Depth::Full).map_err(|e| {
        let text = verdict::error_text(&e).expect("an error that flint has");
        text.to_owned()
    })?;
    if let Some(text) = verdict::query_error(&image) {
        return Err(text);
    }
    let show = QueryText { full: true, running: None, flint_dates: true };
    Ok(flint_text::query(&text::query(&image, show)))
}
