//! An image older than the one on the card is a downgrade.

use crate::support::cli::Sandbox;

#[test]
fn a_downgrade_is_refused_with_the_command_that_allows_it() {
    let bench = Sandbox::owner();
    bench.card(&["burn", "new.bin", "--yes"]).exits(0);
    let older = ["sim", "image", "old.bin", "--like", "mcx311a-2.35.5100"];
    bench.run(&older).exits(0);
    bench.card(&["plan", "old.bin"]).exits(4);
    let ran = bench.refuses(&["burn", "old.bin", "--yes"], 4);
    let ran = ran.reports("version: 2.35.5100 is older than 2.42.5000").reports("--allow-older");
    let hint = ran.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap();
    let (_, command) = hint.split_once(": ").unwrap();
    bench.card(&["plan", "old.bin", "--allow-older"]).exits(0).prints("This is a downgrade");
    bench.shell(&format!("{command} --yes")).exits(0);
    bench.card(&["verify", "--against", "old.bin"]).exits(0);
    // Without `--yes` the option alone does not do it.
    bench.card(&["burn", "new.bin", "--yes"]).exits(0);
    bench.refuses(&["burn", "old.bin", "--allow-older"], 64);
}

#[test]
fn flint_asks_about_a_downgrade_as_flint_does() {
    let bench = Sandbox::owner();
    bench.card(&["burn", "new.bin", "--yes"]).exits(0);
    bench.run(&["sim", "image", "old.bin", "--like", "mcx311a-2.35.5100"]).exits(0);
    let before = bench.flash("card.cx3");
    let asked = "    Note: The new FW version is older than the current FW version on flash.\n\n \
                 Do you want to continue ? (y/n) [n] : ";
    bench.run(&["flint", "-d", "sim:card.cx3", "-i", "old.bin", "-no", "b"]).exits(7).prints(asked);
    assert!(before == bench.flash("card.cx3"));
    let ran = bench.run(&["flint", "-d", "sim:card.cx3", "-i", "old.bin", "-y", "b"]);
    ran.exits(0).prints(&format!("{asked}y\n"));
    bench.card(&["verify", "--against", "old.bin"]).exits(0);
}
