//! Is a file contiguous or a raw dump?

use super::{Depth, Form, Image, Layout, read};
use crate::image::{FlashAddr, ImageError, Severity, Source};

/// The form in which the image at `start` of a file is most likely stored. flint leaves that to its user
/// (`-striped_image`, docs/fs2.md#image-files). An image that does not start at 0 can only be from a dump; of
/// one at 0 the form is told by which way its chain holds, and contiguous if both or neither does
/// (both: an image no longer than one chunk, which is the same in both forms).
///
/// # Errors
/// As [`read`].
pub fn guess_form(source: &mut dyn Source, start: FlashAddr) -> Result<Form, ImageError> {
    let image = read(source, start, Form::Contiguous, Depth::Quick)?;
    if start.0 != 0 {
        return Ok(Form::Striped);
    }
    if image.layout == Layout::NonFailsafe || holds(&image) {
        return Ok(Form::Contiguous);
    }
    let striped = read(source, start, Form::Striped, Depth::Quick)?;
    Ok(if holds(&striped) {
        Form::Striped
    } else {
        Form::Contiguous
    })
}

/// The chain ends where the header says. Damage of other kinds does not matter here.
fn holds(image: &Image) -> bool {
    use crate::image::FindingId::{Chain, Pointer, SectionCrc, Size};
    image.len == image.header.declared_size
        && !image.findings.iter().any(|f| {
            f.severity == Severity::Error && matches!(f.id, Chain | Pointer | SectionCrc | Size)
        })
}
