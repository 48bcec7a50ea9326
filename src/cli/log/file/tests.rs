use super::{Bounds, EventWriter, Level, SharedLog, is_log, name};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const SMALL: Bounds =
    Bounds { file: 64 << 10, registers: 1000, recent: 3, files: 4, total: 256 << 10 };

fn line(log: &SharedLog, level: Level, text: &str) {
    let mut writer = EventWriter { log, level };
    writer.write_all(format!("{text}\n").as_bytes()).unwrap();
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_log_without_a_line_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log/a.jsonl");
    let log = SharedLog::new(path.clone(), SMALL);
    log.flush();
    drop(log.clone());
    assert_eq!(log.path(), None);
    assert!(!path.parent().unwrap().exists());
    line(&log, Level::INFO, "one");
    assert_eq!(log.path(), Some(path.clone()));
    assert_eq!(text(&path), "one\n");
}

#[test]
fn a_log_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/log/a.jsonl");
    line(&SharedLog::new(path.clone(), SMALL), Level::INFO, "one");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&dir.path().join("state")), 0o700);
}

#[test]
fn a_log_ends_at_its_bound_with_a_line_about_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let bounds = Bounds { file: 1 << 20, ..SMALL };
    let log = SharedLog::new(path.clone(), bounds);
    let long = "x".repeat(999);
    for _ in 0..2000 {
        line(&log, Level::DEBUG, &long);
    }
    let text = text(&path);
    assert!(text.len() as u64 <= bounds.file, "{}", text.len());
    assert!(text.len() as u64 > bounds.file - 2000, "{}", text.len());
    let last = text.lines().last().unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["fields"]["message"], "log cut at 1 MiB");
    assert_eq!(log.path(), Some(path));
}

#[test]
fn register_accesses_beyond_their_bound_are_the_last_ones_before_a_warning_and_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let log = SharedLog::new(path.clone(), SMALL);
    line(&log, Level::TRACE, &"x".repeat(1000));
    for n in 0..10 {
        line(&log, Level::TRACE, &format!("access {n}"));
    }
    line(&log, Level::INFO, "progress");
    line(&log, Level::WARN, "a warning");
    line(&log, Level::TRACE, "access 10");
    log.flush();
    let text = text(&path);
    let seen: Vec<&str> = text
        .lines()
        .skip(1)
        .map(|line| match line.find("\"message\":\"") {
            Some(at) => line[at + 11..].split('"').next().unwrap(),
            None => line,
        })
        .collect();
    assert_eq!(
        seen,
        [
            "from here on only the last 3 register accesses before a warning, an error and the end are logged",
            "progress",
            "7 register accesses left out",
            "access 7",
            "access 8",
            "access 9",
            "a warning",
            "access 10",
        ]
    );
}

#[test]
fn only_the_newest_logs_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    for hour in 0..9 {
        let stamp = format!("20261126T0{hour}0000Z");
        fs::write(dir.path().join(name(&stamp, 7, "burn")), "old\n").unwrap();
    }
    let new = name("20261126T100000Z", 7, "query");
    line(&SharedLog::new(dir.path().join(&new), SMALL), Level::INFO, "new");
    assert_eq!(
        names(dir.path()),
        [
            "20261126T060000Z-7-burn.jsonl",
            "20261126T070000Z-7-burn.jsonl",
            "20261126T080000Z-7-burn.jsonl",
            "20261126T100000Z-7-query.jsonl",
        ]
    );
}

#[test]
fn all_logs_together_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    for hour in 0..3 {
        let stamp = format!("20261126T0{hour}0000Z");
        let old = dir.path().join(name(&stamp, 7, "burn"));
        fs::write(old, vec![b'x'; 100 << 10]).unwrap();
    }
    let new = dir.path().join(name("20261126T100000Z", 7, "query"));
    line(&SharedLog::new(new, SMALL), Level::INFO, "new");
    // 64 KiB are for the new one: one old log of 100 KiB fits beside it.
    assert_eq!(
        names(dir.path()),
        ["20261126T020000Z-7-burn.jsonl", "20261126T100000Z-7-query.jsonl"]
    );
}

#[test]
fn only_our_own_regular_files_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::write(&outside, "mine\n").unwrap();
    let logs = dir.path().join("log");
    fs::create_dir(&logs).unwrap();
    symlink(&outside, logs.join("20200101T000000Z-1-burn.jsonl")).unwrap();
    fs::create_dir(logs.join("20200101T000001Z-1-burn.jsonl")).unwrap();
    for other in ["notes.jsonl", "20200101T000000Z-1-burn.json", "2020-report.jsonl"] {
        fs::write(logs.join(other), "mine\n").unwrap();
    }
    for n in 0..9 {
        fs::write(logs.join(name("20210101T000000Z", n, "burn")), "old\n").unwrap();
    }
    let kept = names(&logs).len() - 9;
    let new = logs.join(name("20261126T100000Z", 7, "query"));
    line(&SharedLog::new(new, SMALL), Level::INFO, "new");
    let left = names(&logs);
    assert_eq!(left.len(), kept + SMALL.files, "{left:?}");
    assert_eq!(text(&outside), "mine\n");
    assert!(left.contains(&"20200101T000000Z-1-burn.jsonl".to_owned()));
    assert!(left.contains(&"20200101T000001Z-1-burn.jsonl".to_owned()));
}

#[test]
fn a_file_that_is_already_there_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    fs::write(&path, "another process\n").unwrap();
    let log = SharedLog::new(path.clone(), SMALL);
    line(&log, Level::INFO, "one");
    assert_eq!(log.path(), None);
    assert_eq!(text(&path), "another process\n");
}

#[test]
fn names_of_logs_are_recognised() {
    for ours in
        [name("20261126T043850Z", 18446, "burn"), name("20261126T043850Z", 1, "host-restore")]
    {
        assert!(is_log(&ours), "{ours}");
    }
    for other in [
        "20261126T043850Z-18446-.jsonl",
        "20261126T043850Z--burn.jsonl",
        "20261126T04385Z-1-burn.jsonl",
        "20261126T043850Z-1-burn.jsonl.gz",
        "20261126T043850Z-1-../x.jsonl",
        "-1-burn.jsonl",
        ".jsonl",
    ] {
        assert!(!is_log(other), "{other}");
    }
}
