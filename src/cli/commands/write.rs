//! `plan`, `burn` and every other command that writes to the card.

use super::{CommandResult, Ctx, backup_dir};
use crate::cli::args::shared::{BurnOptionArgs, IdentityArgs, RomArg, WriteArgs};
use crate::cli::args::{
    BurnArgs, IdentitySetArgs, PlanArgs, RecoverArgs, RestoreArgs, RomWriteArgs,
};
use crate::cli::failure::Failure;
use crate::cli::json::outcome as json;
use crate::cli::terminal::{Reply, ask};
use crate::cli::text;
use crate::image::{Guid, Identity, Mac};
use crate::job::{self, Code, IdentityChange, JobError, WriteRequest};
use crate::plan::{BurnOptions, PlanReport, RomChoice};
use serde_json::json as value;

fn options(args: &BurnOptionArgs) -> BurnOptions {
    BurnOptions {
        change_psid: args.change_psid.clone(),
        rom: args.rom.map(|rom| match rom {
            RomArg::Image => RomChoice::Image,
            RomArg::Device => RomChoice::Device,
            RomArg::None => RomChoice::None,
        }),
        ..BurnOptions::default()
    }
}

pub(super) fn plan(ctx: &mut Ctx<'_>, args: &PlanArgs) -> Result<CommandResult, Failure> {
    let image = ctx.image(&args.image)?;
    let mut device = ctx.open()?;
    let mut progress = ctx.progress();
    let planned = job::plan(&mut device, &image, &options(&args.options), &mut progress)
        .map_err(|e| ctx.failure(&e, Some(&args.image)))?;
    drop(progress);
    ctx.out.text(&format!(
        "{} onto {}\n\n",
        args.image.display(),
        text::card_line(&planned.card)
    ));
    let plan = text::plan(&planned.plan, ctx.out.colours(), args.full);
    ctx.out.text(&plan);
    let result = json(&planned);
    if planned.plan.refused {
        // The error a burn would end with.
        let report = Box::new(planned.plan);
        let error = JobError::Refused { report };
        return Err(ctx.failure(&error, Some(&args.image)).with_result(result));
    }
    Ok(CommandResult::unless(planned.plan.nothing_to_do, result))
}

pub(super) fn burn(ctx: &mut Ctx<'_>, args: &BurnArgs) -> Result<CommandResult, Failure> {
    let image = ctx.image(&args.image)?;
    let options = options(&args.options);
    let request = WriteRequest::Burn(&image, &options);
    write(ctx, &args.write, !args.activate.no_activate, &request)
}

pub(super) fn restore(ctx: &mut Ctx<'_>, args: &RestoreArgs) -> Result<CommandResult, Failure> {
    let request = WriteRequest::Restore {
        backup: &args.backup,
        change_mac: args.change_mac,
    };
    write(ctx, &args.write, !args.activate.no_activate, &request)
}

pub(super) fn recover(ctx: &mut Ctx<'_>, args: &RecoverArgs) -> Result<CommandResult, Failure> {
    let image = ctx.image(&args.image)?;
    let identity = full_identity(ctx, &args.identity)?;
    let request = WriteRequest::Recover(&image, &identity);
    write(ctx, &args.write, !args.activate.no_activate, &request)
}

pub(super) fn rom_write(ctx: &mut Ctx<'_>, args: &RomWriteArgs) -> Result<CommandResult, Failure> {
    let rom = job::read_rom(&args.rom).map_err(|e| ctx.failure(&e, None))?;
    write(ctx, &args.write, false, &WriteRequest::RomWrite(&rom))
}

pub(super) fn rom_remove(ctx: &mut Ctx<'_>, args: &WriteArgs) -> Result<CommandResult, Failure> {
    write(ctx, args, false, &WriteRequest::RomRemove)
}

pub(super) fn config_reset(ctx: &mut Ctx<'_>, args: &WriteArgs) -> Result<CommandResult, Failure> {
    write(ctx, args, false, &WriteRequest::ConfigReset)
}

