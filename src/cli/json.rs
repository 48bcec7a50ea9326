//! The JSON documents, the contract for scripts. Text may change, JSON may not.
//!
//! With `--json` stdout is exactly one document:
//!
//! | field | meaning |
//! |---|---|
//! | `schema` | 1 |
//! | `command` | the command as typed, e.g. `query`, `rom info`; absent when the command line was wrong |
//! | `result` | what was read or done; absent when nothing was |
//! | `error` | absent on success, else `code` (stable name), `message` (one line), `causes` (list of lines, outermost first), `hint` (what to type, or null) |
//! | `exit` | the exit code |
//! | `report` | with `--report` only: `path` of the archive, or null and `problem` (as `error`) |
//!
//! A command that is refused may carry both: `plan` shows the plan as `result` and the refusal as
//! `error`. Fields may be added; none is renamed, removed or given another meaning within a schema.
//! Addresses, offsets and sizes are numbers in bytes; GUIDs, MACs and versions are strings.
//!
//! `image` (in `query`, `verify`, `burn` …):
//!
//! | field | meaning |
//! |---|---|
//! | `format` | `FS2` |
//! | `layout` | `{"kind": "non_failsafe"}` or `{"kind": "failsafe", "chunk_size": …}` |
//! | `start` | flash address of its signature; 0 in a file |
//! | `half` | `even`, `odd`; null for files and non-failsafe cards |
//! | `len` | bytes, header to end of the last section |
//! | `fw_version`, `mic_version` | `2.42.5000`, `2.0.0`; null = absent |
//! | `release_date` | `2017-09-05` |
//! | `device_id` | PCI device id the firmware presents |
//! | `psid`, `vsd`, `product_version`, `prs_name` | text; null = tag absent |
//! | `vsd_vendor_id`, `is_ga`, `hw_access_key`, `min_fit_version`, `config_sectors`, `config_pad`, `sector_size` | as in the Image Info; null = tag absent |
//! | `supported_hw` | list of `{"hw_id", "revision"}`; null = tag absent |
//! | `guids` | node, port 1, port 2, system image; null = unreadable |
//! | `macs` | port 1, port 2 |
//! | `guids_blank`, `guids_crc_ok` | of the GUID section |
//! | `rom` | null, or `blocks` (each `product_id`, `type_name`, `version`, `device_id`, `port`, `protocol`, `cpu`), `size`, `warning`, `error` |
//! | `findings` | list of `id`, `severity` (`note`, `warning`, `error`), `at`, `detail`, `flint_fails` |
//! | `sound` | no finding is an error: the image may be burned |
//!
//! `verify` adds `sections` (`kind`, `name`, `at`, `len`, `crc`) and `full_crc` and `flint`
//! (the result of flint's `verify` for the same bytes).
//!
//! `unsteady` of `verify` and of a backup: ranges in which two readings of the flash differed, each `at`,
//! `len`. The result holds what two consecutive readings agreed on.
//!
//! A step that fails after the change of the flash (exit 6, 7 or 9) has `flash` (`written`: version;
//! `boots`: [`BootReport`](crate::job::BootReport), null = could not be read) and `backup`.
//!
//! `images` of `verify`, and of `query` for a file, have `checksum`: flint's.
//!
//! Commands that borrowed a real card add `host` to the result, failed or not: a
//! [`HostReport`](crate::job::HostReport) (`bdf`, `restored`, `driver`, `netdevs`, `warnings`, `failure`, `freed_semaphores`).
//!
//! The other fields of a `result` are those of the job's outcome, one by one, under the same names:
//!
//! | command | outcome |
//! |---|---|
//! | `list` | [`ListOutcome`](crate::job::ListOutcome) |
//! | `doctor` | [`DoctorOutcome`](crate::job::DoctorOutcome) |
//! | `query` | [`QueryOutcome`](crate::job::QueryOutcome); each of `images` has `image` as above |
//! | `verify` | [`VerifyOutcome`](crate::job::VerifyOutcome), with `--against` [`AgainstOutcome`](crate::job::AgainstOutcome) |
//! | `backup` | [`BackupOutcome`](crate::job::BackupOutcome) |
//! | `plan` | [`PlanOutcome`](crate::job::PlanOutcome); with an image of another PSID `plan.crossflash`: [`CrossFlash`](crate::plan::CrossFlash) |
//! | `burn`, `restore`, `recover`, `identity set`, `rom write`, `rom remove`, `config reset` | [`WriteOutcome`](crate::job::WriteOutcome); refused or declined: `plan` alone; stopped: `stopped` (`phase`, `at`, `boots`, `touched`) and `backup` |
//! | `host status` | `pending`: list of [`Pending`](crate::host::Pending) |
//! | `host restore` | `cards`: list of [`HostReport`](crate::job::HostReport) |
//! | `activate` | [`Activation`](crate::job::Activation); `confirmed` is false where nothing reports the version, `detail` is the reason |
//! | `rom info`, `rom read` | [`RomOutcome`](crate::job::RomOutcome) |
//! | `config show` | [`ConfigOutcome`](crate::job::ConfigOutcome); with `--key` `section`, `key`, `value`; with `--summary` `summary`: list of [`IniSetting`](crate::image::IniSetting) |
//! | `config query` | [`NvQueryOutcome`](crate::job::NvQueryOutcome) |
//! | `config set` | [`NvSetOutcome`](crate::job::NvSetOutcome); declined: `changes` alone; failed once the firmware was writing: `boots` and `backup` |
//! | `identity show` | [`IdentityOutcome`](crate::job::IdentityOutcome) |
//! | `flash info` | [`FlashInfo`](crate::job::FlashInfo) |
//! | `flash protect` | [`ProtectOutcome`](crate::job::ProtectOutcome) |
//! | `flash read` | [`BackupFile`](crate::job::BackupFile) |
//! | `unlock` | [`UnlockOutcome`](crate::job::UnlockOutcome) |
//! | `sim create`, `sim info`, `sim fault`, `sim power-cycle` | `card`, `spec`, `running`, `power_on`, `reset` (what would start), `semaphores_held`, `counters`, `mutations`, `faults`, `misuse`, `misuse_count`, `silent`, `pci_device_id` |
//! | `sim image` | `file`, `psid`, `version`, `len`, `start` |
//! | `demo` | `dir`, `steps` (each `command` and its `document`) |
//! | `completions`, `man` | `shell` and `script`; `pages` (each `name`, `roff`) |
//!
//! `crossflash` (in every `plan` of an image with another PSID, refused or not; absent otherwise). Fields
//! with two sides are `{"card", "image"}`, null = not given:
//!
//! | field | meaning |
//! |---|---|
//! | `psid`, `part`, `device_id`, `rom`, `vsd` | two sides; the card's VSD stays on the card |
//! | `ports` | two sides: `number`, `kinds` (list, by port) |
//! | `chunk_size`, `sector_size`, `flash_size` | two sides, in bytes; `flash_size` as in the ini |
//! | `config_sectors`, `config_pad` | two sides, in sectors |
//! | `uar_bar_mib` | two sides, in MiB |
//! | `chip_size` | flash on the card, in bytes |
//! | `ini` | null, or `changed`, `added`, `removed` (counts) and `changes`: list of `section`, `key`, `from` (null = added), `to` (null = removed) |
//! | `notes` | list of sentences |
//! | `obstacles` | checks (as in `checks`) that refuse even with `--change-psid` |
//! | `possible` | there are none |
//!
//! Durations are numbers in microseconds.

use super::failure::Failure;
use crate::flint::verdict::{self, FlintVerdict};
use crate::image::{AddressMap, Finding, Image, Layout, Section, Version};
use crate::job::Exit;
use serde::Serialize;
use serde_json::{Value, json};

/// Version of the documents.
pub const SCHEMA: u32 = 1;

#[must_use]
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
#[must_use]
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
#[must_use]
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
    let supported: Option<Vec<Value>> = info.and_then(|i| i.supported_hw.as_ref()).map(|list| {
        list.iter()
            .map(|(id, rev)| json!({ "hw_id": id, "revision": rev }))
            .collect()
    });
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
#[must_use]
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
