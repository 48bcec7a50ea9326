//! Names of enum values for people: the same words the JSON uses.

use serde::Serialize;

/// The snake_case name of a unit variant; empty for anything else.
pub(super) fn of<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
