//! `selftest` as a user sees it.

use crate::support::cli::Sandbox;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn without_a_terminal_and_without_yes_it_is_refused_before_the_card_is_taken() {
    let bench = Sandbox::pro();
    let before = bench.flash("card.cx3");
    bench.card(&["selftest"]).exits(64).reports("there is no terminal");
    bench.card(&["selftest", "--yes", "--expendable", "MT1"]).exits(4).reports("serial number");
    assert!(bench.flash("card.cx3") == before);
}

#[test]
fn its_text_fits_80_columns_and_its_document_has_every_stage() {
    let bench = Sandbox::pro();
    let ran = bench.card(&["selftest", "--yes", "--tools-interface", "--reset"]).exits(0);
    for line in ran.stdout.lines().filter(|line| !line.starts_with("record: ")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let ran = bench.card(&["--json", "selftest", "--yes", "--tools-interface", "--reset"]).exits(0);
    let result = ran.json()["result"].clone();
    let stages = result["stages"].as_array().unwrap().clone();
    let ids: Vec<&str> = stages.iter().map(|stage| stage["id"].as_str().unwrap()).collect();
    assert_eq!(
        ids,
        [
            "driver",
            "boot",
            "transports",
            "semaphores",
            "gateway",
            "readings",
            "chains_64",
            "chains_256",
            "chains_4096",
            "images",
            "running",
            "boot_address",
            "identity",
            "settings_area",
            "tools_interface",
            "reset",
            "restored",
        ]
    );
    assert_eq!(result["contradicted"], false);
    let record = result["record"].as_str().unwrap();
    let mode = std::fs::metadata(record).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_default_card_has_a_record_and_can_be_named_as_expendable() {
    let bench = Sandbox::owner();
    bench.card(&["selftest", "--yes"]).exits(0).prints("record: ");
    let ran = bench.refuses(&["selftest", "--yes", "--expendable", "x"], 4);
    let ran = ran.reports("e41d2d0300dd7850").reports("SIM0000000001");
    assert!(ran.stderr.contains("nothing was changed"), "{ran}");
    // A card without an identity has its vital product data.
    bench.run(&["sim", "create", "blank.cx3", "--blank"]).exits(0);
    let named = ["-d", "sim:blank.cx3", "selftest", "--yes", "--expendable"];
    bench.run(&[&named[..], &["x"]].concat()).exits(4).reports("SIM0000000001");
    let expendable = [&named[..], &["SIM0000000001", "--backup-dir", "b"]].concat();
    bench.run(&expendable).exits(0).prints("erase_64k");
}

#[test]
fn a_contradiction_is_exit_1_and_a_burn_that_needs_it_is_exit_4_with_the_way_on() {
    let bench = Sandbox::pro();
    let fault = r#"{"fault":"unstable_id","every":7}"#;
    bench.run(&["sim", "fault", "card.cx3", fault]).exits(0);
    let ran = bench.card(&["--json", "selftest", "--yes"]).exits(1);
    assert_eq!(ran.json()["error"]["code"], "contradicted", "{ran}");
    assert_eq!(ran.json()["result"]["contradicted"], true);
    bench
        .refuses(&["burn", "new.bin", "--yes"], 4)
        .reports("gateway")
        .reports("cx3flash -d sim:card.cx3 selftest");
    let fault = r#"{"fault":"swapped_bytes","by":"mmap"}"#;
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    bench.run(&["sim", "fault", "card.cx3", fault]).exits(0);
    bench.card(&["selftest", "--yes"]).exits(1).prints("other order");
}

#[test]
fn a_card_that_another_program_holds_is_exit_5() {
    let bench = Sandbox::pro();
    let fault = r#"{"fault":"semaphore_held","number":40,"reads":null,"owner_alive":true}"#;
    bench.run(&["sim", "fault", "card.cx3", fault]).exits(0);
    bench.card(&["selftest", "--yes"]).exits(5).reports("semaphore");
}
