//! One file per family of commands: arguments to requests, outcomes to text and JSON.

mod card;
mod config;
mod demo;
mod every;
mod host;
mod parts;
mod selftest;
mod shell;
mod sim;
mod trace;
mod write;

pub(super) use card::cards_here;
pub(super) use host::afterwards;

use super::args::{
    Command, ConfigCommand, FlashCommand, HostCommand, IdentityCommand, RomCommand, TraceCommand,
};
use super::failure::Failure;
use super::json;
use super::json::results::HelpOutcome;
use super::page::Page;
use super::progress::Progress;
use super::stop::{StopFlag, Work};
use super::terminal::{Out, Reply, answer_signal, ask, is_terminal};
use super::usage;
use crate::card::BarAccess;
use crate::host::{BorrowOptions, Borrowed, Host, create_file};
use crate::job::{
    self, BugReport, CardSelector, Code, Device, Exit, HintContext, ImageFile, JobError,
    ShownTrace, WriteRequest,
};
use crate::plan::StartRequest;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub(super) struct Ctx<'a> {
    pub(super) out: Out,
    /// `-d`, or the only card once it is chosen.
    pub(super) device: Option<CardSelector>,
    /// The image file of the command.
    pub(super) image: Option<PathBuf>,
    /// The ROM file of the command.
    pub(super) rom: Option<PathBuf>,
    pub(super) stop: &'a StopFlag,
    /// The card is named on the command line, not by the environment.
    pub(super) device_typed: bool,
    /// `--trace`.
    pub(super) traced: bool,
    /// `-v`.
    pub(super) verbose: bool,
    /// The command changes a card: begin and end of its work go to the system's log.
    pub(super) changes_card: bool,
    /// Its begin is there.
    pub(super) begun: bool,
    /// The command as typed, quoted for a shell.
    pub(super) typed: String,
    /// `--key-file`.
    pub(super) key_file: Option<PathBuf>,
    pub(super) host: Host,
    /// `--allow`, `--bar-access`.
    pub(super) options: BorrowOptions,
    /// The real card this command borrowed.
    pub(super) borrowed: Option<Borrowed>,
    /// `--report`.
    pub(super) report: Option<BugReport>,
    /// The answer to the question of the command.
    pub(super) reply: Reply,
    /// What is known of the result, also when the command fails.
    pub(super) result: Option<Value>,
    /// The lists of the result, where they are written as they are read.
    pub(super) listing: Option<ShownTrace>,
}

