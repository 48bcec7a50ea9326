//! `doctor`: can this card be worked with?

use super::query::{outcome, read_images};
use super::session::Facts;
use super::{Device, JobError, QueryOutcome, open};
use crate::card::CardError;
use crate::flash::{FlashError, Locked};
use crate::image::{Depth, Identity};
use serde::Serialize;
use std::path::Path;

/// One look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Stable name.
    pub id: &'static str,
    /// Fine.
    pub ok: bool,
    /// One sentence with the figures.
    pub detail: String,
    /// What to do when it is not fine.
    pub fix: Option<String>,
}

/// Answer of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoctorOutcome {
    /// Looks in a fixed order: card, chip, firmware, semaphores, flash, protection, chained_reads,
    /// images, identity, backup_space. Those that cannot be made are listed as not ok.
    pub checks: Vec<Diagnosis>,
    /// All fine.
    pub ok: bool,
}

/// Look at everything a burn needs. Changes nothing.
///
/// # Errors
/// [`JobError::NoSuchCard`] only; what is wrong with a card is in the answer.
pub fn doctor(selector: &str, backup_dir: &Path) -> Result<DoctorOutcome, JobError> {
    let mut looks = Looks::default();
    match open(selector) {
        Ok(mut device) => card(&mut device, &mut looks),
        Err(error @ JobError::NoSuchCard { .. }) => return Err(error),
        Err(error) => {
            looks.bad(
                "card",
                said(&error),
                "see that the card is there and nobody holds it",
            );
            for id in CARD.iter().skip(1) {
                looks.unseen(id, "the card cannot be opened");
            }
        }
    }
    space(backup_dir, &mut looks);
    Ok(DoctorOutcome {
        ok: looks.0.iter().all(|look| look.ok),
        checks: looks.0,
    })
}

/// What is looked at on a card, in order.
const CARD: [&str; 9] = [
    "card",
    "chip",
    "firmware",
    "semaphores",
    "flash",
    "protection",
    "chained_reads",
    "images",
    "identity",
];

/// Room a backup needs: the flash, the image in it and small files, for the largest chip.
const BACKUP_BYTES: u64 = 40 << 20;

#[derive(Default)]
struct Looks(Vec<Diagnosis>);

impl Looks {
    fn good(&mut self, id: &'static str, detail: impl Into<String>) {
        self.0.push(Diagnosis {
            id,
            ok: true,
            detail: detail.into(),
            fix: None,
        });
    }

    fn bad(&mut self, id: &'static str, detail: impl Into<String>, fix: &str) {
        self.0.push(Diagnosis {
            id,
            ok: false,
            detail: detail.into(),
            fix: Some(fix.to_owned()),
        });
    }

    fn unseen(&mut self, id: &'static str, why: &str) {
        self.bad(id, format!("not looked at: {why}"), "mend what comes first");
    }
}

/// An error with its causes.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

fn card(device: &mut Device, looks: &mut Looks) {
    looks.good("card", format!("{} answers", device.name));
    let facts = match Facts::of(device) {
        Ok(facts) => facts,
        Err(error) => {
            looks.bad("chip", said(&error), "see that the card is still there");
            for id in CARD.iter().skip(2) {
                looks.unseen(id, "the card does not answer");
            }
            return;
        }
    };
    looks.good("chip", facts.chip.name());
    match facts.running {
        Some(version) if !facts.recovery => looks.good("firmware", format!("{version} runs")),
        _ => looks.bad(
            "firmware",
            "none runs: recovery mode",
            "put an image on the card with `cx3flash recover`",
        ),
    }
    match device.lock() {
        Ok(mut locked) => {
            looks.good("semaphores", "40 and 63 could be taken");
            flash(&facts, &mut locked, looks);
        }
        Err(error) => {
            let (id, fix) = match &error {
                JobError::Card(CardError::SemaphoreHeld { .. })
                | JobError::Flash(FlashError::Card(CardError::SemaphoreHeld { .. })) => (
                    "semaphores",
                    "let the other program finish; if there is none, `cx3flash unlock`",
                ),
                _ => {
                    looks.good("semaphores", "40 and 63 could be taken");
                    (
                        "flash",
                        "without a flash chip that answers nothing can be done",
                    )
                }
            };
            looks.bad(id, said(&error), fix);
            for unseen in CARD.iter().skip_while(|name| **name != id).skip(1) {
                looks.unseen(unseen, "the flash could not be reached");
            }
        }
    }
}

