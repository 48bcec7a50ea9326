//! `backup`, `activate`, `unlock`, `flash`, and the commands of `rom` and `identity` that only read.

use super::{Ctx, Ran, proven_backup_dir};
use crate::cli::args::ProtectArgs;
use crate::cli::args::shared::ConfirmArgs;
use crate::cli::failure::Failure;
use crate::cli::page::Page;
use crate::cli::terminal::Reply;
use crate::cli::text::{self, kib, name_of};
use crate::escape;
use crate::flash::{Protection, TimesSource};
use crate::flint::text as flint_text;
use crate::image::PciImage;
use crate::job::{
    self, Code, IdentityOutcome, OutputFile, ProtectOutcome, ProtectQuestion, ProtectRequest,
    RomOutcome,
};
use crate::words::counted;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub(super) fn backup(ctx: &mut Ctx<'_>, out: Option<PathBuf>) -> Ran {
    let dir = proven_backup_dir(out)?;
    let mut device = ctx.open()?;
    let outcome = job::backup(&mut device, &dir, &mut ctx.progress())?;
    let mut out = Page::of(escape::path(&outcome.backup.dir));
    for file in &outcome.backup.manifest.files {
        out.line(format_args!("  {:14} {:>9} {}", file.name, file.len, file.sha256));
    }
    text::unsteady(&mut out, &outcome.backup.unsteady);
    ctx.done(&out, &outcome)
}

pub(super) fn activate(ctx: &mut Ctx<'_>) -> Ran {
    let outcome = job::activate(&mut ctx.open()?, &mut ctx.progress())?;
    let before = outcome.activation.before.map_or_else(|| "nothing".to_owned(), |v| v.to_string());
    let running = text::running(&outcome.activation);
    let text = [format!("before   {before}"), format!("running  {running}")];
    ctx.done(&text.iter().collect(), &outcome)
}

pub(super) fn unlock(ctx: &mut Ctx<'_>, key: Option<&str>, args: &ConfirmArgs) -> Ran {
    if let Some(key) = key {
        // The text of the key is not repeated.
        let key =
            key.parse().map_err(|why: &str| Failure::new(Code::Usage, format!("--key: {why}")))?;
        ctx.options.key = Some(key);
        ctx.out.remark(
            "warning: the key is in the list of processes while this runs; --key-file keeps it out",
        );
    }
    let mut device = ctx.open()?;
    let question = text::unlock_question(&ctx.card_and_board(&device), job::running(&mut device));
    let mut progress = ctx.progress();
    let mut confirm = |proof: &[String]| {
        for line in proof {
            ctx.out.text(&Page::of(format_args!("proof    {line}")));
        }
        // The proof permits it. The question is for a person at a terminal, so a script needs no
        // `--yes`.
        ctx.confirm(args.yes, &question) || ctx.reply == Reply::NoTerminal
    };
    let outcome = job::unlock(&mut device, &mut confirm, &mut progress)?;
    let mut out = Page::default();
    for semaphore in &outcome.semaphores {
        out.line(format_args!(
            "{:2} {:18} {} -> {}",
            semaphore.number,
            name_of(&semaphore.semaphore),
            name_of(&semaphore.before),
            name_of(&semaphore.after)
        ));
    }
    if outcome.hw_access_enabled {
        out.push_str("hardware access enabled; the next reset of the chip disables it\n");
    }
    if outcome.nothing_to_do {
        out.push_str("nothing to do: both are free\n");
    }
    ctx.unless(outcome.nothing_to_do, &out, &outcome)
}

pub(super) fn rom_info(ctx: &mut Ctx<'_>, file: Option<PathBuf>) -> Ran {
    ctx.rom = file;
    let outcome = match &ctx.rom {
        Some(path) => job::rom_info_file(path, &ctx.reading()),
        None => job::rom_info(&mut ctx.open()?),
    }?;
    let ran = rom_result(ctx, &outcome);
    let Some(fault) = outcome.rom.and_then(|rom| rom.chain_fault) else { return ran };
    let name = match (&ctx.rom, &ctx.device) {
        (Some(file), _) => escape::path(file),
        (None, Some(card)) => card.to_string(),
        (None, None) => "the card".to_owned(),
    };
    let mut failure = Failure::new(Code::RomUnusable, format!("{name}: the ROM is damaged"));
    failure.causes.push(fault.to_string());
    if ctx.rom.is_none() {
        failure = failure.with_hint(&ctx.hint_context());
    }
    Err(failure.into())
}

