//! Wrong arguments, help, and what goes where.

use crate::support::cli::Sandbox;

#[test]
fn wrong_arguments_end_with_64() {
    let bench = Sandbox::new();
    let wrong: [&[&str]; 14] = [
        &["burn"],
        &["burn", "x.bin", "--change-psid", "MT_1"],
        &["burn", "x.bin", "--rom", "mine"],
        &["frobnicate"],
        &["query", "--deep"],
        &["-q", "-v", "list"],
        &["recover"],
        &["rom"],
        &["flash", "read", "out", "--from", "12monkeys"],
        &["identity", "set", "--guids", "1,2,3"],
        &["identity", "set", "--mac", "nonsense"],
        &["identity", "set", "--guid", "1", "--blank-guids"],
        &["sim", "create", "x.cx3", "--board", "mcx999"],
        &["completions", "tcsh-of-old"],
    ];
    for args in wrong {
        bench.run(args).exits(64).one_clear_line();
        let mut json = vec!["--json"];
        json.extend(args);
        let ran = bench.run(&json).exits(64);
        assert_eq!(ran.json()["error"]["code"], "usage", "{ran}");
    }
}

#[test]
fn no_command_is_an_error_with_usage() {
    let ran = Sandbox::new().run(&[]).exits(64).one_clear_line();
    ran.reports("Usage: cx3flash")
        .reports("hint: run a complete update on a simulated card: cx3flash demo");
}

#[test]
fn words_of_flint_lead_to_our_commands() {
    let bench = Sandbox::new();
    for (theirs, ours) in [
        ("ri", "backup"),
        ("brom", "rom write"),
        ("b", "burn"),
        ("qery", "query"),
        ("dc", "config show"),
    ] {
        bench.run(&[theirs]).exits(64).reports(&format!("hint: cx3flash {ours}\n"));
    }
}

#[test]
fn help_goes_to_stdout_with_the_exit_codes() {
    let ran = Sandbox::new().run(&["--help"]).exits(0);
    assert_eq!(ran.stderr, "");
    ran.prints("130  interrupted before the first erase")
        .prints("  7  failed; the card needs `recover`");
    let version = Sandbox::new().run(&["--version"]).exits(0);
    version.prints(concat!("cx3flash ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let bench = Sandbox::new();
    bench.shell("(cx3flash man; echo $? >&2) | true").exits(0).reports("0\n");
}

#[test]
fn a_result_that_cannot_be_written_ends_with_74() {
    let ran = Sandbox::new().shell("cx3flash man >/dev/full");
    ran.exits(74).one_clear_line().reports("stdout; the command itself ended with 0 (done)");
}

#[test]
fn a_burn_whose_stdout_is_full_ends_with_74_and_the_new_image() {
    for json in ["", "--json "] {
        let bench = Sandbox::owner();
        let line = format!("cx3flash -d sim:card.cx3 {json}burn new.bin --yes >/dev/full");
        let ran = bench.shell(&line).exits(74).reports("ended with 0 (done)");
        assert!(!ran.stderr.contains("nothing changed"), "{ran}");
        bench.card(&["verify", "--against", "new.bin"]).exits(0);
        // The same again: nothing to do, and still nowhere to write that.
        bench.shell(&line).exits(74).reports("ended with 2");
    }
    let bench = Sandbox::owner();
    bench
        .shell("cx3flash flint -d sim:card.cx3 -i new.bin -y burn >/dev/full")
        .exits(74)
        .reports("ended with 0");
}

#[test]
fn a_failure_keeps_its_exit_code_when_stdout_is_full() {
    let bench = Sandbox::owner();
    bench.write("zip.bin", b"PK\x03\x04 no image");
    bench
        .shell("cx3flash -d sim:card.cx3 --json burn zip.bin --yes >/dev/full")
        .exits(1)
        .reports("ended with 1");
}

#[test]
fn options_without_a_command_are_refused_in_one_line() {
    let bench = Sandbox::new();
    let ran = bench.run(&["-d", "sim:card.cx3"]).exits(64);
    assert_eq!(
        ran.stderr,
        "error: name a command\nusage: cx3flash [OPTIONS] <COMMAND>\nhint: see what it takes: cx3flash --help\n"
    );
}

#[test]
fn wrong_arguments_show_what_the_command_takes_and_its_help() {
    let bench = Sandbox::pro();
    for (typed, usage, help) in [
        (&["burn"][..], "burn [OPTIONS] <IMAGE|--from <DIR>>", "burn"),
        (&["sim", "create"], "sim create [OPTIONS] <FILE>", "sim create"),
        (&["query", "--deep"], "query [OPTIONS] [IMAGE]", "query"),
        // The command itself finds what is wrong.
        (&["recover", "new.bin"], "recover [OPTIONS] <IMAGE>", "recover"),
        (&["identity", "set"], "identity set [OPTIONS]", "identity set"),
    ] {
        let ran = bench.run(typed).exits(64).one_clear_line();
        ran.reports(&format!("\nusage: cx3flash {usage}\n"))
            .reports(&format!("\nhint: see what it takes: cx3flash {help} --help\n"));
    }
}

#[test]
fn help_of_a_command_is_what_its_option_prints() {
    let bench = Sandbox::new();
    for words in [&[][..], &["burn"], &["sim", "create"], &["flint"], &["help"]] {
        let asked = bench.run(&[&["help"], words].concat()).exits(0);
        assert!(asked.stdout.contains("Usage: cx3flash"), "{asked}");
        if words != ["flint"] {
            let option = bench.run(&[words, &["--help"]].concat()).exits(0);
            assert_eq!(asked.stdout, option.stdout, "{words:?}");
        }
    }
    bench.run(&["--help"]).exits(0).prints("\n  help ");
    let json = bench.run(&["--json", "help", "sim", "create"]).exits(0).json();
    assert!(json["result"]["text"].as_str().unwrap().contains("--board"), "{json}");
    let ran = bench.run(&["help", "brom"]).exits(64).one_clear_line();
    ran.reports("hint: cx3flash help rom write\n");
    let ran = bench.run(&["help", "sim", "x"]).exits(64).one_clear_line();
    ran.reports("hint: list the commands: cx3flash sim --help\n");
}

#[test]
fn flint_is_offered_and_internal_helpers_are_hidden() {
    let ran = Sandbox::new().run(&["--help"]).exits(0);
    assert!(ran.stdout.contains("\n  flint"), "{ran}");
    assert!(!ran.stdout.contains("__"), "a helper of our own is offered: {ran}");
}
