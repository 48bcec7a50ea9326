//! `doctor` with several cards, and what it skips.

use crate::support::cli::Sandbox;
use serde_json::Value;
use std::fs;

fn ids<'a>(checks: &'a Value, what: &str) -> Vec<&'a str> {
    let checks = checks.as_array().unwrap();
    let picked = checks.iter().filter(|check| match what {
        "skipped" => check["skipped"] == true,
        _ => check["ok"] == false && check["skipped"] == false,
    });
    picked.map(|check| check["id"].as_str().unwrap()).collect()
}

#[test]
fn the_host_is_checked_once_and_each_card_in_turn() {
    let bench = Sandbox::owner();
    bench.run(&["sim", "create", "blank.cx3", "--blank"]).exits(0);
    let ran = bench.run(&["--json", "doctor"]).exits(5);
    let document = ran.json();
    let host = &document["result"]["checks"];
    let names = host.as_array().unwrap().iter().map(|check| check["id"].as_str().unwrap());
    let names: Vec<&str> = names.collect();
    assert!(names.contains(&"iommu") && names.contains(&"backup_space"), "{ran}");
    let cards = document["result"]["cards"].as_array().unwrap();
    let states: Vec<_> =
        cards.iter().map(|card| (card["device"].as_str().unwrap(), &card["ok"])).collect();
    assert_eq!(
        states,
        [("sim:blank.cx3", &Value::Bool(false)), ("sim:card.cx3", &Value::Bool(true))]
    );
    assert_eq!(ids(&cards[0]["checks"], "wrong"), ["firmware", "images"]);
    assert_eq!(ids(&cards[0]["checks"], "skipped"), ["identity"]);
    assert_eq!(cards[1]["card"]["device"], "sim:card.cx3");
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("sim:blank.cx3 is not ready: firmware, images"), "{message}");
    assert!(!message.contains("sim:card.cx3"), "{message}");
    let text = bench.run(&["doctor"]).exits(5).one_clear_line();
    text.prints("host\n").prints("\nsim:card.cx3\nok ").prints("skipped identity");
    // A card that is named is checked alone.
    let one = bench.run(&["--json", "-d", "card.cx3", "doctor"]).exits(0).json();
    assert_eq!(one["result"]["cards"], Value::Array(Vec::new()));
    // A trace is one card's.
    bench.run(&["--trace", "t.trace", "doctor"]).exits(3).one_clear_line();
}

#[test]
fn what_depends_on_a_failed_finding_is_skipped() {
    let bench = Sandbox::new();
    let dir = bench.path("host/sys/bus/pci/devices/0000:05:00.0");
    fs::create_dir_all(&dir).unwrap();
    for (file, text) in [("vendor", "0x15b3"), ("device", "0x1003"), ("revision", "0x00")] {
        fs::write(dir.join(file), text).unwrap();
    }
    let ran = bench.run(&["--json", "doctor"]).exits(5);
    let document = ran.json();
    let checks = &document["result"]["checks"];
    let wrong = ids(checks, "wrong");
    assert!(wrong.contains(&"iommu") && wrong.contains(&"group_viable"), "{ran}");
    let skipped = ids(checks, "skipped");
    assert_eq!(skipped[..4], ["card", "chip", "firmware", "semaphores"], "{ran}");
    assert!(!wrong.contains(&"card"), "{ran}");
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("iommu") && !message.contains("semaphores"), "{message}");
}
