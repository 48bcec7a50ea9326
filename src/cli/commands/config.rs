//! `config show`, `config query` and `config set`.

use super::{Ctx, Ran, proven_backup_dir};
use crate::card::nv::Parameter;
use crate::cli::args::shared::WriteArgs;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::page::Page;
use crate::cli::text;
use crate::escape;
use crate::image::{Ini, IniSetting};
use crate::job::{self, CardSelector, Code, JobError, NvChange, NvQueryOutcome, NvSetOutcome};
use std::path::Path;

/// Similar names in the message about an unknown key.
const SUGGESTIONS: usize = 3;

pub(super) fn show(
    ctx: &mut Ctx<'_>,
    image: Option<&Path>,
    key: Option<String>,
    summary: bool,
) -> Ran {
    let mut outcome = match image {
        Some(path) => job::config_show_image(&ctx.image(path)?),
        None => job::config_show(&mut ctx.open()?),
    }?;
    let ini = Ini { bytes: outcome.bytes.clone() };
    if let Some(key) = key {
        let Some(entry) = ini.lookup(&key) else {
            let near = ini.near(&key, SUGGESTIONS);
            return Err(JobError::NoKey { key, near }.into());
        };
        let text = Page::of(&entry.value);
        outcome.ini = None;
        outcome.entry = Some(entry);
        return ctx.done(&text, &outcome);
    }
    if summary {
        let settings = ini.summary();
        let text = summary_text(&settings);
        outcome.ini = None;
        outcome.summary = Some(settings);
        return ctx.done(&text, &outcome);
    }
    // Its lines as they are, so that it can be stored and compared.
    let mut text = Page::default();
    text.lines(&ini.text());
    ctx.done(&text, &outcome)
}

fn summary_text(settings: &[IniSetting]) -> Page {
    let mut out = Page::default();
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
        let label = match setting.number {
            Some(number) => format!("{label} {number}"),
            None => label.to_owned(),
        };
        let (Some(key), Some(value)) = (&setting.key, &setting.value) else {
            out.line(format_args!("{label:19} not in the ini"));
            continue;
        };
        let sure = if setting.confirmed { "" } else { "  (unconfirmed)" };
        let meaning = setting.meaning.as_deref().unwrap_or(value);
        out.line(format_args!("{label:19} {meaning:24} {key} = {value}{sure}"));
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

fn table(outcome: &NvQueryOutcome) -> Page {
    let mut out = Page::of(format_args!("{:24}{:20}next boot", "setting", "default"));
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".into());
    for entry in &outcome.parameters {
        out.line(format_args!(
            "{:24}{:20}{}{}",
            entry.name,
            shown(&entry.default_text),
            shown(&entry.next_boot_text),
            if entry.stored { "  (stored)" } else { "" }
        ));
    }
    if outcome.parameters.is_empty() {
        out.push_str("this card's firmware stores no settings\n");
    }
    out
}

fn changes_text(changes: &[NvChange]) -> Page {
    let mut out = Page::of(format_args!("{:24}{:20}after", "setting", "before"));
    for change in changes {
        let from = change.from_text.as_deref().unwrap_or("unknown");
        out.line(format_args!("{:24}{from:20}{}", change.name, change.to_text));
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
    ctx.can_ask(args.confirm.yes)?;
    let dir = proven_backup_dir(args.backup_dir)?;
    let mut device = ctx.open()?;
    let card = ctx.card_and_board(&device);
    let running = job::running(&mut device);
    let mut progress = ctx.progress();
    let mut confirm = |changes: &[NvChange], backup: &Path| {
        let mut text = changes_text(changes);
        text.push_str("\n");
        let backup = escape::path(backup);
        text.line(format_args!("The firmware writes the flash. The backup goes to {backup}."));
        ctx.out.text(&text);
        ctx.confirm(args.confirm.yes, &text::settings_question(changes, &card, running))
    };
    let mut known = None;
    let ended =
        job::nv_set_reporting(&mut device, settings, &dir, &mut confirm, &mut progress, &mut known);
    ctx.result = known.as_ref().map(json::result);
    let outcome = ended?;
    let text = stored_text(&outcome, ctx.device.as_ref());
    ctx.unless(outcome.nothing_to_do, &text, &outcome)
}

fn stored_text(outcome: &NvSetOutcome, device: Option<&CardSelector>) -> Page {
    if outcome.nothing_to_do {
        return Page::of("nothing to do: the card has these settings already");
    }
    let mut out = Page::default();
    if let Some(backup) = &outcome.backup {
        out.line(format_args!("backup   {}", escape::path(&backup.dir)));
    }
    out.line(format_args!("stored   {} of {0}, read back and compared", outcome.changes.len()));
    let card = text::command_for(device);
    out.line(format_args!(
        "They take effect when the firmware restarts: reboot, or {card} activate"
    ));
    out
}
