//! `list` shows what `mst status -v` shows, and opens nothing for it.

use crate::support::cli::Sandbox;
use std::fs;

/// A card in a host made of files; `group` = it has an IOMMU group.
pub(crate) fn device(bench: &Sandbox, bdf: &str, id: &str, group: bool) {
    let dir = bench.path("host/sys/bus/pci/devices").join(bdf);
    fs::create_dir_all(&dir).unwrap();
    let start = if bdf.starts_with("0000:05") { 0xf7a0 } else { 0xf6a0 };
    for (file, text) in [
        ("vendor", "0x15b3".to_owned()),
        ("device", id.to_owned()),
        ("revision", "0x00".to_owned()),
        ("resource", format!("0x{start:x}0000 0x{start:x}ffff 0x0000000000140204")),
    ] {
        fs::write(dir.join(file), format!("{text}\n")).unwrap();
    }
    if group {
        let group = bench.path("host/sys/kernel/iommu_groups/7/devices");
        fs::create_dir_all(&group).unwrap();
        std::os::unix::fs::symlink("../../../../kernel/iommu_groups/7", dir.join("iommu_group"))
            .unwrap();
    }
}

#[test]
fn a_card_is_listed_with_what_mst_status_shows() {
    let bench = Sandbox::owner();
    device(&bench, "0000:41:00.0", "0x1003", false);
    device(&bench, "0000:05:00.0", "0x1003", true);
    device(&bench, "0000:06:00.0", "0x1007", false);
    // A virtual function takes no number of MST's.
    device(&bench, "0000:05:00.1", "0x1004", false);
    let ran = bench.run(&["--json", "list"]).exits(0);
    let json = ran.json();
    let cards = json["result"]["cards"].as_array().unwrap().clone();
    let names: Vec<_> =
        cards.iter().map(|c| (c["device"].as_str().unwrap(), c["mst_name"].as_str())).collect();
    assert_eq!(
        names,
        [
            ("0000:05:00.0", Some("mt4099_pci_cr0")),
            ("0000:06:00.0", Some("mt4103_pci_cr0")),
            ("0000:41:00.0", Some("mt4099_pci_cr1")),
            ("sim:card.cx3", None),
        ]
    );
    assert_eq!(cards[0]["bar0_address"], 0xf7a0_0000_u64, "{ran}");
    assert_eq!(cards[0]["bar0"], 0x1_0000);
    assert_eq!(cards[0]["pci_revision"], 0);
    assert_eq!(cards[0]["access"], serde_json::json!(["vfio mmap", "vfio pread", "vfio config"]));
    // Without an IOMMU there is no way.
    assert_eq!(cards[2]["access"], serde_json::json!([]));
    // What would take a borrowing to know is not known.
    assert!(cards[0]["flash_fw_version"].is_null());
    assert_eq!(cards[3]["flash_fw_version"], "2.35.5100");
    bench
        .run(&["list", "--full"])
        .exits(0)
        .prints("IOMMU group 7, BAR0 0xf7a00000, 64 KiB, mt4099_pci_cr0, rev 00");
}

#[test]
fn a_flashed_version_that_does_not_run_yet_is_shown() {
    let bench = Sandbox::owner();
    bench.card(&["burn", "new.bin", "--yes", "--no-activate"]).exits(0);
    let list = bench.run(&["list"]).exits(0);
    list.prints("2.35.5100  ready").prints("flashed 2.42.5000: it starts at the next reset");
}

#[test]
fn names_of_mst_and_of_proc_select_a_card() {
    let bench = Sandbox::owner();
    device(&bench, "0000:05:00.0", "0x1003", true);
    device(&bench, "0000:41:00.0", "0x1003", false);
    for (name, bdf) in [
        ("mt4099_pci_cr1", "0000:41:00.0"),
        ("/dev/mst/mt4099_pciconf0", "0000:05:00.0"),
        ("/proc/bus/pci/05/00.0", "0000:05:00.0"),
        ("/proc/bus/pci/0000:41/00.0", "0000:41:00.0"),
        ("/dev/mst/mt4099_pciconf0.1", "0000:05:00.0"),
        ("pciconf-41:00.0", "0000:41:00.0"),
        ("pciconf-0000:05:00.0", "0000:05:00.0"),
        ("/dev/mst/0000:05:00.0", "0000:05:00.0"),
        ("/sys/bus/pci/devices/0000:41:00.0", "0000:41:00.0"),
        ("/sys/bus/pci/devices/0000:05:00.0/resource0", "0000:05:00.0"),
        ("/sys/devices/pci0000:40/0000:40:03.0/0000:41:00.0/config", "0000:41:00.0"),
    ] {
        let json = bench.run(&["--json", "-d", name, "list"]).exits(0).json();
        let cards = json["result"]["cards"].as_array().unwrap();
        assert_eq!(cards.len(), 1, "{name}: {json}");
        assert_eq!(cards[0]["bdf"], bdf, "{name}");
        assert_eq!(cards[0]["device"], name);
    }
    // Behind the real cards come the simulated ones.
    let json = bench.run(&["--json", "-d", "mt4099_pci_cr2", "list"]).exits(0).json();
    assert_eq!(json["result"]["cards"][0]["device"], "sim:card.cx3");
    bench.run(&["-d", "mt4099_pci_cr2", "query"]).exits(0);
    bench.run(&["-d", "mt4099_pci_cr3", "list"]).exits(3).one_clear_line();
}

