//! `backup`, `activate`, `unlock`, and the reading halves of `rom`, `config`, `identity`, `flash`.

use super::{Answer, Ctx, backup_dir};
use crate::cli::args::{BackupArgs, ConfirmArgs};
use crate::cli::args_parts::{FlashCommand, RomCommand};
use crate::cli::ask::{Said, ask};
use crate::cli::failure::Failure;

use crate::cli::json::outcome as json;
use crate::cli::{names, text, units};
use crate::flash::TimesSource;
use crate::flint::text as flint_text;
use crate::job::{self, IdentityOutcome, JobError, RomOutcome};
use std::fmt::Write as _;
use std::path::Path;

pub(super) fn backup(ctx: &mut Ctx<'_>, args: &BackupArgs) -> Result<Answer, Failure> {
    let mut device = ctx.open()?;
    let mut progress = ctx.progress();
    let outcome = job::backup(&mut device, &backup_dir(&args.out), &mut progress)
        .map_err(|e| ctx.failure(&e, None))?;
    let mut out = format!("{}\n", outcome.dir.display());
    for file in &outcome.manifest.files {
        let _ = writeln!(out, "  {:14} {:>9} {}", file.name, file.len, file.sha256);
    }
    text::unsteady(&mut out, &outcome.unsteady);
    ctx.out.text(&out);
    Ok(Answer::done(json(&outcome)))
}

pub(super) fn activate(ctx: &mut Ctx<'_>) -> Result<Answer, Failure> {
    let mut device = ctx.open()?;
    let mut progress = ctx.progress();
    let outcome = job::activate(&mut device, &mut progress).map_err(|e| ctx.failure(&e, None))?;
    let before = outcome
        .before
        .map_or_else(|| "nothing".to_owned(), |v| v.to_string());
    ctx.out.text(&format!(
        "before   {before}\nrunning  {}\n",
        text::running(&outcome)
    ));
    Ok(Answer::done(json(&outcome)))
}

pub(super) fn unlock(ctx: &mut Ctx<'_>, args: &ConfirmArgs) -> Result<Answer, Failure> {
    let mut device = ctx.open()?;
    let mut progress = ctx.progress();
    let mut said = Said::Yes;
    let ended = {
        let out = &mut *ctx.out;
        let stop = ctx.stop;
        let mut confirm = |proof: &[String]| {
            for line in proof {
                out.text(&format!("proof    {line}\n"));
            }
            if !args.yes {
                said = ask("Free the semaphores?", stop);
            }
            // The proof is what allows it; the question is a courtesy to a person at a terminal, so
            // a script needs no `--yes` (the contract of the design lists none for this command).
            matches!(said, Said::Yes | Said::NobodyThere)
        };
        job::unlock(&mut device, &mut confirm, &mut progress)
    };
    let outcome = match ended {
        Ok(outcome) => outcome,
        Err(JobError::Declined) if said == Said::Interrupted => {
            return Err(ctx.failure(&JobError::Interrupted, None));
        }
        Err(error) => return Err(ctx.failure(&error, None)),
    };
    let mut out = String::new();
    for look in &outcome.semaphores {
        let _ = writeln!(
            out,
            "{:2} {:18} {} -> {}",
            look.number,
            names::of(&look.semaphore),
            names::of(&look.before),
            names::of(&look.after)
        );
    }
    if outcome.nothing_to_do {
        out.push_str("nothing to do: both are free\n");
    }
    ctx.out.text(&out);
    Ok(Answer::unless(outcome.nothing_to_do, json(&outcome)))
}

pub(super) fn rom(ctx: &mut Ctx<'_>, command: &RomCommand) -> Result<Answer, Failure> {
    match command {
        RomCommand::Info { file: Some(path) } => {
            let outcome = job::rom_info_file(path).map_err(|e| ctx.failure(&e, Some(path)))?;
            rom_answer(ctx, &outcome)
        }
        RomCommand::Info { file: None } => {
            let mut device = ctx.open()?;
            let outcome = job::rom_info(&mut device).map_err(|e| ctx.failure(&e, None))?;
            rom_answer(ctx, &outcome)
        }
        RomCommand::Read { out, image } => {
            let outcome = match image {
                Some(path) => job::rom_read_image(&ctx.image(path)?, out),
                None => job::rom_read(&mut ctx.open()?, out),
            }
            .map_err(|e| ctx.failure(&e, image.as_deref()))?;
            rom_answer(ctx, &outcome)
        }
        RomCommand::Write(args) => super::write::rom_write(ctx, args),
        RomCommand::Remove(args) => super::write::rom_remove(ctx, args),
    }
}

