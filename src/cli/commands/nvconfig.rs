//! `config query` and `config set`.

use super::write::{Asked, declined};
use super::{Answer, Ctx, backup_dir};
use crate::cli::args_parts::ConfigSetArgs;
use crate::cli::ask::{Said, ask};
use crate::cli::failure::Failure;
use crate::cli::json::outcome as json;
use crate::job::{self, Code, JobError, NvChange, NvQueryOutcome, NvSetOutcome};
use serde_json::json as value;
use std::fmt::Write as _;
use std::path::Path;

pub(super) fn query(ctx: &mut Ctx<'_>) -> Result<Answer, Failure> {
    let mut device = ctx.open()?;
    let outcome = job::nv_query(&mut device).map_err(|e| ctx.failure(&e, None))?;
    ctx.out.text(&table(&outcome));
    Ok(Answer::done(json(&outcome)))
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
        out.push_str("this card's firmware has no settings\n");
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

pub(super) fn set(ctx: &mut Ctx<'_>, args: &ConfigSetArgs) -> Result<Answer, Failure> {
    for (n, (parameter, _)) in args.settings.iter().enumerate() {
        if args.settings.iter().take(n).any(|(p, _)| p == parameter) {
            let message = format!("{} is named twice", parameter.name());
            return Err(Failure::new(Code::Usage, message));
        }
    }
    let dir = backup_dir(&args.write.backup_dir);
    let mut device = ctx.open()?;
    let mut progress = ctx.progress();
    let mut asked = Asked::Not;
    let mut shown = None;
    let ended = {
        let out = &mut *ctx.out;
        let stop = ctx.stop;
        let mut confirm = |changes: &[NvChange], backup: &Path| {
            out.text(&changes_text(changes));
            out.text(&format!(
                "\nThe firmware writes the flash. The backup goes to {}.\n",
                backup.display()
            ));
            shown = Some(changes.to_vec());
            if args.write.confirm.yes {
                return true;
            }
            let said = ask("Store these settings?", stop);
            asked = Asked::Said(said);
            said == Said::Yes
        };
        let wanted = &args.settings;
        job::nv_set(&mut device, wanted, &dir, &mut confirm, &mut progress)
    };
    drop(progress);
    match ended {
        Ok(outcome) => {
            ctx.out.text(&stored_text(&outcome, ctx.device.as_deref()));
            Ok(Answer::unless(outcome.nothing_to_do, json(&outcome)))
        }
        Err(JobError::Declined) => {
            let failure = declined(ctx, asked, None);
            Err(match shown {
                Some(changes) => failure.with_result(value!({ "changes": changes })),
                None => failure,
            })
        }
        Err(error) => Err(ctx.failure(&error, None)),
    }
}

fn stored_text(outcome: &NvSetOutcome, device: Option<&str>) -> String {
    if outcome.nothing_to_do {
        return "nothing to do: the card is set like this already\n".into();
    }
    let mut out = String::new();
    if let Some(backup) = &outcome.backup {
        let _ = writeln!(out, "backup   {}", backup.dir.display());
    }
    let _ = writeln!(
        out,
        "stored   {} of {0}, read back and compared",
        outcome.changes.len()
    );
    let card = device.map_or_else(
        || "cx3flash".to_owned(),
        |d| format!("cx3flash -d {}", crate::job::quote(d)),
    );
    let _ = writeln!(
        out,
        "The card takes them when its firmware starts anew: reboot, or {card} activate"
    );
    out
}
