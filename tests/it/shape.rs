//! The shape of the source tree: names of types, sizes of files, and which files of a module use each other.
//!
//! The checks are textual: code is what stands outside comments and tests.

use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A file of source.
struct SourceFile {
    path: PathBuf,
    text: String,
}

impl SourceFile {
    /// Without comments and tests: what a `#[cfg(test)]` stands before, to the end of that item or, for a
    /// module with a body, of the file.
    fn code(&self) -> String {
        let mut code = String::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            if line.trim_start().starts_with("#[cfg(test)]") {
                let item = lines.next().unwrap_or("");
                if !item.ends_with(';') {
                    break;
                }
                continue;
            }
            code += line.split("//").next().unwrap_or("");
            code.push('\n');
        }
        code
    }

    fn is_test(&self) -> bool {
        let path = self.path.to_string_lossy();
        path.contains("/tests/") || path.ends_with("/tests.rs")
    }

    /// Path of the module that the file is, from the top of the crate.
    fn module(&self) -> Vec<String> {
        let inside = self.path.strip_prefix("src").unwrap().with_extension("");
        let parts = inside.iter().map(|p| p.to_string_lossy().into_owned());
        let mut parts: Vec<String> = parts.collect();
        if parts.last().is_some_and(|p| p == "mod") {
            parts.pop();
        }
        parts
    }
}

fn sources(dirs: &[&str]) -> Vec<SourceFile> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left: Vec<PathBuf> = dirs.iter().map(PathBuf::from).collect();
    let mut sources = Vec::new();
    while let Some(path) = left.pop() {
        let at = top.join(&path);
        if at.is_dir() {
            let entries = fs::read_dir(at).unwrap();
            left.extend(entries.map(|e| path.join(e.unwrap().file_name())));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(at).unwrap();
            sources.push(SourceFile { path, text });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!sources.is_empty(), "the scan is blind");
    sources
}

fn everywhere() -> Vec<SourceFile> {
    sources(&["src", "tests", "hwtests", "benches"])
}

#[track_caller]
fn assert_none(problems: &[String]) {
    let count = problems.len();
    assert!(count == 0, "{count} problems:\n{}", problems.join("\n"));
}

#[test]
fn every_type_has_a_name_of_its_own() {
    let definition =
        Regex::new(r"(?m)^(?: *(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait|union)|(?:pub(?:\([^)]*\))? )?type) ([A-Z]\w*)")
            .unwrap();
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in everywhere().iter().filter(|s| !s.path.starts_with("src") || !s.is_test()) {
        for found in definition.captures_iter(&source.code()) {
            let at = source.path.display().to_string();
            names.entry(found[1].to_owned()).or_default().push(at);
        }
    }
    assert!(names.len() > 300, "the scan is blind");
    let twice = names.iter().filter(|(_, at)| at.len() > 1);
    let problems: Vec<String> =
        twice.map(|(name, at)| format!("{name}: {}", at.join(", "))).collect();
    assert_none(&problems);
}

#[test]
fn no_file_is_included_by_path() {
    let included = everywhere()
        .into_iter()
        .filter(|s| s.text.lines().any(|l| l.trim_start().starts_with("#[path")))
        .map(|s| s.path.display().to_string());
    assert_none(&included.collect::<Vec<_>>());
}

#[test]
fn a_file_holds_one_subject() {
    let mut problems = Vec::new();
    for source in everywhere() {
        let lines = source.text.lines().count();
        let code = source.code().lines().count();
        let name = source.path.file_name().unwrap().to_string_lossy();
        // Roots of modules and programs, and the errors of a module, are subjects at any length.
        let root = ["mod.rs", "main.rs", "lib.rs", "lab.rs", "error.rs"].contains(&&*name);
        if (lines < 35 && !root) || code > 600 {
            problems.push(format!("{}: {lines} lines", source.path.display()));
        }
    }
    assert_none(&problems);
}

/// Every path that `code` names below `crate`, `self` or `super`, groups taken apart.
fn paths(code: &str) -> Vec<Vec<String>> {
    let start = Regex::new(r"\b(crate|self|super)::").unwrap();
    let mut paths = Vec::new();
    for found in start.find_iter(code) {
        // `super::super::x` begins once.
        if code[..found.start()].ends_with("::") {
            continue;
        }
        take_apart(&code[found.start()..], &mut Vec::new(), &mut paths);
    }
    paths
}

