//! `config query` and `config set` as a user meets them.

use crate::support::cli::{CliRun, Sandbox};
use serde_json::Value;

fn set(bench: &Sandbox, settings: &[&str]) -> CliRun {
    let mut args = vec!["config", "set", "--yes", "--backup-dir", "backups"];
    args.extend(settings);
    bench.card(&args)
}

/// `next_boot` of one setting.
fn value(bench: &Sandbox, name: &str) -> Value {
    let document = bench.card(&["--json", "config", "query"]).exits(0).json();
    let list = document["result"]["parameters"].as_array().unwrap().clone();
    let found = list.into_iter().find(|p| p["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {document:#}"))["next_boot"].clone()
}

#[test]
fn a_stored_setting_is_kept_and_shown() {
    let bench = Sandbox::owner();
    std::fs::create_dir(bench.path("backups")).unwrap();
    bench
        .card(&["config", "query"])
        .exits(0)
        .prints("SRIOV_EN                True(1)             True(1)\n")
        .prints("NUM_OF_VFS              8                   8\n");
    let flash = bench.flash("card.cx3");
    set(&bench, &["sriov_en=false", "NUM_OF_VFS=0x10"])
        .exits(0)
        .prints("SRIOV_EN                True(1)             False(0)\n")
        .prints("stored   2 of 2, read back and compared\n")
        .prints("activate");
    bench
        .card(&["config", "query"])
        .exits(0)
        .prints("SRIOV_EN                True(1)             False(0)  (stored)\n");
    assert_eq!(value(&bench, "NUM_OF_VFS"), 16);
    // The firmware keeps it over resets and power, and nothing but its area changed.
    bench.card(&["activate"]).exits(0);
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    assert_eq!(value(&bench, "NUM_OF_VFS"), 16);
    let now = bench.flash("card.cx3");
    let changed: Vec<usize> = (0..now.len()).filter(|at| now[*at] != flash[*at]).collect();
    assert!(changed.iter().all(|at| *at >= now.len() - 0x2000), "{changed:x?}");
    // The backup is the flash of before.
    let backup = std::fs::read_dir(bench.path("backups"))
        .unwrap()
        .next()
        .expect("a backup was made")
        .unwrap()
        .path();
    assert!(std::fs::read(backup.join("flash.bin")).unwrap() == flash);
    // Again: nothing to do, no second backup.
    let again = set(&bench, &["NUM_OF_VFS=16"]).exits(2);
    assert!(again.stdout.contains("nothing to do"), "{again}");
    assert_eq!(std::fs::read_dir(bench.path("backups")).unwrap().count(), 1);
    assert!(bench.flash("card.cx3") == now);
    let info = bench.run(&["sim", "info", "card.cx3", "--json"]).exits(0);
    assert_eq!(info.json()["result"]["misuse_count"], 0);
}

#[test]
fn a_reset_of_the_sectors_clears_every_setting() {
    let bench = Sandbox::pro();
    std::fs::create_dir(bench.path("backups")).unwrap();
    set(&bench, &["BOOT_VLAN_P2=99"]).exits(0);
    assert_eq!(value(&bench, "BOOT_VLAN_P2"), 99);
    bench.card(&["config", "reset", "--yes", "--backup-dir", "backups"]).exits(0);
    assert_eq!(value(&bench, "BOOT_VLAN_P2"), 1);
}

#[test]
fn bad_settings_change_nothing() {
    let bench = Sandbox::owner();
    for (typed, message) in [
        ("NUM_OF_VF=1", "similar names: NUM_OF_VFS"),
        ("LINK_TYPE=ETH", "LINK_TYPE_P1, LINK_TYPE_P2"),
        ("SRIOV_EN", "KEY=VALUE"),
        ("SRIOV_EN=2", "SRIOV_EN takes False, True or 0..1"),
        ("BOOT_VLAN_P1=4096", "BOOT_VLAN_P1 takes 0..4095"),
        ("BOOT_VLAN_P1=", "BOOT_VLAN_P1 takes 0..4095"),
    ] {
        bench.refuses(&["config", "set", typed, "--yes"], 64).reports(message);
    }
    bench.refuses(&["config", "set", "--yes"], 64);
    bench
        .refuses(&["config", "set", "SRIOV_EN=1", "SRIOV_EN=0", "--yes"], 64)
        .reports("SRIOV_EN is given twice");
    // A setting this card has not, and a value it cannot.
    bench.refuses(&["config", "set", "LINK_TYPE_P1=ETH", "--yes"], 4).reports("no LINK_TYPE_P1");
    bench.refuses(&["config", "set", "NUM_OF_VFS=64", "--yes"], 4).reports("at most 63");
    // No terminal to ask at.
    bench.refuses(&["config", "set", "SRIOV_EN=0"], 64).reports("--yes");
}

