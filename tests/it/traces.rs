//! `--trace` and `trace`: what is in a trace, what is not, and what it replays.

use crate::support::cli::{CliRun, Sandbox};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use regex::bytes::Regex;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Bytes of one trace of the tree.
const LARGEST: u64 = 100_000;

/// The text of a trace.
fn text_of(mut file: &[u8]) -> String {
    let mut text = String::new();
    while !file.is_empty() {
        let mut frame = StreamingDecoder::new(file).unwrap();
        frame.read_to_string(&mut text).unwrap();
        file = frame.into_inner();
    }
    text
}

fn trace_of(text: &str) -> Vec<u8> {
    compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
}

/// Runs a command on the card of the sandbox with a trace.
fn traced(bench: &Sandbox, file: &str, command: &[&str]) -> CliRun {
    let _ = fs::remove_file(bench.path(file));
    bench.card(&[&["--trace", file], command].concat())
}

/// Every command with its cards, by the name of the trace in the tree. That of a self-test is the one of `small.bin`
/// on a `w25q80`, packed once more by `zstd -19`: as it is recorded it has 240 KB.
fn recorded(bench: &Sandbox) -> Vec<(String, Vec<u8>)> {
    let mut traces = Vec::new();
    bench.run(&["sim", "create", "blank.cx3", "--blank"]).exits(0);
    for (card, name) in [("card.cx3", "valid"), ("blank.cx3", "recovery")] {
        bench.run(&["-d", &format!("sim:{card}"), "--trace", "t", "query"]);
        traces.push((format!("query-{name}.trace.zst"), bench.read("t")));
        fs::remove_file(bench.path("t")).unwrap();
    }
    // An image of 24 KiB keeps the traces small.
    let small = cx3flash::image::Recipe {
        rom: None,
        ini: None,
        size: 0x6000,
        ..cx3flash::image::Recipe::mcx311a_2_35_5100()
    };
    bench.write("small.bin", &cx3flash::image::build(&small).unwrap());
    bench.run(&["sim", "create", "small.cx3", "--image", "small.bin"]).exits(0);
    for command in ["verify", "doctor"] {
        for (card, name) in [("small.cx3", "valid"), ("blank.cx3", "recovery")] {
            bench.run(&["-d", &format!("sim:{card}"), "--trace", "t", command]);
            traces.push((format!("{command}-{name}.trace.zst"), bench.read("t")));
            fs::remove_file(bench.path("t")).unwrap();
        }
    }
    traces
}

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces")
}

#[test]
fn every_trace_of_the_tree_replays() {
    let bench = Sandbox::owner();
    if std::env::var_os("CX3FLASH_BLESS").is_some() {
        fs::create_dir_all(tree()).unwrap();
        for (name, bytes) in recorded(&bench) {
            fs::write(tree().join(name), bytes).unwrap();
        }
    }
    let mut traces = 0;
    for entry in fs::read_dir(tree()).unwrap() {
        let entry = entry.unwrap();
        let size = entry.metadata().unwrap().len();
        assert!(size <= LARGEST, "{:?} has {size} bytes", entry.file_name());
        let path = entry.path();
        let ran = bench.run(&["--json", "trace", "replay", path.to_str().unwrap()]).exits(0);
        let document = ran.json();
        let progress = &document["result"]["progress"];
        assert_eq!(progress["replayed"], progress["recorded"], "{path:?}");
        traces += 1;
    }
    assert!(traces >= 6, "{traces} traces");
}

#[test]
fn what_is_recorded_now_replays_and_agrees_with_the_simulated_card() {
    for bench in [Sandbox::owner(), Sandbox::pro()] {
        for command in ["query", "verify", "doctor"] {
            traced(&bench, "t", &[command]).exits(0);
            bench.run(&["trace", "replay", "t"]).exits(0).prints("replayed");
            let ran = bench.run(&["--json", "trace", "diff", "t"]).exits(0);
            assert_eq!(ran.json()["result"]["comparison"]["count"], 0, "{command}");
        }
    }
}

#[test]
fn a_trace_of_a_damaged_image_replays_as_damaged() {
    let bench = Sandbox::owner();
    let mut card = bench.read("card.cx3");
    let middle = crate::support::cli::FLASH_AT + 0x4_0000;
    card[middle] ^= 1;
    bench.write("card.cx3", &card);
    traced(&bench, "t", &["verify"]).exits(1);
    bench.run(&["trace", "replay", "t"]).exits(0).prints("wrong CRC");
}

