//! Pure decisions: snapshots in, [`Plan`] out, every check listed with its result.
//!
//! [`CardSnapshot`] is what was read of a card. `plan_burn` and its sisters turn it and a wish
//! into a [`Plan`]: all checks in the order of [`CheckId`], what changes, what is kept, what a
//! person must know, and the [`Action`] that carries it out. There is no other way to an
//! [`Action`], and no switch that skips a check: exceptions are spelled-out values
//! ([`BurnOptions::change_psid`]) that must match what is there.

mod action;
mod boot;
mod burn;
mod check;
mod compare;
mod crossflash;
mod decide;
mod identity;
mod nv;
mod placement;
mod recover;
mod report;
mod reset;
mod restore;
mod rules;
mod rules_flash;
mod slot;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;

pub use action::{Action, Pass, Plan, Target};
pub use boot::{BootReport, SlotChoice, boot_choice, which_boots, would_boot};
pub use burn::{BurnOptions, RomChoice, plan_burn, plan_burn_as};
pub use check::{Change, Check, CheckId, Kept};
pub use compare::difference;
pub use crossflash::{BoardPorts, CrossFlash, IniChange, IniDiff, Sides};
pub use identity::{IdentityChange, identity_of, plan_identity, plan_rom};
pub use nv::NvGeometry;
pub use recover::plan_recover;
pub use report::{ActionReport, EraseReport, PlanReport};
pub use reset::plan_config_reset;
pub use restore::{BackupFacts, plan_restore};
pub use slot::{ImageSlot, Validity};
pub use snapshot::{Active, CardSnapshot};
