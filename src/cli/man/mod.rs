//! The manual pages: one for each command, made from the definition of the parser, the tables of
//! [`facts`] and the README.

mod facts;
mod sheet;
#[cfg(test)]
mod tests;

use super::json::results::ManPage;
use crate::flint;
use crate::job::Exit;
use clap::{Arg, ArgAction, Command};
use facts::{COMMANDS, CommandFacts};
use roff::{Inline, bold, italic, roman};
use sheet::{Sheet, marked};

/// The name of the program, and of the overview page.
const PROGRAM: &str = "cx3flash";

/// How the README introduces the commands of an update: the workflow of the overview page.
const WORKFLOW: &str = "## Update a card";

/// Every page; `root` is the whole definition.
pub(super) fn pages(root: &Command) -> Vec<ManPage> {
    let mut pages = Vec::new();
    add(root, &[root], &mut pages);
    pages
}

/// The page of a command, then those of its subcommands; hidden commands have none. `path` leads from the
/// root to the command.
fn add(command: &Command, path: &[&Command], pages: &mut Vec<ManPage>) {
    pages.push(ManPage { name: page_name(path), roff: page(command, path) });
    for inner in visible(command) {
        add(inner, &[path, &[inner]].concat(), pages);
    }
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| !inner.is_hide_set())
}

/// `rom info`; empty for the root.
fn words(path: &[&Command]) -> String {
    let words: Vec<&str> = path.iter().skip(1).map(|command| command.get_name()).collect();
    words.join(" ")
}

fn page_name(path: &[&Command]) -> String {
    name_of_page(&words(path))
}

fn name_of_page(words: &str) -> String {
    if words.is_empty() { PROGRAM.into() } else { format!("{PROGRAM}-{}", words.replace(' ', "-")) }
}

fn page(command: &Command, path: &[&Command]) -> String {
    let name = page_name(path);
    let words = words(path);
    let is_flint = words == flint::COMMAND;
    let about = |text: Option<&clap::builder::StyledStr>| text.map(ToString::to_string);
    let short = about(command.get_about()).unwrap_or_default();
    let long = about(command.get_long_about()).unwrap_or_else(|| short.clone());
    let mut sheet = Sheet::new(&name, facts::EDITED);

    sheet.section("NAME");
    sheet.line(marked(&format!("{name} - {short}")));

    sheet.section("SYNOPSIS");
    synopsis(&mut sheet, command, path);

    sheet.section("DESCRIPTION");
    sheet.paragraphs(&long);
    if words.is_empty() {
        sheet.section("WORKFLOW");
        workflow(&mut sheet);
    }
    if command.has_subcommands() {
        sheet.section("COMMANDS");
        for inner in visible(command) {
            let name = page_name(&[path, &[inner]].concat());
            sheet.item(reference(&name), &about(inner.get_about()).unwrap_or_default());
        }
    }
    let mut own_exits = None;
    if is_flint {
        for (heading, block) in flint::help_sections() {
            match heading {
                "NAME" | "SYNOPSIS" => {}
                "RETURN VALUES" => own_exits = Some(block),
                heading => {
                    sheet.section(heading);
                    sheet.verbatim(block);
                }
            }
        }
        sheet.section("DIFFERENCES");
        sheet.paragraphs(FLINT_DIFFERENCES);
    }

    sheet.section("OPTIONS");
    if is_flint {
        sheet.paragraphs("These stand before the word `flint`; flint's flags stand behind it.");
    }
    options(&mut sheet, command);
    // The root's is about the help itself.
    if let Some(notes) = command.get_after_help().filter(|_| !words.is_empty()) {
        sheet.section("NOTES");
        sheet.verbatim(&notes.to_string());
    }

    sheet.section("EXIT STATUS");
    match own_exits {
        Some(block) => sheet.paragraphs(block),
        None => Exit::TABLE
            .iter()
            .for_each(|(exit, meaning)| sheet.item([bold(exit.code().to_string())], meaning)),
    }

    sheet.section("ENVIRONMENT");
    for (variable, effect) in facts::ENVIRONMENT {
        sheet.item([bold(variable)], effect);
    }
    sheet.section("FILES");
    for (file, content) in facts::files() {
        sheet.item([bold(file)], &content);
    }
    sheet.paragraphs(facts::FILES_OF_USERS);

    sheet.section("EXAMPLES");
    for facts in facts_of(&words) {
        for (line, effect) in facts.examples {
            sheet.item([bold(*line)], effect);
        }
    }
    if words.is_empty() {
        sheet.paragraphs("The pages of the commands have examples.");
    }

    sheet.section("SEE ALSO");
    sheet.line(see_also(command, path));
    sheet.render()
}

/// What flint's page states about other tools.
const FLINT_DIFFERENCES: &str = "Underneath are the jobs of the other commands: a backup before the first erase, and verification before \
     an image becomes bootable. Texts, questions and exit codes are those of mstflint 4.21. The file \
     docs/flint.md of the source lists every difference with its reason.\n\n\
     Links to the program named `flint` or `mstflint` need no word `flint`. Links named `mst`, `mlxconfig`, \
     `mstconfig`, `mlxfwmanager` and `mstfwmanager` list cards, query and store settings, and query firmware.";

/// The rows of a command, or of all commands of a group.
fn facts_of(words: &str) -> impl Iterator<Item = &'static CommandFacts> {
    let group = format!("{words} ");
    COMMANDS.iter().filter(move |row| row.command == words || row.command.starts_with(&group))
}

/// The commands of the README's update, with its remarks.
fn workflow(sheet: &mut Sheet) {
    for (line, remark) in workflow_lines() {
        sheet.item([bold(line)], remark);
    }
}

