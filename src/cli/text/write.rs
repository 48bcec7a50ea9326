//! The outcome of a command that writes to the card.

use crate::job::{Activation, WriteJob, WriteOutcome, quote};
use std::fmt::Write as _;

pub(in crate::cli) fn written(outcome: &WriteOutcome, card: &str) -> String {
    let mut out = String::new();
    if outcome.nothing_to_do {
        out.push_str(match outcome.job {
            WriteJob::Burn | WriteJob::Recover => {
                "nothing to do: the card already holds exactly this image\n"
            }
            _ => "nothing to do: the card already holds exactly this\n",
        });
        return out;
    }
    if let Some(backup) = &outcome.backup {
        let _ = writeln!(out, "backup   {}", backup.dir.display());
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
    let _ = match (outcome.boots.start, outcome.boots.version) {
        (Some(start), Some(version)) => writeln!(
            out,
            "boots    {version} {} at 0x{:x}",
            outcome.boots.psid.as_deref().unwrap_or("(no PSID)"),
            start.0
        ),
        (Some(start), None) => writeln!(out, "boots    the image at 0x{:x}", start.0),
        (None, _) => writeln!(out, "boots    nothing: the card is in recovery mode"),
    };
    match &outcome.activation {
        Some(activation) => {
            let _ = writeln!(out, "running  {}", running(activation));
        }
        None if outcome.job != WriteJob::ConfigReset => {
            let _ = writeln!(
                out,
                "not yet running; starts at the next power-on, or now: cx3flash -d {} activate",
                quote(card)
            );
        }
        None => {}
    }
    out
}

/// The firmware that runs after a reset, or why it is unknown.
pub(in crate::cli) fn running(activation: &Activation) -> String {
    match (&activation.after, &activation.detail) {
        (Some(version), _) => version.to_string(),
        (None, Some(detail)) => format!("unknown: {detail}"),
        (None, None) => "nothing".into(),
    }
}
