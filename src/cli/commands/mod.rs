//! One file per family of commands: arguments to requests, outcomes to text and JSON.

mod card;
mod demo;
mod host;
mod nvconfig;
mod parts;
mod protect;
mod settings;
mod shell;
mod sim;
mod sim_serve;
mod write;

pub(crate) use card::cards_here;
pub(super) use host::afterwards;

use super::args::{Cli, Command, HostCommand};
use super::args_parts::{ConfigCommand, FlashCommand, IdentityCommand, RomCommand};
use super::args_sim::SimCommand;
use super::failure::Failure;
use super::out::Out;
use super::progress::{Progress, StopFlag};
use crate::host::{BorrowOptions, Borrowed, Host};
use crate::job::{self, BugReport, Code, Device, Exit, HintContext, ImageFile, JobError};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What a command has at hand.
pub(super) struct Ctx<'a> {
    /// The streams.
    pub(super) out: &'a mut Out,
    /// `-d`.
    pub(super) device: Option<String>,
    /// SIGINT and SIGTERM.
    pub(super) stop: &'a StopFlag,
    /// The command as typed, as a shell needs it.
    pub(super) typed: String,
    /// Where real cards are looked for.
    pub(super) host: Host,
    /// `--allow`, `--bar-access`.
    pub(super) options: BorrowOptions,
    /// The real card this command borrowed.
    pub(super) borrowed: Option<Borrowed>,
    /// `--report`.
    pub(super) report: Option<BugReport>,
}

impl Ctx<'_> {
    /// A listener for a job.
    fn progress(&self) -> Progress {
        Progress::new(self.out.manner(), self.stop.clone())
    }

    /// The card the user named, or the only one there is.
    fn card(&mut self) -> Result<String, Failure> {
        if let Some(named) = &self.device {
            return Ok(named.clone());
        }
        let chosen = card::only_card(&self.host)?;
        self.out
            .remark(&format!("using {chosen}, the only card here"));
        self.device = Some(chosen.clone());
        Ok(chosen)
    }

    /// The card, opened. From here on SIGINT and SIGTERM are wishes, not ends.
    fn open(&mut self) -> Result<Device, Failure> {
        let name = self.card()?;
        if let Err(error) = self.stop.catch() {
            self.out
                .remark(&format!("signals cannot be caught: {error}"));
        }
        let mut device =
            job::open(&name, &self.host, &self.options).map_err(|e| self.failure(&e, None))?;
        self.borrowed = device.borrowed();
        if let Some(report) = &mut self.report {
            report_query(report, &self.host, &mut device);
        }
        Ok(device)
    }

    /// What the user is told of a job's error.
    fn failure(&self, error: &JobError, image: Option<&Path>) -> Failure {
        tracing::error!(error = ?error, "failed");
        Failure::of_job(error, &self.hint_context(image))
    }

    fn hint_context<'c>(&'c self, image: Option<&'c Path>) -> HintContext<'c> {
        HintContext {
            card: self.device.as_deref(),
            image,
            typed: Some(&self.typed),
            ..HintContext::default()
        }
    }

    /// An image file.
    fn image(&self, path: &Path) -> Result<ImageFile, Failure> {
        job::read_image(path).map_err(|e| self.failure(&e, Some(path)))
    }
}

/// What a bug report tells of a card that was just opened.
pub(crate) fn report_query(report: &mut BugReport, host: &Host, device: &mut Device) {
    report.look_at_journal(host);
    let query = job::query_card(device);
    report.set_query(match &query {
        Ok(outcome) => Ok(card::query_json(outcome)),
        Err(error) => Err(format!("the card could not be queried: {error}")),
    });
}

/// Where backups go.
fn backup_dir(named: &Option<PathBuf>) -> PathBuf {
    named.clone().unwrap_or_else(job::default_backup_dir)
}

