//! `config show`: the ini, one key of it, or what people want to know.

use super::{Answer, Ctx};
use crate::cli::failure::Failure;
use crate::cli::json::outcome as json;
use crate::image::{Ini, IniSetting};
use crate::job::{self, JobError, one_line};
use serde_json::json as value;
use std::fmt::Write as _;
use std::path::Path;

/// Near names in the message about an unknown key.
const NEAR: usize = 3;

pub(super) fn show(
    ctx: &mut Ctx<'_>,
    image: Option<&Path>,
    key: Option<&str>,
    summary: bool,
) -> Result<Answer, Failure> {
    let outcome = match image {
        Some(path) => job::config_show_image(&ctx.image(path)?),
        None => job::config_show(&mut ctx.open()?),
    }
    .map_err(|e| ctx.failure(&e, image))?;
    let ini = Ini {
        bytes: outcome.bytes.clone(),
    };
    if let Some(name) = key {
        let Some(entry) = ini.lookup(name) else {
            let error = JobError::NoKey {
                key: name.to_owned(),
                near: ini.near(name, NEAR),
            };
            return Err(ctx.failure(&error, image));
        };
        ctx.out.text(&format!("{}\n", one_line(&entry.value)));
        return Ok(Answer::done(json(&entry)));
    }
    if summary {
        let settings = ini.summary();
        ctx.out.text(&summary_text(&settings));
        return Ok(Answer::done(value!({ "summary": json(&settings) })));
    }
    if !ctx.out.manner().json {
        // Byte for byte: the text may be kept and compared.
        ctx.out.raw(&outcome.bytes);
    }
    Ok(Answer::done(json(&outcome)))
}

fn summary_text(settings: &[IniSetting]) -> String {
    let mut out = String::new();
    for setting in settings {
        let label = match setting.id {
            "sriov" => "SR-IOV",
            "vfs" => "virtual functions",
            "pfs" => "physical functions",
            "ports" => "ports",
            "port_type" => "port type",
            "bar_size" => "UAR BAR (BAR2)",
            "flash_size" => "flash size",
            "sector_size" => "flash sector",
            "nv_config" => "NV configuration",
            "boot_rom" => "boot ROM option",
            other => other,
        };
        let (Some(key), Some(value)) = (&setting.key, &setting.value) else {
            let _ = writeln!(out, "{label:19} not in the ini");
            continue;
        };
        let sure = if setting.confirmed {
            ""
        } else {
            "  (unconfirmed)"
        };
        let (key, value) = (one_line(key), one_line(value));
        let said = setting.meaning.as_deref().unwrap_or(&value);
        let _ = writeln!(out, "{label:19} {said:24} {key} = {value}{sure}");
    }
    if settings.iter().any(|s| s.key.is_some() && !s.confirmed) {
        out.push_str("unconfirmed: what the key does is an inference from its name\n");
    }
    out
}
