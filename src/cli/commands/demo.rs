//! `demo`: an update of two simulated cards, with the commands a user would type. At a terminal it can be
//! watched; elsewhere it prints a summary of one screen.

use super::{CommandError, Ctx, Ran};
use crate::card::{Patience, WallClock, wait_until};
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::json::results::{DemoOutcome, DemoStep};
use crate::cli::page::Page;
use crate::cli::stop::Work;
use crate::cli::terminal::{OutputMode, is_watched};
use crate::escape;
use crate::job::{Code, Exit, HintContext, JobError};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pauses for the reader: of a command that is typed, and of what it printed.
const TYPED: Duration = Duration::from_millis(1500);
const READ: Duration = Duration::from_millis(3000);
const PAUSE: Duration = Duration::from_millis(20);

/// A board, the image it gets, and the text before.
struct DemoBoard {
    name: &'static str,
    image: &'static str,
    title: &'static str,
}

const BOARDS: [DemoBoard; 2] = [
    DemoBoard {
        name: "mcx311a",
        image: "mcx311a-2.42.5000",
        title: "An MCX311A-XCAT (ConnectX-3, one port), bought used, firmware 2.35.5100.\n\
                Its flash holds one image: a power cut in the burn leaves a card without one.",
    },
    DemoBoard {
        name: "mcx312b",
        image: "mcx312b-2.42.5000",
        title: "An MCX312B-XCCT (ConnectX-3 Pro, two ports), firmware 2.36.5150.\n\
                Its flash holds two: the old image boots until the new one is verified.",
    },
];

/// What is typed for each board.
const COMMANDS: [&str; 11] = [
    "sim create FILE --board BOARD",
    "sim image IMAGE --like LIKE",
    "-d CARD list",
    "-d CARD query --full",
    "verify IMAGE",
    "-d CARD plan IMAGE",
    "-d CARD backup --out BACKUPS",
    "-d CARD burn IMAGE --yes --no-activate --backup-dir BACKUPS",
    "-d CARD query --full",
    "-d CARD activate",
    "-d CARD query --full",
];

pub(super) fn run(ctx: &mut Ctx<'_>, dir: &Path, fast: bool) -> Ran {
    let dir = fresh_dir(dir)?;
    let watched = is_watched() && !ctx.out.mode.json;
    let pace = watched && !fast;
    // A summary shows what the documents of the commands hold.
    let mode =
        if watched { ctx.out.mode } else { OutputMode { json: true, quiet: true, ..ctx.out.mode } };
    let mut outcome = DemoOutcome { dir: escape::file_name(&dir), steps: Vec::new() };
    for board in &BOARDS {
        let mut text = Page::default();
        text.push_str("\n=== ");
        text.push_str(board.title);
        text.push_str("\n");
        ctx.out.text(&text);
        for line in COMMANDS {
            let words = words(line, board, &dir);
            let typed: Vec<String> = words.iter().map(escape::shell_word).collect();
            let typed = format!("cx3flash {}", typed.join(" "));
            if watched {
                let mut text = Page::default();
                text.push_str("\n");
                text.line(format_args!("$ {typed}"));
                ctx.out.text(&text);
            }
            let ended = pause(ctx, pace, TYPED)
                .and_then(|()| Ok(step(ctx, mode, typed, words, &mut outcome.steps)?))
                .and_then(|()| pause(ctx, pace, READ));
            ctx.result = Some(json::result(&outcome));
            ended?;
        }
        if !watched {
            let steps = outcome.steps.len().saturating_sub(COMMANDS.len());
            ctx.out.text(&summary(outcome.steps.get(steps..).unwrap_or_default()));
        }
    }
    ctx.done(&closing(&dir), &outcome)
}

/// Time to read. A signal ends the demo.
fn pause(ctx: &Ctx<'_>, pace: bool, time: Duration) -> Result<(), CommandError> {
    if !pace {
        return Ok(());
    }
    ctx.stop.works_on(Work::None, None);
    ctx.catch_signals();
    let stopped = || ctx.stop.raised().then_some(());
    match wait_until(&WallClock::default(), Patience::every(time, PAUSE), stopped) {
        None => Ok(()),
        Some(()) => Err(JobError::Interrupted.into()),
    }
}