#[test]
fn a_virtual_function_is_selected_by_no_name() {
    let bench = Sandbox::owner();
    device(&bench, "0000:05:00.0", "0x1003", true);
    device(&bench, "0000:05:00.1", "0x1004", true);
    for name in ["05:00.1", "mt4100_pciconf0", "/dev/mst/mt4100_pci_cr0", "pciconf-05:00.1"] {
        let ran = bench.run(&["-d", name, "list"]).exits(4).one_clear_line();
        ran.reports("0000:05:00.1 is a virtual function");
    }
}

#[test]
fn cards_of_other_families_are_named_with_what_flashes_them() {
    let bench = Sandbox::new();
    for (bdf, id) in [
        ("0000:06:00.0", "0x6764"),
        ("0000:07:00.0", "0x6274"),
        ("0000:08:00.0", "0x1015"),
        ("0000:05:00.1", "0x1004"),
    ] {
        device(&bench, bdf, id, true);
    }
    let json = bench.run(&["--json", "list"]).exits(0).json();
    let others = json["result"]["others"].as_array().unwrap().clone();
    let names: Vec<_> = others.iter().map(|other| other["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["ConnectX-3 virtual function", "ConnectX-2", "InfiniHost III Lx", "ConnectX-4 Lx"]
    );
    bench.run(&["list"]).exits(0).prints(
        "0000:06:00.0  ConnectX-2 [15b3:6764]  driver none  not for cx3flash: use mstflint 3.8",
    );
    for (card, name) in [("06:00.0", "ConnectX-2"), ("pciconf-08:00.0", "ConnectX-4 Lx")] {
        let ran = bench.run(&["-d", card, "query"]).exits(3).one_clear_line();
        ran.reports(&format!("is a {name}")).reports("use mstflint");
    }
    bench.run(&["query"]).exits(3).reports("0000:07:00.0 (InfiniHost III Lx)");
}

#[test]
fn only_a_card_of_which_doctor_has_nothing_to_report_is_ready() {
    let bench = Sandbox::pro();
    let fresh = bench.read("card.cx3");
    let entry = || {
        let json = bench.run(&["--json", "-d", "sim:card.cx3", "list"]).exits(0).json();
        json["result"]["cards"][0].clone()
    };
    assert_eq!(entry()["ready"], true);
    let fault = |json: &str| {
        bench.write("card.cx3", &fresh);
        bench.run(&["sim", "fault", "card.cx3", json]).exits(0);
    };
    // No valid image, recovery mode.
    bench.run(&["sim", "create", "blank.cx3", "--board", "mcx312b", "--blank"]).exits(0);
    bench.write("card.cx3", &bench.read("blank.cx3"));
    let card = entry();
    assert_eq!((&card["ready"], &card["recovery"]), (&false.into(), &true.into()), "{card}");
    assert!(card["problem"].as_str().unwrap().contains("recovery mode"), "{card}");
    // A semaphore that stays taken.
    fault(r#"{"fault":"semaphore_held","number":63,"reads":null,"owner_alive":true}"#);
    let card = entry();
    assert_eq!(card["ready"], false, "{card}");
    assert!(card["problem"].as_str().unwrap().contains("semaphore"), "{card}");
    bench.card(&["doctor"]).exits(5);
    // Write protection.
    fault(r#"{"fault":"protected","status":28}"#);
    let card = entry();
    assert_eq!(card["ready"], bench.card(&["doctor"]).code == 0, "{card}");
    // A host without IOMMU and vfio-pci.
    device(&bench, "0000:41:00.0", "0x1003", false);
    device(&bench, "0000:05:00.0", "0x1003", true);
    device(&bench, "0000:06:00.0", "0x01f5", true);
    let json = bench.run(&["--json", "list"]).exits(0).json();
    for card in json["result"]["cards"].as_array().unwrap() {
        let name = card["device"].as_str().unwrap();
        if !name.starts_with("sim:") {
            let doctor = bench.run(&["-d", name, "doctor"]);
            assert_eq!(card["ready"], doctor.code == 0, "{card}\n{doctor}");
            assert_eq!(card["problem"].is_string(), card["ready"] == false, "{card}");
        }
    }
}

#[test]
fn card_files_have_addresses_of_their_own() {
    let bench = Sandbox::new();
    // The address of a real card is taken as well.
    device(&bench, "0000:02:00.0", "0x1003", true);
    for file in ["a.cx3", "b.cx3", "sub/c.cx3", "./d.cx3"] {
        fs::create_dir_all(bench.path("sub")).unwrap();
        bench.run(&["sim", "create", file]).exits(0);
    }
    let address = |file| {
        let json = bench.run(&["--json", "sim", "info", file]).exits(0).json();
        json["result"]["spec"]["bdf"].as_str().unwrap().to_owned()
    };
    let addresses = ["a.cx3", "b.cx3", "sub/c.cx3", "d.cx3"].map(address);
    assert_eq!(addresses, ["0000:01:00.0", "0000:03:00.0", "0000:01:00.0", "0000:04:00.0"]);
    bench.run(&["sim", "create", "e.cx3", "--bdf", "0000:01:00.0"]).exits(0);
    assert_eq!(address("e.cx3"), "0000:01:00.0", "what is named stays");
}

#[test]
fn a_card_file_is_named_by_its_path_alone() {
    let bench = Sandbox::owner();
    let json = bench.run(&["--json", "-d", "card.cx3", "query"]).exits(0).json();
    assert_eq!(json["device"], "sim:card.cx3");
    fs::create_dir(bench.path("sub")).unwrap();
    bench.write("sub/a b.cx3", &bench.read("card.cx3"));
    bench.run(&["-d", "sub/a b.cx3", "query"]).exits(0);
    bench.run(&["-d", "./card.cx3", "flint", "query"]).exits(0);
    bench.run(&["flint", "-d", "card.cx3", "query"]).exits(0);
    bench.run(&["-d", "none.cx3", "query"]).exits(3).one_clear_line().reports("none.cx3");
}

#[test]
fn the_table_has_a_header_and_fits_80_columns() {
    let bench = Sandbox::owner();
    device(&bench, "0000:05:00.0", "0x1003", true);
    bench.run(&["sim", "create", "locked.cx3", "--secure-host"]).exits(0);
    let ran = bench.run(&["list"]).exits(0);
    let wide = ran.stdout.lines().find(|line| line.chars().count() > 80);
    assert!(wide.is_none(), "{wide:?}\n{ran}");
    assert!(ran.stdout.starts_with("CARD "), "{ran}");
    ran.prints("sim:card.cx3    MCX311A-XCAT  MT_1170110023  2.35.5100  ready")
        .prints("not ready: ");
}

#[test]
fn part_and_serial_number_are_those_of_the_vital_product_data() {
    let bench = Sandbox::owner();
    device(&bench, "0000:05:00.0", "0x1003", true);
    let fields = b"PN\x0cMCX311A-XCATSN\x06MT1234";
    let mut vpd = vec![0x90, fields.len() as u8, 0];
    vpd.extend_from_slice(fields);
    vpd.push(0x78);
    fs::write(bench.path("host/sys/bus/pci/devices/0000:05:00.0/vpd"), vpd).unwrap();
    let json = bench.run(&["--json", "list"]).exits(0).json();
    let cards = &json["result"]["cards"];
    assert_eq!(
        (&cards[0]["part_number"], &cards[0]["serial"]),
        (&"MCX311A-XCAT".into(), &"MT1234".into())
    );
    assert!(cards[0]["psid"].is_null() && cards[0]["psid_from"].is_null());
    assert_eq!(
        (&cards[1]["psid"], &cards[1]["psid_from"]),
        (&"MT_1170110023".into(), &"flash".into())
    );
    bench.run(&["list"]).exits(0).prints("MCX311A-XCAT  -").prints("serial MT1234");
}

/// `query` keeps the PSID under the serial number of the card; `list` takes no card to know it.
#[test]
fn the_psid_of_a_card_that_was_read_before_is_listed_without_taking_it() {
    use sha2::{Digest, Sha256};
    let bench = Sandbox::pro();
    bench.card(&["query"]).exits(0);
    let dir = bench.path("state/cx3flash/cards");
    let kept = fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(kept).unwrap()).unwrap();
    // The record of a real card with this serial number.
    let serial = "e4-1d-2d-03-00-ab-cd-ef";
    record["key"]["serial"] = serial.into();
    let digest = Sha256::digest(serial.as_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    fs::write(dir.join(format!("{name}.json")), record.to_string()).unwrap();
    device(&bench, "0000:05:00.0", "0x1007", true);
    let mut config = vec![0; 4096];
    config[..4].copy_from_slice(&[0xb3, 0x15, 0x07, 0x10]);
    config[0x100..0x10c]
        .copy_from_slice(&[3, 0, 1, 0, 0xef, 0xcd, 0xab, 0, 0x03, 0x2d, 0x1d, 0xe4]);
    fs::write(bench.path("host/sys/bus/pci/devices/0000:05:00.0/config"), config).unwrap();
    let json = bench.run(&["--json", "list"]).exits(0).json();
    let card = &json["result"]["cards"][0];
    assert_eq!(
        (&card["psid"], &card["psid_from"]),
        (&"MT_1200111023".into(), &"record".into()),
        "{json:#}"
    );
    bench.run(&["list"]).exits(0).prints("PSID as last read");
}
