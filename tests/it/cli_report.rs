//! `--report DIR`: what is in the archive, what is not, and that nothing else changes.

use crate::support::cli::{CliRun, Sandbox};
use crate::sweep::world::{own, small_pro};
use cx3flash::image::{Recipe, build};
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// What a report must not contain.
const SECRETS: [&str; 4] = ["e41d2ddd7850", "e41d2ddd7851", "e4:1d:2d:dd:78:50", "MT1234X56789"];

/// The files of the one archive in `reports`.
fn archive(bench: &Sandbox) -> BTreeMap<String, String> {
    let names: Vec<PathBuf> =
        fs::read_dir(bench.path("reports")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let mut tar = tar::Archive::new(GzDecoder::new(fs::File::open(&names[0]).unwrap()));
    tar.entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            let name = path.strip_prefix("cx3flash-report").unwrap();
            let name = name.to_str().unwrap().to_owned();
            if name == "trace.zst" {
                let size = entry.size();
                return (name, format!("{size} bytes"));
            }
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (name, text)
        })
        .collect()
}

fn parsed(files: &BTreeMap<String, String>, name: &str) -> Value {
    let text = files.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", files.keys()));
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}\n{text}"))
}

/// Why a file is not in the archive.
fn absent(files: &BTreeMap<String, String>, name: &str) -> String {
    let manifest = parsed(files, "manifest.json");
    let entry = manifest["absent"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["name"] == name)
        .unwrap_or_else(|| panic!("{name} is not listed as absent: {manifest:#}"));
    entry["why"].as_str().unwrap().to_owned()
}

