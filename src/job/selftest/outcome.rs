//! What the self-test has shown.

use super::driver::DriverFacts;
use crate::job::CardDescription;
use crate::job::stage::{StageId, StageReport, StageResult};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::PathBuf;

/// Answer of `selftest`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct SelftestOutcome {
    /// The card before the test; `None` when it could not be opened.
    pub card: Option<CardDescription>,
    /// Serial number under which the record is kept.
    pub serial: Option<String>,
    /// What was known of the card before it was taken.
    pub driver: DriverFacts,
    /// Every stage that was run or skipped, in order.
    pub stages: Vec<StageReport>,
    /// A stage was contradicted.
    pub contradicted: bool,
    /// The file that keeps the results for later jobs; `None` when none was written.
    #[serde(serialize_with = "crate::escape::serialize_path_option")]
    #[schemars(with = "Option<String>")]
    pub record: Option<PathBuf>,
    /// The backup made before an expendable card was written to.
    #[serde(serialize_with = "crate::escape::serialize_path_option")]
    #[schemars(with = "Option<String>")]
    pub backup: Option<PathBuf>,
}

impl SelftestOutcome {
    pub(super) fn of(card: Option<CardDescription>, driver: DriverFacts) -> Self {
        Self {
            card,
            serial: driver.serial.clone(),
            driver,
            stages: Vec::new(),
            contradicted: false,
            record: None,
            backup: None,
        }
    }

    /// Ids of what was contradicted.
    pub fn contradictions(&self) -> impl Iterator<Item = StageId> {
        let list = self.stages.iter();
        list.filter(|stage| stage.result == StageResult::Contradicted).map(|stage| stage.id)
    }
}