pub(super) fn rom_read(ctx: &mut Ctx<'_>, out: &Path, image: Option<&Path>) -> Ran {
    let outcome = match image {
        Some(path) => job::rom_read_image(&ctx.image(path)?, OutputFile::create(out)?),
        None => {
            let out = OutputFile::create(out)?;
            job::rom_read(&mut ctx.open()?, out)
        }
    }?;
    rom_result(ctx, &outcome)
}

fn rom_result(ctx: &mut Ctx<'_>, outcome: &RomOutcome) -> Ran {
    const PREFIX: &str = "Rom Info: ";
    let mut out = Page::default();
    match &outcome.rom {
        Some(rom) => {
            out.lines(&format!("{PREFIX}{}\n", flint_text::rom(rom, PREFIX.len())));
            out.line(format_args!("size     {}", kib(rom.size.into())));
            for image in &rom.images {
                out.line(format_args!("image    {}", pci_image(image)));
            }
            if let Some(fault) = rom.chain_fault {
                out.line(format_args!("damaged  {fault}"));
            }
        }
        None => out.push_str("no ROM\n"),
    }
    if let Some(digest) = &outcome.sha256 {
        out.line(format_args!("sha256   {digest}"));
    }
    ctx.done(&out, outcome)
}

/// `at 0x0: PC BIOS (code type 0), 64 KiB, PCI 15b3:1007, checksum right`
fn pci_image(image: &PciImage) -> String {
    let PciImage { at, vendor_id, device_id, code_type, .. } = image;
    let mut text = format!(
        "at {at:#x}: {} (code type {code_type}), {}, PCI {vendor_id:04x}:{device_id:04x}",
        image.code_name(),
        kib(image.len.into())
    );
    if !image.device_list.is_empty() {
        let list: Vec<_> = image.device_list.iter().map(|id| format!("{id:04x}")).collect();
        text += &format!(", device list {}", list.join(" "));
    }
    text += match image.checksum_ok {
        Some(true) => ", checksum right",
        Some(false) => ", checksum wrong",
        None => ", no checksum needed",
    };
    if image.last { text } else { text + ", another follows" }
}

pub(super) fn identity_show(ctx: &mut Ctx<'_>, image: Option<&Path>) -> Ran {
    let outcome = match image {
        Some(path) => job::identity_in(ctx.image(path)?.contents.image()),
        None => job::identity_show(&mut ctx.open()?),
    }?;
    ctx.done(&identity_text(&outcome), &outcome)
}

fn identity_text(outcome: &IdentityOutcome) -> Page {
    let identity = &outcome.identity;
    let mut out = Page::default();
    for (label, guid) in
        ["Node GUID", "Port1 GUID", "Port2 GUID", "Sys.Image GUID"].iter().zip(identity.guids)
    {
        let note = if guid.is_blank() { " (blank)" } else { "" };
        out.line(format_args!("{label:23}{guid}{note}"));
    }
    for (label, mac) in ["Port1 MAC", "Port2 MAC"].iter().zip(identity.macs) {
        let note = if mac.is_blank() {
            " (blank)"
        } else if mac.is_valid() {
            ""
        } else {
            " (not a valid MAC)"
        };
        out.line(format_args!("{label:23}{mac}{note}"));
    }
    let vsd = String::from_utf8_lossy(&identity.vsd);
    out.line(format_args!("{:23}{vsd}", "VSD"));
    let psid = outcome.psid.clone().unwrap_or_else(|| "(none)".into());
    out.line(format_args!("{:23}{psid}", "PSID"));
    if !outcome.valid {
        out.push_str("a CRC over these values is wrong: they cannot be trusted\n");
    }
    if let Some(why) = &outcome.wrong_silicon {
        out.line(format_args!("the image that holds them does not start on this card: {why}"));
    }
    out
}