fn rom_answer(ctx: &mut Ctx<'_>, outcome: &RomOutcome) -> Result<Answer, Failure> {
    const PREFIX: &str = "Rom Info: ";
    let mut out = String::new();
    match &outcome.rom {
        Some(rom) => {
            let _ = writeln!(out, "{PREFIX}{}", flint_text::rom(rom, PREFIX.len()));
            let _ = writeln!(out, "size     {}", units::kib(rom.size.into()));
        }
        None => out.push_str("no ROM\n"),
    }
    if let Some(digest) = &outcome.sha256 {
        let _ = writeln!(out, "sha256   {digest}");
    }
    ctx.out.text(&out);
    Ok(Answer::done(json(outcome)))
}

pub(super) fn identity_show(ctx: &mut Ctx<'_>, image: Option<&Path>) -> Result<Answer, Failure> {
    let outcome = match image {
        Some(path) => job::identity_show_image(&ctx.image(path)?),
        None => job::identity_show(&mut ctx.open()?),
    }
    .map_err(|e| ctx.failure(&e, image))?;
    ctx.out.text(&identity_text(&outcome));
    Ok(Answer::done(json(&outcome)))
}

fn identity_text(outcome: &IdentityOutcome) -> String {
    let identity = &outcome.identity;
    let mut out = String::new();
    for (label, guid) in ["Node GUID", "Port1 GUID", "Port2 GUID", "Sys.Image GUID"]
        .iter()
        .zip(identity.guids)
    {
        let note = if guid.is_blank() { " (blank)" } else { "" };
        let _ = writeln!(out, "{label:23}{guid}{note}");
    }
    for (label, mac) in ["Port1 MAC", "Port2 MAC"].iter().zip(identity.macs) {
        let note = if mac.is_blank() {
            " (blank)"
        } else if mac.is_valid() {
            ""
        } else {
            " (no valid MAC)"
        };
        let _ = writeln!(out, "{label:23}{mac}{note}");
    }
    let vsd = crate::job::one_line(&String::from_utf8_lossy(&identity.vsd));
    let _ = writeln!(out, "{:23}{vsd}", "VSD");
    let _ = writeln!(
        out,
        "{:23}{}",
        "PSID",
        outcome.psid.as_deref().unwrap_or("(none)")
    );
    if !outcome.sound {
        out.push_str("a CRC over it is wrong: none of this can be trusted\n");
    }
    out
}

pub(super) fn flash(ctx: &mut Ctx<'_>, command: &FlashCommand) -> Result<Answer, Failure> {
    match command {
        FlashCommand::Info => flash_info(ctx),
        FlashCommand::Protect(args) => super::protect::protect(ctx, args),
        FlashCommand::Read { out, from, len } => {
            let mut device = ctx.open()?;
            let mut progress = ctx.progress();
            let file = job::flash_read(&mut device, *from, *len, out, &mut progress)
                .map_err(|e| ctx.failure(&e, None))?;
            drop(progress);
            let line = format!(
                "{} bytes to {}, sha256 {}\n",
                file.len,
                out.display(),
                file.sha256
            );
            ctx.out.text(&line);
            Ok(Answer::done(json(&file)))
        }
    }
}

fn flash_info(ctx: &mut Ctx<'_>) -> Result<Answer, Failure> {
    let mut device = ctx.open()?;
    let info = job::flash_info(&mut device).map_err(|e| ctx.failure(&e, None))?;
    let part = &info.card.flash;
    let geometry = part.geometry;
    let sure = match part.times {
        TimesSource::Confirmed => "",
        TimesSource::Unconfirmed => " (unconfirmed figures)",
    };
    let time = |t: Option<std::time::Duration>| {
        t.map_or_else(|| "none".to_owned(), |t| format!("{} ms", t.as_millis()))
    };
    let mut out = String::new();
    let _ = writeln!(out, "card         {}", text::card_line(&info.card));
    let _ = writeln!(out, "chip         {}", text::flash_line(&info.card));
    if !part.seen {
        let _ = writeln!(
            out,
            "known from   flashrom or Linux, never seen on these boards"
        );
    }
    if let Some(why) = part.read_only {
        let _ = writeln!(out, "read only    {why}");
    }
    let _ = writeln!(out, "status       0x{:02x}", info.card.protection.status);
    let _ = writeln!(out, "4K erase     {}{sure}", time(geometry.erase_4k));
    let _ = writeln!(out, "64K erase    {}{sure}", time(geometry.erase_64k));
    let _ = writeln!(
        out,
        "program      {}",
        if part.byte_program {
            "byte by byte"
        } else {
            "pages of 256 bytes"
        }
    );
    let _ = writeln!(
        out,
        "chained read {}",
        if info.chained_reads {
            "proven on this card"
        } else {
            "not proven on this card, not used"
        }
    );
    ctx.out.text(&out);
    Ok(Answer::done(json(&info)))
}
