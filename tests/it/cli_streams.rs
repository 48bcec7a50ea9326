//! A standard stream that is full or closed: the outcome stays, and exit 74 reports that the result was not
//! written.

use crate::support::cli::{CliRun, Sandbox};

/// stdout that cannot be written. The last one is open for reading only.
const BAD_STDOUT: [&str; 3] = [">/dev/full", ">&-", "1</dev/null"];

fn on_card(bench: &Sandbox, args: &str, streams: &str) -> CliRun {
    bench.shell(&format!("cx3flash -d sim:card.cx3 {args} {streams}"))
}

#[test]
fn a_burn_without_stdout_is_done_and_ends_with_74() {
    for (streams, json) in BAD_STDOUT.into_iter().zip(["", "--json ", ""]) {
        let bench = Sandbox::owner();
        on_card(&bench, &format!("{json}burn new.bin --yes --no-activate"), streams)
            .exits(74)
            .reports("the results cannot be written to stdout")
            .reports("ended with 0");
        bench.card(&["verify", "--against", "new.bin"]).exits(0);
        // Nothing to do: the result is not written either.
        on_card(&bench, "burn new.bin --yes", streams).exits(74).reports("ended with 2");
    }
}

#[test]
fn every_command_that_succeeds_without_stdout_ends_with_74() {
    let bench = Sandbox::owner();
    let commands = [
        "list",
        "query",
        "query new.bin",
        "verify",
        "plan new.bin",
        "backup --out b",
        "restore $(ls -d b/* | head -n 1) --yes",
        "rom info",
        "rom read rom.bin",
        "rom write rom.bin --yes",
        "config show",
        "config query",
        "identity show",
        "identity set --vsd x --yes",
        "flash info",
        "flash read flash.bin",
        "flash protect",
        "unlock",
        "activate",
        "host status",
        "sim info card.cx3",
        "sim image other.bin",
        "completions bash",
        "man",
        "--help",
        "--version",
        "flint query",
        "flint verify",
        "flint -h",
        "flint -v",
        "demo --dir demo",
    ];
    for (args, streams) in commands.into_iter().zip(BAD_STDOUT.into_iter().cycle()) {
        // A command that reads the whole flash takes its time; how stdout fails matters to all alike.
        on_card(&bench, args, streams).exits(74);
    }
    for streams in BAD_STDOUT {
        for args in ["list", "query new.bin", "--json query", "flint query", "--help"] {
            on_card(&bench, args, streams).exits(74);
        }
    }
}

#[test]
fn a_failure_without_stdout_keeps_its_exit_code() {
    let bench = Sandbox::owner();
    for streams in BAD_STDOUT {
        for (args, code) in [
            ("burn missing.bin --yes", 1),
            ("--json burn missing.bin --yes", 1),
            ("burn new.bin", 64),
            ("nonsense", 64),
            ("flint -i missing.bin q", 1),
        ] {
            on_card(&bench, args, streams).exits(code);
        }
    }
}

#[test]
fn a_stderr_that_is_full_or_closed_changes_no_outcome() {
    let bench = Sandbox::owner();
    for streams in ["2>/dev/full", "2>&-", "2</dev/null"] {
        for (args, code) in [
            ("query", 0),
            ("-v query", 0),
            ("-vv flint q", 0),
            ("backup --out b", 0),
            ("burn missing.bin --yes", 1),
            ("nonsense", 64),
            ("burn new.bin --yes --no-activate", 0),
            ("burn new.bin --yes", 2),
        ] {
            if args == "burn new.bin --yes --no-activate" {
                bench.write("card.cx3", &Sandbox::owner().read("card.cx3"));
            }
            on_card(&bench, args, streams).exits(code);
        }
    }
}

#[test]
fn no_file_takes_the_place_of_a_stream_that_is_closed() {
    for streams in [">&-", "<&- >&-", "<&- >&- 2>&-"] {
        let bench = Sandbox::owner();
        on_card(&bench, "backup --out b", streams).exits(74);
        // A result in a file of the backup or in the card file would be found.
        on_card(&bench, "restore b/* --yes", "").exits(2);
        on_card(&bench, "flash read flash.bin", streams).exits(74);
        assert!(bench.read("flash.bin") == bench.flash("card.cx3"));
        on_card(&bench, "burn new.bin --yes --no-activate", streams).exits(74);
        bench.card(&["verify", "--against", "new.bin"]).exits(0);
    }
}

#[test]
fn stdin_that_is_closed_answers_no_question() {
    let bench = Sandbox::owner();
    let before = bench.flash("card.cx3");
    on_card(&bench, "burn new.bin", "<&-").exits(64).reports("there is no terminal");
    on_card(&bench, "flint -d sim:card.cx3 -i new.bin burn", "<&-")
        .exits(1)
        .prints("Aborted by user");
    assert!(bench.flash("card.cx3") == before);
}
