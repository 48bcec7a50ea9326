//! What a writing job writes.

use super::{ImageFile, RomFile, StoreChoice};
use crate::image::Identity;
use crate::plan::{
    BackupFacts, BurnOptions, CardSnapshot, IdentityChange, Plan, plan_config_reset, plan_identity,
    plan_recover, plan_restore, plan_rom,
};
use schemars::JsonSchema;
use serde::Serialize;

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub enum WriteRequest<'a> {
    /// An image, on a card that has a valid one.
    Burn(&'a ImageFile, &'a BurnOptions),
    /// The whole flash of a backup, NV configuration areas included.
    Restore(&'a BackupFacts),
    /// An image, on a card in recovery mode or without a valid one. May be run again after an
    /// interruption.
    Recover(&'a ImageFile, &'a Identity),
    /// The card's own image with another identity.
    IdentitySet(&'a IdentityChange),
    /// The card's own image with this ROM.
    RomWrite(&'a RomFile),
    /// The card's own image without a ROM.
    RomRemove,
    /// Erased NV configuration sectors, where they are for this layout (docs/fs2.md#flash-map).
    ConfigReset,
}

/// Which writing job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteJob {
    Burn,
    Restore,
    Recover,
    IdentitySet,
    RomWrite,
    RomRemove,
    ConfigReset,
}

/// Makes the plan of a job from what was read of the card.
pub(super) type Planner<'a> = Box<dyn Fn(&CardSnapshot) -> Plan + 'a>;

impl<'a> WriteRequest<'a> {
    /// How its image was chosen from a store.
    pub(super) fn choice(&self) -> Option<&StoreChoice> {
        match self {
            Self::Burn(image, _) | Self::Recover(image, _) => image.choice.as_ref(),
            _ => None,
        }
    }

    /// Which job it is.
    pub fn job(&self) -> WriteJob {
        match self {
            Self::Burn(..) => WriteJob::Burn,
            Self::Restore(_) => WriteJob::Restore,
            Self::Recover(..) => WriteJob::Recover,
            Self::IdentitySet(_) => WriteJob::IdentitySet,
            Self::RomWrite(_) => WriteJob::RomWrite,
            Self::RomRemove => WriteJob::RomRemove,
            Self::ConfigReset => WriteJob::ConfigReset,
        }
    }

    pub(super) fn planner(self) -> Planner<'a> {
        match self {
            Self::Burn(image, options) => Box::new(|card| image.plan(card, options)),
            Self::Restore(backup) => Box::new(|card| plan_restore(card, backup)),
            Self::Recover(image, identity) => Box::new(|card| {
                plan_recover(card, &image.contents, image.len, identity, image.ran_on)
            }),
            Self::IdentitySet(change) => Box::new(|card| plan_identity(card, change)),
            Self::RomWrite(rom) => Box::new(|card| plan_rom(card, Some(&rom.bytes))),
            Self::RomRemove => Box::new(|card| plan_rom(card, None)),
            Self::ConfigReset => Box::new(plan_config_reset),
        }
    }
}
