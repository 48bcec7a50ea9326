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
    document
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
    let commands: [(&[&str], &[&str]); 21] = [
        (&["list"], &["cards"]),
        (&["doctor"], &["checks", "ok"]),
        (&["selftest", "--yes"], &["card", "stages", "contradicted", "record"]),
        (&["query"], &["card", "images", "active", "reset_pending"]),
        (&["query", "--full"], &["card", "images"]),
        (&["query", "new.bin"], &["file", "images"]),
        (&["verify"], &["card", "images", "ok"]),
        (&["verify", "new.bin"], &["file", "images", "ok"]),
        (&["images", "."], &["images", "unread", "other_files"]),
        (&["plan", "new.bin"], &["card", "file", "choice", "plan"]),
        (&["backup", "--out", "backups"], &["card", "backup"]),
        (&["rom", "info"], &["rom", "sha256"]),
        (&["rom", "read", "rom.bin"], &["rom", "sha256"]),
        (&["config", "show"], &["ini"]),
        (&["identity", "show"], &["identity", "valid", "psid"]),
        (&["flash", "info"], &["card", "chained_reads"]),
        (&["flash", "read", "raw.bin", "--len", "0x1000"], &["card", "output"]),
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

/// The schema that is published is the one of this program. `CX3FLASH_BLESS=1` writes it.
#[test]
fn the_published_schema_is_the_programs() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema.json");
    let printed = Sandbox::new().run(&["schema"]).exits(0).stdout;
    if std::env::var_os("CX3FLASH_BLESS").is_some_and(|v| v == "1") {
        std::fs::write(&path, &printed).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(published == printed, "docs/schema.json differs (CX3FLASH_BLESS=1 takes it over)");
}

#[test]
fn each_command_has_a_schema() {
    let bench = Sandbox::new();
    for (command, _) in cx3flash::cli::json::RESULTS {
        let mut words = vec!["schema"];
        words.extend(command.split(' '));
        let ran = bench.run(&words).exits(0);
        let schema: Value = serde_json::from_str(&ran.stdout).unwrap();
        jsonschema::draft202012::new(&schema).unwrap();
        assert_eq!(schema["allOf"][0]["properties"]["command"]["const"], *command);
    }
    bench.run(&["schema", "frobnicate"]).exits(64).one_clear_line().reports("rom info");
    bench.run(&["--json", "schema", "rom", "info"]).exits(0).json();
}

#[test]
fn every_command_of_the_program_is_in_the_schema() {
    fn collect(command: &clap::Command, name: &str, names: &mut Vec<String>) {
        let subs: Vec<_> = command.get_subcommands().filter(|c| !c.is_hide_set()).collect();
        if subs.is_empty() {
            names.push(name.trim().to_owned());
        }
        for sub in subs {
            collect(sub, &format!("{name} {}", sub.get_name()), names);
        }
    }
    let mut names = vec!["version".to_owned()];
    collect(&<cx3flash::cli::Cli as clap::CommandFactory>::command(), "", &mut names);
    // flint's mouth has no JSON.
    names.retain(|name| name != "flint");
    names.sort();
    let mut listed: Vec<&str> =
        cx3flash::cli::json::RESULTS.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(listed, names);
}

/// One rule for a value that is not there: its key is there, and null.
#[test]
fn every_field_is_required() {
    fn check(value: &Value, problems: &mut Vec<String>) {
        if let Some(fields) = value.get("properties").filter(|_| value["type"] == "object") {
            for name in fields.as_object().unwrap().keys() {
                let required = value["required"].as_array();
                if !required.is_some_and(|list| list.iter().any(|n| n == name)) {
                    problems.push(format!("{name} in {}", value["description"]));
                }
                if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
                    problems.push(format!("{name} is not snake_case"));
                }
            }
        }
        match value {
            Value::Object(map) => map.values().for_each(|v| check(v, problems)),
            Value::Array(list) => list.iter().for_each(|v| check(v, problems)),
            _ => {}
        }
    }
    let mut problems = Vec::new();
    check(&cx3flash::cli::json::schema(None).unwrap(), &mut problems);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn help_and_version_are_documents() {
    let bench = Sandbox::new();
    let version = bench.run(&["--json", "--version"]).exits(0).json();
    assert_eq!(version["result"]["version"], env!("CARGO_PKG_VERSION"));
    let help = bench.run(&["--json", "--help"]).exits(0).json();
    assert_eq!(help["command"], "help");
    assert!(help["result"]["text"].as_str().unwrap().contains("Usage:"));
    bench.run(&["burn", "--help", "--json"]).exits(0).json();
}

/// A refusal, a declined question and a failure have the shape of a success.
#[test]
fn a_result_has_one_shape_however_the_command_ends() {
    let bench = Sandbox::owner();
    bench.oem_image("DEL_1");
    let keys = |document: &Value| {
        let result = document["result"].as_object().unwrap_or_else(|| panic!("{document:#}"));
        assert_eq!(result["card"]["device"], "sim:card.cx3");
        assert!(result["backup"].is_null() || result["backup"]["dir"].is_string());
        result.keys().cloned().collect::<Vec<_>>()
    };
    let yes = ["--yes", "--no-activate", "--backup-dir", "backups"];
    let refused = document(&bench, &[&["burn", "oem.bin"][..], &yes].concat(), 4);
    assert!(refused["result"]["backup"].is_null());
    // Before the card is taken there is no result.
    let unasked = document(&bench, &["burn", "new.bin", "--backup-dir", "backups"], 64);
    assert_eq!(unasked["error"]["code"], "no_terminal");
    assert!(unasked["result"].is_null(), "{unasked:#}");
    bench.run(&["sim", "fault", "card.cx3", r#"{"fault":"power_cut","op":20,"seed":1}"#]).exits(0);
    let stopped = document(&bench, &[&["burn", "new.bin"][..], &yes].concat(), 9);
    assert!(stopped["result"]["stopped"]["phase"].is_string(), "{stopped:#}");
    assert!(stopped["result"]["backup"]["files"].is_array(), "{stopped:#}");
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    let dir = stopped["result"]["backup"]["dir"].as_str().unwrap();
    let done = document(&bench, &[&["restore", dir][..], &yes].concat(), 0);
    for other in [&refused, &stopped] {
        assert_eq!(keys(other), keys(&done));
    }
}

#[test]
fn the_code_of_a_refusal_is_the_id_of_the_check() {
    let bench = Sandbox::owner();
    bench.run(&["sim", "image", "pro.bin", "--like", "mcx312b-2.42.5000"]).exits(0);
    for (args, check) in [
        (&["burn", "pro.bin"][..], "psid"),
        (&["burn", "new.bin", "--expect", &"0".repeat(64)], "expected_file"),
        (
            &["recover", "new.bin", "--guid", "0002c90300112230", "--mac", "0002c9112230"],
            "no_valid_image",
        ),
    ] {
        let refused = document(&bench, &[args, &["--yes"]].concat(), 4);
        let by = refused["error"]["refused_by"].as_array().unwrap();
        assert!(by.contains(&refused["error"]["code"]), "{refused:#}");
        assert!(by.iter().any(|id| id == check), "{refused:#}");
    }
}

#[test]
fn blank_guids_are_all_ones() {
    let bench = Sandbox::owner();
    let verify = document(&bench, &["verify"], 0);
    let image = &verify["result"]["images"][0]["image"];
    assert_eq!(image["guids"][0], "ffffffffffffffff");
    assert_eq!(image["guids_blank"], true);
}

#[test]
fn a_verified_image_has_its_facts() {
    let bench = Sandbox::owner();
    let document = document(&bench, &["verify", "new.bin"], 0);
    let image = &document["result"]["images"][0]["image"];
    assert_eq!(image["guids_blank"], false);
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
        assert_eq!(document["error"]["code"], "psid");
        let checks = document["result"]["plan"]["checks"].as_array().unwrap();
        let psid = checks.iter().find(|c| c["id"] == "psid").unwrap();
        assert_eq!(psid["ok"], false);
    }
}
