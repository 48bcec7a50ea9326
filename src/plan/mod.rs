//! Pure decisions: snapshots in, [`Plan`] out, every check listed with its result.

mod burn;
mod check;
mod identity;
mod recover;
mod report;
mod restore;
mod rules;
mod snapshot;

pub use burn::{Action, BurnOptions, Plan, RomChoice, Target, plan_burn};
pub use check::{Change, Check, CheckId, Kept};
pub use report::{ActionReport, EraseReport, PlanReport};
pub use snapshot::{CardSnapshot, Found};
