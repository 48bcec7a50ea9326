//! Results of commands that are no job.

use super::Document;
use crate::image::{FlashAddr, Version};
use crate::job::CardSelector;
use crate::sim::{BootOutcome, CardSpec, Counters, Fault, Misuse};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// Result of `plan --all` and `burn --all`.
#[derive(Default, Serialize, JsonSchema)]
pub struct CardsOutcome {
    /// The document of each card, in the order of the cards.
    pub cards: Vec<Document>,
    /// Cards behind the one that ended the command.
    pub not_reached: Vec<CardSelector>,
}

/// Result of `demo`.
#[derive(Serialize, JsonSchema)]
pub struct DemoOutcome {
    /// Where cards, images and backups are.
    pub dir: String,
    pub steps: Vec<DemoStep>,
}

/// One command of the demo.
#[derive(Serialize, JsonSchema)]
pub struct DemoStep {
    /// As typed.
    pub command: String,
    pub document: Document,
}

/// Result of `schema`.
#[derive(Serialize, JsonSchema)]
pub struct SchemaOutcome {
    /// JSON Schema 2020-12 of the documents.
    pub json_schema: Value,
}

/// Result of `completions`.
#[derive(Serialize, JsonSchema)]
pub struct ScriptOutcome {
    pub shell: String,
    pub script: String,
}

/// Result of `man`.
#[derive(Serialize, JsonSchema)]
pub struct ManOutcome {
    pub pages: Vec<ManPage>,
}

/// A manual page.
#[derive(Serialize, JsonSchema)]
pub struct ManPage {
    pub name: String,
    pub roff: String,
}

/// Result of `--help`.
#[derive(Serialize, JsonSchema)]
pub struct HelpOutcome {
    pub text: String,
}

/// Result of `--version`.
#[derive(Serialize, JsonSchema)]
pub struct VersionOutcome {
    /// `cx3flash`.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Commit of a release build from a checkout, with ` (modified)` behind it when files were changed.
    pub commit: Option<String>,
    /// Features of Cargo that are not always there.
    pub features: Vec<String>,
}

/// A simulated card: result of `sim create`, `info`, `fault`, `power-cycle` and `serve`.
#[derive(Serialize, JsonSchema)]
pub struct SimOutcome {
    /// The card, as `-d` takes it.
    pub device: CardSelector,
    pub spec: CardSpec,
    pub pci_device_id: u16,
    /// Serial number of the card, as VPD has it.
    pub serial: Option<String>,
    /// What runs.
    pub running: BootOutcome,
    /// What would start at power-on.
    pub power_on: BootOutcome,
    /// What would start after a reset.
    pub reset: BootOutcome,
    /// It answers nothing until its power is cycled.
    pub silent: bool,
    /// By number.
    pub semaphores_held: Vec<u8>,
    pub counters: Counters,
    /// Mutating flash operations of this power-on.
    pub mutations: u64,
    /// Faults that wait.
    pub faults: Vec<Fault>,
    /// Accesses that a correct driver does not make; the first ones.
    pub misuse: Vec<Misuse>,
    pub misuse_count: u64,
}

/// Result of `sim image`.
#[derive(Serialize, JsonSchema)]
pub struct SimImageOutcome {
    pub file: String,
    pub psid: String,
    pub fw_version: Version,
    pub len: usize,
    pub start: FlashAddr,
}
