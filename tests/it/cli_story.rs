//! What a user does with a card, command by command, and what the exit codes promise.

use crate::support::cli::{CliRun, Sandbox};
use serde_json::Value;

fn mutations(bench: &Sandbox) -> Value {
    let info = bench.run(&["sim", "info", "card.cx3", "--json"]).exits(0);
    let info = info.json();
    assert_eq!(info["result"]["misuse_count"], 0, "{info:#}");
    info["result"]["mutations"].clone()
}

fn burn(bench: &Sandbox) -> CliRun {
    bench.card(&["burn", "new.bin", "--yes", "--backup-dir", "backups"])
}

fn fault(bench: &Sandbox, json: &str) {
    bench.run(&["sim", "fault", "card.cx3", json]).exits(0);
}

fn the_backup(bench: &Sandbox) -> String {
    let mut found: Vec<_> = std::fs::read_dir(bench.path("backups"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    format!("backups/{}", found.first().expect("a backup was made"))
}

#[test]
fn the_job_of_an_owner_works_from_query_to_restore() {
    let bench = Sandbox::owner();
    std::fs::create_dir(bench.path("backups")).unwrap();
    bench.run(&["list"]).exits(0).prints("sim:card.cx3");
    bench.card(&["doctor"]).exits(0);
    bench
        .card(&["burn", "new.bin", "--yes", "--no-activate", "--backup-dir", "backups"])
        .exits(0)
        .prints("2.35.5100 -> 2.42.5000");
    let query = bench.card(&["query", "--full"]).exits(0);
    for line in [
        "FW Version:            2.42.5000\n",
        "FW Version(Running):   2.35.5100\n",
        "GUIDs:                 ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff \n",
        "MACs:                                       e41d2ddd7850     e41d2ddd7851\n",
        "VSD:                   \n",
        "PSID:                  MT_1170110023\n",
    ] {
        assert!(query.stdout.contains(line), "no {line:?}\n{query}");
    }
    bench.card(&["activate"]).exits(0).prints("2.42.5000");
    let after = bench.card(&["query"]).exits(0);
    assert!(!after.stdout.contains("(Running)"), "{after}");
    bench.card(&["verify"]).exits(0);
    bench.card(&["verify", "--against", "new.bin"]).exits(0);
    mutations(&bench);
}

#[test]
fn burning_the_same_again_writes_nothing() {
    for bench in [Sandbox::owner(), Sandbox::pro()] {
        burn(&bench).exits(0);
        let (flash, before) = (bench.flash("card.cx3"), mutations(&bench));
        let ran = burn(&bench).exits(2);
        assert!(!ran.stderr.contains("error:"), "{ran}");
        bench.card(&["plan", "new.bin"]).exits(2);
        assert_eq!(mutations(&bench), before);
        assert!(flash == bench.flash("card.cx3"));
    }
}

#[test]
fn a_failsafe_card_boots_after_a_power_cut() {
    let bench = Sandbox::pro();
    fault(&bench, r#"{"fault":"power_cut","op":40,"seed":7}"#);
    // It does not answer any more: what it would boot is not known.
    burn(&bench).exits(9).one_clear_line();
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0).prints("runs 2.36.5150");
    bench.card(&["verify"]).exits(0);
    burn(&bench).exits(0);
}

#[test]
fn a_wrong_bit_on_a_failsafe_card_is_never_committed() {
    let bench = Sandbox::pro();
    fault(&bench, r#"{"fault":"lying_write","op":60}"#);
    burn(&bench)
        .exits(6)
        .one_clear_line()
        .reports("the card still boots the old image")
        .reports("hint: run the command again: cx3flash -d sim:card.cx3 burn new.bin --yes");
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0).prints("runs 2.36.5150");
    burn(&bench).exits(0);
}

#[test]
fn a_wrong_bit_on_a_non_failsafe_card_can_be_restored() {
    let bench = Sandbox::owner();
    let before = bench.flash("card.cx3");
    fault(&bench, r#"{"fault":"lying_write","op":60}"#);
    let ran = burn(&bench).exits(7).one_clear_line();
    let backup = the_backup(&bench);
    let ran = ran.reports(&format!("hint: cx3flash -d sim:card.cx3 restore {backup}"));
    assert_eq!(ran.code, 7);
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0).prints("recovery");
    bench.card(&["query"]);
    bench.card(&["restore", &backup, "--yes", "--backup-dir", "backups"]).exits(0);
    assert!(before == bench.flash("card.cx3"), "not the old flash");
    burn(&bench).exits(0);
}

#[test]
fn a_blank_card_needs_an_identity_from_its_owner() {
    let bench = Sandbox::owner();
    bench.run(&["sim", "create", "blank.cx3", "--blank"]).exits(0);
    let blank = |args: &[&str]| {
        let mut all = vec!["-d", "sim:blank.cx3"];
        all.extend(args);
        bench.run(&all)
    };
    // Both, spelled out; half an identity is none.
    for half in [
        vec!["recover", "new.bin", "--yes"],
        vec!["recover", "new.bin", "--yes", "--mac", "e41d2ddd7850"],
        vec!["recover", "new.bin", "--yes", "--guid", "e41d2d0300dd7850"],
        vec!["recover", "new.bin", "--yes", "--blank-guids", "--mac", "01005e000001"],
    ] {
        blank(&half).exits(64).one_clear_line();
    }
    blank(&["burn", "new.bin", "--yes"]).exits(4).one_clear_line().reports("recover");
    let recover = [
        "recover",
        "new.bin",
        "--yes",
        "--blank-guids",
        "--mac",
        "e41d2ddd7850",
        "--backup-dir",
        "backups",
    ];
    blank(&recover).exits(0);
    blank(&["identity", "show"]).exits(0).prints("e41d2ddd7851");
    blank(&["query"]).exits(0).prints("2.42.5000");
    // A card that has an image is no case for recover.
    blank(&recover).exits(4).one_clear_line().reports("use `burn`").reports("restore BACKUP");
}

#[test]
fn a_held_semaphore_is_respected() {
    let bench = Sandbox::pro();
    fault(&bench, r#"{"fault":"semaphore_held","number":63,"reads":null,"owner_alive":true}"#);
    bench
        .refuses(&["burn", "new.bin", "--yes"], 5)
        .reports("hint: if no other tool is running: cx3flash -d sim:card.cx3 unlock");
    bench.refuses(&["unlock", "--yes"], 5);
}

#[test]
fn a_stale_semaphore_can_be_cleared() {
    let bench = Sandbox::pro();
    fault(&bench, r#"{"fault":"semaphore_held","number":63,"reads":null,"owner_alive":false}"#);
    bench.refuses(&["query"], 5);
    bench.card(&["unlock"]).exits(0);
    bench.card(&["query"]).exits(0);
    bench.card(&["unlock", "--yes"]).exits(2);
}

#[test]
fn all_ones_are_reported_as_a_card_that_is_gone() {
    let bench = Sandbox::pro();
    fault(&bench, r#"{"fault":"removed","after":0}"#);
    bench.refuses(&["query"], 1).reports("gone");
    bench.refuses(&["burn", "new.bin", "--yes"], 1).reports("gone");
}

#[test]
fn a_locked_card_is_reported() {
    let bench = Sandbox::owner();
    bench.run(&["sim", "create", "locked.cx3", "--secure-host"]).exits(0);
    bench.run(&["-d", "sim:locked.cx3", "query"]).exits(1).one_clear_line().reports("locked");
    let doctor = bench.run(&["-d", "sim:locked.cx3", "doctor"]).exits(5);
    doctor.one_clear_line();
}

#[test]
fn write_protection_is_found_before_the_first_erase() {
    let bench = Sandbox::pro();
    fault(&bench, r#"{"fault":"protected","status":28}"#);
    let ran = bench.refuses(&["burn", "new.bin", "--yes"], 4);
    ran.reports("protect");
}

#[test]
fn rom_identity_and_settings_survive_their_commands() {
    let bench = Sandbox::pro();
    let yes = ["--yes", "--backup-dir", "backups"];
    let write = |args: &[&str], code| {
        let mut all = args.to_vec();
        all.extend(yes);
        bench.card(&all).exits(code)
    };
    bench.card(&["rom", "read", "rom.bin"]).exits(0);
    write(&["rom", "remove"], 0);
    bench.card(&["rom", "info"]).exits(0).prints("no ROM");
    bench.refuses(&["rom", "read", "none.bin"], 1).reports("ROM");
    write(&["rom", "write", "rom.bin"], 0);
    bench.card(&["rom", "read", "again.bin"]).exits(0);
    assert!(bench.read("rom.bin") == bench.read("again.bin"));
    write(&["rom", "write", "rom.bin"], 2);
    write(&["identity", "set", "--mac", "e41d2d123456"], 0);
    bench.card(&["identity", "show"]).exits(0).prints("e41d2d123457");
    write(&["identity", "set", "--mac", "e41d2d123456"], 2);
    bench.card(&["config", "show"]).exits(0).prints("[ADAPTER]");
    let ran = bench.card(&["config", "reset", "--yes", "--backup-dir", "backups"]);
    assert!(matches!(ran.code, 0 | 2), "{ran}");
    bench.card(&["verify"]).exits(0);
    mutations(&bench);
}

#[test]
fn a_backup_that_was_changed_is_refused() {
    let bench = Sandbox::pro();
    bench.card(&["backup", "--out", "backups"]).exits(0);
    let backup = the_backup(&bench);
    let name = format!("{backup}/flash.bin");
    let mut bytes = bench.read(&name);
    bytes[0x100] ^= 1;
    std::fs::remove_file(bench.path(&name)).unwrap();
    bench.write(&name, &bytes);
    let before = bench.flash("card.cx3");
    let ran =
        bench.card(&["restore", &backup, "--yes", "--backup-dir", "backups"]).one_clear_line();
    assert!(matches!(ran.code, 1 | 4), "{ran}");
    assert!(before == bench.flash("card.cx3"));
    let empty = bench.path("empty");
    std::fs::create_dir(empty).unwrap();
    bench.refuses(&["restore", "empty", "--yes"], 1);
}

#[test]
fn a_card_in_use_is_refused() {
    let bench = Sandbox::pro();
    // The lock of a card file is an flock on it.
    let ran = bench.shell("flock card.cx3 cx3flash -d sim:card.cx3 query");
    ran.exits(5).one_clear_line().reports("in use");
}

#[test]
fn a_log_that_cannot_be_written_does_not_fail_the_job() {
    let bench = Sandbox::pro();
    bench.write("state", b"a file where the log's directory should be");
    bench.card(&["burn", "new.bin", "--yes", "--backup-dir", "backups"]).exits(0);
}

#[test]
fn every_job_leaves_a_log() {
    let bench = Sandbox::pro();
    burn(&bench).exits(0);
    let logs: Vec<_> = std::fs::read_dir(bench.path("state/cx3flash/log"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
    let text = std::fs::read_to_string(&logs[0]).unwrap();
    assert!(text.lines().count() > 5, "{text}");
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(entry["timestamp"].is_string() && entry["level"].is_string(), "{line}");
    }
}

#[test]
fn quiet_is_quiet_and_progress_is_shown_otherwise() {
    let bench = Sandbox::pro();
    let ran = burn(&bench).exits(0);
    for phase in ["backup", "write", "verify"] {
        assert!(ran.stderr.lines().any(|l| l.starts_with(phase)), "no {phase}\n{ran}");
    }
    let bench = Sandbox::pro();
    let ran = bench.card(&["-q", "burn", "new.bin", "--yes", "--backup-dir", "backups"]);
    assert_eq!(ran.exits(0).stderr, "");
}
