//! `plan`, `burn` and every other command that writes to the card.

use super::{Answer, Ctx, backup_dir};
use crate::cli::args::{
    BurnArgs, BurnOptionArgs, IdentityArgs, PlanArgs, RecoverArgs, RestoreArgs, RomArg, WriteArgs,
};
use crate::cli::args_parts::{IdentitySetArgs, RomWriteArgs};
use crate::cli::ask::{Said, ask};
use crate::cli::failure::Failure;
use crate::cli::json::outcome as json;
use crate::cli::text;
use crate::image::{Guid, Identity, Mac};
use crate::job::{
    self, BurnRequest, Code, Confirm, Device, Exit, IdentityChange, ImageFile, JobError,
    RecoverRequest, RestoreRequest, WriteOutcome,
};
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
    }
}

pub(super) fn plan(ctx: &mut Ctx<'_>, args: &PlanArgs) -> Result<Answer, Failure> {
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
    let draw = if args.full {
        text::plan_full
    } else {
        text::plan
    };
    ctx.out.text(&draw(&planned.plan, ctx.out.colours()));
    let result = json(&planned);
    if planned.plan.refused {
        // The same error a burn would end with, so that both say the same.
        let report = Box::new(planned.plan);
        let error = JobError::Refused { report };
        return Err(ctx.failure(&error, Some(&args.image)).with_result(result));
    }
    Ok(Answer {
        exit: if planned.plan.nothing_to_do {
            Exit::NothingToDo
        } else {
            Exit::Done
        },
        result,
    })
}

pub(super) fn burn(ctx: &mut Ctx<'_>, args: &BurnArgs) -> Result<Answer, Failure> {
    let image = ctx.image(&args.image)?;
    let request = BurnRequest {
        options: options(&args.options),
        backup_dir: backup_dir(&args.write.backup_dir),
        activate: !args.activate.no_activate,
    };
    write(ctx, &args.write, Some(&image), |device, confirm, events| {
        job::burn(device, &image, &request, confirm, events)
    })
}

pub(super) fn restore(ctx: &mut Ctx<'_>, args: &RestoreArgs) -> Result<Answer, Failure> {
    let request = RestoreRequest {
        backup: args.backup.clone(),
        backup_dir: backup_dir(&args.write.backup_dir),
        activate: !args.activate.no_activate,
        change_mac: args.change_mac,
    };
    write(ctx, &args.write, None, |device, confirm, events| {
        job::restore(device, &request, confirm, events)
    })
}

pub(super) fn recover(ctx: &mut Ctx<'_>, args: &RecoverArgs) -> Result<Answer, Failure> {
    let image = ctx.image(&args.image)?;
    let request = RecoverRequest {
        identity: whole_identity(ctx, &args.identity)?,
        backup_dir: backup_dir(&args.write.backup_dir),
        activate: !args.activate.no_activate,
    };
    write(ctx, &args.write, Some(&image), |device, confirm, events| {
        job::recover(device, &image, &request, confirm, events)
    })
}

pub(super) fn rom_write(ctx: &mut Ctx<'_>, args: &RomWriteArgs) -> Result<Answer, Failure> {
    let rom = job::read_rom(&args.rom).map_err(|e| ctx.failure(&e, None))?;
    let dir = backup_dir(&args.write.backup_dir);
    write(ctx, &args.write, None, |device, confirm, events| {
        job::rom_write(device, &rom, &dir, confirm, events)
    })
}

pub(super) fn rom_remove(ctx: &mut Ctx<'_>, args: &WriteArgs) -> Result<Answer, Failure> {
    let dir = backup_dir(&args.backup_dir);
    write(ctx, args, None, |device, confirm, events| {
        job::rom_remove(device, &dir, confirm, events)
    })
}

pub(super) fn config_reset(ctx: &mut Ctx<'_>, args: &WriteArgs) -> Result<Answer, Failure> {
    let dir = backup_dir(&args.backup_dir);
    write(ctx, args, None, |device, confirm, events| {
        job::config_reset(device, &dir, confirm, events)
    })
}

/// A whole identity from a file, or the parts that were spelled out.
pub(super) fn identity_change(
    ctx: &Ctx<'_>,
    args: &IdentityArgs,
) -> Result<IdentityChange, Failure> {
    let Some(path) = &args.identity else {
        return spelled_out(args);
    };
    let whole = job::read_identity(path).map_err(|e| ctx.failure(&e, None))?;
    Ok(IdentityChange {
        guids: Some(whole.guids),
        macs: Some(whole.macs),
        vsd: Some(whole.vsd),
    })
}

