//! Files that a user names and that are none, or have no end: refused, or abandoned at a signal, before the
//! card is opened.

use crate::support::cli::Sandbox;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Stdio};

/// Every command with a file argument, `FILE`. Those of flint begin with `flint`.
const READERS: [&[&str]; 25] = [
    &["query", "FILE"],
    &["verify", "FILE"],
    &["verify", "--against", "FILE"],
    &["plan", "FILE"],
    &["burn", "FILE", "--yes"],
    &["restore", "FILE", "--yes"],
    &["recover", "FILE", "--blank-guids", "--mac", "e41d2ddd7850", "--yes"],
    &["recover", "new.bin", "--identity", "FILE", "--yes"],
    &["rom", "info", "FILE"],
    &["rom", "read", "out.rom", "--image", "FILE"],
    &["rom", "write", "FILE", "--yes"],
    &["config", "show", "FILE"],
    &["identity", "show", "FILE"],
    &["identity", "set", "--identity", "FILE", "--yes"],
    &["sim", "create", "out.cx3", "--image", "FILE"],
    &["sim", "create", "out.cx3", "--identity", "FILE"],
    &["sim", "image", "out.bin", "--recipe", "FILE"],
    &["sim", "image", "out.bin", "--rom", "FILE"],
    &["flint", "-i", "FILE", "query"],
    &["flint", "-i", "FILE", "qrom"],
    &["flint", "-d", "sim:card.cx3", "-i", "FILE", "-y", "burn"],
    &["flint", "-d", "sim:card.cx3", "-y", "brom", "FILE"],
    &["flint", "-i", "new.bin", "-y", "brom", "FILE"],
    &["query", "--key-file", "FILE"],
    &["--key-file", "FILE", "flint", "q"],
];

fn with<'a>(args: &[&'a str], file: &'a str) -> Vec<&'a str> {
    let card = (args[0] != "flint").then_some(["-d", "sim:card.cx3"]);
    let words = args.iter().map(|word| if *word == "FILE" { file } else { word });
    card.into_iter().flatten().chain(words).collect()
}

/// Waits until the process handles `signal`: it has started, and reads.
fn wait_for_handler(child: &mut Child, signal: Signal) {
    let status = format!("/proc/{}/status", child.id());
    let bit = 1_u64 << (signal as i32 - 1);
    let handles = |text: &str| {
        let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & bit != 0)
    };
    while !std::fs::read_to_string(&status).is_ok_and(|text| handles(&text)) {
        if let Some(ended) = child.try_wait().unwrap() {
            panic!("it did not wait: {ended}");
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_signal_ends_the_wait_for_every_file_argument_with_130() {
    let bench = Sandbox::owner();
    mkfifo(&bench.path("fifo"), Mode::S_IRWXU).unwrap();
    // With a writer that writes nothing the wait is in `read` instead of `open`.
    for silent_writer in [false, true] {
        let path = bench.path("fifo");
        let _writer =
            silent_writer.then(|| std::fs::File::options().read(true).write(true).open(path));
        for (at, args) in READERS.iter().enumerate() {
            let signal = if at % 2 == 0 { Signal::SIGINT } else { Signal::SIGTERM };
            let card = bench.read("card.cx3");
            let mut command = bench.command(&with(args, "fifo"));
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            wait_for_handler(&mut child, signal);
            kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(130), "{args:?}: {output:?}");
            let untouched = bench.read("card.cx3") == card;
            assert!(untouched, "{args:?}: the card was opened");
            for out in ["out.cx3", "out.bin", "out.rom"] {
                assert!(!bench.path(out).exists(), "{args:?}: {out} stays behind");
            }
        }
    }
}

#[test]
fn an_interrupted_wait_is_one_json_document() {
    let bench = Sandbox::owner();
    mkfifo(&bench.path("fifo"), Mode::S_IRWXU).unwrap();
    for args in [
        &["restore", "fifo"][..],
        &["query", "--key-file", "fifo"],
        // stdin, to which nothing is written.
        &["query", "--key-file", "-"],
    ] {
        let mut command = bench.command(&["-d", "sim:card.cx3", "--json"]);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let silent = child.stdin.take();
        wait_for_handler(&mut child, Signal::SIGTERM);
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        let output = child.wait_with_output().unwrap();
        drop(silent);
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(130), "{args:?}");
        assert_eq!(document["exit"], 130, "{args:?}");
        assert_eq!(document["error"]["code"], "interrupted", "{args:?}");
    }
}

