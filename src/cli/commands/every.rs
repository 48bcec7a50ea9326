//! `--all`: a command for every card, one after the other.

use super::{Ctx, Ran, afterwards, cards_here, failure_of};
use crate::cli::args::shared::CardsArgs;
use crate::cli::failure::Failure;
use crate::cli::json::Document;
use crate::cli::json::results::CardsOutcome;
use crate::cli::page::Page;
use crate::cli::terminal::Reply;
use crate::job::{self, CardSelector, Code, Exit};
use crate::words::counted;

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
    let page = summary(&every.outcome);
    let exit = every.exit.unwrap_or(Exit::Done);
    let ran = ctx.unless(exit == Exit::NothingToDo, &page, &every.outcome);
    let Some((card, mut failure)) = every.worst else { return ran };
    failure = failure.about(format!("{} of {} cards failed", every.failed, cards.len()));
    match ctx.out.mode.json {
        // The causes are those of one card.
        true => failure.message += &format!(", the worst is {card}"),
        // Each reason and its hint stand with their card.
        false => (failure.causes, failure.hint) = (Vec::new(), None),
    }
    Err(failure.into())
}

/// A line a card, with its own reason, and how many ended in each way.
fn summary(outcome: &CardsOutcome) -> Page {
    let mut page = Page::default();
    page.push_str("\nSummary\n");
    let not_tried =
        outcome.not_reached.iter().map(|card| (card.to_string(), "not tried".to_owned()));
    let tried = outcome.cards.iter().map(|card| {
        let name = card.device.as_ref().map(ToString::to_string);
        (name.unwrap_or_default(), ending(card))
    });
    let lines: Vec<(String, String)> = tried.chain(not_tried).collect();
    let width = lines.iter().map(|(card, _)| card.chars().count()).max().unwrap_or_default();
    for (card, ending) in &lines {
        page.line(format_args!("  {card:width$}  {ending}"));
    }
    let of =
        |exits: &[Exit]| outcome.cards.iter().filter(|card| exits.contains(&card.exit)).count();
    let (done, same) = (of(&[Exit::Done]), of(&[Exit::NothingToDo]));
    let counts = [
        (done, "done"),
        (same, "with nothing to do"),
        (outcome.cards.len() - done - same, "failed"),
        (outcome.not_reached.len(), "not tried"),
    ];
    let counts = counts.into_iter().filter(|(number, _)| *number > 0);
    let counts: Vec<String> = counts.map(|(number, how)| format!("{number} {how}")).collect();
    page.line(format_args!("{}: {}", counted(lines.len(), "card"), counts.join(", ")));
    page
}

/// How the command ended for one card.
fn ending(card: &Document) -> String {
    let Some(error) = &card.error else { return card.exit.meaning().to_owned() };
    let reason = match error.refused_by.is_empty() {
        true => error.causes.first().cloned(),
        false => Some(error.refused_by.join(", ")),
    };
    let exit = card.exit.code();
    match reason {
        Some(reason) => format!("exit {exit}, {}: {reason}", error.message),
        None => format!("exit {exit}, {}", error.message),
    }
}

#[derive(Default)]
struct EveryCard {
    outcome: CardsOutcome,
    /// The worst so far.
    exit: Option<Exit>,
    worst: Option<(CardSelector, Failure)>,
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
                self.worst = Some((card.clone(), failure));
            }
        }
        exit
    }
}