impl Ctx<'_> {
    fn progress(&self) -> Progress {
        Progress::new(self.out.mode, self.stop.clone())
    }

    /// The card the user named, or the only one there is.
    fn card(&mut self) -> Result<CardSelector, Failure> {
        let card = match &self.device {
            Some(named) => named.or_simulated(&card::cards_here(), &self.host),
            None => {
                let chosen = card::only_card(&self.host, &self.typed)?;
                self.out.remark(format_args!("using {chosen}, the only card here"));
                self.device = Some(chosen.clone());
                chosen
            }
        };
        if card.is_sim()
            && let Some(access) = self.options.access.take()
        {
            self.out.remarks(&access_not_used(access));
        }
        Ok(card)
    }

    /// From here on a signal requests a stop instead of ending the process.
    fn catch_signals(&self) {
        let caught = match self.out.mode.quiet {
            true => self.stop.catch(),
            false => self.stop.catch_and_answer(answer_signal),
        };
        if let Err(error) = caught {
            self.out.remark(format_args!("signals cannot be caught: {error}"));
        }
    }

    /// For reading a file before the card is opened: waiting for it ends with a signal.
    fn reading(&self) -> Progress {
        self.catch_signals();
        self.progress()
    }

    /// The flag that signals raise from here on.
    fn caught(&self) -> Arc<AtomicBool> {
        self.catch_signals();
        self.stop.shared()
    }

    /// Opens the card.
    fn open(&mut self) -> Result<Device, CommandError> {
        let name = self.card()?;
        self.catch_signals();
        if self.stop.raised() {
            return Err(JobError::Interrupted.into());
        }
        if self.changes_card && !name.is_sim() {
            self.host.log_line(&format!("begins on {name}: {}", self.typed));
            self.begun = true;
        }
        self.stop.works_on(Work::Card, None);
        let mut device = job::open(&name, &self.host, &self.options)?;
        self.borrowed = device.borrowed();
        if let Some(report) = &mut self.report {
            report_query(report, &self.host, &mut device);
        }
        Ok(device)
    }

    /// The end of the work on a card, for the system's log.
    pub(super) fn ended(&mut self, exit: Exit) {
        if std::mem::take(&mut self.begun) {
            let (code, meaning) = (exit.code(), exit.meaning());
            self.host.log_line(&format!("ends with exit {code} ({meaning}): {}", self.typed));
        }
    }

    fn failure(&self, error: &JobError) -> Failure {
        Failure::of_job(error, &self.hint_context())
    }

    fn hint_context(&self) -> HintContext<'_> {
        HintContext {
            card: self.device.as_ref(),
            image: self.image.as_deref(),
            rom: self.rom.as_deref(),
            typed: Some(&self.typed),
            key_file: self.key_file.as_deref(),
            ..HintContext::of_process()
        }
    }

    /// A question that cannot be asked is an error before the card is taken.
    fn can_ask(&mut self, yes: bool) -> Result<(), Failure> {
        if yes || is_terminal() {
            return Ok(());
        }
        self.reply = Reply::NoTerminal;
        Err(self.declined())
    }

    /// The card as a question names it: `enp1s0 (MCX311A-XCAT, 01:00.0)`.
    fn card_and_board(&self, device: &Device) -> String {
        let name = self.device.as_ref().map_or_else(|| device.name.clone(), ToString::to_string);
        let label = || self.host.vpd_label(device.borrowed()?.card().bdf).part_number;
        let board = device.board.clone().or_else(label);
        let board = board.unwrap_or_else(|| device.card.chip().name());
        let address = device.bdf.as_deref().map(|bdf| bdf.strip_prefix("0000:").unwrap_or(bdf));
        let mut words = vec![board.as_str()];
        words.extend(address.filter(|address| !name.ends_with(address)));
        format!("{name} ({})", words.join(", "))
    }

    /// Asks, unless `--yes` was given.
    fn confirm(&mut self, yes: bool, question: &str) -> bool {
        if !yes {
            self.reply = ask(question, self.stop);
        }
        self.reply == Reply::Yes
    }

    /// The failure of a job whose question was not answered with yes.
    fn declined(&mut self) -> Failure {
        let (code, message) = match self.reply {
            Reply::Interrupted => (Code::Interrupted, "interrupted; nothing was changed"),
            Reply::NoTerminal => {
                (Code::NoTerminal, "there is no terminal for the question; nothing was changed")
            }
            Reply::Yes | Reply::No => (Code::Declined, "not confirmed; nothing was changed"),
        };
        Failure::new(code, message).with_hint(&self.hint_context())
    }

    fn image(&mut self, path: &Path) -> Result<ImageFile, JobError> {
        self.image = Some(path.to_owned());
        job::read_image(path, &self.reading())
    }

    /// Prints the text for people; the outcome is the result.
    fn done<T: Serialize + JsonSchema>(&mut self, text: &Page, outcome: &T) -> Ran {
        self.unless(false, text, outcome)
    }

    /// As [`Ctx::done`], with the exit code of a command that had something to do or not.
    fn unless<T: Serialize + JsonSchema>(
        &mut self,
        nothing_to_do: bool,
        text: &Page,
        outcome: &T,
    ) -> Ran {
        self.out.text(text);
        self.result = Some(json::result(outcome));
        Ok(if nothing_to_do { Exit::NothingToDo } else { Exit::Done })
    }
}