#[test]
fn what_is_no_file_is_refused_by_every_command_before_the_card_is_opened() {
    let bench = Sandbox::owner();
    std::fs::create_dir(bench.path("dir")).unwrap();
    std::fs::File::create(bench.path("huge")).unwrap().set_len(10 << 30).unwrap();
    let _listener = UnixListener::bind(bench.path("socket")).unwrap();
    for (file, what) in [
        ("/dev/zero", "a character device"),
        ("/dev/random", "a character device"),
        ("socket", "a socket"),
        ("dir", "irectory"),
        ("huge", "huge"),
    ] {
        for args in READERS {
            let card = bench.read("card.cx3");
            let ran = bench.run(&with(args, file)).exits(1);
            let text = if args[0] == "flint" { &ran.stdout } else { &ran.stderr };
            assert!(text.contains(what) || text.contains("manifest.json"), "{ran}");
            assert!(text.contains(file) && !text.contains("panicked"), "{ran}");
            assert!(bench.read("card.cx3") == card, "the card was opened\n{ran}");
        }
    }
}

#[test]
fn a_pipe_is_read_like_a_file() {
    let bench = Sandbox::owner();
    bench.shell("cat new.bin | cx3flash query /dev/stdin").exits(0).prints("2.42.5000");
    bench.shell("cat new.bin | cx3flash flint -i /dev/stdin q").exits(0).prints("2.42.5000");
    bench
        .shell("cat new.bin | cx3flash -d sim:card.cx3 burn /dev/stdin --yes --no-activate")
        .exits(0);
    bench.card(&["verify", "--against", "new.bin"]).exits(0);
    bench.shell("yes | cx3flash query /dev/stdin").exits(1).reports("more than the maximum");
}

/// A backup of `card.cx3`, by its path inside the sandbox.
fn backup(bench: &Sandbox) -> String {
    let ran = bench.card(&["--json", "backup", "--out", "b"]).exits(0);
    let dir = ran.json()["result"]["backup"]["dir"].as_str().unwrap().to_owned();
    let dir = Path::new(&dir).file_name().unwrap().to_str().unwrap();
    format!("b/{dir}")
}

#[test]
fn a_manifest_names_regular_files_of_its_directory_once_each() {
    let bench = Sandbox::owner();
    let dir = backup(&bench);
    let name = format!("{dir}/manifest.json");
    let good = bench.read(&name);
    let manifest: serde_json::Value = serde_json::from_slice(&good).unwrap();
    let refused = |text: &str| {
        let card = bench.read("card.cx3");
        bench.card(&["restore", &dir, "--yes"]).exits(1).one_clear_line().reports(text);
        assert!(bench.read("card.cx3") == card, "the card was opened: {text}");
    };
    let mut many = manifest.clone();
    let first = many["files"][0].clone();
    many["files"] = (0..20_000)
        .map(|n| {
            let mut file = first.clone();
            file["name"] = format!("file{n}").into();
            file
        })
        .collect();
    bench.write(&name, many.to_string().as_bytes());
    refused("manifest.json");
    let mut twice = manifest.clone();
    twice["files"] = vec![first.clone(); 2].into();
    bench.write(&name, twice.to_string().as_bytes());
    refused("listed twice");
    for other in ["../flash.bin", "/etc/passwd", "a/b", "flash.bin/", "."] {
        let mut named = manifest.clone();
        named["files"][0]["name"] = other.into();
        bench.write(&name, named.to_string().as_bytes());
        refused("is no file of a backup");
    }
    bench.write(&name, format!("{{\"x\":{}", "[".repeat(100_000)).as_bytes());
    refused("manifest.json");
    bench.write(&name, &good);
    let flash = bench.path(&format!("{dir}/flash.bin"));
    std::fs::rename(&flash, bench.path("moved")).unwrap();
    std::os::unix::fs::symlink(bench.path("moved"), &flash).unwrap();
    refused("a symbolic link");
    std::fs::remove_file(&flash).unwrap();
    mkfifo(&flash, Mode::S_IRWXU).unwrap();
    refused("a pipe");
    std::fs::remove_file(&flash).unwrap();
    std::fs::rename(bench.path("moved"), &flash).unwrap();
    // The directory itself may be named by a link.
    std::os::unix::fs::symlink(bench.path(&dir), bench.path("link")).unwrap();
    bench.card(&["restore", "link", "--yes"]).exits(2);
    bench.card(&["restore", "link/flash.bin", "--yes"]).exits(2);
}

#[test]
fn an_identity_that_is_none_is_named_with_the_file_to_name() {
    let bench = Sandbox::owner();
    let dir = backup(&bench);
    for (file, why) in [(dir.as_str(), "it is a directory"), ("new.bin", "new.bin")] {
        bench
            .card(&["identity", "set", "--identity", file, "--yes"])
            .exits(1)
            .one_clear_line()
            .reports("is not the identity of a card")
            .reports(why)
            .reports("hint: name identity.json of a backup");
    }
}
