//! Completion: what the program answers, and what bash, zsh and fish make of it.

use crate::cli_list::device;
use crate::support::cli::{CliRun, Sandbox};
use std::process::Command;

/// Asks as the script of a shell does.
fn ask(bench: &Sandbox, shell: &str, words: &[&str]) -> CliRun {
    let mut command = bench.command(&[&["--"], words].concat());
    command.env("CX3FLASH_COMPLETE", shell);
    CliRun::of(command, format!("{shell}: {words:?}"))
}

/// The values without what they mean.
fn values(bench: &Sandbox, words: &[&str]) -> Vec<String> {
    let ran = ask(bench, "fish", words).exits(0);
    ran.stdout.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn commands_options_and_values_are_completed() {
    let bench = Sandbox::new();
    for (words, expected) in [
        (&["ver"][..], &["verify"][..]),
        (&["rom", ""], &["info", "read", "write", "remove"]),
        (&["--json", "sim", "c"], &["create"]),
        (&["--bar-access", ""], &["mmap", "pread", "config"]),
        (&["burn", "--rom", ""], &["image", "device", "none"]),
        (&["burn", "new.bin", "--ex"], &["--expect"]),
        (&["--allow", "own"], &["own-session"]),
        (&["--allow", "held"], &[]),
        (&["list", "--color=al"], &["--color=always"]),
        (&["completions", ""], &["bash", "zsh", "fish"]),
        (&["schema", "rom", "r"], &["read", "remove"]),
        (&["sim", "create", "x.cx3", "--board", "mcx312"], &["mcx312b"]),
        (&["nonsense", "--", "-"], &[]),
    ] {
        assert_eq!(values(&bench, words), expected, "{words:?}");
    }
    let all = values(&bench, &[""]);
    assert!(all.contains(&"burn".into()) && !all.iter().any(|name| name.contains("__")), "{all:?}");
    assert!(ask(&bench, "fish", &["ver"]).stdout.starts_with("verify\tCheck every section"));
}

#[test]
fn cards_are_completed_and_none_is_opened() {
    let bench = Sandbox::new();
    device(&bench, "0000:05:00.0", "0x1003", true);
    device(&bench, "0000:05:00.1", "0x1004", false);
    let net = bench.path("host/sys/bus/pci/devices/0000:05:00.0/net/enp5s0");
    std::fs::create_dir_all(net).unwrap();
    // What is in the file does not matter.
    bench.write("card.cx3", b"no card");
    assert_eq!(values(&bench, &["-d", ""]), ["enp5s0", "0000:05:00.0", "sim:card.cx3"]);
    assert_eq!(values(&bench, &["--device=sim"]), ["--device=sim:card.cx3"]);
    assert_eq!(values(&bench, &["host", "forget", "0"]), ["0000:05:00.0"]);
    // bash replaces what stands behind the last colon.
    let bash = |words: &[&str]| ask(&bench, "bash", words).exits(0).stdout;
    assert_eq!(bash(&["-d", "sim", ":", "c"]), "card.cx3\n");
    assert_eq!(bash(&["-d", "0000", ":", "05", ":"]), "00.0\n");
    assert_eq!(ask(&bench, "zsh", &["-d", "s"]).stdout, "sim\\:card.cx3:simulated card\n");
}

#[test]
fn files_are_left_to_the_shell() {
    let bench = Sandbox::new();
    for words in [
        &["burn", "ne"][..],
        &["--key-file", ""],
        &["verify", "--against", "x"],
        &["-d", "sim:dir/"],
        &["flint", "-i", ""],
        &["flash", "read", "--from", "4k", ""],
    ] {
        assert_eq!(ask(&bench, "bash", words).exits(1).stdout, "", "{words:?}");
    }
}

/// Whether the shell is here.
fn has(shell: &str) -> bool {
    let found = Command::new(shell).arg("--version").output().is_ok();
    if !found {
        println!("skipped: no {shell} here");
    }
    found
}

/// What an interactive shell makes of typed lines, with `\t` in them, each of which ends in `--help`: the
/// usage lines of the commands that ran.
fn typed(bench: &Sandbox, start: &str, lines: &[&str]) -> String {
    bench.write("typed", format!("{}\nexit\n", lines.join("\n")).as_bytes());
    let ran = bench.shell(&format!("script -qec '{start}' /dev/null <typed"));
    let plain = ran.stdout.replace('\r', "");
    let usages = plain.lines().filter(|line| line.starts_with("Usage: ")).map(str::to_owned);
    usages.collect::<Vec<_>>().join("\n")
}

const LINES: [&str; 3] =
    ["cx3flash ver\t--help", "cx3flash sim cr\t--help", "cx3flash --allow own\tlist --help"];

const USAGES: &str = "Usage: cx3flash verify [OPTIONS] [IMAGE]\n\
                      Usage: cx3flash sim create [OPTIONS] <FILE>\n\
                      Usage: cx3flash list [OPTIONS]";

#[test]
fn bash_completes_commands_cards_and_files() {
    if !has("bash") || !has("script") {
        return;
    }
    let bench = Sandbox::owner();
    bench.shell("cx3flash completions bash >complete.bash").exits(0);
    bench.write("rc", b"PS1=\nsource ./complete.bash\n");
    assert_eq!(typed(&bench, "bash --noprofile --rcfile rc -i", &LINES), USAGES);
    // Cards with a colon, and files: the completed line runs.
    let lines = ["cx3flash -d sim:ca\tplan new\t>out"];
    typed(&bench, "bash --noprofile --rcfile rc -i", &lines);
    let out = String::from_utf8(bench.read("out")).unwrap();
    assert!(out.starts_with("new.bin onto sim:card.cx3"), "{out}");
}

#[test]
fn zsh_completes_commands_cards_and_files() {
    if !has("zsh") || !has("script") {
        return;
    }
    let bench = Sandbox::owner();
    std::fs::create_dir(bench.path("functions")).unwrap();
    bench.shell("cx3flash completions zsh >functions/_cx3flash").exits(0);
    // As a package installs it, and as a user sources it.
    for start in ["fpath=($PWD/functions $fpath)", ""] {
        let source = if start.is_empty() { "source functions/_cx3flash" } else { "" };
        let rc = format!("{start}\nautoload -Uz compinit\ncompinit -D -u\nPS1=\n{source}\n");
        bench.write(".zshrc", rc.as_bytes());
        let shell = "ZDOTDIR=$PWD TERM=dumb zsh -i";
        assert_eq!(typed(&bench, shell, &LINES), USAGES, "{start}");
        typed(&bench, shell, &["cx3flash -d sim:ca\tplan new\t>out"]);
        let out = String::from_utf8(bench.read("out")).unwrap();
        assert!(out.starts_with("new.bin onto sim:card.cx3"), "{out}");
        std::fs::remove_file(bench.path("out")).unwrap();
    }
}

#[test]
fn fish_completes_commands_cards_and_files() {
    if !has("fish") {
        return;
    }
    let bench = Sandbox::owner();
    bench.shell("cx3flash completions fish >complete.fish").exits(0);
    for (line, expected) in [
        ("cx3flash ver", "verify"),
        ("cx3flash sim cr", "create"),
        ("cx3flash --allow own", "own-session"),
        ("cx3flash burn --exp", "--expect"),
        ("cx3flash -d sim:ca", "sim:card.cx3"),
        ("cx3flash -d sim:card.cx3 plan new", "new.bin"),
    ] {
        let ran = bench.shell(&format!(
            "HOME=$PWD fish --no-config -c \"source complete.fish; complete -C '{line}'\""
        ));
        let values: Vec<&str> =
            ran.stdout.lines().map(|line| line.split('\t').next().unwrap()).collect();
        assert_eq!(values, [expected], "{line}\n{ran}");
    }
}
