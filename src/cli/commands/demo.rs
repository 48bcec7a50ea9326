//! `demo`: the owner's story on fresh simulated cards, by the very commands a user would type.

use super::{Answer, Ctx};
use crate::cli::args::DemoArgs;
use crate::cli::failure::Failure;
use crate::job::{Code, Exit, quote};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// One story: a board, the image it gets, and what to say before.
struct Story {
    board: &'static str,
    image: &'static str,
    title: &'static str,
}

const STORIES: [Story; 2] = [
    Story {
        board: "mcx311a",
        image: "mcx311a-2.42.5000",
        title: "An MCX311A-XCAT (ConnectX-3, one port), bought used, firmware 2.35.5100.\n\
                Its flash has room for one image only: the burn cannot survive a power cut, and says so.",
    },
    Story {
        board: "mcx312b",
        image: "mcx312b-2.42.5000",
        title: "An MCX312B-XCCT (ConnectX-3 Pro, two ports), firmware 2.36.5150.\n\
                Its flash is failsafe: the new image goes into the other half, the old one boots until the end.",
    },
];

pub(super) fn run(ctx: &mut Ctx<'_>, args: &DemoArgs) -> Result<Answer, Failure> {
    let dir = fresh_dir(&args.dir)?;
    let mut steps = Vec::new();
    for story in &STORIES {
        ctx.out.text(&format!("\n=== {}\n", story.title));
        for words in commands(story, &dir) {
            step(ctx, &words, &mut steps).map_err(|failure| {
                failure.with_result(json!({ "dir": dir, "steps": steps.clone() }))
            })?;
        }
    }
    ctx.out.text(&closing(&dir));
    Ok(Answer::done(json!({ "dir": dir, "steps": steps })))
}

/// What the owner types.
fn commands(story: &Story, dir: &Path) -> Vec<Vec<String>> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let file = text(dir.join(format!("{}.cx3", story.board)));
    let image = text(dir.join(format!("{}.bin", story.image)));
    let backups = text(dir.join("backups"));
    let card = format!("sim:{file}");
    let words = |line: &[&str]| line.iter().map(|w| (*w).to_owned()).collect();
    vec![
        words(&["sim", "create", &file, "--board", story.board]),
        words(&["sim", "image", &image, "--like", story.image]),
        words(&["-d", &card, "list"]),
        words(&["-d", &card, "query", "--full"]),
        words(&["verify", &image]),
        words(&["-d", &card, "plan", &image]),
        words(&["-d", &card, "backup", "--out", &backups]),
        words(&[
            "-d",
            &card,
            "burn",
            &image,
            "--yes",
            "--no-activate",
            "--backup-dir",
            &backups,
        ]),
        words(&["-d", &card, "query", "--full"]),
        words(&["-d", &card, "activate"]),
        words(&["-d", &card, "query", "--full"]),
    ]
}

fn step(ctx: &mut Ctx<'_>, words: &[String], steps: &mut Vec<Value>) -> Result<(), Failure> {
    let typed: Vec<String> = words.iter().map(|w| quote(w)).collect();
    let typed = format!("cx3flash {}", typed.join(" "));
    ctx.out.text(&format!("\n$ {typed}\n"));
    let argv = std::iter::once("cx3flash".to_owned())
        .chain(words.iter().cloned())
        .map(Into::into)
        .collect();
    let ended = crate::cli::execute(argv, Some(ctx.out.manner()), ctx.stop);
    steps.push(json!({ "command": typed, "document": ended.document }));
    match ended.failure {
        None if ended.exit == Exit::Done => Ok(()),
        None => {
            let message = format!("`{typed}` ended with exit code {}", ended.exit.code());
            Err(Failure {
                exit: ended.exit,
                ..Failure::new(Code::Demo, message)
            })
        }
        Some(failure) => Err(failure.about(format!("`{typed}` failed"))),
    }
}

/// `dir`, or a fresh numbered directory in it when it exists already.
fn fresh_dir(dir: &Path) -> Result<PathBuf, Failure> {
    let failed = |path: &Path, e: &std::io::Error| {
        Failure::from_error(Code::FileUnwritable, e)
            .about(format!("cannot make {}", path.display()))
    };
    let tries = std::iter::once(dir.to_owned()).chain((2..1000).map(|n| dir.join(n.to_string())));
    for path in tries {
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed(&path, &e)),
        }
    }
    Err(Failure::new(
        Code::Exists,
        format!("{} holds a thousand demos already", dir.display()),
    ))
}

/// Where the program is, when it is not simply `cx3flash`.
fn program() -> String {
    let name = std::env::args().next().unwrap_or_default();
    if name.is_empty() || name == "cx3flash" {
        String::new()
    } else {
        format!(" (cx3flash is {} here)", quote(&name))
    }
}

fn closing(dir: &Path) -> String {
    let at = |name: &str| quote(&dir.join(name).to_string_lossy());
    let card = at("mcx312b.cx3");
    let image = at("mcx312b-2.42.5000.bin");
    format!(
        "\n=== The cards are still there: {dir}\n\
         Go on playing, for example{program}\n  \
         cx3flash -d sim:{card} burn {image}        # nothing to do: exit code 2\n  \
         cx3flash sim image other.bin --like mcx312b-2.36.5150 --seed 7\n  \
         cx3flash sim power-cycle {card}             # faults count from power-on\n  \
         cx3flash sim fault {card} '{{\"fault\":\"power_cut\",\"op\":100,\"seed\":1}}'\n  \
         cx3flash -d sim:{card} burn other.bin --yes    # the power fails in the middle\n  \
         cx3flash sim power-cycle {card}\n  \
         cx3flash -d sim:{card} query                   # and still it boots\n",
        dir = dir.display(),
        program = program(),
    )
}
