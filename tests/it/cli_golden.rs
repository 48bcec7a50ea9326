//! Text of `query`, `verify` and `plan`, letter by letter (tests/golden; CX3FLASH_BLESS=1).

use crate::support::cli::Sandbox;

#[test]
fn text_for_a_non_failsafe_card_is_stable() {
    let bench = Sandbox::owner();
    bench.run(&["query", "new.bin"]).exits(0).golden("query_image");
    bench.run(&["query", "--full", "new.bin"]).exits(0).golden("query_image_full");
    bench.run(&["verify", "new.bin"]).exits(0).golden("verify_image");
    bench.card(&["query", "--full"]).exits(0).golden("query_card_full");
    bench.card(&["verify"]).exits(0).golden("verify_card");
    bench.card(&["plan", "new.bin"]).exits(0).golden("plan_non_failsafe");
    bench.run(&["list"]).exits(0).golden("list");
    bench.card(&["flash", "info"]).exits(0).golden("flash_info");
    bench.card(&["identity", "show"]).exits(0).golden("identity_show");
}

#[test]
fn text_for_a_failsafe_card_is_stable() {
    let bench = Sandbox::pro();
    bench.card(&["query"]).exits(0).golden("query_failsafe");
    bench.card(&["plan", "new.bin"]).exits(0).golden("plan_failsafe");
    bench.card(&["burn", "new.bin", "--yes", "--no-activate", "--backup-dir", "backups"]).exits(0);
    bench.card(&["query"]).exits(0).golden("query_failsafe_pending");
    bench.card(&["verify"]).exits(0).golden("verify_failsafe");
}

#[test]
fn text_of_a_refusal_is_stable() {
    let bench = Sandbox::owner();
    bench.oem_image("DEL_1");
    bench.card(&["plan", "oem.bin"]).exits(4).golden("plan_refused");
    let mut bytes = bench.read("new.bin");
    bytes[0x21] ^= 1;
    bench.write("crc.bin", &bytes);
    // flint prints the wrong CRC and calls the image bootable; we do not.
    bench
        .run(&["verify", "crc.bin"])
        .exits(1)
        .golden("verify_full_crc")
        .prints("Image is bootable.")
        .prints("flint accepts the errors listed above");
}