fn workflow_lines() -> Vec<(&'static str, &'static str)> {
    let readme = include_str!("../../../README.md");
    let after = readme.split_once(WORKFLOW).map_or("", |(_, after)| after);
    let block = after.split("```").nth(1).unwrap_or_default();
    let lines = block.lines().skip(1).filter_map(|line| line.split_once(" # "));
    lines.map(|(line, remark)| (line.trim(), remark.trim())).collect()
}

fn synopsis(sheet: &mut Sheet, command: &Command, path: &[&Command]) {
    if words(path) == flint::COMMAND {
        let options = [roman(" ["), italic("card and output options"), roman("] ")];
        let flint = [
            bold(flint::COMMAND),
            roman(" ["),
            italic("FLAGS"),
            roman("] "),
            italic("command"),
            roman(" ["),
            italic("arguments"),
            roman("]"),
        ];
        return sheet.line([&[bold(PROGRAM)], &options[..], &flint[..]].concat());
    }
    let mut line = vec![bold([PROGRAM, &words(path)].join(" ").trim_end())];
    for arg in own(command).filter(|arg| !arg.is_positional() && !is_help(arg)) {
        line.extend(optional(arg, head(arg, "|")));
    }
    line.extend([roman(" ["), italic("card and output options"), roman("]")]);
    for arg in command.get_positionals().filter(|arg| !arg.is_hide_set()) {
        line.extend(optional(arg, value(arg)));
    }
    if command.has_subcommands() {
        line.extend([roman(" "), italic("COMMAND")]);
    }
    sheet.line(line);
}

/// Behind a blank, in brackets when it may be left out.
fn optional(arg: &Arg, inlines: Vec<Inline>) -> Vec<Inline> {
    let (before, after) = if arg.is_required_set() { (" ", "") } else { (" [", "]") };
    [vec![roman(before)], inlines, vec![roman(after)]].concat()
}

/// The options and arguments of the command itself.
fn own(command: &Command) -> impl Iterator<Item = &Arg> {
    shown(command).filter(|arg| arg.get_help_heading().is_none())
}

fn shown(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_hide_set())
}

fn is_help(arg: &Arg) -> bool {
    matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpLong | ArgAction::HelpShort | ArgAction::Version
    )
}

fn options(sheet: &mut Sheet, command: &Command) {
    let (positional, named): (Vec<&Arg>, Vec<&Arg>) =
        own(command).partition(|arg| arg.is_positional());
    positional.iter().chain(&named).for_each(|arg| option(sheet, arg));
    let mut headings: Vec<&str> = Vec::new();
    for heading in shown(command).filter_map(Arg::get_help_heading) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        sheet.subsection(heading);
        shown(command)
            .filter(|arg| arg.get_help_heading() == Some(heading))
            .for_each(|arg| option(sheet, arg));
    }
}

/// Names and value of an argument.
fn head(arg: &Arg, between: &str) -> Vec<Inline> {
    if arg.is_positional() {
        return value(arg);
    }
    let short = arg.get_short().map(|letter| format!("-{letter}"));
    let long = arg.get_long().map(|name| format!("--{name}"));
    let mut inlines = Vec::new();
    for name in short.into_iter().chain(long) {
        if !inlines.is_empty() {
            inlines.push(roman(between));
        }
        inlines.push(bold(name));
    }
    if arg.get_action().takes_values() {
        inlines.push(roman(" "));
        inlines.extend(value(arg));
    }
    inlines
}

fn value(arg: &Arg) -> Vec<Inline> {
    let names = arg.get_value_names().unwrap_or_default();
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let name =
        if names.is_empty() { arg.get_id().as_str().to_uppercase() } else { names.join(" ") };
    let many = arg.get_num_args().is_some_and(|range| range.max_values() > 1);
    [vec![italic(name)], if many { vec![roman("...")] } else { Vec::new() }].concat()
}

fn option(sheet: &mut Sheet, arg: &Arg) {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
    let mut text = help.unwrap_or_default();
    let takes_value = arg.get_action().takes_values();
    let defaults = arg.get_default_values().iter().filter(|_| takes_value);
    for default in defaults.map(|value| value.to_string_lossy()) {
        text += &format!(" [default: {default}]");
    }
    if let Some(variable) = arg.get_env() {
        text += &format!(" [environment: `{}`]", variable.to_string_lossy());
    }
    sheet.item(head(arg, ", "), &text);
    let values = if takes_value { arg.get_possible_values() } else { Vec::new() };
    let values: Vec<_> = values.iter().filter(|value| !value.is_hide_set()).collect();
    if !values.is_empty() && !arg.is_hide_possible_values_set() {
        sheet.indented(|sheet| {
            for value in values {
                let help = value.get_help().map(ToString::to_string).unwrap_or_default();
                sheet.item([bold(value.get_name())], &help);
            }
        });
    }
}

/// The page above, those below, and related ones.
fn see_also(command: &Command, path: &[&Command]) -> Vec<Inline> {
    let mut names: Vec<String> = Vec::new();
    for length in (1..path.len()).rev() {
        names.push(page_name(path.get(..length).unwrap_or_default()));
    }
    names.extend(visible(command).map(|inner| page_name(&[path, &[inner]].concat())));
    let here = words(path);
    for row in COMMANDS.iter().filter(|row| row.command == here) {
        names.extend(row.related.iter().map(|related| name_of_page(related)));
    }
    let mut unique: Vec<String> = Vec::new();
    for name in names {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    let mut inlines = Vec::new();
    for name in unique {
        if !inlines.is_empty() {
            inlines.push(roman(", "));
        }
        inlines.extend(reference(&name));
    }
    inlines
}

fn reference(name: &str) -> [Inline; 2] {
    [bold(name), roman("(1)")]
}
