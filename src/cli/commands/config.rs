//! `config show`, `config query` and `config set`.

use super::{Ctx, Ran, backup_dir};
use crate::card::nv::Parameter;
use crate::cli::args::shared::WriteArgs;
use crate::cli::failure::Failure;
use crate::cli::json::outcome as json;
use crate::image::{Ini, IniSetting};
use crate::job::{
    self, CardSelector, Code, JobError, NvChange, NvQueryOutcome, NvSetOutcome, one_line, quote,
};
use serde_json::json as value;
use std::fmt::Write as _;
use std::path::Path;

/// Similar names in the message about an unknown key.
const SUGGESTIONS: usize = 3;

pub(super) fn show(
    ctx: &mut Ctx<'_>,
    image: Option<&Path>,
    key: Option<String>,
    summary: bool,
) -> Ran {
    let outcome = match image {
        Some(path) => job::config_show_image(&ctx.image(path)?),
        None => job::config_show(&mut ctx.open()?),
    }?;
    let ini = Ini { bytes: outcome.bytes.clone() };
    if let Some(key) = key {
        let Some(entry) = ini.lookup(&key) else {
            let near = ini.near(&key, SUGGESTIONS);
            return Err(JobError::NoKey { key, near }.into());
        };
        return ctx.done(&format!("{}\n", one_line(&entry.value)), &entry);
    }
    if summary {
        let settings = ini.summary();
        let result = value!({ "summary": json(&settings) });
        return ctx.done(&summary_text(&settings), &result);
    }
    if !ctx.out.mode.json {
        // Byte for byte, so that it can be stored and compared.
        ctx.out.raw(&outcome.bytes);
    }
    ctx.done("", &outcome)
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
        let sure = if setting.confirmed { "" } else { "  (unconfirmed)" };
        let (key, value) = (one_line(key), one_line(value));
        let meaning = setting.meaning.as_deref().unwrap_or(&value);
        let _ = writeln!(out, "{label:19} {meaning:24} {key} = {value}{sure}");
    }
    if settings.iter().any(|s| s.key.is_some() && !s.confirmed) {
        out.push_str("unconfirmed: the meaning is inferred from the key's name\n");
    }
    out
}

pub(super) fn query(ctx: &mut Ctx<'_>) -> Ran {
    let outcome = job::nv_query(&mut ctx.open()?)?;
    ctx.done(&table(&outcome), &outcome)
}

fn table(outcome: &NvQueryOutcome) -> String {
    let mut out = format!("{:24}{:20}next boot\n", "setting", "default");
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".into());
    for entry in &outcome.parameters {
        let _ = writeln!(
            out,
            "{:24}{:20}{}{}",
            entry.name,
            shown(&entry.default_text),
            shown(&entry.next_boot_text),
            if entry.stored { "  (stored)" } else { "" }
        );
    }
    if outcome.parameters.is_empty() {
        out.push_str("this card's firmware stores no settings\n");
    }
    out
}

fn changes_text(changes: &[NvChange]) -> String {
    let mut out = format!("{:24}{:20}after\n", "setting", "before");
    for change in changes {
        let from = change.from_text.as_deref().unwrap_or("unknown");
        let _ = writeln!(out, "{:24}{from:20}{}", change.name, change.to_text);
    }
    out
}

pub(super) fn set(ctx: &mut Ctx<'_>, settings: &[(Parameter, u32)], args: WriteArgs) -> Ran {
    for (n, (parameter, _)) in settings.iter().enumerate() {
        if settings.iter().take(n).any(|(p, _)| p == parameter) {
            let message = format!("{} is given twice", parameter.name());
            return Err(Failure::new(Code::Usage, message).into());
        }
    }
    let dir = backup_dir(args.backup_dir);
    let mut device = ctx.open()?;
    let mut progress = ctx.progress();
    let mut confirm = |changes: &[NvChange], backup: &Path| {
        ctx.out.text(&changes_text(changes));
        ctx.out.text(&format!(
            "\nThe firmware writes the flash. The backup goes to {}.\n",
            backup.display()
        ));
        ctx.asked = Some(value!({ "changes": changes }));
        ctx.confirm(args.confirm.yes, "Store these settings?")
    };
    let outcome = job::nv_set(&mut device, settings, &dir, &mut confirm, &mut progress)?;
    let text = stored_text(&outcome, ctx.device.as_ref());
    ctx.unless(outcome.nothing_to_do, &text, &outcome)
}

fn stored_text(outcome: &NvSetOutcome, device: Option<&CardSelector>) -> String {
    if outcome.nothing_to_do {
        return "nothing to do: the card has these settings already\n".into();
    }
    let mut out = String::new();
    if let Some(backup) = &outcome.backup {
        let _ = writeln!(out, "backup   {}", backup.dir.display());
    }
    let _ = writeln!(out, "stored   {} of {0}, read back and compared", outcome.changes.len());
    let card = device.map_or_else(
        || "cx3flash".to_owned(),
        |d| format!("cx3flash -d {}", quote(&d.to_string())),
    );
    let _ =
        writeln!(out, "They take effect when the firmware restarts: reboot, or {card} activate");
    out
}
