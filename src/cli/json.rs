//! The JSON documents, the contract for scripts: `docs/json.md`.

use super::failure::Failure;
use crate::flint::verdict::{self, FlintVerdict};
use crate::image::{AddressMap, Finding, Image, Layout, Section, Version};
use crate::job::Exit;
use serde::Serialize;
use serde_json::{Value, json};

/// Version of the documents.
pub const SCHEMA: u32 = 1;

pub fn document(
    command: Option<&str>,
    result: Option<&Value>,
    failure: Option<&Failure>,
    exit: Exit,
) -> Value {
    let mut document = json!({ "schema": SCHEMA });
    if let Some(command) = command {
        document["command"] = json!(command);
    }
    if let Some(result) = result.filter(|r| !r.is_null()) {
        document["result"] = result.clone();
    }
    if let Some(failure) = failure {
        document["error"] = failure.json();
    }
    document["exit"] = json!(exit);
    document
}

/// An outcome as JSON, with durations in microseconds.
pub fn outcome<T: Serialize>(outcome: &T) -> Value {
    // Outcomes are plain data with string keys; nothing in them can fail to serialise.
    let mut value = serde_json::to_value(outcome).unwrap_or_default();
    plain_durations(&mut value);
    value
}

/// serde writes a `Duration` as `{"secs", "nanos"}`; scripts get one number.
fn plain_durations(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(plain_durations),
        Value::Object(map) => {
            let part = |name| map.get(name).and_then(Value::as_u64);
            if let (2, Some(secs), Some(nanos)) = (map.len(), part("secs"), part("nanos")) {
                *value = json!(secs.saturating_mul(1_000_000).saturating_add(nanos / 1000));
            } else {
                map.values_mut().for_each(plain_durations);
            }
        }
        _ => {}
    }
}

/// An image without its section table.
pub fn image(image: &Image) -> Value {
    let info = image.info.as_ref();
    let guids = image.guids.as_ref();
    let layout = match image.layout {
        Layout::NonFailsafe => json!({ "kind": "non_failsafe" }),
        Layout::Failsafe { chunk_log2 } => json!({
            "kind": "failsafe",
            "chunk_size": 1_u64.checked_shl(chunk_log2.into()),
        }),
    };
    let half = match image.map {
        AddressMap::Contiguous => None,
        AddressMap::Striped { half, .. } => Some(half),
    };
    let date = info
        .and_then(|i| i.release_date)
        .map(|d| format!("{:04x}-{:02x}-{:02x}", d.year_bcd, d.month_bcd, d.day_bcd));
    let supported: Option<Vec<Value>> = info
        .and_then(|i| i.supported_hw.as_ref())
        .map(|list| list.iter().map(|(id, rev)| json!({ "hw_id": id, "revision": rev })).collect());
    json!({
        "format": "FS2",
        "layout": layout,
        "start": image.start,
        "half": half,
        "len": image.len,
        "fw_version": info.and_then(|i| i.fw_version),
        "release_date": date,
        "mic_version": info.and_then(|i| i.mic_version).map(Version::unpadded),
        "min_fit_version": info.and_then(|i| i.min_fit_version),
        "product_version": info.and_then(|i| i.product_version.as_ref()),
        "prs_name": info.and_then(|i| i.prs_name.as_ref()),
        "part_number": image.part_number,
        "description": image.description,
        "device_id": info.and_then(|i| i.device_id),
        "psid": info.and_then(|i| i.psid.as_ref()),
        "vsd": info.and_then(|i| i.vsd.as_ref()),
        "vsd_vendor_id": info.and_then(|i| i.vsd_vendor_id),
        "is_ga": info.and_then(|i| i.is_ga),
        "hw_access_key": info.and_then(|i| i.hw_access_key),
        "config_sectors": info.and_then(|i| i.config_sectors),
        "config_pad": info.and_then(|i| i.config_pad),
        "sector_size": info.and_then(|i| i.sector_size),
        "supported_hw": supported,
        "guids": guids.map(|g| &g.guids),
        "macs": guids.map(|g| &g.macs),
        "guids_blank": guids.map(|g| g.blank),
        "guids_crc_ok": guids.map(|g| g.crc_ok),
        "rom": image.rom,
        "findings": image.findings.iter().map(|f| finding(image, f)).collect::<Vec<_>>(),
        "sound": image.is_valid(),
    })
}

/// An image with its section table and flint's verdict.
pub fn verified_image(from: &Image) -> Value {
    let mut value = image(from);
    value["sections"] = from.sections.iter().map(section).collect();
    value["full_crc"] = json!(verdict::full_crc(from));
    value["flint"] = json!(FlintVerdict::of(from));
    value
}

fn finding(image: &Image, finding: &Finding) -> Value {
    let mut value = json!(finding);
    value["flint_fails"] = json!(verdict::fails_for(image, finding));
    value
}

fn section(section: &Section) -> Value {
    json!({
        "kind": section.kind,
        "name": section.kind.name(),
        "at": section.at,
        "len": section.len,
        "crc": section.crc,
    })
}

#[cfg(test)]
mod tests {
    use super::outcome;
    use std::time::Duration;

    #[test]
    fn a_duration_is_one_number() {
        let times = vec![Some(Duration::from_millis(1500)), None];
        assert_eq!(outcome(&times), serde_json::json!([1_500_000, null]));
    }
}