#[test]
fn a_trace_with_one_wrong_read_of_the_flash_replays() {
    let bench = Sandbox::owner();
    let stale = r#"{"fault":"wrong_read","after":20000,"kind":"stale","at":null}"#;
    let flipped = r#"{"fault":"wrong_read","after":9000,"kind":{"flipped":{"bit":3}},"at":null}"#;
    let header = r#"{"fault":"wrong_read","after":1,"kind":{"flipped":{"bit":9}},"at":56}"#;
    let ones = r#"{"fault":"wrong_read","after":700,"kind":"all_ones","at":null}"#;
    let short = r#"{"fault":"short_read","after":20000}"#;
    let fresh = bench.read("card.cx3");
    let selftest = ["selftest", "--yes"];
    for (fault, command) in [
        (stale, &["verify"][..]),
        (flipped, &["verify"]),
        (header, &["verify"]),
        (short, &["verify"]),
        (ones, &["doctor"]),
        (header, &["query"]),
        (stale, &selftest),
    ] {
        bench.run(&["sim", "fault", "card.cx3", fault]).exits(0);
        let ran = traced(&bench, "t", command);
        let replayed = bench.run(&["trace", "replay", "t"]);
        assert_eq!(replayed.code, 0, "{fault} {command:?} {ran}{replayed}");
        bench.write("card.cx3", &fresh);
    }
}

#[test]
fn an_exit_code_that_the_command_does_not_end_with_is_a_difference() {
    let bench = Sandbox::owner();
    for (command, exit) in [("query", 0), ("verify", 0), ("doctor", 0)] {
        traced(&bench, "t", &[command]).exits(exit);
        let text = text_of(&bench.read("t"));
        for other in [1, 2, 4, 6, 7] {
            let edited = text.replace(
                "\"mark\":\"end\",\"exit\":0",
                &format!("\"mark\":\"end\",\"exit\":{other}"),
            );
            assert_ne!(edited, text);
            bench.write("u", &trace_of(&edited));
            let ran = bench.run(&["--json", "trace", "replay", "u"]).exits(1).json();
            assert_eq!(ran["error"]["code"], "trace_diverges", "{ran}");
            assert_eq!(ran["result"]["exit"], 0, "{ran}");
            let ran = bench.run(&["trace", "replay", "u"]).exits(1).one_clear_line();
            ran.reports(&format!("ended with {other} when it was recorded"));
        }
    }
}

#[test]
fn a_register_access_that_a_simulated_card_does_not_have_is_reported() {
    let bench = Sandbox::owner();
    for command in [&["query"][..], &["flint", "q"]] {
        let ran = traced(&bench, "t", &[&["--bar-access", "config"], command].concat()).exits(0);
        ran.reports("`--bar-access config` is not used: a simulated card has one register access");
        bench.run(&["trace", "show", "t"]).exits(0).prints("transport:   mmap");
    }
}

/// A trace whose lines are this one, so many times.
fn repeated(bench: &Sandbox, line: &str, count: usize) -> Vec<u8> {
    traced(bench, "t", &["query"]).exits(0);
    let text = text_of(&bench.read("t"));
    let header = text.lines().next().unwrap();
    let end = "{\"t\":1,\"mark\":\"end\",\"exit\":0}";
    trace_of(&format!("{header}\n{}{end}\n", format!("{line}\n").repeat(count)))
}

const ACCESS: &str = "[1,\"m\",\"r\",\"f0014\",\"000001f5\"]";

#[test]
fn the_memory_that_show_takes_does_not_depend_on_the_length_of_a_trace() {
    let bench = Sandbox::owner();
    let kernel = format!("{{\"t\":1,\"mark\":\"kernel\",\"text\":\"{}\"}}", "x".repeat(300));
    for (line, count) in [(ACCESS, 400_000), (&kernel, 80_000)] {
        bench.write("u", &repeated(&bench, line, count));
        for options in ["", "--accesses", "--json", "--json --accesses"] {
            // KiB of data; what the program itself takes is less than half of it.
            let show = format!("ulimit -d 98304; exec cx3flash trace show {options} u >shown");
            bench.shell(&show).exits(0);
            let shown = String::from_utf8(bench.read("shown")).unwrap();
            let listed = shown.matches(if line == ACCESS { "000001f5" } else { "xxx\"" }).count();
            let is_listed = options.contains("--accesses") || line != ACCESS;
            if options.contains("--json") {
                let document: serde_json::Value = serde_json::from_str(&shown).unwrap();
                let lines = document["result"]["lines"].as_array().map(Vec::len);
                assert_eq!(lines, options.contains("--accesses").then_some(count + 1));
                let marks = document["result"]["marks"].as_array().map(Vec::len);
                assert_eq!(marks, Some(if line == ACCESS { 1 } else { count + 1 }));
            } else if line == ACCESS {
                assert_eq!(listed, if is_listed { count } else { 0 }, "{options}");
            } else {
                assert_eq!(shown.matches("kernel: xxx").count(), count, "{options}");
            }
        }
    }
}

