//! How a command ends when the card fails behind the change of its flash: exits 6 and 9, their text,
//! hint and JSON.

use crate::support::cli::Sandbox;

/// Register accesses of a whole burn without activation, as the card counts them.
fn accesses(bench: &Sandbox) -> u64 {
    let copy = || {
        std::fs::copy(bench.path("card.cx3"), bench.path("other.cx3")).unwrap();
    };
    let count = || {
        let info = bench.run(&["--json", "sim", "info", "other.cx3"]).json();
        let of = |name: &str| info["result"]["counters"][name].as_u64().unwrap();
        of("bar_reads") + of("bar_writes")
    };
    let burn = ["-d", "sim:other.cx3", "burn", "new.bin", "--yes", "--no-activate"];
    // The first burn keeps what the card has shown: those after it read less, all of them the same.
    copy();
    bench.run(&burn).exits(0);
    copy();
    let before = count();
    bench.run(&burn).exits(0);
    count() - before
}

fn inject(bench: &Sandbox, after: u64) {
    let fault = format!(r#"{{"fault":"removed","after":{after}}}"#);
    bench.run(&["sim", "fault", "card.cx3", &fault]).exits(0);
}

#[test]
fn a_card_that_vanishes_behind_the_commit_ends_with_9() {
    let bench = Sandbox::pro();
    let total = accesses(&bench);
    let before = bench.flash("card.cx3");
    inject(&bench, total - 40);
    let ran = bench.card(&["--json", "burn", "new.bin", "--yes", "--no-activate"]).exits(9);
    let document = ran.json();
    let hint = document["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("verify") && hint.contains("restore"), "{ran}");
    assert!(document["result"]["backup"]["dir"].is_string(), "{ran}");
    assert!(before != bench.flash("card.cx3"));
    // Power brings it back: what was committed boots.
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    bench.card(&["verify", "--against", "new.bin"]).exits(0);
}

#[test]
fn a_card_that_vanishes_at_the_reset_ends_with_9_and_the_version_on_the_flash() {
    let bench = Sandbox::pro();
    let total = accesses(&bench);
    inject(&bench, total + 2);
    let ran = bench.card(&["burn", "new.bin", "--yes", "--no-trial"]).exits(9);
    ran.one_clear_line().reports("the flash holds 2.42.5000");
}

#[test]
fn the_advice_for_a_card_that_was_reset_and_answers_again_is_of_its_flash() {
    // Failsafe: the old image boots, and the burn is repeated. Else the backup is restored.
    for (bench, exit, word) in [(Sandbox::pro(), 6, "burn"), (Sandbox::owner(), 7, "restore")] {
        let total = accesses(&bench);
        let fault = format!(r#"{{"fault":"reset","after":{}}}"#, total - total / 20);
        bench.run(&["sim", "fault", "card.cx3", &fault]).exits(0);
        let ran = bench.card(&["burn", "new.bin", "--yes", "--no-activate"]).exits(exit);
        let hint = ran.stderr.lines().find_map(|l| l.strip_prefix("hint: ")).unwrap();
        assert!(hint.contains(word) && !hint.contains("power the machine"), "{ran}");
        let (_, command) = hint.split_once("cx3flash ").unwrap();
        bench.shell(&format!("cx3flash {} --yes", command.replace(" --yes", ""))).exits(0);
    }
}

#[test]
fn another_programs_reset_behind_ours_does_not_hide_the_version_that_runs() {
    let bench = Sandbox::owner();
    let count = || {
        let info = bench.run(&["--json", "sim", "info", "card.cx3"]).json();
        let of = |name: &str| info["result"]["counters"][name].as_u64().unwrap();
        of("bar_reads") + of("bar_writes")
    };
    bench.card(&["activate"]).exits(0);
    let first = count();
    bench.card(&["activate"]).exits(0);
    let total = count() - first;
    for before_the_end in [1, 2, 3, 4] {
        let fault = format!(r#"{{"fault":"reset","after":{}}}"#, total - before_the_end);
        bench.run(&["sim", "fault", "card.cx3", &fault]).exits(0);
        bench.card(&["activate"]).exits(0);
    }
}

#[test]
fn a_burn_that_was_not_to_start_the_firmware_reports_what_runs_at_its_end() {
    for board in [Sandbox::pro, Sandbox::owner] {
        let bench = board();
        let total = accesses(&bench);
        // The record of what this card has shown is kept, so the burn has the accesses that were counted.
        let fresh = bench.read("card.cx3");
        let mut started = 0;
        for back in [1, 3, 6, 10, 20, 40, 80] {
            bench.write("card.cx3", &fresh);
            let fault = format!(r#"{{"fault":"reset","after":{}}}"#, total - back);
            bench.run(&["sim", "fault", "card.cx3", &fault]).exits(0);
            let ran = bench.card(&["--json", "burn", "new.bin", "--yes", "--no-activate"]);
            if ran.code != 0 {
                continue;
            }
            let running = ran.json()["result"]["running"].clone();
            let found = bench.card(&["--json", "query"]).exits(0).json();
            let runs = found["result"]["card"]["running_fw_version"].clone();
            assert_eq!(running["fw_version"], runs, "{back}: {ran}");
            assert_eq!(running["started"], runs == "2.42.5000", "{back}: {ran}");
            started += usize::from(runs == "2.42.5000");
        }
        assert!(started > 0, "no reset hit behind the commit");
        bench.write("card.cx3", &fresh);
        let ran = bench.card(&["burn", "new.bin", "--yes", "--no-activate"]).exits(0);
        ran.prints("not yet running; starts at the next power-on");
        bench.write("card.cx3", &fresh);
        let fault = format!(r#"{{"fault":"reset","after":{}}}"#, total - 3);
        bench.run(&["sim", "fault", "card.cx3", &fault]).exits(0);
        let ran = bench.card(&["burn", "new.bin", "--yes", "--no-activate"]).exits(0);
        ran.prints("running  2.42.5000: the card was reset meanwhile");
    }
}

#[test]
fn an_identity_that_was_set_is_not_called_running_nor_not_running() {
    // The version is the same before and behind it.
    let bench = Sandbox::pro();
    let ran = bench.card(&["identity", "set", "--mac", "e41d2ddd7860", "--yes"]).exits(0);
    assert!(!ran.stdout.contains("not yet running"), "{ran}");
    ran.prints("starts at the next power-on, or now: cx3flash -d sim:card.cx3 activate");
}

#[test]
fn without_a_terminal_and_without_yes_no_card_is_taken() {
    let bench = Sandbox::pro();
    bench.write("card.rom", &[0x55, 0xAA]);
    let before = bench.read("card.cx3");
    for args in [
        &["burn", "new.bin"][..],
        &["identity", "set", "--mac", "e41d2ddd7860"],
        &["rom", "remove"],
        &["config", "reset"],
        &["config", "set", "SRIOV_EN=1"],
        &["flash", "protect", "--off"],
    ] {
        let ran = bench.card(args).exits(64).one_clear_line().reports("there is no terminal");
        assert!(!ran.stderr.contains("done"), "{ran}");
        assert!(before == bench.read("card.cx3"), "the card was accessed\n{ran}");
    }
}

#[test]
fn only_a_job_with_a_backup_reports_one() {
    let bench = Sandbox::pro();
    let ran = bench.card(&["identity", "set", "--mac", "e41d2ddd7860", "--yes"]).exits(0);
    ran.reports("backup ").reports("read ");
    let rom = cx3flash::image::RomRecipe::pxe((3, 4, 752), 0x1003, 0x2000).build().unwrap();
    bench.write("other.rom", &rom);
    for (args, code) in [
        (&["rom", "write", "other.rom", "--yes"][..], 4),
        (&["identity", "set", "--mac", "e41d2ddd7860", "--yes"], 2),
    ] {
        let ran = bench.card(args).exits(code).reports("read ");
        assert!(!ran.stderr.lines().any(|line| line.starts_with("backup")), "{ran}");
    }
}
