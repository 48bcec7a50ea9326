//! `plan`, `burn` and every other command that writes to the card.

use super::every::{each_card, not_both};
use super::{CommandError, Ctx, Ran, log_failure, proven_backup_dir};
use crate::cli::args::shared::{
    BurnOptionArgs, ConfirmArgs, IdentityArgs, ImageSourceArgs, RomArg, WriteArgs,
};
use crate::cli::args::{BurnArgs, PlanArgs, RecoverArgs, RestoreArgs};
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::page::Page;
use crate::cli::text;
use crate::escape;
use crate::image::{Guid, Identity, Mac};
use crate::job::{
    self, Code, Device, IdentityChange, ImageFile, ImageStore, JobError, WriteOptions, WriteRequest,
};
use crate::plan::{BurnOptions, PlanReport, RomChoice, StartRequest};
use std::path::{Path, PathBuf};

fn options(args: BurnOptionArgs) -> BurnOptions {
    BurnOptions {
        change_psid: args.change_psid,
        rom: args.rom.map(|rom| match rom {
            RomArg::Image => RomChoice::Image,
            RomArg::Device => RomChoice::Device,
            RomArg::None => RomChoice::None,
        }),
        allow_older: args.allow_older,
        expect: args.expect,
        ..BurnOptions::default()
    }
}

/// The image of a burn, or the store to choose it from. Both are read before the card is taken.
enum ImageSource<'a> {
    File(Box<ImageFile>),
    Store(&'a [PathBuf], ImageStore),
}

impl<'a> ImageSource<'a> {
    fn read(
        ctx: &mut Ctx<'_>,
        args: &'a ImageSourceArgs,
        options: &BurnOptions,
    ) -> Result<Self, CommandError> {
        let Some(path) = &args.image else {
            return Ok(Self::Store(&args.from, ImageStore::read(&args.from, &ctx.reading())?));
        };
        let image = ctx.image(path)?;
        image.expected(options)?;
        Ok(Self::File(Box::new(image)))
    }

    /// The image for this card.
    fn image(
        &self,
        ctx: &mut Ctx<'_>,
        device: &mut Device,
        options: &BurnOptions,
    ) -> Result<ImageFile, CommandError> {
        let image = match self {
            Self::File(image) => ImageFile::clone(image),
            Self::Store(paths, store) => store.choose(paths, device, &ctx.progress())?,
        };
        ctx.image = Some(image.path.clone());
        if let Some(choice) = &image.choice {
            ctx.out.text(&text::choice(choice));
            image.expected(options)?;
        }
        Ok(image)
    }
}

pub(super) fn plan(ctx: &mut Ctx<'_>, args: PlanArgs) -> Ran {
    let options = options(args.options);
    let source = ImageSource::read(ctx, &args.source, &options)?;
    each_card(ctx, "plan", args.cards, &mut |ctx| plan_one(ctx, &source, &options, args.full))
}

fn plan_one(ctx: &mut Ctx<'_>, source: &ImageSource<'_>, options: &BurnOptions, full: bool) -> Ran {
    let mut device = ctx.open()?;
    let image = source.image(ctx, &mut device, options)?;
    let planned = job::plan(&mut device, &image, options, &mut ctx.progress())?;
    let mut text = Page::of(format_args!(
        "{} onto {}",
        escape::path(&planned.image),
        text::card_line(&planned.card)
    ));
    text.line(format_args!("SHA-256 {} (burn --expect)", planned.image_sha256));
    text.push_str("\n");
    text.append(&text::plan(&planned.plan, ctx.out.colours(), full));
    let ran = ctx.unless(planned.plan.nothing_to_do, &text, &planned);
    if !planned.plan.refused {
        return ran;
    }
    // The error a burn would end with.
    let report = Box::new(planned.plan);
    let error = JobError::Refused { report };
    log_failure(&error);
    Err(ctx.failure(&error).into())
}

pub(super) fn burn(ctx: &mut Ctx<'_>, args: BurnArgs) -> Ran {
    let BurnArgs { source, cards, options: chosen, write, activate } = args;
    not_both(ctx, &cards)?;
    let options = options(chosen);
    let source = ImageSource::read(ctx, &source, &options)?;
    ctx.can_ask(write.confirm.yes)?;
    let dir = proven_backup_dir(write.backup_dir)?;
    each_card(ctx, "burn", cards, &mut |ctx| {
        let mut device = ctx.open()?;
        let image = source.image(ctx, &mut device, &options)?;
        let request = WriteRequest::Burn(&image, &options);
        let confirm = write.confirm.clone();
        write_on(ctx, &mut device, (confirm, &dir), activate.request(), &request)
    })
}

pub(super) fn restore(ctx: &mut Ctx<'_>, args: RestoreArgs) -> Ran {
    let backup = job::read_backup(&args.backup, args.change_mac, &ctx.reading())?;
    write(ctx, args.write, args.activate.request(), &WriteRequest::Restore(&backup))
}

pub(super) fn recover(ctx: &mut Ctx<'_>, args: RecoverArgs) -> Ran {
    let image = ctx.image(&args.image)?;
    let identity = full_identity(ctx, &args.identity)?;
    let request = WriteRequest::Recover(&image, &identity);
    write(ctx, args.write, args.activate.request(), &request)
}

