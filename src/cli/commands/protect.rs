//! `flash protect`.

use super::write::{Asked, declined};
use super::{Answer, Ctx};
use crate::cli::args_parts::ProtectArgs;
use crate::cli::ask::{Said, ask};
use crate::cli::failure::Failure;
use crate::cli::json::outcome as json;
use crate::cli::text;
use crate::flash::Protection;
use crate::job::{self, JobError, ProtectOutcome, ProtectQuestion, ProtectWish};
use std::fmt::Write as _;
use std::ops::Range;

pub(super) fn protect(ctx: &mut Ctx<'_>, args: &ProtectArgs) -> Result<Answer, Failure> {
    let wish = match (args.off, args.on, args.top, args.bottom) {
        (true, ..) => ProtectWish::Off,
        (_, true, Some(blocks), _) => ProtectWish::Top(blocks),
        (_, true, _, Some(blocks)) => ProtectWish::Bottom(blocks),
        (_, true, ..) => ProtectWish::Whole,
        _ => {
            let mut device = ctx.open()?;
            let found = job::flash_protection(&mut device).map_err(|e| ctx.failure(&e, None))?;
            ctx.out.text(&shown(&found));
            return Ok(Answer::done(json(&found)));
        }
    };
    let mut device = ctx.open()?;
    let mut said = Said::Yes;
    let ended = {
        let out = &mut *ctx.out;
        let stop = ctx.stop;
        let mut confirm = |question: &ProtectQuestion| {
            out.text(&plan(question));
            if !args.confirm.yes {
                said = ask("Write this to the chip's status register?", stop);
            }
            said == Said::Yes
        };
        job::flash_protect(&mut device, wish, &mut confirm)
    };
    match ended {
        Ok(outcome) => {
            ctx.out.text(&shown(&outcome));
            if outcome.nothing_to_do {
                ctx.out.text("nothing to do: it is so already\n");
            }
            Ok(Answer::unless(outcome.nothing_to_do, json(&outcome)))
        }
        Err(JobError::Declined) if said == Said::Interrupted => {
            Err(ctx.failure(&JobError::Interrupted, None))
        }
        Err(JobError::Declined) if said == Said::NobodyThere => {
            Err(declined(ctx, Asked::Said(said), None))
        }
        Err(error) => Err(ctx.failure(&error, None)),
    }
}

/// A range in words.
fn range(range: Option<&Range<u32>>) -> String {
    range.map_or_else(
        || "nothing".to_owned(),
        |r| format!("0x{:x}..0x{:x}", r.start, r.end),
    )
}

fn words(protection: &Protection) -> String {
    format!(
        "{} (status register 0x{:02x})",
        range(protection.range.as_ref()),
        protection.status
    )
}

fn plan(question: &ProtectQuestion) -> String {
    let mut out = format!("protected now    {}\n", words(&question.before));
    let _ = writeln!(out, "protected then   {}", range(question.wanted.as_ref()));
    if question.wanted.is_some() {
        out.push_str("  ! Burns into that range are refused until it is taken off again. The chip keeps it without power.\n");
    }
    out
}

fn shown(outcome: &ProtectOutcome) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "card         {}", text::card_line(&outcome.card));
    let _ = writeln!(out, "chip         {}", text::flash_line(&outcome.card));
    let _ = writeln!(out, "protected    {}", words(&outcome.card.protection));
    let _ = writeln!(out, "known        {}", outcome.known);
    out
}
