//! Real cards, as far as a host made of files can have them: found, refused, never touched.

use crate::support::cli::Sandbox;
use std::fs;
use std::os::unix::fs::symlink;

const CARD: &str = "0000:05:00.0";
const VF: &str = "0000:05:00.1";

/// A host with a card on mlx4_core, alone in IOMMU group 7, netdev enp5s0.
fn host() -> Sandbox {
    let bench = Sandbox::owner();
    device(&bench, CARD, "0x1003");
    let devices = bench.path("host/sys/bus/pci/devices");
    let driver = bench.path("host/sys/bus/pci/drivers/mlx4_core");
    fs::create_dir_all(&driver).unwrap();
    symlink("../../drivers/mlx4_core", devices.join(CARD).join("driver")).unwrap();
    let group = bench.path("host/sys/kernel/iommu_groups/7/devices");
    fs::create_dir_all(&group).unwrap();
    symlink(devices.join(CARD), group.join(CARD)).unwrap();
    symlink("../../../../kernel/iommu_groups/7", devices.join(CARD).join("iommu_group")).unwrap();
    bench
}

fn device(bench: &Sandbox, bdf: &str, id: &str) {
    let dir = bench.path("host/sys/bus/pci/devices").join(bdf);
    fs::create_dir_all(&dir).unwrap();
    for (file, text) in [
        ("vendor", "0x15b3"),
        ("device", id),
        ("class", "0x020000"),
        ("revision", "0x00"),
        ("subsystem_vendor", "0x15b3"),
        ("subsystem_device", "0x0055"),
        ("driver_override", "(null)"),
        ("reset_method", "flr bus"),
        ("resource", "0x00000000f7a00000 0x00000000f7afffff 0x0000000000140204"),
    ] {
        fs::write(dir.join(file), format!("{text}\n")).unwrap();
    }
}

#[test]
fn a_card_of_the_machine_is_listed() {
    let ran = host().run(&["--json", "list"]).exits(0);
    let cards = &ran.json()["result"]["cards"];
    let card = &cards[0];
    assert_eq!(card["device"], CARD, "{ran}");
    assert_eq!(card["driver"], "mlx4_core");
    assert_eq!(card["iommu_group"], 7);
    assert_eq!(card["bar0"], 1 << 20);
    assert_eq!(card["device_id"], 0x1003);
    // The simulated card of the same directory comes after it.
    assert_eq!(cards[1]["device"], "sim:card.cx3");
}

#[test]
fn a_real_and_a_simulated_card_need_a_choice() {
    host().run(&["query"]).exits(3).one_clear_line().reports(CARD).reports("sim:card.cx3");
}

#[test]
fn without_an_iommu_a_card_is_refused() {
    let bench = host();
    fs::remove_file(bench.path("host/sys/bus/pci/devices").join(CARD).join("iommu_group")).unwrap();
    bench
        .run(&["-d", CARD, "burn", "new.bin", "--yes"])
        .exits(5)
        .one_clear_line()
        .reports("IOMMU")
        .reports("intel_iommu=on");
    assert!(!bench.path("host/var").exists(), "a journal was begun");
}

#[test]
fn a_virtual_function_is_refused() {
    let bench = host();
    device(&bench, VF, "0x1004");
    symlink(format!("../{CARD}"), bench.path("host/sys/bus/pci/devices").join(VF).join("physfn"))
        .unwrap();
    bench
        .run(&["-d", VF, "query"])
        .exits(4)
        .one_clear_line()
        .reports("virtual function")
        .reports(CARD);
}

#[test]
fn a_card_with_virtual_functions_is_refused_unless_allowed() {
    let bench = host();
    device(&bench, VF, "0x1004");
    let link = bench.path("host/sys/bus/pci/devices").join(CARD).join("virtfn0");
    symlink(format!("../{VF}"), link).unwrap();
    let ran = bench
        .run(&["-d", CARD, "burn", "new.bin", "--yes"])
        .exits(4)
        .one_clear_line()
        .reports("vfs")
        .reports("--allow");
    assert!(!bench.path("host/var").exists(), "a journal was begun\n{ran}");
}

#[test]
fn an_unknown_waiver_is_refused() {
    host()
        .run(&["-d", CARD, "--allow", "everything", "query"])
        .exits(64)
        .one_clear_line()
        .reports("everything");
}

#[test]
fn doctor_reports_a_host_without_a_card() {
    let bench = Sandbox::new();
    let ran = bench.run(&["--json", "doctor"]).exits(5);
    let checks = ran.json()["result"]["checks"].as_array().unwrap().clone();
    let find = |id: &str| {
        let found = checks.iter().find(|c| c["id"] == id);
        found.unwrap_or_else(|| panic!("no {id}: {ran}")).clone()
    };
    assert_eq!(find("iommu")["ok"], false);
    assert!(find("iommu")["fix"].as_str().unwrap().contains("IOMMU"));
    assert_eq!(find("journal")["ok"], true);
    assert_eq!(find("card")["ok"], false);
}

#[test]
fn nothing_pending_is_success() {
    let bench = host();
    bench.run(&["host", "status"]).exits(0).prints("no card waits to be returned to its driver\n");
    bench.run(&["host", "restore"]).exits(0).prints("nothing to restore\n");
}

#[test]
fn a_damaged_journal_is_reported() {
    let bench = host();
    let dir = bench.path("host/var/lib/cx3flash/journal");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(format!("{CARD}.json")), b"{\"version\": 7}").unwrap();
    bench.run(&["host", "status"]).exits(0).prints(CARD);
    bench
        .run(&["host", "restore"])
        .exits(8)
        .one_clear_line()
        .reports("cannot be used")
        .reports("mlx4_core/bind");
    assert!(dir.join(format!("{CARD}.json")).exists(), "it was removed");
}

#[test]
fn the_helper_writes_only_where_it_may() {
    let bench = host();
    bench.write("target", b"old");
    let path = bench.path("target");
    let ran = bench.run(&["__host-write", path.to_str().unwrap()]);
    assert_ne!(ran.code, 0, "{ran}");
    assert_eq!(bench.read("target"), b"old");
}

#[test]
fn begin_and_end_of_a_job_that_writes_are_in_the_systems_log_and_those_of_others_are_not() {
    let bench = host();
    fs::create_dir_all(bench.path("host/dev")).unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind(bench.path("host/dev/log")).unwrap();
    socket.set_nonblocking(true).unwrap();
    let lines = || -> Vec<String> {
        let mut bytes = [0; 1024];
        let mut next = || {
            let len = socket.recv(&mut bytes).ok()?;
            Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
        };
        std::iter::from_fn(&mut next).collect()
    };
    fs::remove_file(bench.path("host/sys/bus/pci/devices").join(CARD).join("iommu_group")).unwrap();
    let typed = ["-d", CARD, "burn", "new.bin", "--yes"];
    bench.run(&typed).exits(5);
    let seen: Vec<String> = lines()
        .iter()
        .map(|line| line.split_once("]: ").unwrap_or_else(|| panic!("{line}")).1.to_owned())
        .collect();
    let typed = format!("cx3flash {}", typed.join(" "));
    let meaning = "host not ready, or the card is held by another program";
    assert_eq!(
        seen,
        [format!("begins on {CARD}: {typed}"), format!("ends with exit 5 ({meaning}): {typed}"),]
    );
    bench.run(&["-d", CARD, "query"]).exits(5);
    bench.card(&["burn", "new.bin", "--yes"]).exits(0);
    assert_eq!(lines(), Vec::<String>::new());
}
