use super::facts::{COMMANDS, ENVIRONMENT};
use super::{pages, visible, workflow_lines};
use crate::cli::args::Cli;
use crate::flint;
use clap::{Command, CommandFactory};
use std::collections::BTreeSet;

/// Variables that are no interface: tests, and the scripts of the shells.
const INTERNAL: [&str; 3] = ["CX3FLASH_ROOT", "CX3FLASH_COMPLETE", "CX3FLASH_COMMIT"];

fn root() -> Command {
    let mut root = Cli::command();
    root.build();
    root
}

/// The commands that do something, and those that only group others, as typed.
fn commands(command: &Command, before: &str, found: &mut Vec<String>) {
    for inner in visible(command) {
        let name = format!("{before} {}", inner.get_name()).trim().to_owned();
        if inner.has_subcommands() {
            commands(inner, &name, found);
        } else {
            found.push(name);
        }
    }
}

#[test]
fn every_command_has_a_description_and_an_example() {
    let root = root();
    let mut names = Vec::new();
    commands(&root, "", &mut names);
    for name in &names {
        let mut command = &root;
        for word in name.split(' ') {
            command = command.find_subcommand(word).unwrap();
        }
        assert!(command.get_about().is_some(), "{name} has no description");
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            assert!(arg.get_help().is_some(), "{name}: {} has no description", arg.get_id());
        }
        let rows: Vec<_> = COMMANDS.iter().filter(|row| row.command == name).collect();
        assert_eq!(rows.len(), 1, "{name} needs one row in src/cli/man/facts.rs");
        assert!(!rows[0].examples.is_empty(), "{name} has no example");
    }
    for row in COMMANDS {
        assert!(names.contains(&row.command.to_owned()), "{} is no command", row.command);
        for related in row.related {
            assert!(names.contains(&(*related).to_owned()), "{}: {related}", row.command);
        }
    }
}

/// The words of an example as a shell passes them, up to a pipe or a redirection.
fn shell_words(line: &str) -> Vec<String> {
    let line = line.split(" | ").next().unwrap().split(" > ").next().unwrap();
    line.trim_start_matches("sudo ").split(' ').map(|word| word.replace('\'', "")).collect()
}

#[test]
fn every_example_is_a_command_line_of_its_command() {
    for row in COMMANDS {
        for (line, effect) in row.examples {
            assert!(effect.ends_with('.'), "{line}: {effect}");
            let words = shell_words(line);
            if words[0] == "ln" {
                continue;
            }
            assert_eq!(words[0], "cx3flash", "{line}");
            let words: Vec<_> = words.iter().map(Into::into).collect();
            let parsed = Cli::of(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(parsed.name, row.command, "{line}");
        }
    }
}

#[test]
fn the_workflow_is_that_of_the_readme() {
    let lines = workflow_lines();
    assert!(lines.len() >= 5, "{lines:?}");
    for (line, remark) in lines {
        let words = shell_words(line);
        let words: Vec<_> = words.iter().map(Into::into).collect();
        assert!(Cli::of(&words).is_ok(), "{line}");
        assert!(!remark.is_empty(), "{line}");
    }
}

#[test]
fn pages_name_each_other_and_no_hidden_command() {
    let pages = pages(&root());
    let names: BTreeSet<&str> = pages.iter().map(|page| &*page.name).collect();
    assert_eq!(names.len(), pages.len());
    assert!(!names.iter().any(|name| name.contains("__")), "{names:?}");
    for page in &pages {
        assert!(!page.roff.contains("host\\-write"), "{}", page.name);
        let (_, see_also) = page.roff.split_once(".SH \"SEE ALSO\"").unwrap();
        for reference in see_also.split(", ") {
            let name = reference.trim().replace("\\fB", "").replace("\\fR(1)", "");
            assert!(names.contains(&*name.replace('\\', "")), "{}: {name}", page.name);
        }
    }
}

#[test]
fn the_page_of_flint_has_its_grammar() {
    let sections = flint::help_sections();
    assert!(sections.len() >= 5, "{sections:?}");
    let pages = pages(&root());
    let page = pages.iter().find(|page| page.name == "cx3flash-flint").unwrap();
    for text in ["-blank_guids", "verify|v", "RETURN VALUES", "docs/flint.md"] {
        let found = page.roff.contains(&text.replace('-', "\\-"));
        assert_eq!(found, text != "RETURN VALUES", "{text}");
    }
}

#[test]
fn every_variable_is_documented() {
    let mut left = vec![std::path::PathBuf::from("src")];
    let mut found = BTreeSet::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !path.to_string_lossy().contains("tests") {
            let text = std::fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for part in code.split("CX3FLASH_").skip(1) {
                let end = part.find(|c: char| !c.is_ascii_uppercase() && c != '_');
                found.insert(format!("CX3FLASH_{}", &part[..end.unwrap_or(part.len())]));
            }
        }
    }
    assert!(found.len() >= 4, "the scan is blind: {found:?}");
    for variable in found {
        let documented = ENVIRONMENT.iter().any(|(name, _)| *name == variable);
        assert!(documented || INTERNAL.contains(&&*variable), "{variable}");
    }
}
