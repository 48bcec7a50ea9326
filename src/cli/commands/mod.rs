//! One file per family of commands: arguments to requests, outcomes to text and JSON.

mod card;
mod config;
mod demo;
mod host;
mod parts;
mod shell;
mod sim;
mod write;

pub(super) use card::cards_here;
pub(super) use host::afterwards;

use super::args::{
    Cli, Command, ConfigCommand, FlashCommand, HostCommand, IdentityCommand, RomCommand,
};
use super::failure::Failure;
use super::progress::Progress;
use super::terminal::{Out, Reply, StopFlag};
use crate::host::{BorrowOptions, Borrowed, Host, create_file};
use crate::job::{
    self, BugReport, CardSelector, Code, Device, Exit, HintContext, ImageFile, JobError,
};
use serde_json::Value;
use std::path::{Path, PathBuf};

pub(super) struct Ctx<'a> {
    pub(super) out: &'a mut Out,
    /// `-d`, or the only card once it is chosen.
    pub(super) device: Option<CardSelector>,
    pub(super) stop: &'a StopFlag,
    /// The command as typed, quoted for a shell.
    pub(super) typed: String,
    pub(super) host: Host,
    /// `--allow`, `--bar-access`.
    pub(super) options: BorrowOptions,
    /// The real card this command borrowed.
    pub(super) borrowed: Option<Borrowed>,
    /// `--report`.
    pub(super) report: Option<BugReport>,
}

impl Ctx<'_> {
    fn progress(&self) -> Progress {
        Progress::new(self.out.mode, self.stop.clone())
    }

    /// The card the user named, or the only one there is.
    fn card(&mut self) -> Result<CardSelector, Failure> {
        if let Some(named) = &self.device {
            return Ok(named.clone());
        }
        let chosen = card::only_card(&self.host)?;
        self.out
            .remark(&format!("using {chosen}, the only card here"));
        self.device = Some(chosen.clone());
        Ok(chosen)
    }

    /// From here on a signal requests a stop instead of ending the process.
    fn catch_signals(&self) {
        if let Err(error) = self.stop.catch() {
            self.out
                .remark(&format!("signals cannot be caught: {error}"));
        }
    }

    /// Opens the card.
    fn open(&mut self) -> Result<Device, Failure> {
        let name = self.card()?;
        self.catch_signals();
        let mut device =
            job::open(&name, &self.host, &self.options).map_err(|e| self.failure(&e, None))?;
        self.borrowed = device.borrowed();
        if let Some(report) = &mut self.report {
            report_query(report, &self.host, &mut device);
        }
        Ok(device)
    }

    fn failure(&self, error: &JobError, image: Option<&Path>) -> Failure {
        tracing::error!(error = ?error, "failed");
        Failure::of_job(error, &self.hint_context(image))
    }

    fn hint_context<'c>(&'c self, image: Option<&'c Path>) -> HintContext<'c> {
        HintContext {
            card: self.device.as_ref(),
            image,
            typed: Some(&self.typed),
            ..HintContext::default()
        }
    }

    /// The failure of a job whose question was not answered with yes.
    fn declined(&self, reply: Reply) -> Failure {
        let (code, message) = match reply {
            Reply::Interrupted => (Code::Interrupted, "interrupted; nothing was changed"),
            Reply::NoTerminal => (
                Code::NoTerminal,
                "there is no terminal for the question; nothing was changed",
            ),
            Reply::Yes | Reply::No => (Code::Declined, "not confirmed; nothing was changed"),
        };
        Failure::new(code, message).with_hint(&self.hint_context(None))
    }

    fn image(&self, path: &Path) -> Result<ImageFile, Failure> {
        job::read_image(path).map_err(|e| self.failure(&e, Some(path)))
    }

    /// Writes a file that must not exist yet.
    fn create_file(&self, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        create_file(path, bytes).map_err(|source| {
            let path = path.to_owned();
            self.failure(&JobError::WriteFile { path, source }, None)
        })
    }
}

/// Adds the query of a card that was just opened to the bug report.
pub(super) fn report_query(report: &mut BugReport, host: &Host, device: &mut Device) {
    report.record_journal(host);
    let query = job::query_card(device);
    report.set_query(match &query {
        Ok(outcome) => Ok(card::query_json(outcome)),
        Err(error) => Err(format!("the card could not be queried: {error}")),
    });
}

fn backup_dir(named: &Option<PathBuf>) -> PathBuf {
    named.clone().unwrap_or_else(job::default_backup_dir)
}

pub(super) fn run(cli: Cli, ctx: &mut Ctx<'_>) -> Result<CommandResult, Failure> {
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
        Command::Rom(RomCommand::Info { file }) => parts::rom_info(ctx, file.as_deref()),
        Command::Rom(RomCommand::Read { out, image }) => {
            parts::rom_read(ctx, &out, image.as_deref())
        }
        Command::Rom(RomCommand::Write(args)) => write::rom_write(ctx, &args),
        Command::Rom(RomCommand::Remove(args)) => write::rom_remove(ctx, &args),
        Command::Config(ConfigCommand::Show {
            image,
            key,
            summary,
        }) => config::show(ctx, image.as_deref(), key.as_deref(), summary),
        Command::Config(ConfigCommand::Query) => config::query(ctx),
        Command::Config(ConfigCommand::Set(args)) => config::set(ctx, &args),
        Command::Config(ConfigCommand::Reset(args)) => write::config_reset(ctx, &args),
        Command::Identity(IdentityCommand::Set(args)) => write::identity_set(ctx, &args),
        Command::Identity(IdentityCommand::Show { image }) => {
            parts::identity_show(ctx, image.as_deref())
        }
        Command::Flash(FlashCommand::Info) => parts::flash_info(ctx),
        Command::Flash(FlashCommand::Read { out, from, len }) => {
            parts::flash_read(ctx, &out, from, len)
        }
        Command::Flash(FlashCommand::Protect(args)) => parts::protect(ctx, &args),
        Command::Unlock(args) => parts::unlock(ctx, &args),
        // `cx3flash flint ...` does not come through this parser.
        Command::Flint(_) => Err(Failure::new(
            Code::Usage,
            "`flint` must be the first word of the command, after our own flags",
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

/// What a command leaves that succeeded or had nothing to do.
#[derive(Debug)]
pub(super) struct CommandResult {
    pub(super) exit: Exit,
    pub(super) result: Value,
}

impl CommandResult {
    fn done(result: Value) -> Self {
        Self {
            exit: Exit::Done,
            result,
        }
    }

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