fn assert_complete(files: &BTreeMap<String, String>, ran: &CliRun) {
    let manifest = parsed(files, "manifest.json");
    assert_eq!(manifest["exit"], ran.code);
    let listed = manifest["files"].as_array().unwrap();
    assert_eq!(listed.len() + 1, files.len());
    // tests/it/traces.rs reads the trace.
    for file in listed.iter().filter(|file| file["name"] != "trace.zst") {
        let text = &files[file["name"].as_str().unwrap()];
        let digest: String =
            Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(file["sha256"], digest, "{file}");
    }
    for (name, text) in files {
        for secret in SECRETS {
            assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{secret} is in {name}");
        }
    }
    for line in files.get("log.jsonl").map_or("", String::as_str).lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn a_burn_leaves_a_complete_report() {
    let bench = Sandbox::owner();
    let ran = bench
        .run(&[
            "--json",
            "--report",
            "reports",
            "-d",
            "sim:card.cx3",
            "burn",
            "new.bin",
            "--yes",
            "--backup-dir",
            "backups",
        ])
        .exits(0);
    let files = archive(&bench);
    assert_complete(&files, &ran);
    // The card as it was when it was opened, the plan, and what became of it.
    let query = parsed(&files, "query.json");
    assert_eq!(query["images"][0]["image"]["fw_version"], "2.35.5100");
    assert_eq!(query["images"][0]["image"]["macs"][0], "e41d2dxxxxx0");
    let plan = parsed(&files, "plan.json");
    assert!(!plan["checks"].as_array().unwrap().is_empty());
    let document = parsed(&files, "document.json");
    assert_eq!(document["result"]["boots"]["fw_version"], "2.42.5000");
    assert!(files["log.jsonl"].contains("\"burn\"") || files["log.jsonl"].contains("Burn"));
    for step in ["verified", "committed"] {
        let line = format!("\"message\":\"{step}\"");
        assert!(files["log.jsonl"].contains(&line), "{step}");
    }
    assert_eq!(parsed(&files, "host.json")["machine"], "x86_64");
    assert_eq!(parsed(&files, "journal.json")["after"]["pending"], Value::Array(Vec::new()));
    assert!(absent(&files, "lspci.txt").contains("simulated"));
    // The answer names it, unmasked itself.
    let path = ran.json()["report"]["path"].as_str().unwrap().to_owned();
    assert!(bench.path(&path).is_file(), "{path}");
    assert_eq!(
        ran.json()["result"]["plan"]["kept"].is_array(),
        document["result"]["plan"]["kept"].is_array()
    );
}

#[test]
fn no_report_names_a_serial_number_whatever_the_command_ends_with() {
    let bench = Sandbox::owner();
    let removed = r#"{"fault":"removed","after":10}"#;
    let cases: [(&[&str], i32); 5] = [
        (&["--expendable", "MT1502X05678", "--yes"], 4),
        (&["--expendable=MT1502X05678", "--yes"], 4),
        (&["--expendable=MT 1502", "--yes"], 4),
        (&["--expendable", "SIM0000000001"], 64),
        (&["--expendable", "SIM0000000001", "--yes", "--backup-dir", "b"], 1),
    ];
    for (words, exit) in cases {
        if exit == 1 {
            bench.run(&["sim", "fault", "card.cx3", removed]).exits(0);
        }
        let ran = bench.card(&[&["--report", "reports", "-v", "selftest"], words].concat());
        ran.exits(exit);
        for (name, text) in &archive(&bench) {
            for serial in ["MT1502X05678", "MT 1502", "1502'", "SIM0000000001"] {
                assert!(!text.contains(serial), "{words:?}: {serial} is in {name}: {text}");
            }
        }
        fs::remove_dir_all(bench.path("reports")).unwrap();
    }
}

/// Spellings of a MAC or GUID that are long enough to be looked for anywhere.
fn texts(bytes: &[u8]) -> Vec<String> {
    let joined = |separator: &str, prefix: &str, pieces: &[Vec<u8>]| {
        let pieces: Vec<String> = pieces.iter().map(|p| format!("{prefix}{}", hex(p))).collect();
        pieces.join(separator)
    };
    let pairs: Vec<Vec<u8>> = bytes.chunks(1).map(<[u8]>::to_vec).collect();
    let halves: Vec<Vec<u8>> = bytes.chunks(2).map(<[u8]>::to_vec).collect();
    let swapped: Vec<Vec<u8>> = halves.iter().map(|h| h.iter().rev().copied().collect()).collect();
    let mut all = vec![hex(bytes), joined(":", "", &pairs), joined("-", "", &pairs)];
    for pieces in [&pairs, &halves, &swapped] {
        for separator in [" ", ",", ", ", ":"] {
            all.push(joined(separator, "", pieces));
            all.push(joined(separator, "0x", pieces));
        }
    }
    let decimal: Vec<String> = bytes.iter().map(u8::to_string).collect();
    all.extend([decimal.join(","), decimal.join(", ")]);
    all
}

/// 32-bit words of a MAC or GUID, at both places a MAC may have in 8 bytes, and the whole as a number;
/// in both byte orders, hexadecimal and decimal.
fn words(bytes: &[u8]) -> Vec<String> {
    let number = bytes.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
    let mut all = vec![number.to_string(), number.swap_bytes().to_string()];
    let mut behind = vec![0; 8 - bytes.len()];
    behind.extend(bytes);
    let mut before = bytes.to_vec();
    before.resize(8, 0);
    for word in behind.chunks(4).chain(before.chunks(4)) {
        let word = u32::from_be_bytes(word.try_into().unwrap());
        // Half a MAC with two bytes of vendor part, or with two last bytes, is no address.
        if word >> 16 == 0 || word & 0xffff == 0 {
            continue;
        }
        for word in [word, word.swap_bytes()] {
            all.extend([format!("{word:08x}"), word.to_string()]);
        }
    }
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// GUIDs and MACs of the card that are not blank.
fn addresses(bench: &Sandbox) -> Vec<Vec<u8>> {
    let query = bench.card(&["--json", "query", "--full"]).exits(0).json();
    let image = &query["result"]["images"][0]["image"];
    let all: Vec<Vec<u8>> = ["guids", "macs"]
        .iter()
        .flat_map(|list| image[list].as_array().unwrap().clone())
        .map(|text| {
            let text = text.as_str().unwrap().to_owned();
            (0..text.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
                .collect::<Vec<u8>>()
        })
        .filter(|bytes| bytes.iter().any(|b| *b != 0xff))
        .collect();
    assert!(all.len() >= 2, "{query:#}");
    all
}

fn no_address_in(files: &BTreeMap<String, String>, addresses: &[Vec<u8>]) {
    let spelled: Vec<String> = addresses.iter().flat_map(|address| texts(address)).collect();
    let anywhere = regex::Regex::new(&spelled.join("|")).unwrap();
    let as_words: HashSet<String> = addresses.iter().flat_map(|address| words(address)).collect();
    for (name, text) in files {
        // The logs are large: one pass for the spellings, one for the words.
        let text = text.to_lowercase();
        assert_eq!(anywhere.find(&text), None, "in {name}");
        for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
            let word = word.strip_prefix("0x").unwrap_or(word);
            assert!(!as_words.contains(word), "{word} is in {name}");
        }
    }
}

#[test]
fn every_spelling_of_an_address_is_detected() {
    let address = vec![0xe4, 0x1d, 0x2d, 0xdd, 0x78, 0x50];
    for text in texts(&address).into_iter().chain(words(&address)) {
        let files = BTreeMap::from([("log".to_owned(), format!("a (0x{text})\n"))]);
        let missed =
            std::panic::catch_unwind(|| no_address_in(&files, std::slice::from_ref(&address)));
        assert!(missed.is_err(), "{text}");
    }
}

/// A small image on a small flash: on a chip of 2 MiB a job logs twice as many accesses.
fn small_card() -> Sandbox {
    let bench = Sandbox::new();
    bench.write("old.bin", own(&small_pro("2.36.5150")).bytes());
    bench.write("new.bin", &build(&small_pro("2.42.5000")).unwrap());
    bench
        .shell("cx3flash sim create card.cx3 --image old.bin --board mcx312b --part w25q80")
        .exits(0);
    bench
}

/// Runs a command with `-vv`, `--report` and `CX3FLASH_LOG_DATA`; the report's files and the log.
fn report_of_everything(bench: &Sandbox, data: &str, command: &str) -> BTreeMap<String, String> {
    bench
        .shell(&format!(
            "CX3FLASH_LOG_DATA={data} cx3flash -vv --report reports -d sim:card.cx3 {command} 2>/dev/null"
        ))
        .exits(0);
    let files = archive(bench);
    assert!(files["log.jsonl"].contains("gateway data 3"));
    files
}

#[test]
fn a_report_of_a_burn_with_register_accesses_names_no_address_in_any_spelling() {
    let bench = small_card();
    let addresses = addresses(&bench);
    let burn = "burn new.bin --yes --backup-dir backups";
    let files = report_of_everything(&bench, "0", burn);
    assert!(files["log.jsonl"].contains("\"digest:"));
    no_address_in(&files, &addresses);
}

#[test]
fn a_report_masks_flash_data_that_was_logged_on_request() {
    for data in ["0", "1"] {
        let bench = Sandbox::pro();
        let addresses = addresses(&bench);
        let files = report_of_everything(&bench, data, "query --full");
        no_address_in(&files, &addresses);
        // The log itself: a query reads the identity, so its words are there on request only.
        let there = fs::read_dir(bench.path("state/cx3flash/log"))
            .unwrap()
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
            .any(|log| {
                let mut all = addresses.iter().flat_map(|address| words(address));
                all.any(|word| log.contains(&format!("\"0x{word}\"")))
            });
        assert_eq!(there, data == "1");
    }
}

/// What a test judges of a line of the log; all of it is parsed.
#[derive(serde::Deserialize)]
struct LogLine<'a> {
    level: &'a str,
    target: &'a str,
    fields: LogFields,
}

#[derive(serde::Deserialize)]
struct LogFields {
    message: Option<String>,
}

#[test]
fn a_log_of_every_register_access_is_bounded_and_ends_with_the_end_of_the_job() {
    let bench = small_card();
    bench.shell("cx3flash -vv -d sim:card.cx3 plan new.bin 2>/dev/null").exits(0);
    let logs: Vec<PathBuf> = fs::read_dir(bench.path("state/cx3flash/log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let [log] = logs.as_slice() else { panic!("{logs:?}") };
    assert_eq!(fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(log).unwrap();
    assert!(text.len() > 8 << 20 && text.len() <= 16 << 20, "{}", text.len());
    let lines: Vec<LogLine<'_>> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert_eq!(lines.last().unwrap().fields.message.as_deref(), Some("ended"));
    assert_eq!(lines[lines.len() - 2].level, "TRACE");
    assert!(lines.iter().all(|line| line.target.starts_with("cx3flash")));
}

#[test]
fn a_disk_that_is_full_of_log_does_not_stop_the_job() {
    let bench = small_card();
    let ran = bench.shell(
        "mkdir -p state && chmod 700 state && \
         { trap '' XFSZ; ulimit -f 4608; cx3flash -vv -d sim:card.cx3 plan new.bin 2>/dev/null; }",
    );
    ran.exits(0).prints("2.42.5000");
    let log = fs::read_dir(bench.path("state/cx3flash/log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let text = fs::read_to_string(log).unwrap();
    let limit = 4608 * 512;
    assert!(text.len() > limit - 1000 && text.len() <= limit, "{}", text.len());
    assert!(text.ends_with("}\n"), "half a line stays behind");
}

#[test]
fn a_demo_leaves_no_empty_log() {
    let bench = Sandbox::new();
    bench.run(&["demo", "--dir", "demo"]).exits(0);
    for entry in fs::read_dir(bench.path("state/cx3flash/log")).unwrap() {
        let entry = entry.unwrap();
        assert!(entry.metadata().unwrap().len() > 0, "{:?}", entry.path());
    }
}

#[test]
fn a_refused_burn_leaves_a_report() {
    let bench = Sandbox::owner();
    bench.run(&["sim", "image", "pro.bin", "--like", "mcx312b-2.42.5000"]).exits(0);
    let plain = bench.refuses(&["burn", "pro.bin", "--yes"], 4);
    let ran = bench.refuses(&["burn", "pro.bin", "--yes", "--report", "reports"], 4);
    assert_eq!(
        ran.stderr.lines().next(),
        plain.stderr.lines().next(),
        "the report changed the message"
    );
    let files = archive(&bench);
    assert_complete(&files, &ran);
    let document = parsed(&files, "document.json");
    assert_eq!(document["error"]["code"], "layout");
    assert_eq!(parsed(&files, "plan.json")["refused"], true);
    assert!(ran.stderr.contains("report: reports/cx3flash-report-"));
}

#[test]
fn an_unwritable_report_is_refused_before_the_burn() {
    let bench = Sandbox::owner();
    bench.write("reports", b"in the way");
    let ran = bench.refuses(&["burn", "new.bin", "--yes", "--report", "reports"], 1);
    assert!(!bench.path("state/cx3flash/backups").exists(), "{ran}");
    assert_eq!(bench.read("reports"), b"in the way");
}

#[test]
fn a_report_needs_a_card() {
    let bench = Sandbox::owner();
    for words in [vec!["query", "new.bin"], vec!["completions", "bash"], vec!["demo"]] {
        let mut all = vec!["--report", "reports"];
        all.extend(words);
        bench.run(&all).exits(64).one_clear_line().reports("--report");
    }
    assert!(!bench.path("reports").exists());
}

#[test]
fn doctor_reports_what_it_saw() {
    let bench = Sandbox::owner();
    let ran = bench.card(&["doctor", "--report", "reports"]);
    let files = archive(&bench);
    assert_complete(&files, &ran);
    assert_eq!(parsed(&files, "query.json")["images"][0]["image"]["psid"], "MT_1170110023");
    assert!(absent(&files, "plan.json").contains("no plan"));
}

/// What is planted in the test below, in lower case.
const PLANTED: [&str; 12] = [
    "rack 7, bay b",
    "rack\\x207",
    "shelf 9",
    "lab-gw-7",
    "alice",
    "192.168.7.9",
    "10.20.30.40",
    "2001:db8:7::9",
    "fe80::e61d",
    "e41d2ddd7850",
    "e41d2ddd7851",
    "mt1234x56789",
];

#[test]
fn no_secret_of_the_card_the_host_or_its_user_is_in_any_file_of_a_report() {
    let bench = Sandbox::owner();
    let old = Recipe { vsd: Some("Rack 7, bay b".into()), ..Recipe::mcx311a_2_35_5100() };
    bench.write("old.bin", &build(&old).unwrap());
    bench.run(&["sim", "create", "rack.cx3", "--board", "mcx311a", "--image", "old.bin"]).exits(0);
    let kernel = bench.path("host/proc/sys/kernel");
    fs::create_dir_all(&kernel).unwrap();
    fs::write(kernel.join("hostname"), "lab-gw-7.example.org\n").unwrap();
    // Names of files hold them too.
    let image = "fw-192.168.7.9-alice-E41D2DDD7850.bin";
    bench.write(image, &bench.read("new.bin"));
    for command in [
        format!("burn {image} --yes --backup-dir bk-lab-gw-7/2001:db8:7::9/home/alice"),
        "query --full".to_owned(),
        format!("plan {image} --full"),
        "identity set --vsd 'shelf 9' --yes --backup-dir bk".to_owned(),
        "identity set --mac e41d2ddd7851 --vsd=shelf\\ 9 --yes --backup-dir bk".to_owned(),
        "identity show".to_owned(),
        format!("restore nowhere/{image} --yes"),
        "flint sv -vsd x".to_owned(),
        "flint -y -vsd 'shelf 9' sv".to_owned(),
        "flint q".to_owned(),
    ] {
        let _ = fs::remove_dir_all(bench.path("reports"));
        bench.shell(&format!(
            "HOME=/home/alice USER=alice cx3flash -v --report reports -d sim:rack.cx3 {command} 2>/dev/null"
        ));
        let files = archive(&bench);
        assert!(files.contains_key("log.jsonl"), "{command}");
        for (name, text) in &files {
            let text = text.to_lowercase();
            for secret in PLANTED {
                assert!(!text.contains(secret), "{command}: {secret} is in {name}: {text}");
            }
        }
        assert!(files["manifest.json"].contains("cx3flash"));
    }
}

/// A real card, as far as files can be one, and an `lspci` that shows what it was asked.
#[test]
fn the_function_of_a_real_card_is_masked() {
    let bench = Sandbox::owner();
    let dir = bench.path("host/sys/bus/pci/devices/0000:05:00.0");
    fs::create_dir_all(&dir).unwrap();
    for (file, text) in [
        ("vendor", "0x15b3"),
        ("device", "0x1003"),
        ("class", "0x020000"),
        ("revision", "0x00"),
        ("subsystem_vendor", "0x15b3"),
        ("subsystem_device", "0x0055"),
    ] {
        fs::write(dir.join(file), format!("{text}\n")).unwrap();
    }
    let kernel = bench.path("host/proc/sys/kernel");
    fs::create_dir_all(&kernel).unwrap();
    fs::write(kernel.join("hostname"), "lab-gw-7\n").unwrap();
    let bin = bench.path("bin");
    fs::create_dir(&bin).unwrap();
    let fake = bin.join("lspci");
    fs::write(
        &fake,
        "#!/bin/sh\necho \"asked: $*\"\necho '\t\t[SN] Serial number: MT1234X56789'\n\
         echo '\tCapabilities: [148 v1] Device Serial Number e4-1d-2d-03-00-dd-78-50'\n\
         echo 'nfs: server 10.20.30.40 not responding; fe80::e61d:2dff:fedd:7850%enp5s0 of lab-gw-7'\n",
    )
    .unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = bench.shell("PATH=$PWD/bin:$PATH cx3flash --report reports -d 05:00.0 query");
    let ran = ran.exits(5);
    let files = archive(&bench);
    assert_complete(&files, &ran);
    let lspci = &files["lspci.txt"];
    assert!(lspci.contains("-s 0000:05:00.0"), "{lspci}");
    assert!(lspci.contains("host/sys/bus/pci"), "{lspci}");
    assert!(lspci.contains("[SN] Serial number: (masked)"), "{lspci}");
    assert!(lspci.contains("e4-1d-2d-xx-xx-xx-xx-x0"), "{lspci}");
    assert!(
        lspci.contains("nfs: server (IP address) not responding; (IP address) of (masked)"),
        "{lspci}"
    );
    assert_eq!(parsed(&files, "card.json")["device_id"], 0x1003);
    assert_eq!(parsed(&files, "document.json")["error"]["code"], "no_iommu");
    assert!(absent(&files, "query.json").contains("no card was opened"));
}
