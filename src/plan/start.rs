//! How new firmware is started the first time: on trial, with a look at what runs before a driver gets the
//! card, or by others.

use super::action::{TrialImages, boot_address};
use super::report::{StartKind, StartReport};
use super::{Action, CardSnapshot, ImageSlot, Plan, Target};
use crate::image::Image;

/// What a user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartRequest {
    /// Start it, on trial where that is possible.
    #[default]
    Trial,
    /// Start it without a trial: the driver may be the first to meet it.
    Untried,
    /// Leave what runs. A driver that gets the card back resets it all the same, so there is a look before.
    WithDriver,
    /// Leave what runs, and do not look.
    Later,
}

impl StartRequest {
    /// The new firmware is to run at the end of the job.
    pub fn activates(self) -> bool {
        matches!(self, Self::Trial | Self::Untried)
    }
}

/// Where a card comes from, and goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardHome {
    /// Its network driver, which resets it when it gets it back.
    Driver,
    /// vfio-pci: it belongs to a guest.
    Vfio,
    /// No driver, or it is simulated.
    Nowhere,
}

/// What the first start depends on beside card and plan.
#[derive(Clone, Debug)]
pub struct StartFacts {
    pub request: StartRequest,
    pub home: CardHome,
    /// The card shows that no firmware runs.
    pub no_firmware: bool,
    /// Why the card must not be reset: the port above it, or what the card has shown.
    pub no_reset: Option<String>,
    /// This card has shown that it takes no notice of the boot address register: how.
    pub address_ignored: Option<String>,
    /// This card has shown that its register at 0x41270 does not change while firmware runs: how.
    pub register_still: Option<String>,
}

impl Plan {
    /// The image that is written.
    pub fn new_image(&self) -> Option<&Image> {
        Some(self.action.as_ref()?.contents.as_ref()?.image())
    }

    /// Decides how what is written is started the first time.
    pub fn starts(&mut self, card: &CardSnapshot, facts: &StartFacts) {
        let Some(action) = &mut self.action else {
            return;
        };
        let StartFacts { request, home, no_firmware, no_reset, address_ignored, register_still } =
            facts;
        let report = |kind, detail| Some(StartReport { kind, detail });
        self.report.start = if *request == StartRequest::Later
            || *request == StartRequest::WithDriver && *home != CardHome::Driver
        {
            None
        } else if *request == StartRequest::Untried {
            report(StartKind::None, "no trial: --no-trial".into())
        } else if *home == CardHome::Vfio && !card.recovery {
            report(
                StartKind::None,
                "no trial: the card lives on vfio-pci, its guest starts it".into(),
            )
        } else if let Some(why) = no_reset {
            report(StartKind::None, format!("no trial: {why}"))
        } else {
            let images = trial_images(card, *no_firmware, action);
            match (images, address_ignored) {
                (Ok(mut images), None) => {
                    // Which firmware hangs on a card that shows no life is not known, but when the old one ran.
                    images.by_version = register_still.is_some() && images.old_ran;
                    action.trial = Some(images);
                    let mut detail = format!(
                        "{} is started and watched while {} stays on the card; {} comes back if it does not run",
                        images.new, images.old, images.old
                    );
                    if let Some(why) = register_still.as_ref().filter(|_| images.by_version) {
                        detail.push_str(&format!("; the version alone decides: {why}"));
                    }
                    report(StartKind::Trial, detail)
                }
                (Ok(_), Some(why)) => report(StartKind::Look, no_trial(why)),
                (Err(why), _) => report(StartKind::Look, no_trial(why)),
            }
        };
    }
}

pub(crate) fn no_trial(why: &str) -> String {
    format!("no trial: {why}; what runs is read before a driver gets the card")
}

/// The images of a trial, or why none is possible.
fn trial_images(
    card: &CardSnapshot,
    no_firmware: bool,
    action: &Action,
) -> Result<TrialImages, &'static str> {
    let (Some(Target::Half { .. }), [pass]) = (action.target, action.passes.as_slice()) else {
        return Err("no other image stays on the card");
    };
    let stays = |slot: &&ImageSlot| pass.signature.invalidate.contains(&slot.start);
    let version = |slot: &ImageSlot| slot.image().and_then(|image| image.fw_version());
    let mut old = card.bootable().filter(stays);
    let (Some(slot), None) = (old.next(), old.next()) else {
        return Err("not exactly one other image on the card is complete");
    };
    let (Some(new), Some(old)) = (action.version(), version(slot)) else {
        return Err("one of the images states no version");
    };
    if new == old {
        return Err(
            "old and new firmware have the same version, so what runs would not show which it is",
        );
    }
    match card.running.filter(|_| !card.recovery) {
        Some(running) if running != old && running != new => {
            return Err("the version that runs is of neither image");
        }
        // Where none runs, the image on the card is no better than the new one; a trial loses neither.
        None if !no_firmware => {
            return Err("the card does not report which version runs");
        }
        _ => {}
    }
    let ran = |version| card.running == Some(version);
    let (old_ran, new_ran, back) = (ran(old), ran(new), slot.start);
    let back_address = boot_address(back);
    Ok(TrialImages { new, old, old_ran, new_ran, by_version: false, back, back_address })
}
