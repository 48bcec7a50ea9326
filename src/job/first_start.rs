//! The first start of what a job has written: on trial, with a look before a driver gets the card, or by others
//! (docs/hardware.md#trial-start).

use super::activate::{activate_after, activate_as, activated_by_reset, no_reset};
use super::assumptions::reset_is_contradicted;
use super::look::{in_words, look, seen_version};
use super::proofs::{AddressFact, AddressRecord};
use super::session::CardFacts;
use super::{Activation, Device, JobError};
use crate::card::{CardError, FirmwareState, ResetSeen, RunningVersion};
use crate::flash::{Events, FlashError, Invalidated, Phase, Stopped, Trial, WayBack};
use crate::host::Mark;
use crate::image::{Image, Version};
use crate::plan::{
    CardHome, StartFacts, StartKind, StartReport, StartRequest, TrialImages, no_trial,
};
use schemars::JsonSchema;
use serde::Serialize;

/// What took place of the first start.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct FirstStart {
    pub kind: StartKind,
    /// What ran after the reset of a trial or look; `None` when there was none, or nothing reports a version.
    #[serde(rename = "seen_fw_version")]
    pub seen: Option<Version>,
    /// The new firmware was seen running; `None` where neither trial nor look took place, or what runs does
    /// not show it.
    pub new_runs: Option<bool>,
    /// One sentence.
    pub detail: String,
}

/// What the plan of a start has to know of card and host. A reset that `locks` the card leaves it unreadable:
/// no trial, no look.
pub(super) fn start_facts(
    device: &Device,
    facts: &CardFacts,
    request: StartRequest,
    locks: bool,
) -> StartFacts {
    let home = match &device.borrowed {
        Some(borrowed) if borrowed.was_on_vfio() => CardHome::Vfio,
        Some(borrowed) if borrowed.original_driver().is_some() => CardHome::Driver,
        _ => CardHome::Nowhere,
    };
    let contradicted = || {
        reset_is_contradicted(facts).then(|| {
            "the self-test of this card has shown that a software reset does not load its firmware"
                .to_owned()
        })
    };
    let no_reset = || no_reset(device).map(|error| error.to_string()).or_else(contradicted);
    let locked = locks.then(|| "a reset locks this card, and its key was not given".to_owned());
    let known = facts.address_record();
    StartFacts {
        request,
        home,
        no_firmware: device.card.firmware() != FirmwareState::Runs,
        no_reset: locked.or_else(no_reset),
        address_ignored: known.filter(|known| known.fact == AddressFact::Ignored).map(|known| {
            format!(
                "this card takes no notice of the boot address register ({}, {})",
                known.how, known.time
            )
        }),
        register_still: facts.still_record().map(|known| {
            format!(
                "the register at 0x41270 of this card does not change ({}, {})",
                known.how, known.time
            )
        }),
    }
}

/// A reset locks this card again, and no key was given.
pub(super) const LOCKS_AGAIN: &str = "The firmware has a hardware access key: each reset locks it again, and what runs then can be read with the key \
     only. Give it to this command too: `--key-file FILE`.";

impl Device {
    /// One of these images has a hardware access key, and none was given.
    pub(super) fn locks_again<'i>(&self, images: impl IntoIterator<Item = &'i Image>) -> bool {
        let keyed =
            |image: &Image| image.info.as_ref().is_some_and(|i| i.hw_access_key == Some(true));
        !self.card.has_key() && images.into_iter().any(keyed)
    }
}

/// As the typestate takes it.
pub(super) fn trial_of(images: TrialImages) -> Trial {
    let running =
        |v: Version| RunningVersion { major: v.major, minor: v.minor, subminor: v.subminor };
    let TrialImages { new, old, old_ran, by_version, back, back_address, .. } = images;
    Trial { new: running(new), old: running(old), old_ran, by_version, back, back_address }
}

/// The trial has shown the new firmware.
pub(super) fn confirmed(facts: &CardFacts, images: TrialImages, seen: &ResetSeen) -> FirstStart {
    if seen.firmware.lives {
        facts.forget_still();
    }
    let then = if seen.firmware.lives && !images.new_ran { " before" } else { "; then" };
    let text = format!("{}{then} the image of {} was invalidated", shown(images, seen), images.old);
    trial_shows(images, Some(seen), text)
}

