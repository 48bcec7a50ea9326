//! Runs one script with mstflint and with ours, each on its own copy of a card, and compares what
//! they print, how they end and what is left in the flash.

use super::world;
use cx3flash::image::{Contents, FlashAddr, scan};
use cx3flash::sim::{BootOutcomes, SimCard};
use mst::Mst;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One transcript.
pub(crate) struct CardScript {
    /// Which card of [`world::card`].
    card: &'static str,
    /// Command lines, `CARD` standing for the card. Files with a name of [`world::file`] are there.
    lines: Vec<&'static str>,
    /// Typed on stdin of every command.
    typed: &'static str,
    /// Where the last command differs on purpose.
    differs: Option<ListedDifference>,
}

/// A difference on purpose, for the last command of a script.
struct ListedDifference {
    /// Row of `docs/flint.md`.
    row: &'static str,
    /// Part of what ours prints.
    text: &'static str,
    /// Our exit code.
    code: i32,
    /// What it means for the flash.
    flash: FlashAfter,
}

/// The flash after a command that differs on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FlashAfter {
    /// The same.
    Same,
    /// Ours stays as it was.
    Kept,
    /// The same images at other places.
    Moved,
    /// Another one; ours boots.
    Other,
}

/// A script of several command lines, with `; ` between them.
pub(crate) fn script(card: &'static str, lines: &'static str) -> CardScript {
    CardScript { card, lines: lines.split("; ").collect(), typed: "", differs: None }
}

impl CardScript {
    /// With this on stdin.
    pub(crate) fn typed(self, typed: &'static str) -> Self {
        Self { typed, ..self }
    }

    /// The last command is refused, for the reason in this row: exit code 1, flash untouched.
    pub(crate) fn refused(self, row: &'static str, text: &'static str) -> Self {
        self.differing(row, text, 1, FlashAfter::Kept)
    }

    /// The last command does the same to the flash and prints another text.
    pub(crate) fn prints(self, row: &'static str, text: &'static str) -> Self {
        self.differing(row, text, 0, FlashAfter::Same)
    }

    /// The last command puts the same image elsewhere.
    pub(crate) fn moves(self, row: &'static str) -> Self {
        self.differing(row, "", 0, FlashAfter::Moved)
    }

    /// The last command leaves another flash behind.
    pub(crate) fn leaves_another(self, row: &'static str) -> Self {
        self.differing(row, "", 0, FlashAfter::Other)
    }

    /// The last command fails with both, with other texts; the flash is the same.
    pub(crate) fn fails(self, row: &'static str, text: &'static str) -> Self {
        self.differing(row, text, 1, FlashAfter::Same)
    }

    /// The last command ends with 0, prints this, and leaves the flash alone.
    pub(crate) fn keeps(self, row: &'static str, text: &'static str) -> Self {
        self.differing(row, text, 0, FlashAfter::Kept)
    }

    fn differing(
        self,
        row: &'static str,
        text: &'static str,
        code: i32,
        flash: FlashAfter,
    ) -> Self {
        Self { differs: Some(ListedDifference { row, text, code, flash }), ..self }
    }

    /// Row of the table of differences it shows.
    pub(crate) fn row(&self) -> Option<&'static str> {
        self.differs.as_ref().map(|d| d.row)
    }
}

/// How one command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CardRun {
    code: i32,
    text: String,
}

/// What counts of a flash: which image would boot, and every image in it byte for byte. Unused
/// space may differ: the programs choose their erases differently.
#[derive(Debug, PartialEq, Eq)]
struct CardAfter {
    boots: BootOutcomes,
    images: Vec<(FlashAddr, Vec<u8>)>,
    /// Where the firmware keeps its settings (docs/fs2.md#flash-map), of both layouts.
    areas: Vec<Vec<u8>>,
}

/// The last sector of each half with chunks of 64 KiB; the last two of a card that is not failsafe.
const AREAS: [std::ops::Range<usize>; 2] = [0xE_F000..0xF_0000, 0xF_E000..0x10_0000];

impl CardAfter {
    fn bytes(&self) -> Vec<&[u8]> {
        self.images.iter().map(|(_, bytes)| bytes.as_slice()).collect()
    }
}

/// A directory of its own for one of the two programs.
struct CardBench {
    dir: tempfile::TempDir,
    card: PathBuf,
}

impl CardBench {
    fn new(script: &CardScript) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let card = dir.path().join("card.cx3");
        world::card(script.card, &card);
        for word in script.lines.iter().flat_map(|l| l.split_whitespace()) {
            let made = word.ends_with(".bin") || word.ends_with(".rom");
            let path = dir.path().join(word);
            if made && !word.starts_with("out") && !word.starts_with("no_such") && !path.exists() {
                std::fs::write(&path, world::file(word)).unwrap();
            }
        }
        Self { dir, card }
    }

    fn left(&self) -> CardAfter {
        let card = SimCard::open(&self.card).unwrap();
        let flash = card.flash();
        let magics = scan(&mut flash.as_slice()).unwrap();
        CardAfter {
            boots: card.boot_outcomes(),
            images: magics
                .into_iter()
                .filter_map(|at| {
                    let found = Contents::from_dump(&flash, at).ok()?;
                    Some((at, found.bytes().to_vec()))
                })
                .collect(),
            areas: AREAS.map(|area| flash[area].to_vec()).to_vec(),
        }
    }

    fn flash(&self) -> Vec<u8> {
        SimCard::open(&self.card).unwrap().flash()
    }

    /// Files the commands wrote.
    fn written(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .filter(|path| !path.ends_with("card.cx3"))
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, std::fs::read(&path).unwrap())
            })
            .filter(|(name, _)| !name.ends_with(".log"))
            .collect();
        files.sort();
        files
    }
}

