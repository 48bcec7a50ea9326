//! `demo`: an update of two simulated cards, with the commands a user would type.

use super::{Ctx, Ran};
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::json::results::{DemoOutcome, DemoStep};
use crate::cli::page::Page;
use crate::escape;
use crate::job::{Code, Exit};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
                Its flash holds one image only: a power cut during the burn leaves a card that does not boot, and the plan states that.",
    },
    DemoBoard {
        name: "mcx312b",
        image: "mcx312b-2.42.5000",
        title: "An MCX312B-XCCT (ConnectX-3 Pro, two ports), firmware 2.36.5150.\n\
                Its flash is failsafe: the new image goes into the other half, and the old one boots until the commit.",
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

pub(super) fn run(ctx: &mut Ctx<'_>, dir: &Path) -> Ran {
    let dir = fresh_dir(dir)?;
    let mut outcome = DemoOutcome { dir: escape::file_name(&dir), steps: Vec::new() };
    for board in &BOARDS {
        let mut text = Page::default();
        text.push_str("\n=== ");
        text.push_str(board.title);
        text.push_str("\n");
        ctx.out.text(&text);
        for line in COMMANDS {
            let ended = step(ctx, &words(line, board, &dir), &mut outcome.steps);
            ctx.result = Some(json::result(&outcome));
            ended?;
        }
    }
    ctx.done(&closing(&dir), &outcome)
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

fn step(ctx: &mut Ctx<'_>, words: &[OsString], steps: &mut Vec<DemoStep>) -> Result<(), Failure> {
    let typed: Vec<String> = words.iter().map(escape::shell_word).collect();
    let typed = format!("cx3flash {}", typed.join(" "));
    let mut text = Page::default();
    text.push_str("\n");
    text.line(format_args!("$ {typed}"));
    ctx.out.text(&text);
    let argv = std::iter::once(OsString::from("cx3flash")).chain(words.iter().cloned()).collect();
    let ended = crate::cli::execute(argv, Some(ctx.out.mode), ctx.stop);
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

fn closing(dir: &Path) -> Page {
    let at = |name: &str| escape::shell_path(&dir.join(name));
    let card = at("mcx312b.cx3");
    let image = at("mcx312b-2.42.5000.bin");
    let mut page = Page::default();
    page.lines(&format!(
        "\n=== The cards are in {dir}\n\
         Try more commands, for example{program}\n  \
         cx3flash -d sim:{card} burn {image} --yes  # nothing to do: exit code 2\n  \
         cx3flash sim image other.bin --like mcx312b-2.36.5150 --seed 7\n  \
         cx3flash sim power-cycle {card}             # faults count from power-on\n  \
         cx3flash sim fault {card} '{{\"fault\":\"power_cut\",\"op\":100,\"seed\":1}}'\n  \
         cx3flash -d sim:{card} burn other.bin --allow-older --yes    # the power fails during the burn\n  \
         cx3flash sim power-cycle {card}\n  \
         cx3flash -d sim:{card} query                   # the card still boots\n",
        dir = escape::path(dir),
        program = program(),
    ));
    page
}
