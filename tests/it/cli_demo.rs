//! The demo, and what a person at a terminal sees.

use crate::support::cli::{CliRun, Sandbox};

#[test]
fn the_demo_at_a_terminal_shows_the_main_job_and_ends_with_three_commands_to_type() {
    let bench = Sandbox::new();
    let ran = at_a_terminal(&bench, "sleep 30", "demo --fast").exits(0);
    let shown = ran.stdout.replace("\r\n", "\n");
    let mut rest = shown.as_str();
    // In this order, twice.
    for board in ["mcx311a", "mcx312b"] {
        let card = format!("-d sim:cx3flash-demo/{board}.cx3 ");
        for step in [
            format!("{card}list"),
            format!("{card}query"),
            "verify cx3flash-demo".to_owned(),
            format!("{card}plan"),
            format!("{card}backup"),
            format!("{card}burn"),
            format!("{card}query"),
            "FW Version(Running):".to_owned(),
            format!("{card}activate"),
            format!("{card}query"),
        ] {
            let at = rest.find(&step).unwrap_or_else(|| panic!("no {step:?} here:\n{rest}"));
            rest = &rest[at + step.len()..];
        }
    }
    for card in ["mcx311a", "mcx312b"] {
        let info = bench
            .run(&["sim", "info", &format!("cx3flash-demo/{card}.cx3"), "--json"])
            .exits(0)
            .json();
        assert_eq!(info["result"]["running"]["fw_version"], "2.42.5000");
        assert_eq!(info["result"]["misuse_count"], 0, "{info:#}");
    }
}

#[test]
fn the_demo_in_a_pipe_is_a_summary_of_one_screen_whose_last_three_commands_work() {
    let bench = Sandbox::new();
    let ran = bench.run(&["demo"]).exits(0);
    assert_eq!(ran.stderr, "");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let rows: usize = lines.iter().map(|line| line.chars().count().div_ceil(80).max(1)).sum();
    assert!(rows <= 24, "{rows} rows\n{ran}");
    assert_eq!(ran.stdout.matches("burn      2.42.5000 over 2.3").count(), 2, "{ran}");
    assert_eq!(ran.stdout.matches("activate  2.42.5000 runs").count(), 2, "{ran}");
    let advice: Vec<&str> = lines.iter().filter_map(|l| l.strip_prefix("  ")).collect();
    let ours: Vec<&str> =
        advice.iter().filter_map(|l| l.split_once("cx3flash ")).map(|l| l.1).collect();
    assert_eq!(lines[lines.len() - 3..].len(), ours.len(), "{ran}");
    let codes: Vec<i32> =
        ours.iter().map(|line| bench.shell(&format!("cx3flash {line}")).code).collect();
    // No card is here, and this host is not ready for one.
    assert_eq!(codes, [0, 5, 0], "{ours:?}");
    // And it never writes over an earlier one.
    bench.run(&["-q", "demo"]).exits(0).prints("cx3flash-demo/2");
}

#[test]
fn the_demo_in_json_is_one_document() {
    let ran = Sandbox::new().run(&["demo", "--json"]).exits(0);
    let document = ran.json();
    let steps = document["result"]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 22);
    for step in steps {
        assert_eq!(step["document"]["schema"], 2);
        assert_eq!(step["document"]["exit"], 0);
    }
}

/// On a terminal made by script(1), which comes with every Linux; `keys` is a line of shell.
fn at_a_terminal(bench: &Sandbox, keys: &str, command: &str) -> CliRun {
    bench.shell(&format!("({keys}) | script -qec 'cx3flash {command}' /dev/null"))
}

#[test]
fn the_question_is_asked_and_its_answer_is_followed() {
    // Keys typed before the question are no answer to it, so each run waits; they run at the same time.
    let question = |keys: &str, code: i32, words: &str| {
        let bench = Sandbox::pro();
        let before = bench.flash("card.cx3");
        at_a_terminal(
            &bench,
            &format!("sleep 1; {keys}; sleep 1"),
            "-d sim:card.cx3 burn new.bin --backup-dir backups",
        )
        .exits(code)
        .prints("Write 2.42.5000 over 2.36.5150 to sim:card.cx3 (MCX312B-XCCT, 01:00.0)? [y/N]")
        .prints(words);
        assert_eq!(before == bench.flash("card.cx3"), code != 0, "{keys}");
    };
    std::thread::scope(|scope| {
        for (keys, code, words) in [
            ("echo n", 1, "not confirmed; nothing was changed"),
            ("echo", 1, "not confirmed; nothing was changed"),
            (r"printf '\003'", 130, "interrupted"),
            ("echo y; sleep 2", 0, "2.42.5000"),
        ] {
            scope.spawn(move || question(keys, code, words));
        }
    });
}

#[test]
fn colours_appear_only_at_a_terminal() {
    let bench = Sandbox::pro();
    let plan = "-d sim:card.cx3 plan new.bin";
    let colour = "\u{1b}[33mw";
    let ran = at_a_terminal(&bench, "sleep 1", plan).exits(0);
    assert!(ran.stdout.contains(colour), "{ran}");
    let ran =
        bench.shell(&format!("NO_COLOR=1 script -qec 'cx3flash {plan}' /dev/null </dev/null"));
    assert!(!ran.exits(0).stdout.contains(colour));
}