pub(super) fn identity_set(ctx: &mut Ctx<'_>, args: &IdentitySetArgs) -> Result<Answer, Failure> {
    let change = identity_change(ctx, &args.identity)?;
    if change == IdentityChange::default() {
        return Err(usage(
            "name what to set: --identity, --guid, --guids, --blank-guids, --mac, --macs or --vsd",
        ));
    }
    let dir = backup_dir(&args.write.backup_dir);
    write(ctx, &args.write, None, |device, confirm, events| {
        job::identity_set(device, &change, &dir, confirm, events)
    })
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Code::Usage, message)
}

/// The parts of an identity given on the command line (docs/fs2.md#guid-flags).
pub(super) fn spelled_out(args: &IdentityArgs) -> Result<IdentityChange, Failure> {
    let next = |base: u64, n: u64, what: &str| {
        base.checked_add(n)
            .ok_or_else(|| usage(format!("{what} {base:x} leaves no room for the next one")))
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
            "{bad} is no MAC of a port: it must fit 48 bits, have bit 40 (multicast) clear and not be 0"
        )));
    }
    Ok(IdentityChange {
        guids,
        macs,
        vsd: args.vsd.clone().map(String::into_bytes),
    })
}

/// A whole identity: nothing is invented, so GUIDs and MACs must both be given.
fn whole_identity(ctx: &Ctx<'_>, args: &IdentityArgs) -> Result<Identity, Failure> {
    if let Some(path) = &args.identity {
        return job::read_identity(path).map_err(|e| ctx.failure(&e, None));
    }
    let given = spelled_out(args)?;
    match (given.guids, given.macs) {
        (Some(guids), Some(macs)) => Ok(Identity {
            guids,
            macs,
            vsd: given.vsd.unwrap_or_default(),
        }),
        _ => Err(usage(
            "whom the card shall be must be spelled out: --identity FILE, or --guid G (or --blank-guids) and --mac M",
        )),
    }
}

/// How the question ended, seen from outside of the job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Not,
    Said(Said),
}

/// Show the plan, ask, do it, say what was done.
fn write(
    ctx: &mut Ctx<'_>,
    args: &WriteArgs,
    image: Option<&ImageFile>,
    work: impl FnOnce(
        &mut Device,
        Confirm<'_>,
        &mut crate::cli::progress::Progress,
    ) -> Result<WriteOutcome, JobError>,
) -> Result<Answer, Failure> {
    let path = image.map(|i| i.path.as_path());
    let mut device = ctx.open()?;
    let mut progress = ctx.progress();
    let colours = ctx.out.colours();
    let mut asked = Asked::Not;
    let mut shown = None;
    let ended = {
        let out = &mut *ctx.out;
        let stop = ctx.stop;
        let mut confirm = |plan: &PlanReport| {
            out.text(&text::plan(plan, colours));
            out.text("\n");
            shown = Some(plan.clone());
            if args.confirm.yes {
                return true;
            }
            let said = ask("Write this to the card?", stop);
            asked = Asked::Said(said);
            said == Said::Yes
        };
        work(&mut device, &mut confirm, &mut progress)
    };
    drop(progress);
    match ended {
        Ok(outcome) => {
            let name = ctx.device.clone().unwrap_or_default();
            if shown.is_none() {
                ctx.out.text(&text::plan(&outcome.plan, colours));
            }
            ctx.out.text(&text::written(&outcome, &name));
            Ok(Answer::unless(outcome.nothing_to_do, json(&outcome)))
        }
        Err(JobError::Declined) => Err(declined(ctx, asked, shown.as_ref())),
        Err(error) => {
            if let JobError::Refused { report } = &error {
                ctx.out.text(&text::plan(report, colours));
            }
            Err(ctx.failure(&error, path))
        }
    }
}

/// The failure of a job whose question was not answered with yes.
pub(super) fn declined(ctx: &Ctx<'_>, asked: Asked, plan: Option<&PlanReport>) -> Failure {
    let (code, message) = match asked {
        Asked::Said(Said::Interrupted) => (Code::Interrupted, "interrupted; nothing was changed"),
        Asked::Said(Said::NobodyThere) => (
            Code::NobodyToAsk,
            "there is no terminal for the question; nothing was changed",
        ),
        Asked::Said(_) | Asked::Not => (Code::Declined, "not confirmed; nothing was changed"),
    };
    let failure = Failure::new(code, message).with_hint(&ctx.hint_context(None));
    match plan {
        Some(plan) => failure.with_result(value!({ "plan": plan })),
        None => failure,
    }
}
