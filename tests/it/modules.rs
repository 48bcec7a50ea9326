//! The order of the modules (docs/architecture.md): calls go downward only, and some modules must not do
//! some things.
//!
//! The check is textual: every `crate::MODULE` path, grouped imports included, in every source file.

use std::fs;
use std::path::{Path, PathBuf};

/// Top to bottom; a module may name only modules after it.
const MODULES: [&str; 11] =
    ["cli", "flint", "job", "plan", "host", "sim", "flash", "card", "image", "escape", "words"];

/// Pairs that the order allows and that are forbidden all the same.
const FORBIDDEN: [(&str, &str); 4] = [
    // The simulated card is a world behind `CrSpace`, read from the data sheets on its own; a
    // flash driver that met its own code there would only meet its own mistakes.
    ("sim", "flash"),
    ("host", "image"),
    ("host", "sim"),
    ("card", "image"),
];

/// What `sim` may take from `image`: plain types. Its boot ROM reads images with code of its own
/// (`src/sim/fs2.rs`), or a bug of the tool's reader would be invisible.
const SIM_TAKES_FROM_IMAGE: [&str; 4] = ["FlashAddr", "Guid", "Mac", "Version"];

/// Words that must not appear in a module.
const BANNED: [(&str, &[&str]); 4] = [
    ("image", &["std::fs", "std::net", "println!"]),
    ("plan", &["std::fs", "std::net", "crate::card::Card;", "println!"]),
    ("flash", &["std::fs", "Layout::Failsafe", "println!"]),
    ("card", &["std::fs", "println!"]),
];

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// The text without comments, and without what follows `#[cfg(test)]` (tests may look anywhere).
fn code_of(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        out.push_str(line.split("//").next().unwrap_or(""));
        out.push('\n');
    }
    out
}

/// Modules named through `crate::…` in `code`.
fn named(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            // First names at depth 1 of `crate::{a::b, c::{d, e}}`.
            let mut depth = 1;
            let mut word = String::new();
            let mut fresh = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => {
                        found.push(std::mem::take(&mut word));
                        fresh = true;
                        continue;
                    }
                    ':' => fresh = false,
                    c if depth == 1 && fresh && (c.is_alphanumeric() || c == '_') => word.push(c),
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
            found.push(word);
        } else {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found.retain(|name| MODULES.contains(&name.as_str()));
    found
}

fn rank(module: &str) -> usize {
    MODULES.iter().position(|m| *m == module).expect("only modules are ranked")
}

fn module_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix("src").ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    let first = first.strip_suffix(".rs").unwrap_or(first);
    MODULES.contains(&first).then(|| first.to_owned())
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|c| matches!(c.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

#[test]
fn calls_go_downward() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for path in files.iter().filter(|p| !is_test_file(p)) {
        let Some(module) = module_of(path) else {
            continue;
        };
        for other in named(&code_of(&fs::read_to_string(path).unwrap())) {
            arrows += 1;
            let upward = rank(&other) < rank(&module);
            let forbidden = FORBIDDEN.contains(&(module.as_str(), other.as_str()));
            if upward || forbidden {
                wrong.push(format!("{}: {module} names {other}", path.display()));
            }
        }
    }
    assert!(arrows > 20, "the scan found only {arrows} arrows: it is blind");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_do_only_what_they_may() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut wrong = Vec::new();
    for path in files.iter().filter(|p| !is_test_file(p)) {
        let Some(module) = module_of(path) else {
            continue;
        };
        let code = code_of(&fs::read_to_string(path).unwrap());
        for (_, words) in BANNED.iter().filter(|(m, _)| *m == module) {
            for word in words.iter().filter(|w| code.contains(**w)) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Names that `code` takes from `crate::image`.
fn taken_from_image(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, path) in code.match_indices("crate::image::") {
        let rest = &code[at + path.len()..];
        let list = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or(group),
            None => rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(rest),
        };
        names.extend(list.split(',').map(str::trim).filter(|name| !name.is_empty()));
    }
    names
}

#[test]
fn the_simulated_card_reads_images_with_code_of_its_own() {
    let mut files = Vec::new();
    sources(Path::new("src/sim"), &mut files);
    let mut users = 0;
    // A fuzz target's file is compiled for tests only.
    let built = |path: &&PathBuf| !is_test_file(path) && !path.ends_with("fuzz.rs");
    for path in files.iter().filter(built) {
        let code = code_of(&fs::read_to_string(path).unwrap());
        assert!(!code.contains("image::*") && !code.contains("crate::{"), "{}", path.display());
        for name in taken_from_image(&code) {
            users += 1;
            assert!(SIM_TAKES_FROM_IMAGE.contains(&name), "{}: image::{name}", path.display());
        }
    }
    assert!(users > 3, "the scan found only {users} names: it is blind");
}

/// Words by which text could reach a terminal past `escape`, and the files that may use them.
const PAST_ESCAPE: [(&str, &[&str]); 4] = [
    (".display()", &[]),
    ("io::stdout()", &["src/cli/terminal.rs", "src/flint/console.rs", "src/host/output.rs"]),
    ("write_stdout(", &["src/cli/terminal.rs", "src/flint/console.rs", "src/host/output.rs"]),
    (
        "io::stderr()",
        &[
            "src/cli/terminal.rs",
            "src/cli/progress.rs",
            "src/flint/console.rs",
            "src/flash/session.rs",
        ],
    ),
];

#[test]
fn text_reaches_a_terminal_through_one_door() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut wrong = Vec::new();
    for path in files.iter().filter(|p| !is_test_file(p)) {
        let code = code_of(&fs::read_to_string(path).unwrap());
        let name = path.to_string_lossy();
        for (word, allowed) in PAST_ESCAPE {
            if code.contains(word) && !allowed.iter().any(|a| name.starts_with(a)) {
                wrong.push(format!("{name}: {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scan_sees_grouped_and_plain_paths() {
    let code = "use crate::{card::Card, image::{Image, crc16}};\nfn f() { crate::plan::x(); }";
    assert_eq!(named(code), ["card", "image", "plan"]);
    assert_eq!(
        taken_from_image("use crate::image::{A, read};\nuse crate::image::B;"),
        ["A", "read", "B"]
    );
    assert_eq!(named(&code_of("// crate::cli\n#[cfg(test)]\nuse crate::cli;")), [""; 0]);
}