pub(super) fn flash_read(ctx: &mut Ctx<'_>, out: &Path, from: u32, len: Option<u32>) -> Ran {
    // A file that exists, or cannot be created, is an error before the card is taken.
    let file = OutputFile::create(out)?;
    let mut device = ctx.open()?;
    let outcome = job::flash_read(&mut device, from, len, file, &mut ctx.progress())?;
    let file = &outcome.output;
    let out = escape::path(out);
    let text =
        Page::of(format_args!("{} to {out}, sha256 {}", counted(file.len, "byte"), file.sha256));
    ctx.done(&text, &outcome)
}

pub(super) fn flash_info(ctx: &mut Ctx<'_>) -> Ran {
    let info = job::flash_info(&mut ctx.open()?)?;
    let part = &info.card.flash;
    let geometry = part.geometry;
    let sure = match part.times {
        TimesSource::Confirmed => "",
        TimesSource::Unconfirmed => " (unconfirmed figures)",
    };
    let time = |t: Option<std::time::Duration>| {
        t.map_or_else(|| "none".to_owned(), |t| format!("{} ms", t.as_millis()))
    };
    let mut out = Page::default();
    out.line(format_args!("card         {}", text::card_line(&info.card)));
    out.line(format_args!("chip         {}", text::flash_line(&info.card)));
    if !part.seen {
        out.line(format_args!("known from   flashrom or Linux, not seen on these boards"));
    }
    if let Some(why) = part.read_only {
        out.line(format_args!("read only    {why}"));
    }
    out.line(format_args!("status       0x{:02x}", info.card.protection.status));
    out.line(format_args!("4K erase     {}{sure}", time(geometry.erase_4k)));
    out.line(format_args!("64K erase    {}{sure}", time(geometry.erase_64k)));
    out.line(format_args!(
        "program      {}",
        if part.byte_program { "byte by byte" } else { "pages of 256 bytes" }
    ));
    out.line(format_args!(
        "chained read {}",
        if info.chained_reads {
            "proven on this card"
        } else {
            "not proven on this card, not used"
        }
    ));
    ctx.done(&out, &info)
}

pub(super) fn protect(ctx: &mut Ctx<'_>, args: &ProtectArgs) -> Ran {
    let request = match (args.off, args.on, args.top, args.bottom) {
        (true, ..) => ProtectRequest::Off,
        (_, true, Some(blocks), _) => ProtectRequest::Top(blocks),
        (_, true, _, Some(blocks)) => ProtectRequest::Bottom(blocks),
        (_, true, ..) => ProtectRequest::Whole,
        _ => {
            let outcome = job::flash_protection(&mut ctx.open()?)?;
            return ctx.done(&protection_text(&outcome), &outcome);
        }
    };
    ctx.can_ask(args.confirm.yes)?;
    let mut device = ctx.open()?;
    let card = ctx.card_and_board(&device);
    let running = job::running(&mut device);
    let mut confirm = |question: &ProtectQuestion| {
        ctx.out.text(&protect_question(question));
        ctx.confirm(args.confirm.yes, &text::protect_question(question, &card, running))
    };
    let outcome = job::flash_protect(&mut device, request, &mut confirm)?;
    let mut text = protection_text(&outcome);
    if outcome.nothing_to_do {
        text.push_str("nothing to do: the protection is as requested already\n");
    }
    ctx.unless(outcome.nothing_to_do, &text, &outcome)
}

fn range(range: Option<&Range<u32>>) -> String {
    range.map_or_else(|| "nothing".to_owned(), |r| format!("0x{:x}..0x{:x}", r.start, r.end))
}

fn protected(protection: &Protection) -> String {
    format!("{} (status register 0x{:02x})", range(protection.range.as_ref()), protection.status)
}

fn protect_question(question: &ProtectQuestion) -> Page {
    let mut out = Page::of(format_args!("protected now    {}", protected(&question.before)));
    out.line(format_args!("after the write  {}", range(question.wanted.as_ref())));
    if question.wanted.is_some() {
        out.push_str("  ! Burns into that range are refused until protection is cleared. It survives power-off.\n");
    }
    out
}

fn protection_text(outcome: &ProtectOutcome) -> Page {
    let mut out = Page::default();
    out.line(format_args!("card         {}", text::card_line(&outcome.card)));
    out.line(format_args!("chip         {}", text::flash_line(&outcome.card)));
    out.line(format_args!("protected    {}", protected(&outcome.card.protection)));
    out.line(format_args!("known        {}", outcome.known));
    out
}
