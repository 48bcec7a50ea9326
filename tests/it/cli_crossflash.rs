//! An image of another board: what the user sees before spelling out the change, and what scripts do.

use crate::support::cli::Sandbox;

const HINT: &str = "hint: if this board is really to become a DEL_9990000001: cx3flash -d sim:card.cx3 burn oem.bin --change-psid MT_1170110023:DEL_9990000001";

fn oem() -> Sandbox {
    let bench = Sandbox::owner();
    let like = ["--like", "mcx311a-2.42.5000", "--psid", "DEL_9990000001"];
    let mut args = vec!["sim", "image", "oem.bin"];
    args.extend(like);
    bench.run(&args).exits(0);
    bench
}

#[test]
fn boards_are_compared_before_the_change_is_confirmed() {
    let bench = oem();
    let shown = "PSID                 MT_1170110023                -> DEL_9990000001\n";
    for args in [vec!["plan", "oem.bin"], vec!["burn", "oem.bin", "--yes"]] {
        let ran = bench.refuses(&args, 4);
        assert!(ran.stderr.contains(HINT), "{ran}");
        let ran = ran.prints("Another board").prints(shown);
        let ran = ran.prints("PXE 3.4.648                  -> PXE 3.4.752");
        let ran = ran.prints("Only the change of PSID is refused; --change-psid allows it.");
        // Bounded, and the rest counted: 97 keys differ.
        let keys = |l: &&str| l.starts_with("    ") && l.contains(" = ");
        let listed = ran.stdout.lines().filter(keys).count();
        assert_eq!(listed, 20, "{ran}");
        ran.prints("    and 77 more: plan --full, or --json");
    }
}

#[test]
fn the_command_of_the_hint_crossflashes() {
    let bench = oem();
    let typed = HINT.split("cx3flash ").nth(1).unwrap();
    let ran = bench.shell(&format!("cx3flash {typed} --yes --backup-dir b")).exits(0);
    ran.prints("\nPSID      MT_1170110023 -> DEL_9990000001\n");
    bench.card(&["query"]).exits(0).prints("DEL_9990000001");
    // And it is no other board any more.
    let again = bench.card(&["plan", "oem.bin"]).exits(2);
    assert!(!again.stdout.contains("Another board"), "{again}");
}

#[test]
fn no_hint_is_given_where_crossflashing_cannot_work() {
    let bench = Sandbox::owner();
    bench.run(&["sim", "image", "pro.bin", "--like", "mcx312b-2.42.5000"]).exits(0);
    let ran = bench
        .refuses(&["plan", "pro.bin"], 4)
        .prints("ports                1 XFI")
        .prints("-> 2 XFI XFI")
        .prints("    silicon: the card is a ConnectX-3 A1");
    assert!(!ran.stderr.contains("--change-psid"), "{ran}");
}

#[test]
fn json_lists_every_changed_key() {
    let bench = oem();
    let ran = bench.run(&["--json", "-d", "sim:card.cx3", "plan", "oem.bin"]);
    let document = ran.exits(4).json();
    let found = &document["result"]["plan"]["crossflash"];
    assert_eq!(found["psid"]["card"], "MT_1170110023");
    assert_eq!(found["psid"]["image"], "DEL_9990000001");
    assert_eq!(found["possible"], true);
    assert_eq!(found["ini_diff"]["changes"].as_array().unwrap().len(), 97);
    assert_eq!(found["ini_diff"]["changed"], 96);
    assert_eq!(found["ini_diff"]["added"], 1);
    let documented = [
        "psid",
        "part",
        "device_id",
        "ports",
        "rom",
        "vsd",
        "chunk_size",
        "config_sectors",
        "config_pad",
        "sector_size",
        "uar_bar_mib",
        "flash_size",
        "chip_size",
        "ini_diff",
        "notes",
        "obstacles",
        "possible",
    ];
    let fields: Vec<&String> = found.as_object().unwrap().keys().collect();
    assert_eq!(fields, documented);
    // The same board: no comparison.
    let ran = bench.run(&["--json", "-d", "sim:card.cx3", "plan", "new.bin"]);
    let document = ran.exits(0).json();
    assert!(document["result"]["plan"]["crossflash"].is_null());
}