fn flash(facts: &Facts, locked: &mut Locked<'_>, looks: &mut Looks) {
    let part = locked.part().clone();
    looks.good(
        "flash",
        format!(
            "{}, JEDEC {:06x}, {} KiB",
            part.name,
            part.jedec,
            part.geometry.size / 1024
        ),
    );
    let protection = locked.protection().clone();
    if protection.status & part.protect_mask == 0 {
        looks.good(
            "protection",
            format!("status {:#04x}, none", protection.status),
        );
    } else {
        looks.bad(
            "protection",
            format!(
                "status {:#04x}: blocks are write protected",
                protection.status
            ),
            "a jumper on the board or another tool set it; it must be taken back before a burn",
        );
    }
    if locked.chained_reads() {
        looks.good("chained_reads", "they give what single reads give");
    } else {
        // Slower, not worse: no reason to call the card unfit.
        looks.good(
            "chained_reads",
            "they do not work here; single reads are used",
        );
    }
    let images = read_images(&mut locked.source(), Depth::Full);
    match images {
        Ok(images) => judge(&outcome(Some(facts.report(locked)), None, images), looks),
        Err(error) => {
            looks.bad("images", said(&error), "see that the card is still there");
            looks.unseen("identity", "the images could not be read");
        }
    }
}

fn judge(query: &QueryOutcome, looks: &mut Looks) {
    let list: Vec<String> = query
        .images
        .iter()
        .map(|report| {
            let version = report
                .image
                .as_ref()
                .and_then(|i| i.info.as_ref()?.fw_version)
                .map_or_else(|| "unreadable".into(), |v| v.to_string());
            let state = if report.whole == Some(true) {
                "whole"
            } else {
                "damaged"
            };
            format!("{version} at {:#x} {state}", report.start.0)
        })
        .collect();
    let boots = query.images.iter().find(|r| r.boots);
    match boots {
        Some(_) => looks.good("images", list.join(", ")),
        None => looks.bad(
            "images",
            if list.is_empty() {
                "none".to_owned()
            } else {
                list.join(", ")
            },
            "put an image on the card with `cx3flash recover`",
        ),
    }
    let identity = boots
        .and_then(|r| r.image.as_ref())
        .map(Identity::from_image);
    match identity {
        Some(Ok(identity)) => looks.good(
            "identity",
            format!("MACs {} {}", identity.macs[0], identity.macs[1]),
        ),
        Some(Err(error)) => looks.bad(
            "identity",
            error.to_string(),
            "`cx3flash recover IMAGE --identity FILE` gives the card its identity again",
        ),
        None => looks.unseen("identity", "no image"),
    }
}

fn space(dir: &Path, looks: &mut Looks) {
    let id = "backup_space";
    let fix = "choose another directory with --backup-dir";
    // The nearest directory that exists: a backup makes those below it.
    let Some(base) = dir
        .ancestors()
        .map(|path| {
            if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            }
        })
        .find(|path| path.is_dir())
    else {
        looks.bad(id, format!("{} leads nowhere", dir.display()), fix);
        return;
    };
    if let Err(error) = nix::unistd::access(base, nix::unistd::AccessFlags::W_OK) {
        looks.bad(
            id,
            format!("{} cannot be written: {error}", base.display()),
            fix,
        );
        return;
    }
    match nix::sys::statvfs::statvfs(base) {
        Ok(stat) => {
            let free = stat.blocks_available().saturating_mul(stat.fragment_size());
            let text = format!("{} MiB free in {}", free >> 20, base.display());
            if free >= BACKUP_BYTES {
                looks.good(id, text);
            } else {
                looks.bad(id, text, fix);
            }
        }
        Err(error) => looks.bad(
            id,
            format!("free space in {} is not known: {error}", base.display()),
            fix,
        ),
    }
}
