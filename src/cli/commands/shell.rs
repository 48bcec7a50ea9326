//! `completions` and `man`, generated from the definitions of the parser.

use super::{Ctx, Ran, create_new};
use crate::cli::args::{Cli, ShellName};
use crate::cli::complete;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::json::results::{ManOutcome, ManPage, SchemaOutcome, ScriptOutcome};
use crate::cli::man;
use crate::cli::page::Page;
use crate::cli::text::name_of;
use crate::escape;
use crate::job::Code;
use clap::CommandFactory;

use std::path::Path;

pub(super) fn schema(ctx: &mut Ctx<'_>, command: &[String]) -> Ran {
    let command = command.join(" ");
    let Some(json_schema) = json::schema(Some(&*command).filter(|c| !c.is_empty())) else {
        let names: Vec<&str> = json::RESULTS.iter().map(|(name, _)| *name).collect();
        let message = format!("the commands with a schema are: {}", names.join(", "));
        return Err(Failure::new(Code::Usage, message).into());
    };
    let mut text = Page::default();
    text.lines(&format!("{json_schema:#}\n"));
    ctx.done(&text, &SchemaOutcome { json_schema })
}

pub(super) fn completions(ctx: &mut Ctx<'_>, shell: ShellName) -> Ran {
    let script = complete::script(shell);
    let mut text = Page::default();
    text.push_str(script);
    ctx.done(&text, &ScriptOutcome { shell: name_of(&shell), script: script.to_owned() })
}

pub(super) fn man(ctx: &mut Ctx<'_>, dir: Option<&Path>) -> Ran {
    let mut root = Cli::command();
    root.build();
    let pages = man::pages(&root);
    let mut text = Page::default();
    for ManPage { name, roff } in &pages {
        match dir {
            None => text.lines(roff),
            Some(dir) => {
                let path = dir.join(format!("{name}.1"));
                create_new(&path, roff.as_bytes())?;
                text.line(escape::path(&path));
            }
        }
    }
    ctx.done(&text, &ManOutcome { pages })
}
