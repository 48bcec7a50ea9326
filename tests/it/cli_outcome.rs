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
fn a_card_that_vanishes_at_the_reset_ends_with_6_and_the_version_on_the_flash() {
    let bench = Sandbox::pro();
    let total = accesses(&bench);
    inject(&bench, total + 2);
    let ran = bench.card(&["burn", "new.bin", "--yes"]).exits(6);
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