#[test]
fn a_trace_that_is_shown_ends_with_a_signal() {
    let bench = Sandbox::owner();
    bench.write("u", &repeated(&bench, ACCESS, 400_000));
    for options in
        [&["trace", "show", "--accesses", "u"][..], &["--json", "trace", "show", "--accesses", "u"]]
    {
        let mut command = bench.command(options);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut shown = vec![0; 4096];
        stdout.read_exact(&mut shown).unwrap();
        // The program waits for the pipe now, in the middle of a list.
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        stdout.read_to_end(&mut shown).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{options:?}");
        assert!(shown.len() < 4 << 20, "{options:?}: {} bytes", shown.len());
    }
}

/// Every form in which eight or six bytes could stand in a text or a file.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
    let swapped: Vec<u8> = bytes.chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
    [bytes.to_vec(), reversed, swapped]
        .into_iter()
        .flat_map(|bytes| {
            let hex = |separator: &str| {
                let digits: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
                digits.join(separator).into_bytes()
            };
            [hex(""), hex(":"), hex("-"), hex(" "), bytes]
        })
        .collect()
}

#[test]
fn a_trace_holds_no_secret_in_any_byte_order() {
    let guid = 0x7a3c_91e5_b2d4_6f08_u64.to_be_bytes();
    let mac = 0x7a3c_91b6_d4f1_u64.to_be_bytes();
    let vsd = b"rack 7 of Example AG";
    let rom_text = b"license key 9f-31-c4";
    let key = 0x8b1d_f3a6_52c7_e049_u64;
    let bench = Sandbox::new();
    let mut rom = cx3flash::image::RomRecipe::pxe((3, 4, 752), 0x1003, 0x1000).build().unwrap();
    rom[0x400..0x400 + rom_text.len()].copy_from_slice(rom_text);
    let image = cx3flash::image::build(&cx3flash::image::Recipe {
        rom: Some(rom),
        vsd: Some(String::from_utf8(vsd.to_vec()).unwrap()),
        hw_access_key: Some(key),
        guids: Some([0, 1, 2, 3].map(|n| cx3flash::image::Guid(u64::from_be_bytes(guid) + n))),
        macs: [0, 1].map(|n| cx3flash::image::Mac(u64::from_be_bytes(mac) + n)),
        ..cx3flash::image::Recipe::mcx311a_2_35_5100()
    });
    bench.write("i.bin", &image.unwrap());
    bench.run(&["sim", "create", "card.cx3", "--image", "i.bin"]).exits(0);
    bench.run(&["sim", "image", "new.bin", "--like", "mcx311a-2.42.5000"]).exits(0);
    bench.write("key", b"8b1df3a652c7e049");
    let identity = ["identity", "set", "--mac", "7a3c91b6d4f5", "--yes", "--backup-dir", "b"];
    let selftest = ["selftest", "--yes", "--tools-interface", "--reset"];
    let commands: [&[&str]; 11] = [
        &["query", "--full"],
        &["identity", "show"],
        &["config", "set", "SRIOV_EN=1", "NUM_OF_VFS=4", "--yes"],
        &selftest,
        &["verify"],
        &["doctor"],
        &["flash", "read", "dump"],
        &["config", "query"],
        &["--key-file", "key", "query"],
        &["burn", "new.bin", "--yes", "--backup-dir", "b"],
        &identity,
    ];
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    // The halves of a word are in themselves what a register shows.
    for secret in [&guid[..], &guid[..4], &guid[4..], &mac[2..], &mac[4..], &key.to_be_bytes()] {
        secrets.extend(forms(secret));
    }
    for text in [&vsd[..], &rom_text[..]] {
        secrets.extend(text.chunks(4).filter(|c| c.len() == 4).flat_map(forms));
        secrets.push(text.to_vec());
    }
    let any = secrets.iter().map(|secret| {
        secret
            .iter()
            .map(|byte| format!("\\x{:02x}", byte.to_ascii_lowercase()))
            .collect::<String>()
    });
    let any = Regex::new(&format!("(?s-u){}", any.collect::<Vec<_>>().join("|"))).unwrap();
    for command in commands {
        let ran = traced(&bench, "t", command);
        assert!(ran.code == 0 || command[0] == "config", "{command:?}: {}", ran.stderr);
        let text = text_of(&bench.read("t")).to_lowercase();
        let found = any.find(text.as_bytes()).map(|found| found.as_bytes().to_vec());
        assert_eq!(found, None, "{command:?}");
    }
}