pub(super) fn rom_write(ctx: &mut Ctx<'_>, rom: &Path, args: WriteArgs) -> Ran {
    ctx.rom = Some(rom.to_owned());
    let rom = job::read_rom(rom, &ctx.reading())?;
    write(ctx, args, StartRequest::WithDriver, &WriteRequest::RomWrite(&rom))
}

/// A complete identity from a file, or the values given by options.
pub(super) fn identity_change(
    ctx: &Ctx<'_>,
    args: &IdentityArgs,
) -> Result<IdentityChange, CommandError> {
    let Some(path) = &args.identity else {
        return Ok(given_identity(args)?);
    };
    let identity = job::read_identity(path, &ctx.reading())?;
    Ok(IdentityChange {
        guids: Some(identity.guids),
        macs: Some(identity.macs),
        vsd: Some(identity.vsd),
    })
}

pub(super) fn identity_set(ctx: &mut Ctx<'_>, identity: &IdentityArgs, args: WriteArgs) -> Ran {
    let change = identity_change(ctx, identity)?;
    if change == IdentityChange::default() {
        return Err(usage(
            "give at least one of --identity, --guid, --guids, --blank-guids, --mac, --macs and --vsd",
        )
        .into());
    }
    write(ctx, args, StartRequest::WithDriver, &WriteRequest::IdentitySet(&change))
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Code::Usage, message)
}

/// The values of an identity given by options (docs/fs2.md#guid-flags).
fn given_identity(args: &IdentityArgs) -> Result<IdentityChange, Failure> {
    let next = |base: u64, n: u64, what: &str| {
        base.checked_add(n).ok_or_else(|| usage(format!("{what} {base:x} has no successor")))
    };
    let guids = match (args.guids, args.guid) {
        (Some(four), _) => Some(four),
        (None, Some(base)) => {
            let mut four = [base; 4];
            for (n, guid) in (0..).zip(&mut four) {
                *guid = Guid(next(base.0, n, "GUID")?);
            }
            Some(four)
        }
        (None, None) => args.blank_guids.then_some([Guid(u64::MAX); 4]),
    };
    let macs = match (args.macs, args.mac) {
        (Some(two), _) => Some(two),
        (None, Some(base)) => Some([base, Mac(next(base.0, 1, "MAC")?)]),
        (None, None) => None,
    };
    if let Some(bad) = macs.iter().flatten().find(|m| !m.is_valid()) {
        return Err(usage(format!(
            "{bad} is not a valid port MAC: it must fit 48 bits, have bit 40 (multicast) clear and not be 0"
        )));
    }
    Ok(IdentityChange { guids, macs, vsd: args.vsd.clone().map(String::into_bytes) })
}

/// A complete identity: nothing is invented, so GUIDs and MACs must both be given.
fn full_identity(ctx: &Ctx<'_>, args: &IdentityArgs) -> Result<Identity, CommandError> {
    let given = identity_change(ctx, args)?;
    match (given.guids, given.macs) {
        (Some(guids), Some(macs)) => Ok(Identity {
            guids,
            macs,
            vsd: given.vsd.unwrap_or_default(),
        }),
        _ => Err(usage(
            "specify the card's identity: --identity FILE, or --guid G (or --blank-guids) and --mac M",
        )
        .into()),
    }
}

/// Shows the plan, asks, runs the job and prints its outcome.
pub(super) fn write(
    ctx: &mut Ctx<'_>,
    args: WriteArgs,
    start: StartRequest,
    request: &WriteRequest<'_>,
) -> Ran {
    ctx.can_ask(args.confirm.yes)?;
    let dir = proven_backup_dir(args.backup_dir)?;
    let mut device = ctx.open()?;
    write_on(ctx, &mut device, (args.confirm, &dir), start, request)
}

/// The same on a card that is open, with a directory for backups that was proven before.
fn write_on(
    ctx: &mut Ctx<'_>,
    device: &mut Device,
    (confirmed, dir): (ConfirmArgs, &Path),
    start: StartRequest,
    request: &WriteRequest<'_>,
) -> Ran {
    let card = ctx.card_and_board(device);
    let running = job::running(device);
    let mut progress = ctx.progress();
    let colours = ctx.out.colours();
    let mut confirm = |plan: &PlanReport| {
        let text = match ctx.verbose {
            true => text::plan(plan, colours, false),
            false => text::summary(plan, colours),
        };
        ctx.out.text(&text);
        ctx.stop.survives(plan.action.as_ref().is_some_and(|action| action.survives_interruption));
        ctx.confirm(confirmed.yes, &text::question(request.job(), plan, &card, running))
    };
    let mut known = None;
    let ended = job::write_reporting(
        device,
        request,
        WriteOptions { backup_dir: dir, start },
        &mut confirm,
        &mut progress,
        &mut known,
    );
    drop(progress);
    ctx.result = known.as_ref().map(json::result);
    if let Err(JobError::Refused { report }) = &ended {
        ctx.out.text(&text::plan(report, colours, false));
    }
    let mut outcome = ended?;
    outcome.read_running(device);
    if outcome.nothing_to_do && ctx.verbose {
        ctx.out.text(&text::plan(&outcome.plan, colours, false));
    }
    let text = text::written(&outcome, ctx.device.as_ref());
    ctx.unless(outcome.nothing_to_do, &text, &outcome)
}
