//! `--all` of `plan` and `burn`: every card, one after the other.

use crate::support::cli::Sandbox;
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;
use std::fs;

/// Two cards of different boards, and a store with the newest image of each.
fn bench() -> Sandbox {
    let bench = Sandbox::new();
    fs::create_dir(bench.path("dl")).unwrap();
    for (card, board) in [("a.cx3", "mcx311a"), ("b.cx3", "mcx312b")] {
        bench.run(&["sim", "create", card, "--board", board]).exits(0);
        let (image, like) = (format!("dl/{board}.bin"), format!("{board}-2.42.5000"));
        bench.run(&["sim", "image", &image, "--like", &like]).exits(0);
    }
    bench
}

const BURN: [&str; 8] =
    ["--json", "burn", "--all", "--from", "dl", "--yes", "--backup-dir", "backups"];

fn cards(document: &Value) -> Vec<(&str, u64)> {
    let cards = document["result"]["cards"].as_array().unwrap();
    let of = |card: &'_ Value| card["exit"].as_u64().unwrap();
    cards.iter().map(|card| (card["device"].as_str().unwrap(), of(card))).collect()
}

#[test]
fn each_card_gets_the_image_of_its_board() {
    let bench = bench();
    let plan = bench.run(&["--json", "plan", "--all", "--from", "dl"]).exits(0).json();
    assert_eq!(cards(&plan), [("sim:a.cx3", 0), ("sim:b.cx3", 0)]);
    assert!(plan["device"].is_null());
    let burned = bench.run(&BURN).exits(0).json();
    assert_eq!(cards(&burned), [("sim:a.cx3", 0), ("sim:b.cx3", 0)]);
    for (n, board) in ["mcx311a", "mcx312b"].into_iter().enumerate() {
        let result = &burned["result"]["cards"][n]["result"];
        assert_eq!(result["choice"]["file"], format!("dl/{board}.bin"), "{burned:#}");
        assert!(result["backup"]["dir"].is_string());
    }
    let again = bench.run(&BURN).exits(2).json();
    assert_eq!(cards(&again), [("sim:a.cx3", 2), ("sim:b.cx3", 2)]);
    let text = bench.run(&BURN[1..]).exits(2);
    text.prints("card 1 of 2: sim:a.cx3").prints("card 2 of 2: sim:b.cx3");
}

#[test]
fn a_card_that_is_refused_or_in_use_is_reported_and_the_next_one_follows() {
    let bench = bench();
    // Of a named image, the card of another board.
    let image = ["--json", "burn", "dl/mcx312b.bin", "--all", "--yes", "--backup-dir", "backups"];
    let document = bench.run(&image).exits(4).json();
    assert_eq!(cards(&document), [("sim:a.cx3", 4), ("sim:b.cx3", 0)]);
    let message = document["error"]["message"].as_str().unwrap();
    assert_eq!(message, "1 of 2 cards failed, the worst is sim:a.cx3", "{document:#}");
    // The advice for a card is about its own image.
    bench.run(&["sim", "create", "c.cx3", "--blank"]).exits(0);
    let document = bench.run(&BURN).exits(4).json();
    let last = &document["result"]["cards"][2]["error"];
    assert_eq!(last["code"], "no_image_fits", "{document:#}");
    assert!(last["hint"].as_str().unwrap().contains("recover IMAGE"), "{last:#}");
    fs::remove_file(bench.path("c.cx3")).unwrap();
    // Another process has one of both.
    let file = fs::File::options().read(true).write(true).open(bench.path("a.cx3")).unwrap();
    let held = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).unwrap();
    let document = bench.run(&BURN).exits(5).json();
    assert_eq!(cards(&document), [("sim:a.cx3", 5), ("sim:b.cx3", 2)]);
    assert_eq!(document["result"]["cards"][0]["error"]["code"], "card_busy");
    drop(held);
}

#[test]
fn the_first_card_that_does_not_come_back_ends_it() {
    let cut = r#"{"fault":"power_cut","op":100,"seed":1}"#;
    let bench = bench();
    let [a, b] = ["a.cx3", "b.cx3"].map(|card| bench.read(card));
    bench.run(&["sim", "fault", "a.cx3", cut]).exits(0);
    let document = bench.run(&BURN).exits(9).json();
    assert_eq!(cards(&document), [("sim:a.cx3", 9)]);
    assert_eq!(document["result"]["not_reached"], serde_json::json!(["sim:b.cx3"]));
    assert!(bench.read("b.cx3") == b);
    bench.write("a.cx3", &a);
    bench.run(&["sim", "fault", "a.cx3", cut]).exits(0);
    bench.run(&BURN[1..]).exits(9).prints("sim:b.cx3  not tried");
}

#[test]
fn the_summary_has_a_line_for_each_card_with_its_own_reason() {
    let bench = bench();
    bench.run(&["sim", "create", "c.cx3", "--blank"]).exits(0);
    let ran = bench.run(&["burn", "--all", "dl/mcx312b.bin", "--yes"]).exits(4);
    let (_, summary) = ran.stdout.split_once("\nSummary\n").unwrap();
    let lines: Vec<&str> = summary.lines().collect();
    assert!(lines[0].starts_with("  sim:a.cx3  exit 4, "), "{summary}");
    assert!(lines[0].contains("psid"), "{summary}");
    assert_eq!(lines[1], "  sim:b.cx3  done");
    assert!(lines[2].starts_with("  sim:c.cx3  exit "), "{summary}");
    assert!(!lines[2].contains("psid"), "{summary}");
    assert_eq!(lines[3..], ["3 cards: 1 done, 2 failed"]);
    // Each reason is printed once as an error, with its card.
    assert!(ran.stderr.ends_with("error: 2 of 3 cards failed\n"), "{ran}");
    assert_eq!(
        ran.stderr.matches("REFUSED").count() + ran.stderr.matches("error: ").count(),
        3,
        "{ran}"
    );
}

#[test]
fn every_card_is_not_one_card() {
    let bench = bench();
    let one = ["-d", "a.cx3", "plan", "--all", "--from", "dl"];
    bench.run(&one).exits(64).one_clear_line().reports("-d names sim:a.cx3");
    bench.run(&["--trace", "t", "plan", "--all", "--from", "dl"]).exits(64).one_clear_line();
    let none = Sandbox::new();
    fs::create_dir(none.path("dl")).unwrap();
    none.run(&["plan", "--all", "--from", "dl"]).exits(3).one_clear_line();
    // Without a terminal and without --yes no card is taken.
    bench.run(&["burn", "--all", "--from", "dl"]).exits(64).one_clear_line();
    // The contradiction comes before the question, whose advice would lead to it.
    bench
        .run(&["-d", "a.cx3", "burn", "--all", "--from", "dl"])
        .exits(64)
        .reports("give one of both");
}