#[test]
fn a_report_contains_the_trace_also_when_no_file_was_named() {
    let bench = Sandbox::owner();
    bench.card(&["--report", "r", "verify"]).exits(0);
    let entry = fs::read_dir(bench.path("r")).unwrap().next().unwrap().unwrap();
    let archive = flate2::read::GzDecoder::new(fs::File::open(entry.path()).unwrap());
    let mut tar = tar::Archive::new(archive);
    let mut trace = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("trace.zst") {
            entry.read_to_end(&mut trace).unwrap();
        }
    }
    bench.write("t", &trace);
    bench.run(&["trace", "replay", "t"]).exits(0);
}

#[test]
fn a_trace_is_private_new_and_of_a_card_only() {
    let bench = Sandbox::owner();
    traced(&bench, "t", &["query"]).exits(0);
    assert_eq!(fs::metadata(bench.path("t")).unwrap().permissions().mode() & 0o777, 0o600);
    let before = bench.read("t");
    bench.card(&["--trace", "t", "query"]).exits(1);
    assert_eq!(bench.read("t"), before);
    bench.run(&["--trace", "u", "query", "new.bin"]).exits(64).reports("--trace needs a command");
    bench.run(&["-d", "sim:none.cx3", "--trace", "u", "query"]).exits(3);
    assert!(!bench.path("u").exists());
    let ran = bench.run(&["-d", "sim:card.cx3", "--json", "--trace", "u", "query"]).exits(0);
    assert!(ran.json()["trace"]["path"].as_str().unwrap().ends_with('u'));
    bench.run(&["--trace", "v", "-d", "sim:card.cx3", "flint", "q"]).exits(0);
    bench.run(&["trace", "show", "v"]).exits(0).prints("flint");
}

#[test]
fn a_trace_of_a_job_that_fails_can_be_read() {
    let bench = Sandbox::owner();
    let fault = r#"{"fault":"removed","after":4000}"#;
    bench.run(&["sim", "fault", "card.cx3", fault]).exits(0);
    let ran = traced(&bench, "t", &["verify"]);
    assert_ne!(ran.code, 0);
    let shown = bench.run(&["--json", "trace", "show", "t"]).exits(0).json();
    assert_eq!(shown["result"]["command_exit"], ran.code);
    assert!(shown["result"]["accesses"].as_u64().unwrap() > 3000);
}

#[test]
fn a_trace_that_is_cut_short_is_an_error_that_names_how_far_it_goes() {
    let bench = Sandbox::owner();
    traced(&bench, "t", &["verify"]).exits(0);
    let whole = bench.read("t");
    bench.write("cut", &whole[..whole.len() / 2]);
    let shown = bench.run(&["--json", "trace", "show", "cut"]).exits(1).json();
    assert_eq!(shown["error"]["code"], "trace_cut");
    let accesses = shown["result"]["accesses"].as_u64().unwrap();
    assert!(accesses > 1000, "{accesses}");
    let message = shown["error"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("ends after {accesses} accesses")), "{message}");
    for command in ["replay", "diff"] {
        bench.run(&["trace", command, "cut"]).exits(1).reports("ends after");
    }
}

#[test]
fn a_trace_that_ends_in_its_first_frame_is_cut_short() {
    let bench = Sandbox::owner();
    traced(&bench, "t", &["query"]).exits(0);
    let whole = bench.read("t");
    for len in [0, 1, 4, 20, 100] {
        bench.write("cut", &whole[..len]);
        for command in ["show", "replay", "diff"] {
            let ran = bench.run(&["--json", "trace", command, "cut"]).exits(1).json();
            assert_eq!(ran["error"]["code"], "trace_cut", "{len} {ran}");
            bench.run(&["trace", command, "cut"]).exits(1).one_clear_line();
        }
    }
}

