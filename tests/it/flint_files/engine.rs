//! Runs one script with both programs and compares.

use crate::flint_card::world;
use crate::support::flint::witness;
use cx3flash::image::{Half, Recipe, build, striped};
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Command lines, run one after the other in one directory.
pub(crate) struct FileScript {
    lines: Vec<String>,
    typed: &'static str,
    differs: Option<(&'static str, &'static str, i32)>,
}

/// A script of several command lines.
pub(crate) fn script(lines: &[&str]) -> FileScript {
    FileScript { lines: lines.iter().map(|l| (*l).to_owned()).collect(), typed: "", differs: None }
}

impl FileScript {
    /// With this on stdin of every command.
    pub(crate) fn typed(self, typed: &'static str) -> Self {
        Self { typed, ..self }
    }

    /// The last command differs for the reason in this row of the table: ours prints this and ends with this code.
    pub(crate) fn prints(self, row: &'static str, text: &'static str, code: i32) -> Self {
        Self { differs: Some((row, text, code)), ..self }
    }

    pub(crate) fn first(&self) -> &str {
        self.lines.first().map_or("", String::as_str)
    }

    pub(crate) fn row(&self) -> Option<&'static str> {
        self.differs.map(|(row, ..)| row)
    }
}

/// The bytes of a file a script names.
fn bytes(name: &str) -> Option<Vec<u8>> {
    let built = |recipe: &Recipe| build(recipe).unwrap();
    let base = Recipe { size: 0, ..Recipe::default() };
    let new = || world::file("new.bin");
    let dump = |half| striped(&world::file("fs_new.bin"), half, 1 << 20).unwrap();
    Some(match name {
        "blank.bin" => built(&Recipe { guids: None, ..base }),
        "four.bin" => built(&Recipe { guid_entries: 4, ..base }),
        "no_ini.bin" => built(&Recipe { ini: None, ..base }),
        "no_tag.bin" => built(&Recipe { vsd: None, ..base }),
        "foreign.bin" => built(&Recipe { vsd_vendor_id: Some(0x1234), ..base }),
        "multicast.bin" => {
            let mut recipe = base;
            recipe.macs[0].0 |= 1 << 40;
            built(&recipe)
        }
        "damaged.bin" => {
            let mut bytes = new();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        }
        // A word that only the full CRC covers.
        "header.bin" => {
            let mut bytes = new();
            bytes[0x13] ^= 1;
            bytes
        }
        // The pointer to the GUID section leads out of the file.
        "pointer.bin" => {
            let mut bytes = new();
            bytes[0x34] ^= 0x80;
            bytes
        }
        "cut.bin" => new()[..(new().len() / 2) & !3].to_vec(),
        "tail.bin" => [new(), vec![0x55; 64]].concat(),
        "shifted.bin" => [vec![0xFF; 0x1_0000], new()].concat(),
        "junk.bin" => b"jun\0".repeat(100),
        "page.bin" => b"<!DOCTYPE html>\n<title>Log in</title>".to_vec(),
        "fw.zip" => b"PK\x03\x04 and so on".to_vec(),
        "empty.bin" => Vec::new(),
        // Complete, and a byte more.
        "odd.bin" => [new(), vec![0x55]].concat(),
        // Of odd length, as parts of a download.
        "split.bin" => new()[..41].to_vec(),
        "fs3.bin" => {
            let mut bytes = new()[..4097].to_vec();
            bytes[0x24] = 3;
            bytes
        }
        "fs4.bin" => {
            let magic = b"MTFW\xAB\xCD\xEF\x00\xFA\xDE\x12\x34\x56\x78\xDE\xAD";
            [magic.to_vec(), vec![0; 4097]].concat()
        }
        "even.dump" => dump(Half::Even),
        "odd_half.dump" => dump(Half::Odd),
        "good.rom" => world::file("pxe.rom"),
        "new.bin" | "fs_new.bin" | "no_rom.bin" | "no_psid.bin" => world::file(name),
        _ => return None,
    })
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileRun {
    code: i32,
    text: String,
}

/// A directory with what the script names, and with both programs' name for ours.
fn directory(script: &FileScript) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_cx3flash"), dir.path().join("bin/mstflint")).unwrap();
    for word in script.lines.iter().flat_map(|l| l.split([' ', '='])) {
        let word = word.strip_prefix("-i").filter(|w| w.contains('.')).unwrap_or(word);
        if word == "nowhere" {
            std::fs::create_dir_all(dir.path().join(word)).unwrap();
        } else if let Some(bytes) = bytes(word) {
            std::fs::write(dir.path().join(word), bytes).unwrap();
        }
    }
    dir
}