/// Reads one path or group after `prefix`; returns what follows it.
fn take_apart<'a>(
    text: &'a str,
    prefix: &mut Vec<String>,
    paths: &mut Vec<Vec<String>>,
) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start().trim_start_matches(',').trim_start();
            match rest.strip_prefix('}') {
                Some(after) => return after,
                None if rest.is_empty() => return rest,
                None => {}
            }
            let before = rest.len();
            rest = take_apart(rest, &mut prefix.clone(), paths);
            if let Some(renamed) = rest.trim_start().strip_prefix("as ") {
                let end = renamed.find([',', '}']).unwrap_or(renamed.len());
                rest = &renamed[end..];
            }
            if rest.len() == before {
                return rest;
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    if end > 0 {
        prefix.push(text[..end].to_owned());
    }
    match text[end..].strip_prefix("::") {
        Some(rest) if end > 0 => take_apart(rest, prefix, paths),
        _ => {
            paths.push(prefix.clone());
            &text[end..]
        }
    }
}

/// `path` as named in module `at`, from the top of the crate.
fn absolute(at: &[String], path: &[String]) -> Vec<String> {
    let mut absolute = at.to_vec();
    for part in path {
        match part.as_str() {
            "crate" => absolute.clear(),
            "self" => {}
            "super" => drop(absolute.pop()),
            part => absolute.push(part.to_owned()),
        }
    }
    absolute
}

/// For each module that has files or directories below it: which of them use which.
fn uses() -> BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> {
    let sources: Vec<SourceFile> = sources(&["src"]).into_iter().filter(|s| !s.is_test()).collect();
    let modules: BTreeSet<Vec<String>> = sources.iter().map(SourceFile::module).collect();
    // What a module passes on: the child from which `super::Name` comes.
    let again = Regex::new(r"(?s)pub(?:\([^)]*\))? use (?:self::)?([a-z_0-9]+::[^;]*);").unwrap();
    let mut passed: BTreeMap<Vec<String>, String> = BTreeMap::new();
    for source in &sources {
        let module = source.module();
        for found in again.captures_iter(&source.code()) {
            let mut named = Vec::new();
            take_apart(&found[1], &mut Vec::new(), &mut named);
            for path in named {
                let name = [module.as_slice(), &path[path.len() - 1..]].concat();
                passed.insert(name, path[0].clone());
            }
        }
    }
    let mut uses: BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for source in &sources {
        let module = source.module();
        let named: Vec<Vec<String>> =
            paths(&source.code()).iter().map(|path| absolute(&module, path)).collect();
        for depth in 1..module.len() {
            let (parent, child) = (&module[..depth], &module[depth]);
            let children = uses.entry(parent.to_vec()).or_default();
            let used = children.entry(child.clone()).or_default();
            for path in named.iter().filter(|p| p.len() > depth && p.starts_with(parent)) {
                let sibling = if modules.contains(&path[..=depth]) {
                    &path[depth]
                } else if let Some(from) = passed.get(&path[..=depth]) {
                    from
                } else {
                    continue;
                };
                if sibling != child {
                    used.insert(sibling.clone());
                }
            }
        }
    }
    uses
}

#[test]
fn files_of_a_module_use_each_other_one_way() {
    let mut problems = Vec::new();
    let mut arrows = 0;
    for (module, mut uses) in uses() {
        arrows += uses.values().map(BTreeSet::len).sum::<usize>();
        // Take away what uses nothing that is left; a circle remains.
        loop {
            let left: BTreeSet<String> = uses.keys().cloned().collect();
            let before = uses.len();
            uses.retain(|_, used| used.iter().any(|u| left.contains(u)));
            if uses.len() == before {
                break;
            }
        }
        // And what nothing left uses.
        loop {
            let used: BTreeSet<String> = uses.values().flatten().cloned().collect();
            let before = uses.len();
            uses.retain(|name, _| used.contains(name));
            if uses.len() == before {
                break;
            }
        }
        for (name, used) in &uses {
            let used: Vec<&str> =
                used.iter().filter(|u| uses.contains_key(*u)).map(|u| &**u).collect();
            problems.push(format!("{}: {name} uses {}", module.join("/"), used.join(", ")));
        }
    }
    assert!(arrows > 200, "the scan is blind: {arrows} uses");
    assert_none(&problems);
}

#[test]
fn grouped_paths_are_taken_apart() {
    let code =
        "use super::a::{B, c::{D as E, F}, self};\nfn f() { crate::plan::x(super::super::y) }";
    let joined: Vec<String> = paths(code).iter().map(|p| p.join("::")).collect();
    assert_eq!(
        joined,
        [
            "super::a::B",
            "super::a::c::D",
            "super::a::c::F",
            "super::a::self",
            "crate::plan::x",
            "super::super::y"
        ]
    );
}