#[test]
fn firmware_that_cannot_answer_is_reported() {
    let bench = Sandbox::new();
    bench.run(&["sim", "create", "card.cx3", "--blank"]).exits(0);
    for args in [&["config", "query"][..], &["config", "set", "SRIOV_EN=0", "--yes"]] {
        bench.refuses(args, 1).reports("no firmware runs");
    }
    let old = Sandbox::new();
    old.run(&[
        "sim",
        "image",
        "old.bin",
        "--like",
        "mcx311a-2.35.5100",
        "--fw-version",
        "2.30.8000",
    ])
    .exits(0);
    old.run(&["sim", "create", "card.cx3", "--image", "old.bin"]).exits(0);
    let ran = old.refuses(&["config", "query"], 1);
    assert!(ran.stderr.contains("2.30.8000") && ran.stderr.contains("2.31.5000 or newer"), "{ran}");
}

#[test]
fn a_reset_of_settings_reports_no_byte_of_a_signature() {
    let bench = Sandbox::owner();
    std::fs::create_dir(bench.path("backups")).unwrap();
    set(&bench, &["BOOT_VLAN_P1=5"]).exits(0);
    let ran = bench.card(&["config", "reset", "--yes", "--backup-dir", "backups"]).exits(0);
    assert!(ran.stderr.contains("commit"), "{ran}");
    assert!(!ran.stderr.contains("16 bytes"), "{ran}");
}

#[test]
fn a_corrupt_configuration_can_be_reset() {
    let bench = Sandbox::owner();
    std::fs::create_dir(bench.path("backups")).unwrap();
    bench.run(&["sim", "fault", "card.cx3", r#"{"fault":"corrupt_configuration"}"#]).exits(0);
    // A power cycle does not repair it.
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    let ran = bench.refuses(&["config", "query"], 1);
    assert!(ran.stderr.contains("corrupt") && ran.stderr.contains("config reset"), "{ran}");
    let json = bench.card(&["--json", "config", "query"]).exits(1).json();
    assert_eq!(json["error"]["code"], "nv_corrupt");
    bench.card(&["config", "reset", "--yes", "--backup-dir", "backups"]).exits(0);
    set(&bench, &["SRIOV_EN=0"]).exits(0);
}

#[test]
fn a_held_semaphore_is_waited_for_and_reported() {
    let bench = Sandbox::owner();
    bench
        .run(&[
            "sim",
            "fault",
            "card.cx3",
            r#"{"fault":"semaphore_held","number":47,"reads":null,"owner_alive":true}"#,
        ])
        .exits(0);
    bench.refuses(&["config", "query"], 5).reports("tools command interface").reports("activate");
}

#[test]
fn a_cut_while_the_firmware_writes_is_reported() {
    let bench = Sandbox::owner();
    std::fs::create_dir(bench.path("backups")).unwrap();
    bench.run(&["sim", "fault", "card.cx3", r#"{"fault":"power_cut","op":2,"seed":3}"#]).exits(0);
    let ran = set(&bench, &["SRIOV_EN=0", "BOOT_VLAN_P1=5"]).exits(9);
    assert!(ran.stderr.contains("0xf0300") || ran.stderr.contains("all ones"), "{ran}");
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    set(&bench, &["SRIOV_EN=0", "BOOT_VLAN_P1=5"]).exits(0);
    assert_eq!(value(&bench, "SRIOV_EN"), 0);
}