#[test]
fn where_a_full_trace_ends_is_reported_and_the_program_is_not_blamed() {
    let bench = Sandbox::owner();
    traced(&bench, "t", &["verify"]).exits(0);
    let text = text_of(&bench.read("t"));
    // What is written behind the last access is in a full trace, too.
    let last =
        text.lines().filter(|line| line.contains("\"mark\":\"flash\"") || line.contains("\"end\""));
    let full = std::iter::once("{\"t\":0,\"mark\":\"full\"}");
    let cut = |count: usize| {
        let lines: Vec<&str> =
            text.lines().take(count).chain(full.clone()).chain(last.clone()).collect();
        trace_of(&format!("{}\n", lines.join("\n")))
    };
    bench.write("full", &cut(5000));
    for command in ["show", "replay", "diff"] {
        let ran = bench.run(&["trace", command, "full"]).exits(1);
        let ran = ran.prints("the trace ends here: it was full").one_clear_line();
        let ran = ran.reports("it was full");
        assert!(!ran.stdout.contains("the command fails"), "{ran}");
        let ran = bench.run(&["--json", "trace", command, "full"]).exits(1).json();
        assert_eq!(ran["error"]["code"], "trace_cut", "{ran}");
        assert_eq!(ran["result"]["full"], true, "{ran}");
    }
    // With the whole image, the simulated card boots and does the same.
    let accesses = text
        .lines()
        .filter(|line| !line.contains("mark\":\"flash") && !line.contains("mark\":\"end"))
        .count();
    bench.write("full", &cut(accesses - 2));
    let ran = bench.run(&["--json", "trace", "diff", "full"]).exits(1).json();
    assert_eq!(ran["result"]["comparison"]["count"], 0, "{ran}");
}

#[test]
fn a_command_that_opens_no_one_card_takes_no_trace() {
    let bench = Sandbox::owner();
    for command in [&["list"][..], &["-d", "sim:card.cx3", "list"], &["host", "restore"]] {
        let ran = bench.run(&[&["--trace", "t"], command].concat());
        ran.exits(64).reports("--trace needs a command").one_clear_line();
        assert!(!bench.path("t").exists(), "{command:?}");
    }
    bench.run(&["-d", "sim:none.cx3", "--trace", "t", "query"]).exits(3).reports("no trace");
}

#[test]
fn the_key_of_a_locked_card_is_in_no_trace() {
    let bench = Sandbox::new();
    bench.run(&["sim", "create", "card.cx3", "--board", "mcx354a-pro", "--secure-host"]).exits(0);
    bench.write("key", b"0123456789abcdef");
    traced(&bench, "t", &["--key-file", "key", "query"]).exits(0);
    let text = text_of(&bench.read("t"));
    for word in ["01234567", "89abcdef", "67452301", "efcdab89"] {
        assert!(!text.contains(word), "{word}");
    }
    bench.run(&["trace", "replay", "t"]).exits(0);
}

