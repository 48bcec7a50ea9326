//! `identity set` and `rom write` as a user meets them.

use crate::support::cli::{CliRun, Sandbox};

const SET: [&str; 8] =
    ["identity", "set", "--mac", "0002c9000010", "--guid", "0002c90300000010", "--vsd", "rack 9"];

fn set(bench: &Sandbox, code: i32) -> CliRun {
    let mut args = SET.to_vec();
    args.extend(["--yes", "--backup-dir", "b"]);
    bench.card(&args).exits(code)
}

#[test]
fn before_and_after_are_shown_side_by_side() {
    let bench = Sandbox::owner();
    let ran = set(&bench, 0);
    for line in [
        "\nIdentity             before               after\n",
        "* GUID node          ffffffffffffffff     0002c90300000010\n",
        "* GUID port 1        ffffffffffffffff     0002c90300000011\n",
        "* GUID port 2        ffffffffffffffff     0002c90300000012\n",
        "* GUID system        ffffffffffffffff     0002c90300000013\n",
        "* MAC port 1         e41d2ddd7850         0002c9000010\n",
        "* MAC port 2         e41d2ddd7851         0002c9000011\n",
        "* VSD                (empty)              rack 9\n",
    ] {
        assert!(ran.stdout.contains(line), "{line:?}\n{ran}");
    }
    // Once more: the card has it.
    set(&bench, 2).prints("nothing to do: the card already holds exactly this\n");
    // What stays is in the table, without a mark.
    bench
        .card(&["identity", "set", "--vsd", "x", "--yes", "--backup-dir", "b"])
        .exits(0)
        .prints("  MAC port 2         0002c9000011         0002c9000011\n")
        .prints("* VSD                rack 9               x\n");
}

#[test]
fn setting_the_same_identity_twice_writes_once() {
    let bench = Sandbox::pro();
    set(&bench, 0);
    let flash = bench.flash("card.cx3");
    set(&bench, 2);
    assert!(flash == bench.flash("card.cx3"));
}

#[test]
fn a_rom_for_another_device_comes_with_a_hint() {
    let bench = Sandbox::owner();
    bench.run(&["sim", "create", "pro.cx3", "--board", "mcx312b"]).exits(0);
    bench.run(&["-d", "sim:pro.cx3", "rom", "read", "pro.rom"]).exits(0);
    bench
        .refuses(&["rom", "write", "pro.rom", "--yes"], 4)
        .reports("the firmware is for device 4099 (0x1003), the ROM for device 4103 (0x1007)")
        .reports("hint: use a ROM for the card's device");
}
