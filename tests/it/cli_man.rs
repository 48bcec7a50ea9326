//! The manual pages as people read them: sections, groups of options, and no complaint of man's programs.

use crate::support::cli::Sandbox;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Every page in a directory of its own.
fn written(bench: &Sandbox) -> Vec<PathBuf> {
    std::fs::create_dir(bench.path("man1")).unwrap();
    let ran = bench.run(&["man", "--out", "man1"]).exits(0);
    ran.stdout.lines().map(|line| bench.path(line)).collect()
}

/// What a program prints about a page; `None` without the program.
fn complaints(program: &str, arguments: &[&str], page: &PathBuf) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).arg(page).env("MANROFFOPT", "").env("LC_ALL", "C.UTF-8");
    match command.stdin(Stdio::null()).output() {
        Err(error) => {
            println!("skipped: {program}: {error}");
            None
        }
        Ok(output) => {
            let printed = if program == "man" { output.stderr } else { output.stdout };
            let printed = String::from_utf8_lossy(&printed).into_owned();
            // The pages are no source that people edit.
            let lines = printed.lines().filter(|line| !line.contains("line longer than 80 bytes"));
            Some(lines.collect())
        }
    }
}

#[test]
fn every_command_has_a_page_with_every_section() {
    let bench = Sandbox::new();
    let pages = written(&bench);
    assert!(pages.len() > 40, "{}", pages.len());
    for name in ["cx3flash", "cx3flash-burn", "cx3flash-sim-create", "cx3flash-host-status"] {
        assert!(bench.path(&format!("man1/{name}.1")).is_file(), "{name}");
    }
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let mut from = 0;
        for heading in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "\"EXIT STATUS\"",
            "ENVIRONMENT",
            "FILES",
            "EXAMPLES",
            "\"SEE ALSO\"",
        ] {
            let at = text[from..].find(&format!("\n.SH {heading}\n"));
            from += at.unwrap_or_else(|| panic!("{}: {heading}", page.display()));
        }
        assert!(text.contains("\n.SS Card\n"), "{}", page.display());
        assert!(text.contains("\n.SS Output\n"), "{}", page.display());
    }
}

#[test]
fn no_program_of_man_complains_about_a_page() {
    let bench = Sandbox::new();
    for page in written(&bench) {
        for (program, arguments) in
            [("mandoc", &["-Tlint"][..]), ("man", &["--warnings", "-l", "-Tutf8"])]
        {
            match complaints(program, arguments, &page) {
                None => continue,
                Some(text) => assert_eq!(text, "", "{program}, {}", page.display()),
            }
        }
    }
}

#[test]
fn help_groups_the_options() {
    let help = Sandbox::new().run(&["burn", "--help"]).exits(0).stdout;
    let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text}\n{help}"));
    let [own, card, output] = ["\nOptions:\n", "\nCard:\n", "\nOutput:\n"].map(at);
    assert!(own < card && card < output, "{help}");
    for (option, from, to) in [
        ("--change-psid", own, card),
        ("--backup-dir", own, card),
        ("--device", card, output),
        ("--allow <ID>", card, output),
        ("--json", output, help.len()),
        ("--color", output, help.len()),
    ] {
        assert!((from..to).contains(&at(&format!(" {option}"))), "{option}\n{help}");
    }
}
