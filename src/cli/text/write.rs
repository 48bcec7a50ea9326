//! The outcome of a command that writes to the card.

use crate::cli::page::Page;
use crate::escape;
use crate::job::{Activation, CardSelector, RunningNow, WriteJob, WriteOutcome};

pub(in crate::cli) fn written(outcome: &WriteOutcome, card: Option<&CardSelector>) -> Page {
    let mut out = Page::default();
    if outcome.nothing_to_do {
        out.push_str(match outcome.job {
            WriteJob::Burn | WriteJob::Recover => {
                "nothing to do: the card already holds exactly this image\n"
            }
            _ => "nothing to do: the card already holds exactly this\n",
        });
        if outcome.card.recovery {
            out.line(format_args!(
                "its firmware does not run: see why and what to do with {} doctor",
                command_for(card)
            ));
        }
        return out;
    }
    if let Some(backup) = &outcome.backup {
        out.line(format_args!("backup   {}", escape::path(&backup.dir)));
    }
    out.push_str(match outcome.job {
        WriteJob::Burn => "burned   verified byte for byte before it became bootable\n",
        WriteJob::Restore => "restored verified byte for byte\n",
        WriteJob::Recover => "recovered: verified byte for byte before it became bootable\n",
        WriteJob::IdentitySet => "identity set\n",
        WriteJob::RomWrite => "ROM written\n",
        WriteJob::RomRemove => "ROM removed\n",
        WriteJob::ConfigReset => "NV configuration sectors erased\n",
    });
    let boots = outcome.boots.clone().unwrap_or_default();
    match (boots.start, boots.version) {
        (Some(start), Some(version)) => out.line(format_args!(
            "boots    {version} {} at 0x{:x}",
            boots.psid.unwrap_or_else(|| "(no PSID)".into()),
            start.0
        )),
        (Some(start), None) => out.line(format_args!("boots    the image at 0x{:x}", start.0)),
        (None, _) => {
            out.line(format_args!("boots    not known: no image on the card is sure to boot"))
        }
    };
    if let Some(start) = &outcome.first_start {
        out.line(format_args!("start    {}", start.detail));
    }
    match &outcome.activation {
        Some(activation) => {
            out.line(format_args!("running  {}", running(activation)));
        }
        None if outcome.job != WriteJob::ConfigReset => {
            out.line(format_args!("{}", not_asked(outcome.running.as_ref(), card)));
        }
        None => {}
    }
    out
}

/// What runs where no reset was asked for.
fn not_asked(now: Option<&RunningNow>, card: Option<&CardSelector>) -> String {
    let starts = |before: &str| {
        format!("{before}starts at the next power-on, or now: {} activate", command_for(card))
    };
    let Some(now) = now else { return starts("") };
    let version = now.version.map_or_else(|| "not known".to_owned(), |version| version.to_string());
    match (now.started, &now.problem, now.by) {
        (Some(true), _, Some(_)) => format!("running  {version}: the card's driver has reset it"),
        (Some(true), ..) => format!("running  {version}: the card was reset meanwhile"),
        (Some(false), _, Some(_)) => {
            starts(&format!("the card's driver has reset it, and {version} runs; "))
        }
        (Some(false), ..) => starts("not yet running; "),
        (None, Some(problem), _) => {
            format!("running  not known: {}", escape::line(problem))
        }
        // The version that ran before: it may be the old image still.
        (None, None, None) => starts(""),
        (None, None, Some(_)) => {
            "running  not known: the card's driver has reset it and reports no version".to_owned()
        }
    }
}

/// The command that names this card.
pub(in crate::cli) fn command_for(card: Option<&CardSelector>) -> String {
    match card {
        Some(card) => format!("cx3flash -d {}", card.shell_word()),
        None => "cx3flash".to_owned(),
    }
}

/// The firmware that runs after a reset, or why it is unknown.
pub(in crate::cli) fn running(activation: &Activation) -> String {
    match (&activation.after, &activation.detail) {
        (Some(version), None) => version.to_string(),
        (Some(_), Some(detail)) => detail.clone(),
        (None, Some(detail)) => format!("unknown: {detail}"),
        (None, None) => "nothing".into(),
    }
}
