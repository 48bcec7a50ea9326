//! This program under the names of the vendor's other tools.

use crate::support::cli::{CliRun, Sandbox};
use crate::support::mst;
use std::process::Command;

/// The program under another name, in the directory of `bench`.
fn under(bench: &Sandbox, name: &str, args: &[&str]) -> CliRun {
    let link = bench.path(name);
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cx3flash"), &link).unwrap();
    }
    let mut command = Command::new(link);
    bench.prepare(&mut command);
    command.args(args);
    CliRun::of(command, format!("{name} {}", args.join(" ")))
}

const CARD: [&str; 2] = ["-d", "sim:card.cx3"];

fn on_card<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&CARD, args].concat()
}

#[test]
fn mst_lists_the_cards_and_loads_nothing() {
    let bench = Sandbox::owner();
    for word in ["start", "stop", "restart"] {
        under(&bench, "mst", &[word]).exits(0).prints("No module is loaded or unloaded");
    }
    under(&bench, "mst", &["start", "--with_unknown"]).exits(0);
    under(&bench, "mst", &["status"]).exits(0).prints("MST devices:\n------------\nsim:card.cx3 ");
    under(&bench, "mst", &["status", "-v"]).exits(0).prints("DEVICE_TYPE").prints("sim:card.cx3");
    under(&bench, "mst", &["version"]).exits(0).prints("mst, cx3flash ");
    under(&bench, "mst", &["cable", "add"]).exits(1).prints("see: cx3flash list");
    let empty = Sandbox::new();
    under(&empty, "mst", &["status"]).exits(0).prints("No MST devices were found.");
}

#[test]
fn mlxconfig_sets_and_resets_as_its_users_know_it() {
    let bench = Sandbox::owner();
    for name in ["mlxconfig", "mstconfig"] {
        under(&bench, name, &on_card(&["q", "SRIOV_EN"]))
            .exits(0)
            .prints("Device type:    ConnectX3       \n")
            .prints("SRIOV_EN                            True(1)");
    }
    let set = on_card(&["-y", "set", "SRIOV_EN=0", "NUM_OF_VFS=16"]);
    under(&bench, "mlxconfig", &set)
        .exits(0)
        .prints("SRIOV_EN                            True(1)         False(0)        \n")
        .prints("\n Apply new Configuration? (y/n) [n] : y\nApplying... Done!\n")
        .prints("-I- Please reboot machine to load new configurations.\n");
    under(&bench, "mlxconfig", &on_card(&["-e", "q"])).exits(0).prints("*        SRIOV_EN");
    bench.card(&["config", "query"]).exits(0).prints("False(0)  (stored)");
    assert_eq!(std::fs::read_dir(bench.path("state/cx3flash/backups")).unwrap().count(), 1);
    under(&bench, "mlxconfig", &on_card(&["-y", "reset"])).exits(0).prints("Applying... Done!\n");
    bench
        .card(&["config", "query"])
        .exits(0)
        .prints("SRIOV_EN                True(1)             True(1)\n");
}

#[test]
fn mlxconfig_changes_nothing_without_a_yes_and_for_a_wrong_name() {
    let bench = Sandbox::owner();
    let before = bench.flash("card.cx3");
    for (args, exit, text) in [
        (vec!["set", "SRIOV_EN=0"], 2, "-E- Aborted by user.\n"),
        (vec!["reset"], 2, "-E- Aborted by user.\n"),
        (vec!["-y", "set", "NUM_OF_VF=1"], 3, "-E- Unknown Parameter: NUM_OF_VF\n"),
        (vec!["-y", "set", "SRIOV_EN=7"], 3, "-E- Failed to parse SRIOV_EN=7"),
        (vec!["-y", "set", "SRIOV_EN"], 3, "-E- Invalid Configuration argument SRIOV_EN\n"),
        (vec!["-y", "set", "SRIOV_EN=0", "SRIOV_EN=1"], 3, "-E- Duplicate parameter, SRIOV_EN.\n"),
        (vec!["-y", "set", "NUM_OF_VFS=64"], 3, "at most 63"),
        (vec!["-y", "set"], 3, "-E- missing configuration arguments."),
        (
            vec!["-y", "reset", "x"],
            3,
            "-E- reset command expects no argument but 1 argument received\n",
        ),
        (vec!["show_confs"], 3, "see: cx3flash config query"),
        (vec!["bogus"], 3, "-E- invalid argument: bogus\n"),
    ] {
        under(&bench, "mlxconfig", &on_card(&args)).exits(exit).prints(text);
    }
    under(&bench, "mlxconfig", &["-y", "set", "SRIOV_EN=0"]).exits(3).prints("expects device");
    assert!(before == bench.flash("card.cx3"));
}

#[test]
fn mlxconfig_prints_what_mstconfig_prints() {
    let Some(theirs) = mst() else { return };
    let bench = Sandbox::pro();
    for args in [
        vec!["query"],
        vec!["-e", "q"],
        vec!["q", "SRIOV_EN", "LINK_TYPE_P1"],
        vec!["-y", "set", "SRIOV_EN=0", "NUM_OF_VFS=16"],
        vec!["-e", "q"],
    ] {
        let mut all = vec!["-d", "CARD"];
        all.extend(&args);
        let card = bench.path("card.cx3");
        let before = bench.read("card.cx3");
        let their = theirs.run(&card, &bench.path("."), "mstconfig", &all, "");
        // Both start from the same card.
        bench.write("card.cx3", &before);
        let our = under(&bench, "mstconfig", &on_card(&args));
        // The names of the card differ in length, and so do the blanks behind them.
        let seen = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.starts_with("Device:"));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(i32::from(their.code != 0), i32::from(our.code != 0), "{args:?}\n{our}");
        assert_eq!(seen(&our.stdout), seen(&their.stdout), "{args:?}");
    }
}

#[test]
fn the_manager_queries_and_names_our_command_for_the_rest() {
    let bench = Sandbox::owner();
    let before = bench.flash("card.cx3");
    for name in ["mlxfwmanager", "mstfwmanager"] {
        for args in [vec![], vec!["--query"], on_card(&["--query"])] {
            under(&bench, name, &args)
                .exits(0)
                .prints("Querying Mellanox devices firmware ...\n\nDevice #1:\n----------\n\n")
                .prints("  Device Type:      ConnectX3\n")
                .prints("  Part Number:      MCX311A-XCA_Ax\n")
                .prints("  PSID:             MT_1170110023\n")
                .prints(
                    "  Versions:         Current        Available\n     FW             2.35.5100 ",
                )
                .prints("  Status:           No matching image found\n");
        }
    }
    for (args, text) in [
        (vec!["--online", "-u"], "there is no server to ask"),
        (vec!["-u", "-i", "new.bin"], "cx3flash -d CARD burn IMAGE"),
        (vec!["--query-format", "XML"], "cx3flash --json"),
        (vec!["--clear-semaphore"], "unlock"),
    ] {
        under(&bench, "mlxfwmanager", &args).exits(3).prints(text);
    }
    under(&bench, "mlxfwmanager", &["-d", "sim:none.cx3"]).exits(1).prints("Failed to open device");
    under(&Sandbox::new(), "mlxfwmanager", &[])
        .exits(20)
        .prints("-E- No devices found or specified");
    assert!(before == bench.flash("card.cx3"));
}
