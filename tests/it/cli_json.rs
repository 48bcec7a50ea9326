//! `--json` of every command: one document, our schema, the documented fields.

use crate::support::cli::Sandbox;
use serde_json::Value;

fn document(bench: &Sandbox, args: &[&str], code: i32) -> Value {
    let mut all = vec!["--json", "-d", "sim:card.cx3"];
    all.extend(args);
    let ran = bench.run(&all).exits(code);
    let document = ran.json();
    // Nested commands are two words.
    let name = document["command"].as_str().unwrap().to_owned();
    assert!(args.join(" ").starts_with(&name), "{name}\n{ran}");
    snake(&document, &name);
    document
}

/// Field names and enum values are snake_case.
fn snake(value: &Value, at: &str) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                assert!(key.chars().all(good), "{at}.{key} is not snake_case");
                snake(inner, &format!("{at}.{key}"));
            }
        }
        Value::Array(list) => list.iter().for_each(|v| snake(v, at)),
        _ => {}
    }
}

#[test]
fn every_command_has_a_json_document() {
    let bench = Sandbox::pro();
    let b = ["--backup-dir", "backups", "--yes"];
    let with = |words: &[&'static str]| {
        let mut all = words.to_vec();
        all.extend(b);
        all
    };
    let commands: [(&[&str], &[&str]); 19] = [
        (&["list"], &["cards"]),
        (&["doctor"], &["checks", "ok"]),
        (&["query"], &["card", "images", "active", "reset_pending"]),
        (&["query", "--full"], &["card", "images"]),
        (&["query", "new.bin"], &["file", "images"]),
        (&["verify"], &["card", "images", "ok"]),
        (&["verify", "new.bin"], &["file", "images", "ok"]),
        (&["plan", "new.bin"], &["card", "image", "plan"]),
        (&["backup", "--out", "backups"], &["dir", "manifest"]),
        (&["rom", "info"], &["rom", "sha256"]),
        (&["rom", "read", "rom.bin"], &["rom", "sha256"]),
        (&["config", "show"], &["ini"]),
        (&["identity", "show"], &["identity", "sound", "psid"]),
        (&["flash", "info"], &["card", "chained_reads"]),
        (&["flash", "read", "raw.bin", "--len", "0x1000"], &["len", "sha256"]),
        (&["sim", "info", "card.cx3"], &["spec", "counters", "faults", "misuse"]),
        (&["sim", "image", "x.bin"], &["file", "len"]),
        (&["completions", "bash"], &["shell", "script"]),
        (&["man"], &["pages"]),
    ];
    for (args, fields) in commands {
        let document = document(&bench, args, 0);
        for field in fields {
            assert!(
                document["result"].get(field).is_some(),
                "{args:?} lacks {field}: {document:#}"
            );
        }
    }
    assert_eq!(bench.read("raw.bin").len(), 0x1000);
    document(&bench, &["unlock", "--yes"], 2);
    let burned = document(&bench, &with(&["burn", "new.bin", "--no-activate"]), 0);
    for field in ["job", "plan", "nothing_to_do", "backup", "boots", "activation", "image_sha256"] {
        assert!(burned["result"].get(field).is_some(), "{field}: {burned:#}");
    }
    let query = document(&bench, &["query"], 0);
    assert_eq!(query["result"]["reset_pending"], true);
    document(&bench, &["activate"], 0);
    document(&bench, &["verify", "--against", "new.bin"], 0);
    document(&bench, &with(&["burn", "new.bin"]), 2);
    let dir = burned["result"]["backup"]["dir"].as_str().unwrap().to_owned();
    let restore = ["restore", &dir, "--yes", "--backup-dir", "backups"];
    document(&bench, &restore, 0);
    document(&bench, &with(&["rom", "remove"]), 0);
    document(&bench, &with(&["rom", "write", "rom.bin"]), 0);
    document(&bench, &with(&["identity", "set", "--vsd", "mine"]), 0);
    let recover = ["recover", "new.bin", "--guid", "0002c90300112230", "--mac", "0002c9112230"];
    document(&bench, &with(&recover), 4);
    document(&bench, &["sim", "fault", "card.cx3", r#"{"fault":"stuck_busy","after":9}"#], 0);
    document(&bench, &["sim", "power-cycle", "card.cx3"], 0);
    document(&bench, &["sim", "create", "other.cx3"], 0);
}

#[test]
fn documented_fields_of_an_image_are_there() {
    let bench = Sandbox::owner();
    let document = document(&bench, &["verify", "new.bin"], 0);
    let image = &document["result"]["images"][0]["image"];
    let source = include_str!("../../docs/json.md");
    let mut documented = 0;
    // Rows of the table under "`image` (in": names in backquotes in the first column.
    let table = source.split("\n`image` (in").nth(1).unwrap();
    let table = table.split("\n`verify` adds").next().unwrap();
    for row in table.lines().filter_map(|l| l.strip_prefix("| `")) {
        let names = row.split(" | ").next().unwrap();
        for name in names.split(", ") {
            let name = name.trim_matches('`');
            assert!(image.get(name).is_some(), "{name} is documented and missing");
            documented += 1;
        }
    }
    let there = image.as_object().unwrap().len();
    // sections, full_crc and flint are documented in a sentence below the table.
    assert_eq!(documented + 3, there, "fields without documentation");
    assert_eq!(image["fw_version"], "2.42.5000");
    assert_eq!(image["release_date"], "2017-09-05");
    assert_eq!(image["device_id"], 4099);
    assert_eq!(image["len"], 0xC_250C);
    assert_eq!(image["macs"][0], "0002c9000001");
    assert_eq!(image["sections"].as_array().unwrap().len(), 21);
    assert_eq!(image["flint"]["verdict"], "bootable");
}

#[test]
fn every_error_has_a_code_and_a_hint() {
    let bench = Sandbox::owner();
    bench.write("fw.zip", b"PK\x03\x04xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    let document = document(&bench, &["burn", "fw.zip", "--yes"], 1);
    assert_eq!(document["error"]["code"], "archive_damaged");
    assert_eq!(
        document["error"]["hint"],
        "download the file again, and compare its length or digest with the vendor's"
    );
    assert!(document["error"]["message"].as_str().unwrap().contains("fw.zip"));
}

#[test]
fn a_refused_plan_is_shown() {
    let bench = Sandbox::owner();
    bench.oem_image("DEL_1");
    for args in [vec!["plan", "oem.bin"], vec!["burn", "oem.bin", "--yes"]] {
        let document = document(&bench, &args, 4);
        assert_eq!(document["error"]["code"], "psid_differs");
        let checks = document["result"]["plan"]["checks"].as_array().unwrap();
        let psid = checks.iter().find(|c| c["id"] == "psid").unwrap();
        assert_eq!(psid["ok"], false);
    }
}
