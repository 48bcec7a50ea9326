//! References lead somewhere, and the repository uses one word for one thing.

use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a reader meets: code, tests and documents.
const READ: [&str; 11] = [
    "Cargo.toml",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    ".ci",
    "benches",
    "docs",
    "hwtests",
    "src",
    "tests",
    "vfio-setup",
];

/// Words that have a plainer one. A word counts in every form of an identifier, too.
const WORDS: [&str; 38] = [
    "heed",
    "heeded",
    "heeds",
    "mend",
    "mended",
    "mending",
    "mends",
    "nobody",
    "obey",
    "obeyed",
    "obeys",
    "retire",
    "retired",
    "retires",
    "rival",
    "rivals",
    "road",
    "roads",
    "room",
    "rooms",
    "said",
    "says",
    "sisters",
    "somebody",
    "spot",
    "spots",
    "stranger",
    "strangers",
    "tell",
    "telling",
    "tells",
    "told",
    "twin",
    "twins",
    "voided",
    "whom",
    "wish",
    "wishes",
];

/// Every text file below the paths of [`READ`], by its path from the top.
fn texts() -> BTreeMap<PathBuf, String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left: Vec<PathBuf> = READ.iter().map(PathBuf::from).collect();
    let mut texts = BTreeMap::new();
    while let Some(path) = left.pop() {
        let at = top.join(&path);
        if at.is_dir() {
            if path.file_name().is_some_and(|name| name == "target") {
                continue;
            }
            let entries = fs::read_dir(at).unwrap();
            left.extend(entries.map(|e| path.join(e.unwrap().file_name())));
        } else if let Ok(text) = fs::read_to_string(at) {
            texts.insert(path, text);
        }
    }
    assert!(texts.len() > 200, "the scan misses files");
    texts
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
}

/// A heading's anchor as GitHub makes it.
fn slug(heading: &str) -> String {
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            _ => c.is_alphanumeric().then_some(c),
        })
        .collect()
}

/// Anchors of a Markdown page.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if !code && line.starts_with('#') {
            anchors.insert(slug(line.trim_start_matches('#')));
        }
    }
    anchors
}

fn assert_none(problems: &[String]) {
    let count = problems.len();
    assert!(count == 0, "{count} problems:\n{}", problems.join("\n"));
}

#[test]
fn every_cited_heading_exists() {
    let texts = texts();
    let citation = Regex::new(r"docs/([a-z0-9]+\.md)#([A-Za-z0-9_-]+)").unwrap();
    let pages: BTreeMap<String, BTreeSet<String>> = texts
        .iter()
        .filter(|(path, _)| path.starts_with("docs") && is(path, "md"))
        .map(|(path, text)| {
            let name = path.file_name().unwrap().to_string_lossy();
            (name.into_owned(), anchors(text))
        })
        .collect();
    let mut citations = 0;
    let mut problems = Vec::new();
    for (path, text) in &texts {
        for found in citation.captures_iter(text) {
            citations += 1;
            if !pages.get(&found[1]).is_some_and(|p| p.contains(&found[2])) {
                problems.push(format!("{}: {}", path.display(), &found[0]));
            }
        }
    }
    assert!(citations > 200, "the scan is blind: {citations} citations");
    assert_none(&problems);
}

