//! `completions` and `man`, generated from the definitions of the parser.

use super::{CommandResult, Ctx};
use crate::cli::args::{Cli, CompletionsArgs, ManArgs};
use crate::cli::failure::Failure;
use crate::job::Code;
use clap::CommandFactory;
use serde_json::json;
use std::path::Path;

pub(super) fn completions(
    ctx: &mut Ctx<'_>,
    args: &CompletionsArgs,
) -> Result<CommandResult, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cx3flash", &mut script);
    ctx.out.text(&String::from_utf8_lossy(&script));
    Ok(CommandResult::done(json!({
        "shell": args.shell.to_string(),
        "script": String::from_utf8_lossy(&script),
    })))
}

pub(super) fn man(ctx: &mut Ctx<'_>, args: &ManArgs) -> Result<CommandResult, Failure> {
    let mut pages = Vec::new();
    let mut root = Cli::command();
    root.build();
    collect(&root, &mut pages)?;
    match &args.out {
        None => {
            for (_, roff) in &pages {
                ctx.out.text(roff);
            }
        }
        Some(dir) => {
            for (name, roff) in &pages {
                ctx.create_file(&dir.join(format!("{name}.1")), roff.as_bytes())?;
            }
            ctx.out.text(&list_written(dir, &pages));
        }
    }
    let list: Vec<_> = pages
        .iter()
        .map(|(name, roff)| json!({ "name": name, "roff": roff }))
        .collect();
    Ok(CommandResult::done(json!({ "pages": list })))
}

fn list_written(dir: &Path, pages: &[(String, String)]) -> String {
    pages
        .iter()
        .map(|(name, _)| format!("{}\n", dir.join(format!("{name}.1")).display()))
        .collect()
}

/// The page of a command, then those of its subcommands.
fn collect(command: &clap::Command, pages: &mut Vec<(String, String)>) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let name = name.to_owned();
    let mut roff = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.clone())
        .render(&mut roff)
        .map_err(|e| {
            Failure::from_error(Code::Internal, &e).about("the manual page cannot be made")
        })?;
    pages.push((name, String::from_utf8_lossy(&roff).into_owned()));
    for sub in command.get_subcommands() {
        collect(sub, pages)?;
    }
    Ok(())
}