/// What a trial shows that ends with the new firmware.
fn shown(images: TrialImages, seen: &ResetSeen) -> String {
    let new = images.new;
    match (images.new_ran, seen.firmware.lives) {
        (true, _) => {
            format!("{new} ran before and after the reset, so whether it was loaded is not known")
        }
        (false, true) => format!("{new} was seen running"),
        (false, false) => format!(
            "{new} was loaded; whether it runs this card does not show: its register at 0x41270 does not change"
        ),
    }
}

fn trial_shows(images: TrialImages, seen: Option<&ResetSeen>, detail: String) -> FirstStart {
    let shows = |seen: &&ResetSeen| !images.new_ran && seen.firmware.lives;
    let new_runs = seen.filter(shows).map(|_| true);
    FirstStart { kind: StartKind::Trial, seen: seen.and_then(seen_version), new_runs, detail }
}

/// A job that stopped in its trial, or between the trial and its end.
pub(super) fn stopped(images: TrialImages, stopped: &Stopped) -> Option<FirstStart> {
    let text = match &stopped.seen {
        Some(seen) => {
            format!("{}; the job stopped before its end: {}", shown(images, seen), stopped.source)
        }
        None if stopped.phase == Phase::Trial => {
            format!("{} was not started: {}", images.new, stopped.source)
        }
        None => return None,
    };
    Some(trial_shows(images, stopped.seen.as_ref(), text))
}

/// Instead of the trial that was planned, where the commit has shown that there can be none.
pub(super) fn not_addressed() -> StartReport {
    let why = "the boot address register does not show what was written to it";
    StartReport { kind: StartKind::Look, detail: no_trial(why) }
}

/// The trial has not shown the new firmware. What is true of card and record, and the error.
pub(super) fn refused(
    device: &mut Device,
    facts: &CardFacts,
    images: TrialImages,
    back: WayBack,
) -> (FirstStart, JobError) {
    let TrialImages { new, old, .. } = images;
    let WayBack { tried, now, old_runs, register_still, address_counts, invalidated } = back;
    // No driver may meet a card without firmware.
    device.note(if old_runs { Mark::Boots(true) } else { Mark::NoFirmware });
    device.reenumerate = facts.recovery && old_runs;
    let old_at_once = now.is_none();
    let mut seen = match &tried {
        Ok(seen) if !seen.arrived && old_at_once => {
            format!("the reset did not arrive: {}", in_words(seen))
        }
        Ok(seen) => format!("after the reset {}", in_words(seen)),
        Err(error) => format!("after the reset the card did not get ready: {error}"),
    };
    let followed = facts.address_record().is_some_and(|known| known.fact == AddressFact::Honoured);
    let arrived = tried.as_ref().is_ok_and(|seen| seen.arrived);
    if old_at_once && arrived && !followed {
        seen.push_str(
            "; its boot ROM refuses the new image, or takes no notice of the boot address register, or the \
             reset loads nothing",
        );
    }
    let shown = match address_counts {
        Some(true) => {
            Some((AddressFact::Honoured, format!("a reset went back from {new} to {old}")))
        }
        Some(false) => Some((
            AddressFact::Ignored,
            format!("a reset to {old} did not start it while {new} was on the flash"),
        )),
        None if arrived && old_at_once && old_runs && !followed => {
            Some((AddressFact::Refused { new }, format!("{old} ran on the trial of {new}")))
        }
        None => None,
    };
    if let Some((fact, how)) = shown {
        facts.save_address(AddressRecord::now(fact, how));
    }
    let gone = matches!(
        &invalidated,
        Invalidated::NotLocked(FlashError::Card(CardError::Gone { .. }))
            | Invalidated::Failed(FlashError::Card(CardError::Gone { .. }))
    );
    let now = match (&now, old_runs) {
        (_, true) if gone => format!("the card ran {old} again, and answers no more"),
        (_, false) if gone => "the card answers no more".to_owned(),
        _ if register_still => {
            let how = format!("it changed under neither {old} nor {new}");
            let next = match facts.save_still(how) {
                true => "; the next burn of this card decides by the version alone",
                false => "",
            };
            format!(
                "the card shows {old} as before; 0x41270 changes under neither firmware, so it does not show \
                 which of them runs{next}"
            )
        }
        (now, true) if !lived(now.as_ref(), &tried) => {
            format!("the card shows {old} as before, and no life at 0x41270, as before")
        }
        (_, true) => format!("the card runs {old} as before"),
        (Some(Ok(seen)), false) => format!("after the way back {}", in_words(seen)),
        (Some(Err(error)), false) => {
            format!("after the way back the card did not get ready: {error}")
        }
        (None, false) => "what runs is not known".into(),
    };
    let left = match &invalidated {
        Invalidated::Done => String::new(),
        Invalidated::BothStay => "; both images are complete on the flash".into(),
        Invalidated::NotLocked(error) => format!(
            "; both images are complete on the flash, the new one was not invalidated: {error}"
        ),
        Invalidated::Failed(error) => {
            format!("; whether the new image is still one is not known: {error}")
        }
    };
    let report = FirstStart {
        kind: StartKind::Trial,
        seen: tried.as_ref().ok().and_then(seen_version),
        new_runs: Some(false),
        detail: format!("{new} was not seen running ({seen}); {now}{left}"),
    };
    let old_runs = old_runs && !gone;
    let error = JobError::NotStarted { now: now + &left, seen, old_runs, backup: None };
    (report, error)
}

