//! Help, the version, and command lines that cannot be parsed.

use super::Executed;
use super::args::Cli;
use super::build_info;
use super::failure::Failure;
use super::json::results::{HelpOutcome, VersionOutcome};
use super::json::{self, Document};
use super::page::Page;
use super::terminal::{Out, OutputMode};
use crate::job::{Code, Exit};
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// Commands of flint, mlxburn and ethtool, and ours.
const COMMANDS: [(&str, &str); 20] = [
    ("b", "burn"),
    ("bb", "restore"),
    ("brom", "rom write"),
    ("clear_semaphore", "unlock"),
    ("dc", "config show"),
    ("drom", "rom remove"),
    ("dump", "backup"),
    ("erase", "restore"),
    ("flash-burn", "burn"),
    ("hw", "flash info"),
    ("info", "query"),
    ("q", "query"),
    ("qrom", "rom info"),
    ("rb", "flash read"),
    ("reset", "activate"),
    ("reset_cfg", "config reset"),
    ("ri", "backup"),
    ("rrom", "rom read"),
    ("sg", "identity set"),
    ("v", "verify"),
];

/// The command to type instead of one that does not exist; `typed` is its name, `near` one of a similar name.
fn instead(typed: &str, near: Option<&str>) -> Option<String> {
    let ours = COMMANDS.iter().find(|(theirs, _)| *theirs == typed).map(|(_, ours)| *ours);
    ours.or(near).map(str::to_owned)
}

/// The command to type next.
fn hint(error: &clap::Error, argv: &[OsString]) -> Option<String> {
    if argv.len() < 2 {
        return Some("run a complete update on a simulated card: cx3flash demo".into());
    }
    let command = command_in(argv);
    let words = command.get_bin_name().unwrap_or("cx3flash").to_owned();
    if error.kind() != ErrorKind::InvalidSubcommand {
        return Some(format!("see what it takes: {words} --help"));
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    // clap lists the likeliest one last.
    let suggested = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::String(one)) => Some(one),
        Some(ContextValue::Strings(several)) => several.last(),
        _ => None,
    };
    Some(match instead(word, suggested.map(String::as_str)) {
        // Theirs are words of the first place.
        Some(ours) if words == "cx3flash" => format!("cx3flash {ours}"),
        _ => match suggested {
            Some(suggested) => format!("{words} {suggested}"),
            None => format!("list the commands: {words} --help"),
        },
    })
}

/// Every command, with its full name.
fn commands() -> clap::Command {
    let mut root = Cli::command();
    root.build();
    root
}

/// The command in a command line that is wrong, as far as its words are known.
fn command_in(argv: &[OsString]) -> clap::Command {
    let root = commands();
    let mut command = &root;
    for word in argv.iter().skip(1) {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    command.clone()
}

/// `cx3flash burn [OPTIONS] <IMAGE>`
fn line_of(mut command: clap::Command) -> String {
    let usage = command.render_usage().to_string();
    let line = usage.split_whitespace().collect::<Vec<_>>().join(" ");
    line.strip_prefix("Usage: ").unwrap_or(&line).to_owned()
}

/// Adds what the command takes to a failure that the command itself reports.
pub(super) fn explain(failure: &mut Failure, name: &str) {
    let argv: Vec<OsString> =
        std::iter::once("cx3flash").chain(name.split(' ')).map(OsString::from).collect();
    if failure.hint == Failure::new(Code::Usage, "").hint {
        failure.hint = Some(format!("see what it takes: cx3flash {name} --help"));
    }
    failure.usage = Some(line_of(command_in(&argv)).into());
}

/// The help of a command, all of it: `help sim create` is `sim create --help`.
pub(super) fn help(words: &[String]) -> Result<String, Failure> {
    let root = commands();
    let mut command = &root;
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| {
            let name = command.get_bin_name().unwrap_or("cx3flash");
            let mut failure = Failure::new(Code::Usage, format!("{name} has no command {word:?}"));
            let ours = instead(word, None).filter(|_| words.len() == 1);
            failure.hint = Some(match ours {
                Some(ours) => format!("cx3flash help {ours}"),
                None => format!("list the commands: {name} --help"),
            });
            failure
        })?;
    }
    let option = ["cx3flash"].into_iter().chain(words.iter().map(String::as_str)).chain(["--help"]);
    Ok(match Cli::command().try_get_matches_from(option) {
        Err(shown) if shown.kind() == ErrorKind::DisplayHelp => shown.render().to_string(),
        // It takes `--help` for a word of its own.
        _ => command.clone().render_long_help().to_string(),
    })
}

/// The end of a command line that clap did not turn into a command.
pub(super) fn not_understood(error: &clap::Error, json: bool, argv: &[OsString]) -> Executed {
    let mode = OutputMode { json, ..OutputMode::default() };
    let mut out = Out::new(mode);
    let shown = |text: &str| {
        let mut page = Page::default();
        page.lines(text);
        page
    };
    let rendered = error.render().to_string();
    if !error.use_stderr() {
        out.text(&shown(&rendered));
        // Both are documents with `--json`.
        let (command, result) = if error.kind() == ErrorKind::DisplayVersion {
            let version = VersionOutcome {
                name: "cx3flash".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                commit: build_info::COMMIT.map(str::to_owned),
                features: build_info::FEATURES.iter().map(|name| (*name).to_owned()).collect(),
            };
            ("version", json::result(&version))
        } else {
            ("help", json::result(&HelpOutcome { text: rendered }))
        };
        let document = Document::new(Some(command), Exit::Done);
        return Executed {
            exit: Exit::Done,
            mode,
            document: Document { result: Some(result), ..document },
            failure: None,
            listing: None,
            stdout_problem: out.take_problem(),
        };
    }
    let message = if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        if !json {
            out.error(&shown(&rendered));
        }
        "name a command".to_owned()
    } else if error.kind() == ErrorKind::MissingSubcommand {
        // clap's text lists every command, hidden ones too.
        "name a command".to_owned()
    } else {
        let message = rendered
            .lines()
            .map(str::trim)
            .take_while(|l| !l.is_empty() && !l.starts_with("Usage:"))
            .collect::<Vec<_>>()
            .join(" ");
        message.strip_prefix("error: ").unwrap_or(&message).to_owned()
    };
    let mut failure = Failure::new(Code::Usage, message);
    failure.hint = hint(error, argv).or(failure.hint);
    if error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        failure.usage = Some(line_of(command_in(argv)).into());
    }
    Executed::failed(None, mode, failure)
}

#[cfg(test)]
mod tests {
    use super::COMMANDS;
    use crate::cli::args::Cli;
    use clap::CommandFactory;

    #[test]
    fn each_suggested_command_exists() {
        let root = Cli::command();
        for (theirs, ours) in COMMANDS {
            let mut command = &root;
            for word in ours.split(' ') {
                command = command.find_subcommand(word).expect(ours);
            }
            assert!(root.find_subcommand(theirs).is_none(), "{theirs} is ours");
        }
    }
}
