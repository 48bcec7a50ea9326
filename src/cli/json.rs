//! The JSON documents, the contract for scripts: `docs/json.md`. Every result is a type with a schema;
//! [`RESULTS`] names the type of each command.

mod image;
mod listing;
pub mod results;
mod schema;

pub use image::ImageDocument;
pub(super) use listing::Listing;
pub use schema::{RESULTS, schema};

use crate::job::{CardSelector, Code, Exit, HostReport};
use crate::plan::CheckId;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// Version of the documents.
pub const SCHEMA: u32 = 2;

/// What stdout is with `--json`. Every field of every type is always there; `null` means that there is no
/// value.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Document {
    /// Version of the documents.
    pub schema: u32,
    /// The command as typed, such as `query` or `rom info`; null when the command line was wrong.
    pub command: Option<String>,
    /// The card of the command, as `-d` takes it; null for a command about no card, or when none was found.
    pub device: Option<CardSelector>,
    /// What was read or done; null when nothing was.
    pub result: Option<Value>,
    /// Null on success.
    pub error: Option<ErrorReport>,
    /// What became of the host of a real card that the command borrowed.
    pub host: Option<HostReport>,
    /// The archive of `--report`; null without it.
    pub report: Option<ReportFile>,
    /// The file of `--trace`; null without it.
    pub trace: Option<ReportFile>,
    /// The exit code of the program.
    pub exit: Exit,
}

/// What an archive of `--report` holds of a run of `flint`.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct FlintDocument {
    pub schema: u32,
    pub command: &'static str,
    /// flint's exit code.
    pub exit: u8,
}

/// Stable name of an error: of a failure, or of the check that refuses.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ErrorCode {
    Failure(Code),
    Check(CheckId),
}

/// Why a command failed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ErrorReport {
    /// Stable name.
    pub code: ErrorCode,
    /// What failed, where, and the value found: one line.
    pub message: String,
    /// Lines, outermost first.
    pub causes: Vec<String>,
    /// What to type next.
    pub hint: Option<String>,
    /// Ids of all checks that refuse; of a card that is in use, the ids of its uses, as `--allow` takes them.
    pub refused_by: Vec<String>,
}

/// The file of `--report` or `--trace`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ReportFile {
    /// Null when none was written.
    pub path: Option<String>,
    /// Why none was written.
    pub error: Option<ErrorReport>,
}

impl Document {
    pub fn new(command: Option<&str>, exit: Exit) -> Self {
        Self {
            schema: SCHEMA,
            command: command.map(str::to_owned),
            device: None,
            result: None,
            error: None,
            host: None,
            report: None,
            trace: None,
            exit,
        }
    }

    pub fn failed(command: Option<&str>, exit: Exit, error: ErrorReport) -> Self {
        Self { error: Some(error), ..Self::new(command, exit) }
    }

    pub fn value(&self) -> Value {
        result(self)
    }
}

/// A typed result as JSON.
pub fn result<T: Serialize + JsonSchema>(result: &T) -> Value {
    // Results are plain data with string keys; nothing in them can fail to serialise.
    serde_json::to_value(result).unwrap_or_default()
}