fn run(program: &Path, dir: &Path, line: &str, typed: &str) -> (FileRun, String) {
    let mut command = Command::new("timeout");
    command
        .arg("20")
        .arg(program)
        .args(line.split(' ').filter(|w| !w.is_empty()))
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("XDG_STATE_HOME", dir.join("state"))
        .env("CX3FLASH_ROOT", dir.join("host"));
    let output = mst::output_of(&mut command, typed);
    let end = FileRun {
        code: output.status.code().unwrap_or(-1),
        text: String::from_utf8_lossy(&output.stdout).into_owned(),
    };
    (end, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).unwrap();
            (name, bytes)
        })
        .collect()
}

/// Runs all scripts and reports every difference that no row explains.
#[track_caller]
pub(crate) fn compare(scripts: &[FileScript]) {
    let Some(flint) = witness() else {
        return;
    };
    let problems: Vec<String> =
        scripts.iter().filter_map(|script| one(flint.path(), script).err()).collect();
    assert!(
        problems.is_empty(),
        "{} of {} scripts\n{}",
        problems.len(),
        scripts.len(),
        problems.join("\n\n")
    );
}

fn one(flint: &Path, script: &FileScript) -> Result<(), String> {
    let (theirs, ours) = (directory(script), directory(script));
    let program = ours.path().join("bin/mstflint");
    let last = script.lines.len() - 1;
    let mut typed = String::new();
    for (n, line) in script.lines.iter().enumerate() {
        typed = format!("{typed}\n$ mstflint {line}   < {:?}", script.typed);
        let before = files(ours.path());
        let (their, _) = run(flint, theirs.path(), line, script.typed);
        let (our, stderr) = run(&program, ours.path(), line, script.typed);
        assert!(!stderr.contains("panicked"), "{typed}\n{stderr}");
        let Some((row, expected, code)) = script.differs.filter(|_| n == last) else {
            if their != our {
                return Err(format!(
                    "{typed}\n--- mstflint ({})\n{}\n--- ours ({})\n{}\n--- our stderr\n{stderr}",
                    their.code, their.text, our.code, our.text
                ));
            }
            continue;
        };
        if our.code != code || !our.text.contains(expected) {
            return Err(format!(
                "{typed}\n--- row {row}: ours ({}) does not print {expected:?} and end with {code}\n{}\n{stderr}",
                our.code, our.text
            ));
        }
        let after = files(ours.path());
        if their == our && files(theirs.path()) == after {
            return Err(format!("{typed}\n--- row {row}: there is no difference"));
        }
        if code != 0 && before != after {
            return Err(format!("{typed}\n--- row {row}: refused, and a file changed"));
        }
        return Ok(());
    }
    if files(theirs.path()) != files(ours.path()) {
        return Err(format!("{typed}\n--- the files differ"));
    }
    Ok(())
}

/// Run one line with both in equal directories. `seen` selects the text that counts. Returns
/// the difference, if there is one.
pub(crate) fn differs(
    flint: &Path,
    script: &FileScript,
    seen: impl Fn(&str) -> String,
) -> Option<String> {
    let line = script.lines.first()?;
    let (theirs, ours) = (directory(script), directory(script));
    let program = ours.path().join("bin/mstflint");
    let (their, _) = run(flint, theirs.path(), line, script.typed);
    let (our, stderr) = run(&program, ours.path(), line, script.typed);
    assert!(!stderr.contains("panicked"), "{line}\n{stderr}");
    let same = their.code == our.code
        && seen(&their.text) == seen(&our.text)
        && files(theirs.path()) == files(ours.path());
    (!same).then(|| {
        format!(
            "$ mstflint {line}   < {:?}\n--- mstflint ({})\n{}\n--- ours ({})\n{}",
            script.typed,
            their.code,
            seen(&their.text),
            our.code,
            seen(&our.text)
        )
    })
}