/// A complete identity from a file, or the values given by options.
pub(super) fn identity_change(
    ctx: &Ctx<'_>,
    args: &IdentityArgs,
) -> Result<IdentityChange, Failure> {
    let Some(path) = &args.identity else {
        return given_identity(args);
    };
    let identity = job::read_identity(path).map_err(|e| ctx.failure(&e, None))?;
    Ok(IdentityChange {
        guids: Some(identity.guids),
        macs: Some(identity.macs),
        vsd: Some(identity.vsd),
    })
}

pub(super) fn identity_set(
    ctx: &mut Ctx<'_>,
    args: &IdentitySetArgs,
) -> Result<CommandResult, Failure> {
    let change = identity_change(ctx, &args.identity)?;
    if change == IdentityChange::default() {
        return Err(usage(
            "give at least one of --identity, --guid, --guids, --blank-guids, --mac, --macs and --vsd",
        ));
    }
    write(ctx, &args.write, false, &WriteRequest::IdentitySet(&change))
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Code::Usage, message)
}

/// The values of an identity given by options (docs/fs2.md#guid-flags).
pub(super) fn given_identity(args: &IdentityArgs) -> Result<IdentityChange, Failure> {
    let next = |base: u64, n: u64, what: &str| {
        base.checked_add(n)
            .ok_or_else(|| usage(format!("{what} {base:x} has no successor")))
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
    Ok(IdentityChange {
        guids,
        macs,
        vsd: args.vsd.clone().map(String::into_bytes),
    })
}

/// A complete identity: nothing is invented, so GUIDs and MACs must both be given.
fn full_identity(ctx: &Ctx<'_>, args: &IdentityArgs) -> Result<Identity, Failure> {
    if let Some(path) = &args.identity {
        return job::read_identity(path).map_err(|e| ctx.failure(&e, None));
    }
    let given = given_identity(args)?;
    match (given.guids, given.macs) {
        (Some(guids), Some(macs)) => Ok(Identity {
            guids,
            macs,
            vsd: given.vsd.unwrap_or_default(),
        }),
        _ => Err(usage(
            "specify the card's identity: --identity FILE, or --guid G (or --blank-guids) and --mac M",
        )),
    }
}

/// Shows the plan, asks, runs the job and prints its outcome.
fn write(
    ctx: &mut Ctx<'_>,
    args: &WriteArgs,
    activate: bool,
    request: &WriteRequest<'_>,
) -> Result<CommandResult, Failure> {
    let dir = backup_dir(&args.backup_dir);
    let mut device = ctx.open()?;
    let mut progress = ctx.progress();
    let colours = ctx.out.colours();
    let mut reply = Reply::Yes;
    let mut shown = None;
    let ended = {
        let out = &mut *ctx.out;
        let stop = ctx.stop;
        let mut confirm = |plan: &PlanReport| {
            out.text(&text::plan(plan, colours, false));
            out.text("\n");
            shown = Some(plan.clone());
            if !args.confirm.yes {
                reply = ask("Write this to the card?", stop);
            }
            reply == Reply::Yes
        };
        job::write(
            &mut device,
            request,
            &dir,
            activate,
            &mut confirm,
            &mut progress,
        )
    };
    drop(progress);
    match ended {
        Ok(outcome) => {
            let name = ctx
                .device
                .as_ref()
                .map_or_else(String::new, ToString::to_string);
            if shown.is_none() {
                ctx.out.text(&text::plan(&outcome.plan, colours, false));
            }
            ctx.out.text(&text::written(&outcome, &name));
            Ok(CommandResult::unless(outcome.nothing_to_do, json(&outcome)))
        }
        Err(JobError::Declined) => {
            let failure = ctx.declined(reply);
            Err(match shown {
                Some(plan) => failure.with_result(value!({ "plan": plan })),
                None => failure,
            })
        }
        Err(error) => {
            if let JobError::Refused { report } = &error {
                ctx.out.text(&text::plan(report, colours, false));
            }
            let image = match request {
                WriteRequest::Burn(image, _) | WriteRequest::Recover(image, _) => {
                    Some(&*image.path)
                }
                _ => None,
            };
            Err(ctx.failure(&error, image))
        }
    }
}