/// What ran at last showed life.
fn lived(
    now: Option<&Result<ResetSeen, FlashError>>,
    tried: &Result<ResetSeen, FlashError>,
) -> bool {
    now.unwrap_or(tried).as_ref().is_ok_and(|seen| seen.firmware.lives)
}

/// A finished change, and how it is started.
pub(super) struct Finished<'a> {
    pub(super) request: StartRequest,
    pub(super) plan: Option<&'a StartReport>,
    /// What the trial has shown.
    pub(super) tried: Option<ResetSeen>,
    /// The firmware before showed life ([`shows_life`]).
    pub(super) life_shows: bool,
    /// The version that boots.
    pub(super) wanted: Version,
}

/// The look, and the start of the new firmware, as far as they were planned and asked for.
pub(super) fn start(
    device: &mut Device,
    facts: &CardFacts,
    finished: &Finished<'_>,
    known: &mut Option<FirstStart>,
    events: &mut dyn Events,
) -> Result<Option<Activation>, JobError> {
    let Finished { request, plan, tried, life_shows, wanted } = *finished;
    let home = device.original_driver();
    let seen = match (plan.map(|plan| plan.kind), tried) {
        (_, Some(seen)) => Some(seen),
        (Some(StartKind::Look), None) => {
            let looked = look(device, facts, wanted, life_shows, events);
            *known = plan.map(|plan| looked_at(plan, wanted, life_shows, &looked));
            Some(looked?)
        }
        _ => None,
    };
    match (seen, home) {
        _ if !request.activates() => Ok(None),
        (Some(seen), None) => activated_by_reset(device, facts, wanted, seen).map(Some),
        (Some(_), Some(_)) => activate_as(device, facts, wanted, events).map(Some),
        (None, _) => activate_after(device, facts, wanted, events),
    }
}

fn looked_at(
    plan: &StartReport,
    wanted: Version,
    life_shows: bool,
    looked: &Result<ResetSeen, JobError>,
) -> FirstStart {
    let (seen, new_runs, shown) = match looked {
        Ok(seen) => {
            let lives = seen.firmware.lives;
            // Without life the version shows what was loaded.
            let runs = seen_version(seen).and_then(|found| {
                (found != wanted || life_shows || lives).then_some(found == wanted && lives)
            });
            (seen_version(seen), runs, format!("after the reset {}", in_words(seen)))
        }
        Err(error @ JobError::NotActivated { .. }) => (None, Some(false), error.to_string()),
        Err(error) => (None, None, error.to_string()),
    };
    FirstStart { kind: plan.kind, seen, new_runs, detail: format!("{shown}; {}", plan.detail) }
}

/// What a start shows of the boot address register: an image that was refused on trial does start.
pub(super) fn learn(facts: &CardFacts, wanted: Version, activation: Option<&Activation>) {
    let runs = activation.is_some_and(|a| a.after == Some(wanted) && facts.running != a.after);
    let refused =
        facts.address_record().filter(|known| known.fact == AddressFact::Refused { new: wanted });
    if let (true, Some(known)) = (runs, refused) {
        let how = format!("{}, and starts without a trial", known.how);
        facts.save_address(AddressRecord::now(AddressFact::Ignored, how));
    }
}