/// Runs all scripts and reports every difference that no row explains.
#[track_caller]
pub(crate) fn compare(mst: &Mst, scripts: &[CardScript]) {
    let mut problems = Vec::new();
    for script in scripts {
        if let Err(problem) = one(mst, script) {
            problems.push(problem);
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

fn one(mst: &Mst, script: &CardScript) -> Result<(), String> {
    let (theirs, ours) = (CardBench::new(script), CardBench::new(script));
    let last = script.lines.len() - 1;
    let mut typed = format!("card {}:", script.card);
    for (n, line) in script.lines.iter().enumerate() {
        typed = format!("{typed}\n$ flint {line}   < {:?}", script.typed);
        let words: Vec<&str> = line.split_whitespace().collect();
        let before = ours.flash();
        let run = mst.run(&theirs.card, theirs.dir.path(), "mstflint", &words, script.typed);
        let their = CardRun { code: run.code, text: plain(&run.stdout.replace(mst::BDF, "CARD")) };
        let (our, stderr) = run_ours(&ours, &words, script.typed);
        let differs = script.differs.as_ref().filter(|_| n == last);
        let Some(differs) = differs else {
            if their != our {
                return Err(format!(
                    "{typed}\n--- mstflint ({})\n{}\n--- ours ({})\n{}\n--- our stderr\n{stderr}",
                    their.code, their.text, our.code, our.text
                ));
            }
            continue;
        };
        let expected = our.code == differs.code && our.text.contains(differs.text);
        if !expected {
            return Err(format!(
                "{typed}\n--- row {}: ours ({}) does not print {:?} and end with {}\n{}\n--- stderr\n{stderr}",
                differs.row, our.code, differs.text, differs.code, our.text
            ));
        }
        let same_text = their == our;
        let (a, b) = (theirs.left(), ours.left());
        let fault = match differs.flash {
            FlashAfter::Same if same_text => Some("there is no difference"),
            FlashAfter::Same => None,
            FlashAfter::Kept if ours.flash() != before => Some("our flash changed"),
            FlashAfter::Kept
                if same_text && theirs.flash() == before && theirs.written() == ours.written() =>
            {
                Some("there is no difference")
            }
            FlashAfter::Kept => return Ok(()),
            FlashAfter::Moved if a == b => Some("there is no difference"),
            FlashAfter::Moved if a.bytes() != b.bytes() => Some("the images differ"),
            FlashAfter::Other if a == b => Some("there is no difference"),
            FlashAfter::Other if b.images.is_empty() => Some("ours holds no image"),
            FlashAfter::Moved | FlashAfter::Other => return Ok(()),
        };
        if let Some(fault) = fault {
            return Err(format!("{typed}\n--- row {}: {fault}", differs.row));
        }
    }
    let (a, b) = (theirs.left(), ours.left());
    if a != b {
        return Err(format!("{typed}\n--- {}", flash_difference(&a, &b)));
    }
    let (a, b) = (theirs.written(), ours.written());
    if a != b {
        let names = |list: &[(String, Vec<u8>)]| {
            let list: Vec<String> =
                list.iter().map(|(n, bytes)| format!("{n} ({} bytes)", bytes.len())).collect();
            list.join(", ")
        };
        return Err(format!("{typed}\n--- the files differ: {} and {}", names(&a), names(&b)));
    }
    Ok(())
}

fn flash_difference(theirs: &CardAfter, ours: &CardAfter) -> String {
    let places = |left: &CardAfter| {
        let list: Vec<String> = left
            .images
            .iter()
            .map(|(at, bytes)| format!("{:#x} ({} bytes)", at.0, bytes.len()))
            .collect();
        format!("{:?} images {}", left.boots, list.join(", "))
    };
    let first = theirs
        .images
        .iter()
        .zip(&ours.images)
        .find_map(|((_, a), (_, b))| a.iter().zip(b).position(|(a, b)| a != b));
    let areas = if theirs.areas == ours.areas { "equal" } else { "others" };
    format!(
        "the flash differs (settings areas {areas}), first at {first:#x?}\nmstflint {}\nours {}",
        places(theirs),
        places(ours)
    )
}

fn run_ours(side: &CardBench, words: &[&str], typed: &str) -> (CardRun, String) {
    let card = format!("sim:{}", Path::new("card.cx3").display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_cx3flash"));
    command
        .arg("flint")
        .args(words.iter().map(|w| if *w == "CARD" { &card } else { *w }))
        .current_dir(side.dir.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("XDG_STATE_HOME", side.dir.path().join("state"))
        .env("CX3FLASH_BACKUP_DIR", side.dir.path().join("backups"))
        .env("CX3FLASH_ROOT", side.dir.path().join("host"));
    let output = mst::output_of(&mut command, typed);
    let text = String::from_utf8_lossy(&output.stdout).replace(&card, "CARD");
    let end = CardRun { code: output.status.code().unwrap_or(-1), text: plain(&text) };
    (end, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Without the percentages on the way: how often they are printed is no contract.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let kept: Vec<&str> = line.split('\r').filter(|piece| !piece.ends_with('%')).collect();
        out.push_str(&kept.join("\r"));
    }
    out
}
