//! `--all`: a command for every card, one after the other.

use super::{Ctx, Ran, afterwards, cards_here, failure_of};
use crate::cli::args::shared::CardsArgs;
use crate::cli::failure::Failure;
use crate::cli::json::Document;
use crate::cli::json::results::CardsOutcome;
use crate::cli::page::Page;
use crate::cli::terminal::Reply;
use crate::job::{self, CardSelector, Code, Exit};

/// Refuses `--all` together with the name of a card.
pub(super) fn not_both(ctx: &Ctx<'_>, cards: &CardsArgs) -> Result<(), Failure> {
    let named = ctx.device.as_ref().filter(|_| cards.all && ctx.device_typed);
    named.map_or(Ok(()), |card| {
        let message = format!("--all is for every card, and -d names {card}: give one of both");
        Err(Failure::new(Code::Usage, message))
    })
}

/// Runs a command for the card it is for, or for every card. A card that was refused or failed before anything was
/// changed is reported, and the next one follows; [`Exit::ends_all`] has what ends it.
pub(super) fn each_card(
    ctx: &mut Ctx<'_>,
    name: &str,
    cards: CardsArgs,
    run: &mut dyn FnMut(&mut Ctx<'_>) -> Ran,
) -> Ran {
    if !cards.all {
        return run(ctx);
    }
    not_both(ctx, &cards)?;
    let cards = job::all_cards(&ctx.host, &cards_here());
    if cards.is_empty() {
        let message =
            format!("{}, and no card file (*.cx3) in the current directory", ctx.host.no_card());
        return Err(Failure::new(Code::NoCardNamed, message).into());
    }
    ctx.options.trace = None;
    let image = ctx.image.take();
    let mut every = EveryCard::default();
    for (n, card) in cards.iter().enumerate() {
        let mut title = Page::default();
        if n > 0 {
            title.push_str("\n");
        }
        title.line(format_args!("card {} of {}: {card}", n + 1, cards.len()));
        ctx.out.text(&title);
        // Not the one that was chosen for the card before.
        ctx.image.clone_from(&image);
        if every.one(ctx, name, card, run).ends_all() {
            every.outcome.not_reached = cards[n + 1..].to_vec();
            break;
        }
    }
    ctx.device = None;
    let mut page = Page::default();
    for card in &every.outcome.not_reached {
        page.line(format_args!("not reached: {card}"));
    }
    let exit = every.exit.unwrap_or(Exit::Done);
    let ran = ctx.unless(exit == Exit::NothingToDo, &page, &every.outcome);
    match every.worst {
        Some(failure) => {
            Err(failure.about(format!("{} of {} cards", every.failed, cards.len())).into())
        }
        None => ran,
    }
}

#[derive(Default)]
struct EveryCard {
    outcome: CardsOutcome,
    /// The worst so far.
    exit: Option<Exit>,
    worst: Option<Failure>,
    failed: usize,
}

impl EveryCard {
    fn one(
        &mut self,
        ctx: &mut Ctx<'_>,
        name: &str,
        card: &CardSelector,
        run: &mut dyn FnMut(&mut Ctx<'_>) -> Ran,
    ) -> Exit {
        ctx.device = Some(card.clone());
        ctx.reply = Reply::Yes;
        let ran = run(ctx).map_err(|error| failure_of(error, ctx));
        let (ran, host) = afterwards(ran, ctx.borrowed.take(), &ctx.out);
        let mut document = match &ran {
            Ok(exit) => Document::new(Some(name), *exit),
            Err(failure) => failure.document(Some(name)),
        };
        document.device = Some(card.clone());
        document.result = ctx.result.take();
        document.host = host;
        let exit = document.exit;
        tracing::info!(%card, exit = exit.code(), "ended");
        ctx.ended(exit);
        self.outcome.cards.push(document);
        let worse = self.exit.is_none_or(|worst| exit.rank() > worst.rank());
        if worse {
            self.exit = Some(exit);
        }
        if let Err(failure) = ran {
            self.failed += 1;
            if !ctx.out.mode.json {
                ctx.out.error(&failure.text());
            }
            if worse || self.worst.is_none() {
                self.worst = Some(failure.about(card.to_string()));
            }
        }
        exit
    }
}
