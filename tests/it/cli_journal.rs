//! `host status`, `host restore` and `host forget` on hosts made of files, with journals written
//! here.

use crate::support::cli::Sandbox;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

const CARD: &str = "0000:05:00.0";
const GONE: &str = "0000:06:00.0";
const DAMAGED: &str = "0000:07:00.0";

/// A host with a card without a driver, alone in IOMMU group 7.
fn host() -> Sandbox {
    let bench = Sandbox::new();
    let dir = bench.path("host/sys/bus/pci/devices").join(CARD);
    fs::create_dir_all(&dir).unwrap();
    for (file, text) in [
        ("vendor", "0x15b3"),
        ("device", "0x1003"),
        ("class", "0x020000"),
        ("revision", "0x00"),
        ("subsystem_vendor", "0x15b3"),
        ("subsystem_device", "0x0055"),
        ("driver_override", "(null)"),
        ("resource", "0x00000000f7a00000 0x00000000f7afffff 0x0000000000140204"),
    ] {
        fs::write(dir.join(file), format!("{text}\n")).unwrap();
    }
    let group = bench.path("host/sys/kernel/iommu_groups/7/devices");
    fs::create_dir_all(&group).unwrap();
    symlink(&dir, group.join(CARD)).unwrap();
    symlink("../../../../kernel/iommu_groups/7", dir.join("iommu_group")).unwrap();
    for present in ["bus/pci/drivers/vfio-pci", "module/vfio_iommu_type1"] {
        fs::create_dir_all(bench.path("host/sys").join(present)).unwrap();
    }
    bench
}

fn journals(bench: &Sandbox) -> PathBuf {
    bench.path("host/var/lib/cx3flash/journal")
}

