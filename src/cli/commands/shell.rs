//! `completions` and `man`, generated from the definitions of the parser.

use super::{Ctx, Ran, create_new};
use crate::cli::args::Cli;
use crate::cli::failure::Failure;
use crate::cli::page::Page;
use crate::escape;
use crate::job::Code;
use clap::CommandFactory;
use serde_json::json;
use std::path::Path;

pub(super) fn completions(ctx: &mut Ctx<'_>, shell: clap_complete::Shell) -> Ran {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cx3flash", &mut script);
    let script = String::from_utf8_lossy(&script);
    let mut text = Page::default();
    text.lines(&script);
    ctx.done(&text, &json!({ "shell": shell.to_string(), "script": script }))
}

pub(super) fn man(ctx: &mut Ctx<'_>, dir: Option<&Path>) -> Ran {
    let mut pages = Vec::new();
    let mut root = Cli::command();
    root.build();
    collect(&root, &mut pages)?;
    let mut text = Page::default();
    let mut list = Vec::new();
    for (name, roff) in pages {
        match dir {
            None => text.lines(&roff),
            Some(dir) => {
                let path = dir.join(format!("{name}.1"));
                create_new(&path, roff.as_bytes())?;
                text.line(escape::path(&path));
            }
        }
        list.push(json!({ "name": name, "roff": roff }));
    }
    ctx.done(&text, &json!({ "pages": list }))
}

/// The page of a command, then those of its subcommands.
fn collect(command: &clap::Command, pages: &mut Vec<(String, String)>) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let name = name.to_owned();
    let mut roff = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name.clone()).render(&mut roff).map_err(|e| {
        Failure::from_error(Code::Internal, &e).about("the manual page cannot be made")
    })?;
    pages.push((name, String::from_utf8_lossy(&roff).into_owned()));
    for sub in command.get_subcommands() {
        collect(sub, pages)?;
    }
    Ok(())
}
