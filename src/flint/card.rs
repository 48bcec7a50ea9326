//! flint's commands on a card: what they have at hand and how they fail.
//!
//! Text, order and exit codes were measured with mstflint 4.21 on the simulated card (the bench of
//! `tests/it/flint_card`). Underneath are the jobs of every other command: a backup before the first
//! erase, verification before anything becomes bootable. What flint does and the promises forbid is
//! refused in one line; `differences.md` lists it.

use crate::card::CardError;
use crate::flash::{Boots, FlashError};
use crate::image::ImageError;
use crate::job::{self, Device, Exit, FirstDepth, FirstError, FirstImage, ImageFile, JobError};
use crate::plan::CheckId;
use std::path::{Path, PathBuf};

/// flint's exit code for everything that fails.
pub(super) const FAILED: u8 = 1;

/// Where text goes and answers come from.
pub(super) trait Talk {
    /// flint's text, on stdout.
    fn say(&mut self, text: &str);
    /// Ask flint's question; prints what flint prints of the answer.
    fn ask(&mut self, what: &str) -> bool;
    /// A line of our own, on stderr.
    fn remark(&self, text: &str);
    /// SIGINT or SIGTERM came.
    fn stop_requested(&self) -> bool;
}

/// The usual question.
pub(super) const CONTINUE: &str = "Do you want to continue";

/// What a command on a card has at hand.
pub(super) struct OnCard<'a> {
    /// The card.
    pub(super) device: &'a mut Device,
    /// As the user named it.
    pub(super) name: &'a str,
    /// The streams.
    pub(super) talk: &'a mut dyn Talk,
    /// Directory in which backups are made.
    pub(super) backup_dir: PathBuf,
    /// `-qq`: no look at the ROM.
    pub(super) quick: bool,
    /// `-s`.
    pub(super) silent: bool,
}

/// A command's end: `Err` has flint's exit code, its text is printed already.
pub(super) type Ended = Result<(), u8>;

impl OnCard<'_> {
    /// Print and fail.
    pub(super) fn fail<T>(&mut self, text: &str) -> Result<T, u8> {
        self.talk.say(text);
        Err(FAILED)
    }

    /// Print, and fail as a job's error asks for: flint has no code for a change whose outcome is
    /// not known, so ours is used.
    pub(super) fn fail_as<T>(&mut self, text: &str, error: &JobError) -> Result<T, u8> {
        self.talk.say(text);
        Err(match error.outcome().exit {
            Exit::OutcomeUnknown => Exit::OutcomeUnknown.code(),
            _ => FAILED,
        })
    }

    /// Ask, and fail on a no.
    pub(super) fn ask(&mut self) -> Ended {
        if self.talk.ask(CONTINUE) {
            Ok(())
        } else {
            Err(FAILED)
        }
    }

    /// The lowest image.
    pub(super) fn first(&mut self, depth: FirstDepth) -> Result<FirstImage, u8> {
        job::first_image(self.device, depth).or_else(|error| self.broken(&error))
    }

    /// What flint's query of the card gives: the image, or the text it fails with.
    pub(super) fn queried(&mut self) -> Result<(FirstImage, Option<String>), u8> {
        let depth = if self.quick {
            FirstDepth::Chain
        } else {
            FirstDepth::Query
        };
        let first = self.first(depth)?;
        let error = query_error(&first);
        Ok((first, error))
    }

    /// An image file, or flint's error.
    pub(super) fn image_file(&mut self, path: &Path) -> Result<ImageFile, u8> {
        job::read_image(path).or_else(|error| {
            let name = path.display();
            let text = match &error {
                JobError::ReadFile { source, .. } => format!(
                    "-E- Cannot open Image: {name}. Can not open file \"{name}\" - {}\n",
                    super::card_copy::reason(source)
                ),
                JobError::ImageFile { source, .. } => match (source, super::verdict::error_text(source)) {
                    (_, Some(why)) => format!("-E- Failed to query image: {name}. {why}\n"),
                    (ImageError::Unaligned(_), _) => format!(
                        "-E- Cannot open Image: {name}. Image size should be 4-bytes aligned. Make sure \
                         file {name} is in the right format (binary image)\n"
                    ),
                    (ImageError::TooShort(_) | ImageError::Empty, _) => format!(
                        "-E- Cannot open Image: {name}. Invalid Firmware Format (found FS Gen 1)\n"
                    ),
                    (other, _) => format!("-E- Cannot open Image: {name}. {other}\n"),
                },
                other => format!("-E- Cannot open Image: {name}. {}\n", one_line(other)),
            };
            self.fail(&text)
        })
    }

    /// The card itself failed.
    pub(super) fn broken<T>(&mut self, error: &JobError) -> Result<T, u8> {
        let text = card_text(error, self.name);
        self.fail(&text)
    }
}