/// Writes a file that must not exist yet.
fn create_new(path: &Path, bytes: &[u8]) -> Result<(), JobError> {
    let path = path.to_owned();
    create_file(&path, bytes).map_err(|source| JobError::WriteFile { path, source })
}

/// A simulated card has one register access.
pub(super) fn access_not_used(named: BarAccess) -> Page {
    Page::of(format_args!(
        "`--bar-access {named}` is not used: a simulated card has one register access, {}",
        BarAccess::Mmap
    ))
}

/// Adds the query of a card that was just opened to the bug report.
pub(super) fn report_query(report: &mut BugReport, host: &Host, device: &mut Device) {
    report.record_journal(host);
    report.know_serials(device.serial());
    let query = job::query_card(device);
    report.set_query(match &query {
        Ok(outcome) => Ok(card::query_json(outcome)),
        Err(error) => Err(format!("the card could not be queried: {error}")),
    });
}

fn help(ctx: &mut Ctx<'_>, command: &[String]) -> Ran {
    let outcome = HelpOutcome { text: usage::help(command)? };
    let mut text = Page::default();
    text.lines(&outcome.text);
    ctx.done(&text, &outcome)
}

fn backup_dir(named: Option<PathBuf>) -> PathBuf {
    named.unwrap_or_else(job::default_backup_dir)
}

/// The directory for backups, in which a file was written: an error before the card is taken.
fn proven_backup_dir(named: Option<PathBuf>) -> Result<PathBuf, JobError> {
    let dir = backup_dir(named);
    job::prove_backup_dir(&dir)?;
    Ok(dir)
}

/// Runs the command. What a job fails with gets its hint here, where its card and its image are known.
pub(super) fn run(command: Command, ctx: &mut Ctx<'_>) -> Result<Exit, Failure> {
    dispatch(command, ctx).map_err(|error| failure_of(error, ctx))
}

fn failure_of(error: CommandError, ctx: &mut Ctx<'_>) -> Failure {
    match error {
        CommandError::Failure(failure) => failure,
        CommandError::Job(JobError::Declined) => ctx.declined(),
        CommandError::Job(error) => ctx.failure(&error),
    }
}