#[test]
fn a_hostile_trace_ends_in_one_clear_line_within_its_limits() {
    let bench = Sandbox::owner();
    traced(&bench, "t", &["query"]).exits(0);
    let text = text_of(&bench.read("t"));
    let (header, rest) = text.split_once('\n').unwrap();
    let lines: Vec<&str> = rest.lines().collect();
    let far = "[18446744073709551615,\"m\",\"r\",\"f0014\",\"000001f5\"]";
    let block = r##"["m",0,12,"fffffff0","4003241d",true,240,"#,#,#,#",null]"##;
    let words: Vec<String> = (0..500).map(|n| format!("[{},1,{n}]", u32::MAX - n)).collect();
    let flash = format!("{{\"t\":0,\"mark\":\"flash\",\"words\":[{}]}}", words.join(","));
    let evil = "\\u001b]52;c;x\\u0007\\u202e";
    let kernel = format!("{{\"t\":0,\"mark\":\"kernel\",\"text\":\"{evil}\"}}");
    let driver = format!("{{\"t\":0,\"mark\":\"unbind\",\"driver\":\"{evil}\"}}");
    let open = r#"{"t":0,"mark":"open","transport":"mmap","posted":true,"since_reset":18446744073709551615,"serial":true}"#;
    let with = |line: &str, at: usize| {
        let mut lines = lines.clone();
        lines.insert(at.min(lines.len() - 1), line);
        format!("{header}\n{}\n", lines.join("\n"))
    };
    let mut cases: Vec<String> = Vec::new();
    for line in [far, block, &flash, &kernel, &driver, open] {
        for at in [0, 3, lines.len() / 2, usize::MAX] {
            cases.push(with(line, at));
        }
    }
    let endless = format!("{header}\n{open}\n{}", format!("{far}\n").repeat(200_000));
    cases.push(endless);
    cases.push(format!(
        "{header}\n{}{}\n",
        format!("{block}\n").repeat(10_000),
        lines.last().unwrap()
    ));
    for command in ["doctor", "verify", "selftest", "query\\u001b[8m"] {
        let other = header.replace("\"command\":\"query\"", &format!("\"command\":\"{command}\""));
        assert_ne!(other, header);
        cases.push(format!("{other}\n{rest}"));
    }
    for (n, case) in cases.iter().enumerate() {
        bench.write("u", &trace_of(case));
        for command in ["show", "replay", "diff"] {
            let ran = bench.run(&["trace", command, "u"]);
            assert!([0, 1].contains(&ran.code), "{n}: {ran}");
            let all = format!("{}{}", ran.stdout, ran.stderr);
            assert!(!all.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{n}: {ran}");
            assert!(!all.contains("panicked"), "{n}: {ran}");
            if ran.code == 1 {
                ran.one_clear_line();
            }
        }
    }
}

#[test]
fn another_cards_trace_is_refused_where_it_does_not_fit() {
    let bench = Sandbox::owner();
    traced(&bench, "t", &["query"]).exits(0);
    let text = text_of(&bench.read("t"));
    // Of a chip that the simulator does not have, and of silicon of another family.
    let flash = text.replace("20711500", "12345600");
    let silicon = text.replace("000101f5", "00000190").replace("000001f5", "00000190");
    for other in [flash, silicon] {
        assert_ne!(other, text);
        bench.write("u", &trace_of(&other));
        let ran = bench.run(&["trace", "diff", "u"]).exits(1).one_clear_line();
        assert!(!ran.stderr.contains("panicked"), "{ran}");
        bench.run(&["trace", "replay", "u"]).exits(1).one_clear_line();
    }
}

#[test]
fn what_is_no_trace_is_refused() {
    let bench = Sandbox::owner();
    bench.write("other", &trace_of("{\"trace\":\"cx3flash-trace\",\"header\":{\"format\":99}}\n"));
    bench.run(&["trace", "show", "other"]).exits(1).reports("format 99");
    bench.run(&["trace", "show", "new.bin"]).exits(1).reports("not a trace").one_clear_line();
    bench.run(&["trace", "show", "."]).exits(1);
    bench.run(&["trace", "show", "none"]).exits(1);
    traced(&bench, "t", &["flash", "info"]).exits(0);
    bench.run(&["trace", "replay", "t"]).exits(1).reports("flash info");
}

#[test]
fn an_access_that_the_card_was_never_asked_is_named() {
    let bench = Sandbox::owner();
    traced(&bench, "t", &["query"]).exits(0);
    let text = text_of(&bench.read("t"));
    // The program reads another address now.
    let other = text.replacen("\"w\",\"f0404\",\"00000010\"", "\"w\",\"f0404\",\"00000090\"", 1);
    assert_ne!(other, text);
    bench.write("u", &trace_of(&other));
    let ran = bench.run(&["--json", "trace", "replay", "u"]).exits(1).json();
    assert_eq!(ran["error"]["code"], "trace_diverges");
    let divergence = &ran["result"]["progress"]["divergence"];
    assert!(divergence["access"].as_u64().unwrap() > 10, "{divergence}");
    assert!(divergence["asked"].as_str().unwrap().contains("00000010"), "{divergence}");
    assert!(divergence["recorded"].as_str().unwrap().contains("00000090"), "{divergence}");
    let ran = bench.run(&["--json", "trace", "diff", "u"]).exits(1).json();
    assert_eq!(ran["error"]["code"], "trace_differs");
    assert_eq!(ran["result"]["comparison"]["differences"][0]["kind"], "value");
}