/// The text flint's query of a card fails with.
pub(super) fn query_error(first: &FirstImage) -> Option<String> {
    match &first.image {
        Err(FirstError { text, .. }) => Some(text.clone()),
        Ok(image) => super::verdict::query_error(image),
    }
}

/// What flint says of a card that cannot be worked with.
pub(super) fn card_text(error: &JobError, name: &str) -> String {
    match error {
        JobError::Card(CardError::Locked)
        | JobError::Flash(FlashError::Card(CardError::Locked)) => {
            format!("-E- Cannot open Device: {name}. {}", locked(name))
        }
        JobError::Card(CardError::SemaphoreHeld { .. })
        | JobError::Flash(FlashError::Card(CardError::SemaphoreHeld { .. })) => format!(
            "-E- Can not obtain Flash semaphore-E- Cannot open Device: {name}. Can not obtain Flash \
             semaphore. You can run \"flint -clear_semaphore -d <device>\" to force semaphore unlock. \
             See help for details.\n"
        ),
        other => format!("-E- Cannot open Device: {name}. {}\n", one_line(other)),
    }
}

/// flint's text for a card of a secure host.
fn locked(name: &str) -> String {
    format!(
        "HW access is disabled on the device. \n-E- Run \"flint -d {name} hw_access enable [key]\" in \
         order to enable HW access.\n"
    )
}

/// flint's text when `hw query` cannot open the card.
pub(super) fn hw_text(error: &JobError, name: &str) -> String {
    match error {
        JobError::Card(CardError::Locked) => format!("-E- Failed to open Device: {}", locked(name)),
        other => card_text(other, name),
    }
}

/// An error and its causes on one line; a refusal with what it refuses, and our way.
pub(super) fn one_line(error: &JobError) -> String {
    let mut text = match error {
        JobError::Refused { report } => {
            let list: Vec<&str> = report.refusing().map(|c| c.detail.as_str()).collect();
            list.join("; ")
        }
        other => job::error_chain(other),
    };
    if let Some(way) = way_of(error) {
        text = format!("{text}; {way}");
    }
    text.replace('\n', " ")
}

/// What to type instead, or next.
fn way_of(error: &JobError) -> Option<String> {
    match error {
        JobError::Stopped { stopped, backup } => {
            after_a_stop(stopped.touched, stopped.boots, backup.as_deref())
        }
        JobError::WrongBoot { boots, backup, .. } => after_a_stop(true, *boots, backup.as_deref()),
        JobError::AfterChange { boots, backup, .. } => {
            let boots = match boots.as_ref().map(|found| found.start) {
                None => Boots::Unknown,
                Some(None) => Boots::Nothing,
                Some(Some(_)) => return None,
            };
            after_a_stop(true, boots, backup.as_deref())
        }
        other => refused_way(*other.refused_by().first()?).map(str::to_owned),
    }
}

/// What a job left behind, and how it goes on.
fn after_a_stop(touched: bool, boots: Boots, backup: Option<&Path>) -> Option<String> {
    let backup = backup.map_or_else(|| "BACKUP".to_owned(), |dir| dir.display().to_string());
    match boots {
        _ if !touched => None,
        Boots::OldImage | Boots::NewImage => Some(format!(
            "the card still boots; the backup is in {backup}, and the command can be run again"
        )),
        Boots::Unknown => Some(format!(
            "what the card boots could not be read: `cx3flash verify` shows it; the backup is in {backup}"
        )),
        Boots::Nothing => Some(format!(
            "the card does not boot: `cx3flash restore {backup}` takes it back, `cx3flash recover IMAGE \
             --identity {backup}/identity.json` goes on"
        )),
    }
}

fn refused_way(first: CheckId) -> Option<&'static str> {
    Some(match first {
        CheckId::Layout => {
            "the layout of a card is not changed: burn an image of the card's own layout"
        }
        CheckId::FlashSize => "burn an image whose ini names this flash size",
        CheckId::Protection => "see `cx3flash flash info`",
        CheckId::RomDevice => "burn with a ROM for this device",
        CheckId::Psid => "spell the change out: `cx3flash burn --change-psid FROM:TO`",
        // Its sentence names the way.
        CheckId::Identity => return None,
        CheckId::IdentityFits => "burn an image that has room for it",
        _ => "`cx3flash plan` lists every check",
    })
}