fn dispatch(command: Command, ctx: &mut Ctx<'_>) -> Ran {
    match command {
        Command::List { full } => card::list(ctx, full),
        Command::Doctor => card::doctor(ctx),
        Command::Query { image, full } => card::query(ctx, image.as_deref(), full),
        Command::Verify { against: Some(path), .. } => card::verify_against(ctx, &path),
        Command::Verify { image, .. } => card::verify(ctx, image.as_deref()),
        Command::Backup { out } => parts::backup(ctx, out),
        Command::Selftest(args) => selftest::run(ctx, &args),
        Command::Images { store } => card::images(ctx, &store),
        Command::Plan(args) => write::plan(ctx, args),
        Command::Burn(args) => write::burn(ctx, args),
        Command::Restore(args) => write::restore(ctx, args),
        Command::Recover(args) => write::recover(ctx, args),
        Command::Activate => parts::activate(ctx),
        Command::Rom(RomCommand::Info { file }) => parts::rom_info(ctx, file),
        Command::Rom(RomCommand::Read { out, image }) => {
            parts::rom_read(ctx, &out, image.as_deref())
        }
        Command::Rom(RomCommand::Write { rom, write }) => write::rom_write(ctx, &rom, write),
        Command::Rom(RomCommand::Remove(args)) => {
            write::write(ctx, args, StartRequest::WithDriver, &WriteRequest::RomRemove)
        }
        Command::Config(ConfigCommand::Show { image, key, summary }) => {
            config::show(ctx, image.as_deref(), key, summary)
        }
        Command::Config(ConfigCommand::Query) => config::query(ctx),
        Command::Config(ConfigCommand::Set { settings, write }) => {
            config::set(ctx, &settings, write)
        }
        Command::Config(ConfigCommand::Reset(args)) => {
            write::write(ctx, args, StartRequest::WithDriver, &WriteRequest::ConfigReset)
        }
        Command::Identity(IdentityCommand::Set { identity, write }) => {
            write::identity_set(ctx, &identity, write)
        }
        Command::Identity(IdentityCommand::Show { image }) => {
            parts::identity_show(ctx, image.as_deref())
        }
        Command::Flash(FlashCommand::Info) => parts::flash_info(ctx),
        Command::Flash(FlashCommand::Read { out, from, len }) => {
            parts::flash_read(ctx, &out, from, len)
        }
        Command::Flash(FlashCommand::Protect(args)) => parts::protect(ctx, &args),
        Command::Unlock { key, confirm } => parts::unlock(ctx, key.as_deref(), &confirm),
        // `cx3flash flint ...` does not come through this parser.
        Command::Flint { .. } => Err(Failure::new(
            Code::Usage,
            "`flint` must be the first word of the command, after our own flags",
        )
        .into()),
        Command::Host(HostCommand::Status) => host::status(ctx),
        Command::Host(HostCommand::Restore) => host::restore(ctx),
        Command::Host(HostCommand::Forget { card, confirm }) => {
            host::forget(ctx, &card, confirm.yes)
        }
        // The helper process of the lease: one sysfs write that cannot be cancelled.
        Command::HostWrite { attribute } => {
            std::process::exit(crate::host::write_attribute(&attribute))
        }
        Command::Sim(args) => sim::run(ctx, &args),
        Command::Trace(TraceCommand::Show { file, accesses }) => trace::show(ctx, &file, accesses),
        Command::Trace(TraceCommand::Replay { file }) => trace::replay(ctx, &file),
        Command::Trace(TraceCommand::Diff { file }) => trace::diff(ctx, &file),
        Command::Demo { dir, fast } => demo::run(ctx, &dir, fast),
        Command::Help { command } => help(ctx, &command),
        Command::Schema { command } => shell::schema(ctx, &command),
        Command::Completions { shell } => shell::completions(ctx, shell),
        Command::Man { out } => shell::man(ctx, out.as_deref()),
    }
}

/// Why a command failed: a job, or the command itself.
enum CommandError {
    Job(JobError),
    Failure(Failure),
}

impl From<JobError> for CommandError {
    /// `?` logs the error here, before the card is given back: that takes up to minutes and may not end.
    fn from(error: JobError) -> Self {
        if !matches!(error, JobError::Declined) {
            log_failure(&error);
        }
        Self::Job(error)
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// How a command ends that succeeded or had nothing to do.
type Ran = Result<Exit, CommandError>;

fn log_failure(error: &JobError) {
    tracing::error!(error = ?error, "failed");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, read_to_string};

    /// Stands for a card that is given back when it is dropped.
    struct OpenCard;

    impl Drop for OpenCard {
        fn drop(&mut self) {
            tracing::info!("given back");
        }
    }

    fn fails_with(error: JobError) -> Ran {
        let _card = OpenCard;
        let ended: Result<Exit, JobError> = Err(error);
        Ok(ended?)
    }

    #[test]
    fn a_failure_is_logged_before_the_card_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let subscriber =
            tracing_subscriber::fmt().json().with_writer(File::create(&path).unwrap()).finish();
        tracing::subscriber::with_default(subscriber, || {
            assert!(fails_with(JobError::NoPart("ROM")).is_err());
            assert!(fails_with(JobError::Declined).is_err());
        });
        let log = read_to_string(path).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 3, "{log}");
        assert!(lines[0].contains("NoPart"), "{log}");
        assert!(lines[1].contains("given back"), "{log}");
        assert!(lines[2].contains("given back"), "{log}");
    }
}
