//! Help, the version, and command lines that cannot be parsed.

use super::Executed;
use super::args::Cli;
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

/// The command to type instead.
fn hint(error: &clap::Error, argv: &[OsString]) -> Option<String> {
    if argv.len() < 2 {
        return Some("run a complete update on a simulated card: cx3flash demo".into());
    }
    if error.kind() != ErrorKind::InvalidSubcommand {
        let command = command_in(argv);
        return Some(format!("see what it takes: cx3flash{command} --help"));
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    if let Some((_, ours)) = COMMANDS.iter().find(|(theirs, _)| theirs == word) {
        return Some(format!("cx3flash {ours}"));
    }
    // clap lists the likeliest one last.
    let suggested = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::String(one)) => Some(one),
        Some(ContextValue::Strings(several)) => several.last(),
        _ => None,
    };
    suggested.map(|s| format!("cx3flash {s}"))
}

/// The words of the command in a command line that is wrong, each behind a blank.
fn command_in(argv: &[OsString]) -> String {
    let root = Cli::command();
    let mut command = &root;
    let mut words = String::new();
    for word in argv.iter().skip(1) {
        if let Some(inner) = command.find_subcommand(word) {
            words = words + " " + inner.get_name();
            command = inner;
        }
    }
    words
}

/// The end of a command line that clap did not turn into a command.
pub(super) fn not_understood(error: &clap::Error, json: bool, argv: &[OsString]) -> Executed {
    let mode = OutputMode { json, quiet: false };
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
            let fields = ("cx3flash".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
            ("version", json::result(&VersionOutcome { name: fields.0, version: fields.1 }))
        } else {
            ("help", json::result(&HelpOutcome { text: rendered }))
        };
        let document = Document::new(Some(command), Exit::Done);
        return Executed {
            exit: Exit::Done,
            mode,
            document: Document { result: Some(result), ..document },
            failure: None,
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
