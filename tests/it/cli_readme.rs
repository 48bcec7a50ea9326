//! The README is true: its commands work, its exit codes are the program's.

use crate::support::cli::Sandbox;
use std::path::Path;

fn readme() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join("README.md")).unwrap()
}

/// Lines of the ```sh blocks, one list per block.
fn blocks(text: &str) -> Vec<Vec<&str>> {
    text.split("```sh\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().lines().collect())
        .collect()
}

#[test]
fn every_command_of_the_readme_works() {
    let text = readme();
    let bench = Sandbox::new();
    let mut ran = 0;
    let blocks = blocks(&text);
    assert_eq!(blocks.len(), 3);
    for line in blocks.concat() {
        let (command, comment) = line.split_once(" # ").unwrap_or((line, ""));
        // The comment names the exit code where it is not 0.
        let code = comment
            .trim()
            .strip_prefix("exit ")
            .and_then(|c| c.split(':').next()?.parse().ok())
            .unwrap_or(0);
        bench.shell(command).exits(code);
        ran += 1;
    }
    assert!(ran > 14, "only {ran} commands were found");
    // The second story has a card of its own, so the first one's directory holds two by now.
    assert!(bench.path("backups").is_dir());
}

#[test]
fn exit_codes_of_the_readme_are_right() {
    let text = readme();
    for (exit, meaning) in cx3flash::job::Exit::TABLE {
        let row = format!("| {} | {}", exit.code(), meaning);
        assert!(text.contains(&row), "the README lacks: {row}");
    }
}

#[test]
fn the_licences_and_the_status_are_stated() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(root.join("LICENSE-MIT").is_file() && root.join("LICENSE-APACHE").is_file());
    let text = readme();
    assert!(text.contains("No physical card has been flashed with it yet"));
    let first: String = text.lines().take(14).collect();
    for command in ["cargo run --release -- demo", "cargo test "] {
        assert!(first.contains(command), "{command}");
    }
}

/// After a change of messages: `vfio-setup/packages/play-readme --picture docs/burn.svg 'Update a card'`, with the new
/// `cx3flash` first in PATH.
#[test]
fn the_picture_shows_what_a_burn_prints() {
    if std::process::Command::new("tmux").arg("-V").output().is_err() {
        eprintln!("tmux is not installed: the picture is not compared");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_cx3flash")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let played = std::process::Command::new(root.join("vfio-setup/packages/play-readme"))
        .arg("--picture")
        .arg(dir.path().join("burn.svg"))
        .arg("Update a card")
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(played.status.success(), "{played:?}");
    let drawn = std::fs::read(dir.path().join("burn.svg")).unwrap();
    let picture = std::fs::read(root.join("docs/burn.svg")).unwrap();
    assert!(drawn == picture, "docs/burn.svg is out of date");
}
