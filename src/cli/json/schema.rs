//! The schema of the documents (JSON Schema 2020-12), made from the types.

use super::results::{
    CardsOutcome, DemoOutcome, HelpOutcome, ManOutcome, SchemaOutcome, ScriptOutcome,
    SimImageOutcome, SimOutcome, VersionOutcome,
};
use super::{Document, ImageDocument};
use crate::job::{
    ActivateOutcome, BackupOutcome, ConfigOutcome, DoctorOutcome, FlashInfo, FlashReadOutcome,
    HostForgetOutcome, HostRestoreOutcome, HostStatusOutcome, IdentityOutcome, ImageStore,
    ListOutcome, NvQueryOutcome, NvSetOutcome, PlanOutcome, ProtectOutcome, QueryOutcome,
    RomOutcome, SelftestOutcome, TraceDiffOutcome, TraceReplayOutcome, TraceShowOutcome,
    UnlockOutcome, VerifyOutcome, WriteOutcome,
};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

type ResultSchema = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The result for one card, or with `--all`.
fn of_one_or_all<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let (one, all) = (of::<T>(generator), of::<CardsOutcome>(generator));
    json_schema!({ "anyOf": [one, all] })
}

/// The result of each command.
pub const RESULTS: &[(&str, ResultSchema)] = &[
    ("list", of::<ListOutcome>),
    ("doctor", of::<DoctorOutcome>),
    ("selftest", of::<SelftestOutcome>),
    ("query", of::<QueryOutcome<ImageDocument>>),
    ("verify", of::<VerifyOutcome<ImageDocument>>),
    ("backup", of::<BackupOutcome>),
    ("images", of::<ImageStore>),
    ("plan", of_one_or_all::<PlanOutcome>),
    ("burn", of_one_or_all::<WriteOutcome>),
    ("restore", of::<WriteOutcome>),
    ("recover", of::<WriteOutcome>),
    ("activate", of::<ActivateOutcome>),
    ("rom info", of::<RomOutcome>),
    ("rom read", of::<RomOutcome>),
    ("rom write", of::<WriteOutcome>),
    ("rom remove", of::<WriteOutcome>),
    ("config show", of::<ConfigOutcome>),
    ("config query", of::<NvQueryOutcome>),
    ("config set", of::<NvSetOutcome>),
    ("config reset", of::<WriteOutcome>),
    ("identity show", of::<IdentityOutcome>),
    ("identity set", of::<WriteOutcome>),
    ("flash info", of::<FlashInfo>),
    ("flash read", of::<FlashReadOutcome>),
    ("flash protect", of::<ProtectOutcome>),
    ("unlock", of::<UnlockOutcome>),
    ("host status", of::<HostStatusOutcome>),
    ("host restore", of::<HostRestoreOutcome>),
    ("host forget", of::<HostForgetOutcome>),
    ("trace show", of::<TraceShowOutcome>),
    ("trace replay", of::<TraceReplayOutcome>),
    ("trace diff", of::<TraceDiffOutcome>),
    ("sim create", of::<SimOutcome>),
    ("sim info", of::<SimOutcome>),
    ("sim fault", of::<SimOutcome>),
    ("sim power-cycle", of::<SimOutcome>),
    ("sim serve", of::<SimOutcome>),
    ("sim image", of::<SimImageOutcome>),
    ("demo", of::<DemoOutcome>),
    ("schema", of::<SchemaOutcome>),
    ("completions", of::<ScriptOutcome>),
    ("man", of::<ManOutcome>),
    ("help", of::<HelpOutcome>),
    ("version", of::<VersionOutcome>),
];

/// The descriptions are the types' documentation, where no value is `None` and types are links.
fn values_of_json(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace("`None`", "null").replace("[`", "`").replace("`]", "`");
    }
}

/// The schema of every document, or of those of one command; `None` for a command that has none.
pub fn schema(command: Option<&str>) -> Option<Value> {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut generator =
        settings.with_transform(RecursiveTransform(values_of_json)).into_generator();
    let document = generator.subschema_for::<Document>();
    let mut root = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema" });
    root["$ref"] = document.get("$ref").cloned().unwrap_or_default();
    let mut branch = |(name, result): &(&str, ResultSchema)| {
        let result = result(&mut generator);
        let command = json!({ "properties": { "command": { "const": name } } });
        let result =
            json!({ "properties": { "result": { "anyOf": [result, { "type": "null" }] } } });
        (command, result)
    };
    match command {
        None => {
            root["title"] = json!("cx3flash --json");
            let rules: Vec<Value> = RESULTS
                .iter()
                .map(|row| {
                    let (command, result) = branch(row);
                    json!({ "if": command, "then": result })
                })
                .collect();
            root["allOf"] = json!(rules);
        }
        Some(command) => {
            root["title"] = json!(format!("cx3flash --json {command}"));
            let (command, result) = branch(RESULTS.iter().find(|(name, _)| *name == command)?);
            root["allOf"] = json!([command, result]);
        }
    }
    root["$defs"] = json!(generator.take_definitions(true));
    Some(root)
}