/// What the commands for a board did.
fn summary(steps: &[DemoStep]) -> Page {
    let result = |command: &str, field: &str| {
        let documents = steps.iter().map(|step| json::result(&step.document));
        let mut named = documents.filter(|document| document["command"] == command);
        let document = named.next().unwrap_or_default();
        let value = document.pointer(&format!("/result/{field}")).cloned().unwrap_or_default();
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    };
    let checks = steps.iter().filter_map(|step| {
        let document = json::result(&step.document);
        let checks = document.pointer("/result/plan/checks")?.as_array()?;
        Some(checks.iter().filter(|check| check["ok"] == Value::Bool(true)).count())
    });
    let mut out = Page::default();
    out.line(format_args!("commands  {}, each with exit code 0", steps.len()));
    out.line(format_args!("plan      {} checks passed", checks.max().unwrap_or_default()));
    out.line(format_args!("backup    {}", result("burn", "backup/dir")));
    out.line(format_args!(
        "burn      {} over {}, verified before it became bootable",
        result("burn", "plan/to_fw_version"),
        result("burn", "plan/from_fw_version"),
    ));
    out.line(format_args!(
        "activate  {} runs, without a reboot",
        result("activate", "activation/after_fw_version")
    ));
    out
}

fn words(line: &str, board: &DemoBoard, dir: &Path) -> Vec<OsString> {
    let in_dir = |name: &str| dir.join(name).into_os_string();
    let file = in_dir(&format!("{}.cx3", board.name));
    let word = |word: &str| match word {
        "FILE" => file.clone(),
        "CARD" => {
            let mut card = OsString::from("sim:");
            card.push(&file);
            card
        }
        "BOARD" => board.name.into(),
        "IMAGE" => in_dir(&format!("{}.bin", board.image)),
        "LIKE" => board.image.into(),
        "BACKUPS" => in_dir("backups"),
        word => word.into(),
    };
    line.split(' ').map(word).collect()
}

fn step(
    ctx: &Ctx<'_>,
    mode: OutputMode,
    typed: String,
    words: Vec<OsString>,
    steps: &mut Vec<DemoStep>,
) -> Result<(), Failure> {
    let argv = std::iter::once(OsString::from("cx3flash")).chain(words).collect();
    let ended = crate::cli::execute(argv, Some(mode), ctx.stop);
    steps.push(DemoStep { command: typed.clone(), document: ended.document });
    match ended.failure {
        None if ended.exit == Exit::Done => Ok(()),
        None => {
            let message = format!("`{typed}` ended with exit code {}", ended.exit.code());
            Err(Failure { exit: ended.exit, ..Failure::new(Code::Demo, message) })
        }
        Some(failure) => Err(failure.about(format!("`{typed}` failed"))),
    }
}

/// Creates `dir`, or a numbered directory inside when it exists.
fn fresh_dir(dir: &Path) -> Result<PathBuf, Failure> {
    let failed = |path: &Path, e: &std::io::Error| {
        Failure::from_error(Code::FileUnwritable, e)
            .about(format!("cannot create {}", escape::path(path)))
    };
    let tries = std::iter::once(dir.to_owned()).chain((2..1000).map(|n| dir.join(n.to_string())));
    for path in tries {
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed(&path, &e)),
        }
    }
    Err(Failure::new(Code::Exists, format!("{} holds a thousand demos", escape::path(dir))))
}

/// Path of the program, when it was not started as `cx3flash`.
fn program() -> String {
    let name = std::env::args().next().unwrap_or_default();
    if name.is_empty() || name == "cx3flash" {
        String::new()
    } else {
        format!(" (here cx3flash is {})", escape::shell_word(&name))
    }
}

/// The commands to type next, on a real card.
fn closing(dir: &Path) -> Page {
    let root = if HintContext::of_process().unprivileged { "sudo " } else { "" };
    let mut page = Page::default();
    page.lines(&format!(
        "\n=== The simulated cards are in {dir}. Next, with your own{program}:\n  \
         {root}cx3flash list       # the cards of this machine; changes nothing\n  \
         {root}cx3flash doctor     # whether host and card are ready, and how to fix what is not\n  \
         cx3flash help burn  # how a card is updated\n",
        dir = escape::path(dir),
        program = program(),
    ));
    page
}