/// Do it.
pub(super) fn run(cli: Cli, ctx: &mut Ctx<'_>) -> Result<Answer, Failure> {
    match cli.command {
        Command::List => card::list(ctx),
        Command::Doctor => card::doctor(ctx),
        Command::Query(args) => card::query(ctx, &args),
        Command::Verify(args) => card::verify(ctx, &args),
        Command::Backup(args) => parts::backup(ctx, &args),
        Command::Plan(args) => write::plan(ctx, &args),
        Command::Burn(args) => write::burn(ctx, &args),
        Command::Restore(args) => write::restore(ctx, &args),
        Command::Recover(args) => write::recover(ctx, &args),
        Command::Activate => parts::activate(ctx),
        Command::Rom(RomCommand::Write(args)) => write::rom_write(ctx, &args),
        Command::Rom(RomCommand::Remove(args)) => write::rom_remove(ctx, &args),
        Command::Rom(args) => parts::rom(ctx, &args),
        Command::Config(ConfigCommand::Query) => nvconfig::query(ctx),
        Command::Config(ConfigCommand::Set(args)) => nvconfig::set(ctx, &args),
        Command::Config(ConfigCommand::Reset(args)) => write::config_reset(ctx, &args),
        Command::Config(ConfigCommand::Show {
            image,
            key,
            summary,
        }) => settings::show(ctx, image.as_deref(), key.as_deref(), summary),
        Command::Identity(IdentityCommand::Set(args)) => write::identity_set(ctx, &args),
        Command::Identity(IdentityCommand::Show { image }) => {
            parts::identity_show(ctx, image.as_deref())
        }
        Command::Flash(FlashCommand::Protect(args)) => protect::protect(ctx, &args),
        Command::Flash(args) => parts::flash(ctx, &args),
        Command::Unlock(args) => parts::unlock(ctx, &args),
        // Words behind `flint` are flint's: they never come through our own parser.
        Command::Flint(_) => Err(Failure::new(
            Code::Usage,
            "`flint` must be the first word of the command, and our own flags stand before it",
        )),
        Command::Host(HostCommand::Status) => host::status(ctx),
        Command::Host(HostCommand::Restore) => host::restore(ctx),
        Command::HostWrite(args) => host::write(&args),
        Command::Sim(args) => sim::run(ctx, &args),
        Command::Demo(args) => demo::run(ctx, &args),
        Command::Completions(args) => shell::completions(ctx, &args),
        Command::Man(args) => shell::man(ctx, &args),
    }
}

/// What a command that did what it was asked to (or had nothing to do) leaves.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) exit: Exit,
    pub(super) result: Value,
}

impl Answer {
    fn done(result: Value) -> Self {
        Self {
            exit: Exit::Done,
            result,
        }
    }

    /// Done, unless there was nothing to do.
    fn unless(nothing_to_do: bool, result: Value) -> Self {
        Self {
            exit: if nothing_to_do {
                Exit::NothingToDo
            } else {
                Exit::Done
            },
            result,
        }
    }
}

/// Does it open a card? Then it is a job and has a log.
pub(super) fn touches_card(command: &Command) -> bool {
    match command {
        Command::Query(args) => args.image.is_none(),
        Command::Verify(args) => args.image.is_none(),
        Command::Rom(RomCommand::Info { file }) => file.is_none(),
        Command::Rom(RomCommand::Read { image, .. })
        | Command::Config(ConfigCommand::Show { image, .. })
        | Command::Identity(IdentityCommand::Show { image }) => image.is_none(),
        Command::Completions(_)
        | Command::Man(_)
        | Command::Sim(_)
        | Command::HostWrite(_)
        | Command::Host(HostCommand::Status) => false,
        _ => true,
    }
}

/// Name of a command in JSON and log names.
pub(super) fn name(command: &Command) -> &'static str {
    match command {
        Command::List => "list",
        Command::Doctor => "doctor",
        Command::Query(_) => "query",
        Command::Verify(_) => "verify",
        Command::Backup(_) => "backup",
        Command::Plan(_) => "plan",
        Command::Burn(_) => "burn",
        Command::Restore(_) => "restore",
        Command::Recover(_) => "recover",
        Command::Activate => "activate",
        Command::Rom(RomCommand::Info { .. }) => "rom info",
        Command::Rom(RomCommand::Read { .. }) => "rom read",
        Command::Rom(RomCommand::Write(_)) => "rom write",
        Command::Rom(RomCommand::Remove(_)) => "rom remove",
        Command::Config(ConfigCommand::Show { .. }) => "config show",
        Command::Config(ConfigCommand::Query) => "config query",
        Command::Config(ConfigCommand::Set(_)) => "config set",
        Command::Config(ConfigCommand::Reset(_)) => "config reset",
        Command::Identity(IdentityCommand::Show { .. }) => "identity show",
        Command::Identity(IdentityCommand::Set(_)) => "identity set",
        Command::Flash(FlashCommand::Info) => "flash info",
        Command::Flash(FlashCommand::Read { .. }) => "flash read",
        Command::Flash(FlashCommand::Protect(_)) => "flash protect",
        Command::Unlock(_) => "unlock",
        Command::Flint(_) => "flint",
        Command::Host(HostCommand::Status) => "host status",
        Command::Host(HostCommand::Restore) => "host restore",
        Command::HostWrite(_) => "__host-write",
        Command::Sim(SimCommand::Create(_)) => "sim create",
        Command::Sim(SimCommand::Info { .. }) => "sim info",
        Command::Sim(SimCommand::Fault { .. }) => "sim fault",
        Command::Sim(SimCommand::PowerCycle { .. }) => "sim power-cycle",
        Command::Sim(SimCommand::Image(_)) => "sim image",
        Command::Sim(SimCommand::Serve(_)) => "sim serve",
        Command::Demo(_) => "demo",
        Command::Completions(_) => "completions",
        Command::Man(_) => "man",
    }
}
