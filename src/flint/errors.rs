//! flint's texts for errors of our jobs.

use super::verdict::error_text;
use crate::card::CardError;
use crate::escape::{self, ForeignText};
use crate::flash::FlashError;
use crate::image::ImageError;
use crate::job::{self, CardSelector, Exit, HintContext, JobError};

/// flint's text for a card that cannot be opened or read.
pub(super) fn card_error(error: &JobError, name: &ForeignText) -> String {
    let why = match error {
        JobError::Card(cause) | JobError::Flash(FlashError::Card(cause)) => Some(cause),
        _ => None,
    };
    let why = match why {
        Some(CardError::Locked) => locked(name),
        Some(CardError::SemaphoreHeld { .. }) => {
            return format!(
                "-E- Can not obtain Flash semaphore-E- Cannot open Device: {name}. Can not obtain Flash \
                 semaphore. You can run \"flint -clear_semaphore -d <device>\" to force semaphore unlock. \
                 See help for details.\n"
            );
        }
        _ => format!("{}\n", describe(error, name)),
    };
    format!("-E- Cannot open Device: {name}. {why}")
}

/// flint's text when `hw query` cannot open the card.
pub(super) fn hardware_error(error: &JobError, name: &ForeignText) -> String {
    match error {
        JobError::Card(CardError::Locked) => format!("-E- Failed to open Device: {}", locked(name)),
        other => card_error(other, name),
    }
}

/// flint's text for a card of a secure host.
fn locked(name: &ForeignText) -> String {
    format!(
        "HW access is disabled on the device. \n-E- Run \"flint -d {name} hw_access enable [key]\" in \
         order to enable HW access.\n"
    )
}

/// flint's text for an image file that cannot be read.
pub(super) fn image_error(error: &JobError, name: &ForeignText) -> String {
    let why = match error {
        JobError::ImageFile { source, .. } => match (source, error_text(source)) {
            (_, Some(why)) => return format!("-E- Failed to query image: {name}. {why}\n"),
            (ImageError::Unaligned(_), _) => format!(
                "Image size should be 4-bytes aligned. Make sure file {name} is in the right format (binary \
                 image)"
            ),
            (ImageError::TooShort(_) | ImageError::CutShort { size: None, .. }, _)
            | (ImageError::Empty, _) => "Invalid Firmware Format (found FS Gen 1)".into(),
            (other, _) => other.to_string(),
        },
        other => job::error_chain(other),
    };
    format!("-E- Cannot open Image: {name}. {why}\n")
}

/// The system's reason without the number that Rust adds, as C programs print it.
pub(super) fn system_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((plain, _)) => plain.to_owned(),
        None => text,
    }
}

/// An error and its causes on one line, or the failed checks of a refusal; then what is left on the card, the
/// backup, and what to do next.
pub(super) fn describe(error: &JobError, card: &ForeignText) -> String {
    let mut text = match error {
        JobError::Refused { report } => {
            let list: Vec<&str> = report.refusing().map(|c| c.detail.as_str()).collect();
            list.join("; ")
        }
        other => job::error_chain(other),
    };
    let left = match error.outcome().exit {
        Exit::StillBoots => Some("the card still boots".to_owned()),
        Exit::NeedsRecover => Some("the card does not boot".to_owned()),
        Exit::OutcomeUnknown => Some("what the card boots could not be read".to_owned()),
        _ => None,
    };
    let backup = error.backup().map(|dir| format!("the backup is in {}", escape::path(dir)));
    let card: Option<CardSelector> = card.as_str().parse().ok();
    let hint = error.hint(&HintContext { card: card.as_ref(), ..HintContext::of_process() });
    for more in [left, backup, hint].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(&more);
    }
    escape::line(&text).into_owned()
}
