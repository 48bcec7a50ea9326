//! `--report DIR`: what is in the archive, what is not, and that nothing else changes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic in a test is the report"
)]

#[path = "support/cli.rs"]
mod cli;

use cli::{Bench, Ran};
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// What the owner's card must not tell the world.
const SECRETS: [&str; 4] = [
    "e41d2ddd7850",
    "e41d2ddd7851",
    "e4:1d:2d:dd:78:50",
    "MT1234X56789",
];

/// The files of the one archive in `reports`.
fn archive(bench: &Bench) -> BTreeMap<String, String> {
    let names: Vec<PathBuf> = fs::read_dir(bench.path("reports"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let mut tar = tar::Archive::new(GzDecoder::new(fs::File::open(&names[0]).unwrap()));
    tar.entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            let name = path.strip_prefix("cx3flash-report").unwrap();
            let name = name.to_str().unwrap().to_owned();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (name, text)
        })
        .collect()
}

fn parsed(files: &BTreeMap<String, String>, name: &str) -> Value {
    let text = files
        .get(name)
        .unwrap_or_else(|| panic!("no {name} in {:?}", files.keys()));
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
        .unwrap_or_else(|| panic!("{name} is not said to be absent: {manifest:#}"));
    entry["why"].as_str().unwrap().to_owned()
}

fn sound(files: &BTreeMap<String, String>, ran: &Ran) {
    let manifest = parsed(files, "manifest.json");
    assert_eq!(manifest["exit"], ran.code);
    let listed = manifest["files"].as_array().unwrap();
    assert_eq!(listed.len() + 1, files.len());
    for file in listed {
        let text = &files[file["name"].as_str().unwrap()];
        let digest: String = Sha256::digest(text)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(file["sha256"], digest, "{file}");
    }
    for (name, text) in files {
        for secret in SECRETS {
            assert!(
                !text.to_lowercase().contains(&secret.to_lowercase()),
                "{secret} is in {name}"
            );
        }
    }
    for line in files.get("log.jsonl").map_or("", String::as_str).lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn a_burn_leaves_half_a_report() {
    let bench = Bench::owner();
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
    sound(&files, &ran);
    // The card as it was when it was opened, the plan, and what became of it.
    let query = parsed(&files, "query.json");
    assert_eq!(query["images"][0]["image"]["fw_version"], "2.35.5100");
    assert_eq!(query["images"][0]["image"]["macs"][0], "e41d2dxxxxx0");
    let plan = parsed(&files, "plan.json");
    assert!(!plan["checks"].as_array().unwrap().is_empty());
    let document = parsed(&files, "document.json");
    assert_eq!(document["result"]["boots"]["version"], "2.42.5000");
    assert!(files["log.jsonl"].contains("\"burn\"") || files["log.jsonl"].contains("Burn"));
    assert_eq!(parsed(&files, "host.json")["machine"], "x86_64");
    assert_eq!(
        parsed(&files, "journal.json")["after"]["pending"],
        Value::Array(Vec::new())
    );
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
fn a_refused_burn_leaves_none() {
    let bench = Bench::owner();
    bench
        .run(&["sim", "image", "pro.bin", "--like", "mcx312b-2.42.5000"])
        .exits(0);
    let plain = bench.refuses(&["burn", "pro.bin", "--yes"], 4);
    let ran = bench.refuses(&["burn", "pro.bin", "--yes", "--report", "reports"], 4);
    assert_eq!(
        ran.stderr.lines().next(),
        plain.stderr.lines().next(),
        "the report changed what the user is told"
    );
    let files = archive(&bench);
    sound(&files, &ran);
    let document = parsed(&files, "document.json");
    assert_eq!(document["error"]["code"], "refused");
    assert_eq!(parsed(&files, "plan.json")["refused"], true);
    assert!(ran.stderr.contains("report: reports/cx3flash-report-"));
}

#[test]
fn a_place_that_cannot_be_written_is_found_after_the_burn() {
    let bench = Bench::owner();
    bench.write("reports", b"in the way");
    let ran = bench.refuses(&["burn", "new.bin", "--yes", "--report", "reports"], 1);
    assert!(!bench.path("state/cx3flash/backups").exists(), "{ran}");
    assert_eq!(bench.read("reports"), b"in the way");
}

#[test]
fn a_report_about_no_card_is_made() {
    let bench = Bench::owner();
    for words in [
        vec!["query", "new.bin"],
        vec!["completions", "bash"],
        vec!["demo"],
    ] {
        let mut all = vec!["--report", "reports"];
        all.extend(words);
        bench.run(&all).exits(64).one_clear_line().says("--report");
    }
    assert!(!bench.path("reports").exists());
}

#[test]
fn doctor_keeps_what_it_saw_to_itself() {
    let bench = Bench::owner();
    let ran = bench.card(&["doctor", "--report", "reports"]);
    let files = archive(&bench);
    sound(&files, &ran);
    assert_eq!(
        parsed(&files, "query.json")["images"][0]["image"]["psid"],
        "MT_1170110023"
    );
    assert!(absent(&files, "plan.json").contains("no plan"));
}

/// A real card, as far as files can be one, and an `lspci` that shows what it was asked.
#[test]
fn the_function_of_a_real_card_is_left_out_or_shown_whole() {
    let bench = Bench::owner();
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
    let bin = bench.path("bin");
    fs::create_dir(&bin).unwrap();
    let fake = bin.join("lspci");
    fs::write(
        &fake,
        "#!/bin/sh\necho \"asked: $*\"\necho '\t\t[SN] Serial number: MT1234X56789'\n\
         echo '\tCapabilities: [148 v1] Device Serial Number e4-1d-2d-03-00-dd-78-50'\n",
    )
    .unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = bench.shell("PATH=$PWD/bin:$PATH cx3flash --report reports -d 05:00.0 query");
    let ran = ran.exits(5);
    let files = archive(&bench);
    sound(&files, &ran);
    let said = &files["lspci.txt"];
    assert!(said.contains("-s 0000:05:00.0"), "{said}");
    assert!(said.contains("host/sys/bus/pci"), "{said}");
    assert!(said.contains("[SN] Serial number: (masked)"), "{said}");
    assert!(said.contains("e4-1d-2d-xx-xx-xx-xx-x0"), "{said}");
    assert_eq!(parsed(&files, "card.json")["device_id"], 0x1003);
    assert_eq!(parsed(&files, "document.json")["error"]["code"], "no_iommu");
    assert!(absent(&files, "query.json").contains("no card was opened"));
}