fn aside(bench: &Sandbox) -> Vec<String> {
    let dir = bench.path("host/var/lib/cx3flash/journal-aside");
    let names = fs::read_dir(dir).into_iter().flatten();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Writes the journal of a card that was taken from mlx4_core in this boot.
fn journal(bench: &Sandbox, bdf: &str, device_id: u16, marks: &Value) {
    journal_of(bench, bdf, device_id, "mlx4_core", marks);
}

fn journal_of(bench: &Sandbox, bdf: &str, device_id: u16, driver: &str, marks: &Value) {
    let record = json!({
        "bdf": bdf,
        "device_id": device_id,
        "subsystem": [0x15b3, 0x55],
        "serial": null,
        "slot": null,
        "boot_id": "",
        "pid": 1,
        "found": {
            "driver": driver,
            "driver_override": null,
            "netdevs": [],
            "port_types": [],
            "vfs": [],
            "siblings": [],
            "internal_err_reset": null,
        },
        "step": "borrowed",
        "bridge": null,
        "marks": marks,
    });
    let digest: String =
        Sha256::digest(record.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
    let file = json!({ "version": 2, "sha256": digest, "record": record });
    fs::create_dir_all(journals(bench)).unwrap();
    fs::write(journals(bench).join(format!("{bdf}.json")), file.to_string()).unwrap();
}

fn untouched() -> Value {
    json!({ "semaphores_held": false, "flash_touched": false, "boots": null })
}

fn does_not_boot() -> Value {
    json!({ "semaphores_held": false, "flash_touched": true, "boots": false })
}

#[test]
fn a_card_that_stays_unrestored_is_exit_7_or_8_among_others_too() {
    let bench = host();
    journal(&bench, CARD, 0x1003, &does_not_boot());
    journal(&bench, GONE, 0x1003, &untouched());
    fs::write(journals(&bench).join(format!("{DAMAGED}.json")), "junk").unwrap();
    let ran = bench.run(&["--json", "host", "restore"]).exits(7);
    let document = ran.json();
    let cards = document["result"]["cards"].as_array().unwrap();
    let card = |bdf: &str| cards.iter().find(|card| card["bdf"] == bdf).unwrap();
    assert_eq!(cards.len(), 3, "{ran}");
    assert_eq!(card(CARD)["restored"], false);
    assert_eq!(card(CARD)["needs_recover"], true);
    assert!(card(CARD)["failure"].as_str().unwrap().contains("boots"), "{ran}");
    assert_eq!(card(GONE)["restored"], true, "{ran}");
    assert_eq!(card(GONE)["failure"], Value::Null);
    assert_eq!(card(DAMAGED)["restored"], false, "{ran}");
    assert!(card(DAMAGED)["failure"].as_str().unwrap().contains("cannot be used"), "{ran}");
    let hint = document["error"]["hint"].as_str().unwrap();
    assert!(hint.contains(&format!("-d {CARD} recover")), "{ran}");
    // Again, and in text: the reason of each.
    bench
        .run(&["host", "restore"])
        .exits(7)
        .one_clear_line()
        .prints(CARD)
        .prints("NOT restored")
        .prints("cannot be used")
        .reports("boots");
    bench
        .run(&["-d", DAMAGED, "host", "restore"])
        .exits(8)
        .one_clear_line()
        .reports(&format!("cx3flash host forget {DAMAGED}"));
    // The way on: without the two, nothing is left.
    bench.run(&["host", "forget", CARD, "--yes"]).exits(0);
    bench.run(&["host", "forget", DAMAGED, "--yes"]).exits(0).prints("dropped");
    bench.run(&["host", "restore"]).exits(0).prints("nothing to restore");
}

/// The card is on vfio-pci, and its journal shows what a killed job held.
fn killed_on_vfio(bench: &Sandbox, marks: &Value) {
    let driver = bench.path("host/sys/bus/pci/drivers/vfio-pci");
    symlink(driver, bench.path("host/sys/bus/pci/devices").join(CARD).join("driver")).unwrap();
    journal_of(bench, CARD, 0x1003, "vfio-pci", marks);
}

#[test]
fn a_card_whose_flash_was_not_touched_goes_back_also_when_vfio_cannot_open_it() {
    let bench = host();
    killed_on_vfio(
        &bench,
        &json!({ "semaphores_held": true, "flash_touched": false, "boots": null }),
    );
    let ran = bench.run(&["--json", "host", "restore"]).exits(0);
    let card = &ran.json()["result"]["cards"][0];
    assert_eq!(card["restored"], true, "{ran}");
    let warnings = card["warnings"].to_string();
    assert!(warnings.contains("could not be opened to free what the dead process held"), "{ran}");
    assert_eq!(fs::read_dir(journals(&bench)).unwrap().count(), 0);
}

#[test]
fn a_card_whose_flash_was_touched_stays_where_vfio_cannot_open_it() {
    let bench = host();
    killed_on_vfio(
        &bench,
        &json!({ "semaphores_held": true, "flash_touched": true, "boots": null }),
    );
    let ran = bench.run(&["host", "restore"]).exits(8).one_clear_line();
    ran.reports("no device of IOMMU group 7 is on a VFIO driver");
    assert_eq!(fs::read_dir(journals(&bench)).unwrap().count(), 1);
}

#[test]
fn a_card_that_is_gone_is_exit_0_the_second_time_too_and_can_be_forgotten() {
    let bench = host();
    journal(&bench, GONE, 0x1003, &does_not_boot());
    bench.run(&["host", "status"]).exits(0).prints("the card is gone");
    bench.run(&["host", "restore"]).exits(0).prints("gone").prints("journal-aside");
    bench.run(&["host", "restore"]).exits(0).prints("nothing to restore");
    assert_eq!(aside(&bench), [format!("{GONE}.json")]);
    bench.run(&["host", "status"]).exits(0).prints("no card waits").prints("kept aside");
    // Without a terminal and without --yes there is no answer.
    bench.run(&["host", "forget", GONE]).exits(64).one_clear_line().reports("--yes");
    assert_eq!(aside(&bench).len(), 1);
    let ran = bench.run(&["--json", "host", "forget", GONE, "--yes"]).exits(0);
    let dropped = ran.json()["result"]["dropped"].as_array().unwrap().len();
    assert_eq!((dropped, aside(&bench).len()), (1, 0), "{ran}");
    bench.run(&["host", "forget", GONE, "--yes"]).exits(2).prints("no journal");
}

#[test]
fn a_card_that_is_gone_is_restored_by_any_name_that_has_its_address() {
    for name in ["06:00.0", "pciconf-06:00.0", "/proc/bus/pci/06/00.0"] {
        let bench = host();
        journal(&bench, CARD, 0x1003, &does_not_boot());
        journal(&bench, GONE, 0x1003, &untouched());
        bench.run(&["-d", name, "host", "restore"]).exits(0).prints("gone");
        assert_eq!(aside(&bench), [format!("{GONE}.json")], "{name}");
    }
    host().run(&["-d", "eth9", "host", "restore"]).exits(3).one_clear_line();
}

#[test]
fn an_address_that_cards_of_two_domains_have_is_exit_3_with_both() {
    const OTHER_DOMAIN: &str = "0001:05:00.0";
    let bench = host();
    journal(&bench, CARD, 0x1003, &untouched());
    journal(&bench, OTHER_DOMAIN, 0x1003, &untouched());
    for words in
        [&["-d", "05:00.0", "host", "restore"][..], &["host", "forget", "05:00.0", "--yes"]]
    {
        bench.run(words).exits(3).one_clear_line().reports(CARD).reports(OTHER_DOMAIN);
    }
    assert_eq!(fs::read_dir(journals(&bench)).unwrap().count(), 2);
    bench.run(&["host", "forget", OTHER_DOMAIN, "--yes"]).exits(0);
    bench.run(&["host", "forget", "eth9", "--yes"]).exits(3).one_clear_line();
}

#[test]
fn another_card_in_the_slot_is_named_with_the_way_on_and_blocks_nothing() {
    let bench = host();
    journal(&bench, CARD, 0x1007, &untouched());
    let forget = format!("cx3flash host forget {CARD}");
    bench.run(&["host", "status"]).exits(0).prints("another card").prints(&forget);
    let ran = bench.run(&["--json", "host", "status"]).exits(0);
    let pending = ran.json()["result"]["pending"][0].clone();
    assert!(pending["other_card"].as_str().unwrap().contains("15b3:1007"), "{ran}");
    // The driver cannot be bound on this host; the journal of the other card does not matter to that.
    bench
        .run(&["-d", CARD, "query"])
        .exits(5)
        .one_clear_line()
        .reports("journal-aside")
        .reports(&forget);
    assert_eq!(aside(&bench), [format!("{CARD}.json")]);
    journal(&bench, CARD, 0x1007, &untouched());
    let ran = bench.run(&["--json", "doctor"]);
    let checks = ran.json()["result"]["checks"].as_array().unwrap().clone();
    let check = checks.iter().find(|check| check["id"] == "journal").unwrap();
    assert_eq!((&check["ok"], &check["fix"]), (&json!(false), &json!(forget)), "{ran}");
}

#[test]
fn a_card_that_another_process_holds_is_not_forgotten() {
    let bench = host();
    journal(&bench, GONE, 0x1003, &untouched());
    let dir = bench.path("host/run/cx3flash");
    fs::create_dir_all(&dir).unwrap();
    let file = fs::File::create(dir.join(format!("{GONE}.lock"))).unwrap();
    let lock = Flock::lock(file, FlockArg::LockExclusive).unwrap();
    bench.run(&["host", "forget", GONE, "--yes"]).exits(5).one_clear_line().reports("held by");
    bench.run(&["host", "restore"]).exits(5).one_clear_line().prints("NOT restored");
    drop(lock);
    bench.run(&["host", "forget", GONE, "--yes"]).exits(0);
}

#[test]
fn of_two_cards_journals_at_an_address_that_of_the_absent_one_is_forgotten_first() {
    let bench = host();
    let (first, second) = (format!("{CARD}.json"), format!("{CARD}.1.json"));
    journal(&bench, CARD, 0x1007, &untouched());
    fs::rename(journals(&bench).join(&first), journals(&bench).join(&second)).unwrap();
    journal(&bench, CARD, 0x1003, &does_not_boot());
    let ran = bench.run(&["--json", "host", "forget", CARD, "--yes"]).exits(0);
    let result = ran.json()["result"].clone();
    assert!(result["dropped"][0].as_str().unwrap().ends_with(&second), "{ran}");
    assert!(result["kept"][0].as_str().unwrap().ends_with(&first), "{ran}");
    assert!(journals(&bench).join(&first).exists() && !journals(&bench).join(&second).exists());
    // Named alone, the other one is dropped too.
    bench.run(&["host", "forget", CARD, "--yes"]).exits(0).prints("dropped ").prints(&first);
    assert_eq!(fs::read_dir(journals(&bench)).unwrap().count(), 0);
}