#[test]
fn every_relative_link_of_a_page_resolves() {
    let texts = texts();
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut problems = Vec::new();
    for (path, text) in texts.iter().filter(|(path, _)| is(path, "md")) {
        for found in link.captures_iter(text) {
            let target = &found[1];
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = if file.is_empty() {
                path.clone()
            } else {
                normal(&path.parent().unwrap().join(file))
            };
            let at = Path::new(env!("CARGO_MANIFEST_DIR")).join(&to);
            let good = match fs::read_to_string(&at) {
                Ok(text) => anchor.is_empty() || anchors(&text).contains(anchor),
                Err(_) => anchor.is_empty() && at.exists(),
            };
            if !good {
                problems.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn every_file_and_test_named_by_a_page_exists() {
    let texts = texts();
    let quoted = Regex::new("`([^`]+)`").unwrap();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = 0;
    let mut problems = Vec::new();
    for (path, text) in texts.iter().filter(|(path, _)| is(path, "md")) {
        for line in text.lines() {
            // A name behind a file of tests is a test of that file.
            let mut source = None;
            for found in quoted.captures_iter(line) {
                let word = &found[1];
                // Other projects have a `src`, too.
                let file = word.starts_with("src/") && word.ends_with(".rs")
                    || ["tests/", "hwtests/", "benches/", "vfio-setup/"]
                        .iter()
                        .any(|top| word.starts_with(top));
                if file && !word.contains(['*', ' ', '<', ':']) {
                    if !top.join(word).exists() {
                        problems.push(format!("{}: no file {word}", path.display()));
                    }
                    source = texts.get(Path::new(word)).filter(|_| word.contains("tests/"));
                } else if let Some(source) = source
                    && word.contains('_')
                    && word
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                {
                    tests += 1;
                    if !source.contains(&format!("fn {word}(")) {
                        problems.push(format!("{}: no test {word}", path.display()));
                    }
                }
            }
        }
    }
    assert!(tests > 8, "only {tests} tests are named");
    assert_none(&problems);
}

/// `path` without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            std::path::Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

#[test]
fn a_section_number_stands_behind_the_name_of_a_public_document() {
    let bare = Regex::new(r"(^|[(;:,.]|\bsee|\bin|\bof|\band)\s*§+\s*[0-9]").unwrap();
    let mut problems = Vec::new();
    for (path, text) in texts() {
        if path.ends_with("tests/it/documents.rs") {
            continue;
        }
        for (n, line) in text.lines().enumerate().filter(|(_, l)| l.contains('§')) {
            let words = line.trim_start_matches(['/', '!', '*', '#', ' ']);
            if bare.is_match(words) {
                problems.push(format!("{}:{}: {line}", path.display(), n + 1));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn every_promise_that_is_named_is_defined() {
    let texts = texts();
    let architecture = &texts[Path::new("docs/architecture.md")];
    let promise = Regex::new(r"\bP([0-9]+)\b").unwrap();
    for n in 1..=10 {
        let defined = Regex::new(&format!(r"(?m)^(\||-|#+|\*\*)? ?\**P{n}\b")).unwrap();
        assert!(defined.is_match(architecture), "P{n} is not defined");
    }
    let mut problems = Vec::new();
    let prose = texts.iter().filter(|(path, _)| is(path, "rs"));
    for (path, text) in prose {
        for line in text.lines().filter(|l| l.contains("//")) {
            for found in promise.captures_iter(line) {
                // Two digits at most; three are a rail or a chip.
                let n: u32 = found[1].parse().unwrap();
                if !(1..=10).contains(&n) {
                    problems.push(format!("{}: {line}", path.display()));
                }
            }
        }
    }
    assert_none(&problems);
}

/// Lower-case words of a line, identifiers taken apart.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in line.chars() {
        if !c.is_alphabetic() || (c.is_uppercase() && lower) {
            words.push(String::new());
        }
        if c.is_alphabetic() {
            words.last_mut().expect("never empty").extend(c.to_lowercase());
        }
        lower = c.is_lowercase();
    }
    words
}

#[test]
fn every_text_uses_the_words_of_the_field() {
    let mut problems = Vec::new();
    for (path, text) in texts() {
        if path.ends_with("tests/it/documents.rs") {
            continue;
        }
        for (n, line) in text.lines().enumerate() {
            if let Some(word) = words(line).into_iter().find(|w| WORDS.contains(&w.as_str())) {
                problems.push(format!("{}:{}: {word}: {}", path.display(), n + 1, line.trim()));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn words_are_found_inside_identifiers() {
    assert_eq!(
        words("fn tells(RoadSaid)").join(" ").split_whitespace().collect::<Vec<_>>(),
        ["fn", "tells", "road", "said"]
    );
    assert_eq!(slug(" The `ROM` of a card: 2.9"), "the-rom-of-a-card-29");
}
