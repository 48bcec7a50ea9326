//! One file per family of commands: arguments to requests, outcomes to text and JSON.

mod image_text;
mod images;
mod shell;

use super::args::{Cli, Command, ConfigCommand, FlashCommand, IdentityCommand, RomCommand};
use super::args_sim::SimCommand;
use super::exit::Exit;
use super::failure::Failure;
use super::out::Out;
use super::progress::{Progress, StopFlag};
use serde_json::Value;

/// What a command has at hand.
pub(super) struct Ctx<'a> {
    /// The streams.
    pub(super) out: &'a mut Out,
    /// `-d`.
    pub(super) device: Option<String>,
    /// SIGINT and SIGTERM.
    pub(super) stop: &'a StopFlag,
}

impl Ctx<'_> {
    /// A listener for a job.
    pub(super) fn progress(&self) -> Progress {
        Progress::new(self.out.manner(), self.stop.clone())
    }
}

/// What a command that did what it was asked to (or had nothing to do) leaves.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) exit: Exit,
    pub(super) result: Value,
}

impl Answer {
    pub(super) fn done(result: Value) -> Self {
        Self {
            exit: Exit::Done,
            result,
        }
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
        Command::Rom(RomCommand::Write { .. }) => "rom write",
        Command::Rom(RomCommand::Remove { .. }) => "rom remove",
        Command::Config(ConfigCommand::Show { .. }) => "config show",
        Command::Config(ConfigCommand::Reset { .. }) => "config reset",
        Command::Identity(IdentityCommand::Show { .. }) => "identity show",
        Command::Identity(IdentityCommand::Set { .. }) => "identity set",
        Command::Flash(FlashCommand::Info) => "flash info",
        Command::Flash(FlashCommand::Read { .. }) => "flash read",
        Command::Unlock(_) => "unlock",
        Command::Sim(SimCommand::Create(_)) => "sim create",
        Command::Sim(SimCommand::Info { .. }) => "sim info",
        Command::Sim(SimCommand::Fault { .. }) => "sim fault",
        Command::Sim(SimCommand::PowerCycle { .. }) => "sim power-cycle",
        Command::Sim(SimCommand::Image(_)) => "sim image",
        Command::Demo(_) => "demo",
        Command::Completions(_) => "completions",
        Command::Man(_) => "man",
    }
}
