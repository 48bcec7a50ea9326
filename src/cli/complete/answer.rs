//! What fits the last word of a command line, by the definition of the parser.

use clap::{Arg, Command, ValueHint};

/// A word, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CompletionValue {
    pub(super) text: String,
    pub(super) help: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Completion {
    Values(Vec<CompletionValue>),
    /// The name of a file, or any text.
    File,
}

/// What the words before the last one mean.
struct Parsed<'a> {
    command: &'a Command,
    /// The option whose value comes next.
    pending: Option<&'a Arg>,
    /// Values that are no option's, since the command's name.
    positional: Vec<&'a str>,
    /// `--` was typed.
    no_options: bool,
}

/// Completes the last of `words`. `root` is built, so that each command has the options of all.
pub(super) fn complete(
    root: &Command,
    words: &[String],
    cards: &dyn Fn() -> Vec<CompletionValue>,
) -> Completion {
    let Some((typed, before)) = words.split_last() else {
        return Completion::Values(Vec::new());
    };
    let parsed = parse(root, before);
    let values = |arg, typed: &str, prefix: &str| {
        let fitting = fitting(values_of(arg, root, &parsed, cards), typed, prefix);
        // Another name of a card may be that of a card file.
        if is_card(arg) && fitting == Completion::Values(Vec::new()) {
            return Completion::File;
        }
        fitting
    };
    if let Some(arg) = parsed.pending {
        return values(arg, typed, "");
    }
    // Words of flint.
    if parsed.command.get_positionals().any(Arg::is_trailing_var_arg_set) {
        return Completion::File;
    }
    if typed.starts_with('-') && !parsed.no_options {
        return match typed.split_once('=') {
            None => fitting(Completion::Values(options(parsed.command)), typed, ""),
            Some((name, value)) => match option(parsed.command, name) {
                Some(arg) => values(arg, value, &format!("{name}=")),
                None => Completion::Values(Vec::new()),
            },
        };
    }
    if parsed.command.has_subcommands() {
        return fitting(Completion::Values(subcommands(parsed.command)), typed, "");
    }
    let mut positionals = parsed.command.get_positionals();
    let last = parsed.command.get_positionals().last().filter(|arg| takes_many(arg));
    match positionals.nth(parsed.positional.len()).or(last) {
        Some(arg) => values(arg, typed, ""),
        None => Completion::Values(Vec::new()),
    }
}

fn parse<'a>(root: &'a Command, words: &'a [String]) -> Parsed<'a> {
    let mut parsed =
        Parsed { command: root, pending: None, positional: Vec::new(), no_options: false };
    for word in words {
        if parsed.pending.take().is_some() {
            continue;
        }
        if word == "--" && !parsed.no_options {
            parsed.no_options = true;
        } else if word.starts_with('-') && word.len() > 1 && !parsed.no_options {
            if !word.contains('=') {
                parsed.pending = option(parsed.command, word);
            }
        } else if let Some(inner) = parsed.command.find_subcommand(word) {
            parsed.command = inner;
            parsed.positional.clear();
        } else {
            parsed.positional.push(word);
        }
    }
    parsed
}

/// The option with this name, when it takes a value.
fn option<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let found = match name.strip_prefix("--") {
        Some(long) => command.get_arguments().find(|arg| arg.get_long() == Some(long)),
        // Of several letters the last one.
        None => command.get_arguments().find(|arg| arg.get_short() == name.chars().last()),
    };
    found.filter(|arg| !arg.is_positional() && arg.get_action().takes_values())
}

fn takes_many(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

fn options(command: &Command) -> Vec<CompletionValue> {
    let named = command.get_arguments().filter(|arg| !arg.is_hide_set());
    named
        .filter_map(|arg| {
            let text = format!("--{}", arg.get_long()?);
            Some(CompletionValue { text, help: first_line(arg.get_help()) })
        })
        .collect()
}

fn subcommands(command: &Command) -> Vec<CompletionValue> {
    let visible = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    visible
        .map(|inner| CompletionValue {
            text: inner.get_name().to_owned(),
            help: first_line(inner.get_about()),
        })
        .collect()
}

fn values_of(
    arg: &Arg,
    root: &Command,
    parsed: &Parsed<'_>,
    cards: &dyn Fn() -> Vec<CompletionValue>,
) -> Completion {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let visible = possible.iter().filter(|value| !value.is_hide_set());
        return Completion::Values(
            visible
                .map(|value| CompletionValue {
                    text: value.get_name().to_owned(),
                    help: first_line(value.get_help()),
                })
                .collect(),
        );
    }
    if is_card(arg) {
        return Completion::Values(cards());
    }
    match (arg.get_id().as_str(), arg.get_value_hint()) {
        // The words of another command.
        ("command", _) => {
            let mut named = root;
            for word in &parsed.positional {
                named = named.find_subcommand(word).unwrap_or(named);
            }
            Completion::Values(subcommands(named))
        }
        (_, ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath) => Completion::File,
        _ => Completion::Values(Vec::new()),
    }
}

fn is_card(arg: &Arg) -> bool {
    matches!(arg.get_id().as_str(), "device" | "card")
}

/// The values that begin as typed, behind `prefix`.
fn fitting(completion: Completion, typed: &str, prefix: &str) -> Completion {
    let Completion::Values(values) = completion else {
        return Completion::File;
    };
    let fitting = values
        .into_iter()
        .filter(|value| value.text.starts_with(typed))
        .map(|value| CompletionValue { text: format!("{prefix}{}", value.text), ..value });
    Completion::Values(fitting.collect())
}
