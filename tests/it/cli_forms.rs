//! One form for lengths, dates, counts and colours, in every command.

use crate::support::cli::Sandbox;

/// Starts the colour of a sector that is written.
const YELLOW: &str = "\u{1b}[33m";

#[test]
fn lengths_and_addresses_may_have_a_unit() {
    let bench = Sandbox::owner();
    let flash = bench.flash("card.cx3");
    for (n, (from, len)) in
        [("4k", "64KiB"), ("0x1000", "0x10000"), ("4096", "65536")].iter().enumerate()
    {
        let out = format!("{n}.bin");
        bench.card(&["flash", "read", &out, "--from", from, "--len", len]).exits(0);
        assert!(bench.read(&out) == flash[0x1000..0x11000], "{from} {len}");
    }
    let wrong = bench.card(&["flash", "read", "x.bin", "--len", "4kB"]).exits(64);
    wrong.one_clear_line().reports("4096, 0x1000, 4k, 4KiB or 2M expected");
    bench.run(&["sim", "image", "big.bin", "--like", "mcx311a-2.42.5000", "--size", "1M"]).exits(0);
    assert_eq!(bench.read("big.bin").len(), 1 << 20);
}

#[test]
fn one_of_something_is_singular() {
    let bench = Sandbox::owner();
    bench.card(&["flash", "read", "one.bin", "--len", "1"]).exits(0).prints("1 byte to one.bin");
    bench.card(&["flash", "read", "two.bin", "--len", "2"]).exits(0).prints("2 bytes to two.bin");
}

#[test]
fn nothing_to_do_is_reported_once() {
    let bench = Sandbox::owner();
    let burn = ["burn", "new.bin", "--yes", "--backup-dir", "backups"];
    bench.card(&burn).exits(0);
    let again = bench.card(&burn).exits(2);
    let all = format!("{}{}", again.stdout, again.stderr).to_lowercase();
    assert_eq!(all.matches("nothing to do").count(), 1, "{again}");
}

#[test]
fn dates_have_one_form_and_flint_keeps_its_own() {
    let bench = Sandbox::owner();
    bench.run(&["query", "new.bin"]).exits(0).prints("FW Release Date:       2017-09-05\n");
    bench
        .run(&["flint", "-i", "new.bin", "query"])
        .exits(0)
        .prints("FW Release Date:       5.9.2017\n");
    bench.card(&["plan", "new.bin"]).exits(0).prints("2015-09-06 -> 2017-09-05");
    let plan = bench.card(&["--json", "plan", "new.bin"]).exits(0).json();
    let changes = plan["result"]["plan"]["changes"].as_array().unwrap().clone();
    let date = changes.iter().find(|change| change["field"] == "fw_release_date").unwrap();
    assert_eq!((&date["from"], &date["to"]), (&"2015-09-06".into(), &"2017-09-05".into()));
}

#[test]
fn colours_follow_the_command_line_then_the_environment() {
    let bench = Sandbox::pro();
    let coloured = |before: &str, options: &str| {
        let line = format!("{before} cx3flash {options} -d sim:card.cx3 plan new.bin");
        bench.shell(&line).exits(0).stdout.contains(YELLOW)
    };
    assert!(!coloured("", ""), "no terminal");
    assert!(coloured("", "--color always"));
    assert!(coloured("CLICOLOR_FORCE=1", ""));
    assert!(coloured("NO_COLOR=1", "--color=always"));
    assert!(!coloured("NO_COLOR=1 CLICOLOR_FORCE=1", ""));
    assert!(!coloured("CLICOLOR_FORCE=1", "--color never"));
    let json = bench.run(&["--json", "--color", "always", "-d", "sim:card.cx3", "plan", "new.bin"]);
    assert!(!json.exits(0).stdout.contains('\u{1b}'));
    // Options before `flint` may have values.
    let flint = ["--color", "never", "flint", "-i", "new.bin", "query"];
    bench.run(&flint).exits(0).prints("Image type:            FS2\n");
}
