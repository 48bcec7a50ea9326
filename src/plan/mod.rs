//! Pure decisions: snapshots in, [`Plan`] out, every check listed with its result.
//!
//! [`CardSnapshot`] is what was read of a card. `plan_burn`, `plan_recover` and the others turn it and
//! a request into a [`Plan`]: all checks in the order of [`CheckId`], what changes, what is kept,
//! warnings, and the [`Action`] that carries it out. Nothing else makes an [`Action`], and no switch
//! skips a check: exceptions are values ([`BurnOptions::change_psid`]) that must match the card.

mod action;
mod boot;
mod burn;
mod check;
mod choice;
mod compare;
mod crossflash;
mod decide;
mod identity;
mod left;
mod nv;
mod placement;
mod recover;
mod report;
mod request;
mod reset;
mod restore;
mod rules;
mod rules_flash;
mod slot;
mod snapshot;
mod start;
#[cfg(test)]
pub(crate) mod tests;

pub use action::{Action, Pass, Plan, TrialImages};
pub use boot::{BootEvidence, BootReport, SlotChoice, boot_choice, would_boot};
pub use burn::{plan_burn, plan_identity, plan_rom};
pub use check::{Change, Check, CheckId, Kept};
pub use choice::{ImageChoice, ImageStatus, LeftOutReason, NoChoice, OfferedImage, choose_image};
pub use compare::difference;
pub use crossflash::{BoardPorts, CrossFlash, IniChange, IniDiff, Sides};
pub use identity::IdentityChange;
pub use left::{BootsBefore, LeftBehind};
pub use nv::NvGeometry;
pub use recover::plan_recover;
pub use report::{ActionReport, EraseReport, PlanReport, StartKind, StartReport, Target};
pub use request::{BurnOptions, RomChoice};
pub use reset::plan_config_reset;
pub use restore::{BackupFacts, plan_restore};
pub use slot::{Bootability, ImageSlot, Validity, bootability, wavers, wrong_silicon};
pub use snapshot::{Active, CardSnapshot};
pub(crate) use start::no_trial;
pub use start::{CardHome, StartFacts, StartRequest};
