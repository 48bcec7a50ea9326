//! The same scripts with Debian's mstflint 4.21 and with `cx3flash flint`, each on its own copy of
//! the same simulated card: text, exit code and flash.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic in a test is the report"
)]

#[path = "flint_card/engine.rs"]
mod engine;
mod support;
#[path = "flint_card/world.rs"]
mod world;

use engine::{Script, compare, script};
use support::mst::mst;

fn looks() -> Vec<Script> {
    vec![
        script(
            "fs",
            &[
                "-d CARD q",
                "-d CARD query full",
                "-d CARD -qq q",
                "-d CARD verify",
            ],
        ),
        script("owner", &["-d CARD q", "-d CARD query full", "-d CARD v"]),
        script("odd", &["-d CARD q", "-d CARD verify", "-d CARD checksum"]),
        script("both", &["-d CARD q", "-d CARD verify"]),
        script("four", &["-d CARD q full"]),
        script("blank", &["-d CARD q", "-d CARD verify"]),
        script("no_rom", &["-d CARD q", "-d CARD -qq q"]),
        script("no_psid", &["-d CARD q full"]),
        script(
            "bad_rom",
            &[
                "-d CARD q",
                "-d CARD -qq q",
                "-d CARD verify",
                "-d CARD checksum",
            ],
        ),
        script("bad_guid", &["-d CARD q", "-d CARD verify"]),
        script(
            "bad_boot2",
            &["-d CARD q", "-d CARD verify", "-d CARD checksum"],
        ),
        script(
            "three",
            &["-d CARD q", "-d CARD verify", "-d CARD checksum"],
        ),
        script(
            "empty",
            &[
                "-d CARD q",
                "-d CARD -qq q",
                "-d CARD verify",
                "-d CARD checksum",
            ],
        ),
        script(
            "secure",
            &[
                "-d CARD q",
                "-d CARD hw query",
                "-d CARD -i fs_new.bin burn",
            ],
        ),
        script("held", &["-d CARD q"]),
        script(
            "fs",
            &[
                "-d CARD checksum",
                "-d CARD rb 0 36",
                "-d CARD rb 16 8 out.bin",
                "-d CARD rw 0x10",
            ],
        ),
        script(
            "fs",
            &[
                "-d CARD rb 0xffff0 32",
                "-d CARD rb 1 4",
                "-d CARD rw 0x100000",
                "-d CARD rw 2",
            ],
        ),
        script(
            "fs",
            &[
                "-d CARD -i fs_new.bin bc",
                "-d CARD -i fs_old.bin bc",
                "-d CARD swreset",
            ],
        ),
        script("fs", &["-d CARD hw query"]).says(
            "hw-query-lines",
            "CmdSet                  0x80\n  Flash0.WriteProtected   Disabled\n",
        ),
        script("protected", &["-d CARD hw query"])
            .says("hw-query-lines", "Flash0.WriteProtected   Top,64-Sectors\n"),
    ]
}

fn copies() -> Vec<Script> {
    vec![
        script(
            "fs",
            &[
                "-d CARD ri out.bin",
                "-d CARD dc",
                "-d CARD dc out.ini",
                "-d CARD rrom out.rom",
            ],
        ),
        script(
            "owner",
            &[
                "-d CARD ri out.bin",
                "-d CARD dc out.ini",
                "-d CARD rrom out.rom",
            ],
        ),
        script("odd", &["-d CARD ri out.bin", "-d CARD dh"]),
        script("no_rom", &["-d CARD rrom out.rom"]),
        script("fs", &["-d CARD rrom pxe.rom"]),
        script(
            "fs",
            &[
                "-d CARD rrom pxe.rom",
                "-d CARD ri pro.rom",
                "-d CARD dc zeros.rom",
            ],
        )
        .typed("y\n"),
        script(
            "bad_rom",
            &[
                "-d CARD ri out.bin",
                "-d CARD rrom out.rom",
                "-d CARD dc out.ini",
            ],
        ),
        script("bad_boot2", &["-d CARD ri out.bin", "-d CARD dc out.ini"]),
        script("empty", &["-d CARD dc", "-d CARD rrom out.rom"]),
        script("three", &["-d CARD dc", "-d CARD rrom out.rom"]),
        script(
            "fs",
            &["-d CARD ri no_such/out.bin", "-d CARD dc no_such/out.ini"],
        ),
    ]
}

fn burns() -> Vec<Script> {
    vec![
        script(
            "fs",
            &["-d CARD -i fs_new.bin burn", "-d CARD q", "-d CARD verify"],
        ),
        script("odd", &["-d CARD -i fs_new.bin b", "-d CARD q full"]),
        script("both", &["-d CARD -i fs_new.bin -y burn"]),
        script(
            "owner",
            &["-d CARD -i new.bin burn", "-d CARD q", "-d CARD verify"],
        )
        .typed("y\n"),
        script("owner", &["-d CARD -y -s -i new.bin burn"]),
        script("owner", &["-d CARD -i new.bin burn"]),
        script("owner", &["-d CARD -no -i new.bin burn"]),
        script("fs", &["-d CARD -s -i fs_new.bin burn"]),
        script("fs", &["-d CARD -nofs -i fs_new.bin burn", "-d CARD q"]).typed("yes\n"),
        script("fs", &["-d CARD -nofs -i fs_new.bin burn"]).typed("no\n"),
        script("fs", &["-d CARD -i no_rom.bin burn", "-d CARD q"]),
        script(
            "fs",
            &["-d CARD -i no_rom.bin -use_image_rom burn", "-d CARD q"],
        ),
        script(
            "fs",
            &["-d CARD -i fs_new.bin -use_dev_rom burn", "-d CARD q"],
        ),
        script("no_product_no_rom", &["-d CARD -i no_rom.bin burn"]),
        script("four", &["-d CARD -i fs_new.bin burn", "-d CARD q"]),
        script("bad_boot2", &["-d CARD -i fs_new.bin burn", "-d CARD q"]),
    ]
}

/// Every question and refusal of fs2-image §10.2 that both programs have.
fn refusals() -> Vec<Script> {
    vec![
        // 4
        script("fs", &["-d CARD -i damaged.bin -y burn"]),
        script("fs", &["-d CARD -i no_magic.bin -y burn"]),
        // 5
        script("fs", &["-d CARD -i rom_of_pro.bin burn"]),
        script("fs", &["-d CARD -i rom_of_pro.bin -no burn"]),
        // 6
        script(
            "empty",
            &[
                "-d CARD -i new.bin -y burn",
                "-d CARD -i fs_new.bin -nofs -y burn",
            ],
        ),
        script("three", &["-d CARD -i fs_new.bin -y burn"]),
        script("bad_rom", &["-d CARD -i fs_new.bin -y burn"]),
        // 7
        script("fs", &["-d CARD -i fs_new.bin -mac e41d2ddd7850 burn"]).typed("n\n"),
        script("fs", &["-d CARD -i fs_new.bin -use_image_guids burn"]),
        script(
            "empty",
            &["-d CARD -nofs -i fs_new.bin -guid 0002c90300112230 burn"],
        ),
        // 8
        script("fs", &["-d CARD -i new.bin -y burn"]),
        script("nf", &["-d CARD -i fs_new.bin -y burn"]),
        script(
            "empty",
            &["-d CARD -y -i fs_new.bin -guid 0002c90300112230 -mac e41d2ddd7850 burn"],
        ),
        // 9
        script("no_psid", &["-d CARD -i fs_new.bin -y burn"]),
        script(
            "empty",
            &["-d CARD -nofs -i fs_new.bin -use_image_guids burn"],
        )
        .typed("y\nn\n"),
        // 10
        script("fs", &["-d CARD -i fs_old.bin burn"]),
        script("fs", &["-d CARD -i fs_old.bin -no burn"]),
        script("fs_new", &["-d CARD -i fs_old.bin burn"]).typed("j\n"),
        // 11
        script("fs", &["-d CARD -i other_psid.bin -y burn"]),
        script("fs", &["-d CARD -i other_psid.bin -allow_psid_change burn"]),
        // 12
        script("fs", &["-d CARD -i pad.bin -y burn"]),
        script("fs", &["-d CARD -i pad.bin -allow_psid_change -no burn"]),
        // 13
        script("nf", &["-d CARD -i new.bin burn"]).typed("n\n"),
        // 15
        script("fs", &["-d CARD -i pro.bin -y burn"]),
        script("fs", &["-d CARD -i pro_untagged.bin -y burn"]),
        script("a0", &["-d CARD -i fs_new.bin -y burn"]),
        script("fs", &["-d CARD -i pro.bin -allow_psid_change -y burn"]),
        // 16
        script("fs", &["-d CARD -i no_psid.bin -y burn"]),
        // 18
        script("blank", &["-d CARD -i fs_new.bin -y burn"]),
        script("fs", &["-d CARD -i fs_new.bin -y -mac 0102c9000001 burn"]),
        script(
            "fs",
            &["-d CARD -i fs_new.bin -y -mac 1122334455667788 burn"],
        ),
        // 10.3
        script("fs", &["-d CARD -i chunk128.bin -y burn"]),
        script("fs", &["-d CARD -i big.bin -y burn"]),
        script("nf", &["-d CARD -i nf_big.bin -y burn"]),
    ]
}

/// What goes on after the questions.
fn answered() -> Vec<Script> {
    vec![
        script(
            "fs",
            &["-d CARD -i fs_old.bin -mac e41d2ddd7850 burn", "-d CARD q"],
        )
        .typed("y\ny\n"),
        script("fs_new", &["-d CARD -y -i fs_old.bin burn", "-d CARD q"]),
        script(
            "fs",
            &[
                "-d CARD -i other_psid.bin -allow_psid_change burn",
                "-d CARD q",
            ],
        )
        .typed("y\n"),
        script(
            "fs",
            &[
                "-d CARD -i pad.bin -allow_psid_change -y burn",
                "-d CARD q full",
            ],
        ),
        script(
            "fs",
            &[
                "-d CARD -i fs_new.bin -guid 0002c90300112230 -y burn",
                "-d CARD q",
            ],
        ),
        script(
            "fs",
            &[
                "-d CARD -i fs_new.bin -y -guids 1,2,3,4 -macs e41d2ddd7850,e41d2ddd7860 burn",
                "-d CARD q",
            ],
        ),
        script(
            "fs",
            &[
                "-d CARD -i fs_new.bin -use_image_guids -use_image_ps -y burn",
                "-d CARD q",
            ],
        ),
        script(
            "fs",
            &["-d CARD -i fs_new.bin -vsd rack7 burn", "-d CARD q"],
        ),
        script(
            "blank",
            &[
                "-d CARD -i fs_new.bin -y -mac e41d2ddd7850 burn",
                "-d CARD q",
            ],
        ),
        script(
            "empty",
            &[
                "-d CARD -i new.bin -nofs -guid 0002c90300112230 -mac e41d2ddd7850 burn",
                "-d CARD q",
            ],
        )
        .typed("y\ny\ny\n"),
        script(
            "empty",
            &[
                "-d CARD -y -i new.bin -nofs -use_image_guids -use_image_ps burn",
                "-d CARD q",
            ],
        ),
        script(
            "three",
            &[
                "-d CARD -y -nofs -i fs_new.bin -guid 0002c90300112230 -mac e41d2ddd7850 -use_image_ps burn",
                "-d CARD q",
            ],
        ),
        script(
            "no_psid",
            &["-d CARD -i fs_new.bin -nofs -y burn", "-d CARD q"],
        ),
        script(
            "no_psid",
            &["-d CARD -i fs_new.bin -use_image_ps -y burn", "-d CARD q"],
        ),
    ]
}

/// Corners of the same: silent ones, old sections, damaged ROMs.
fn corners() -> Vec<Script> {
    vec![
        script(
            "all_tags",
            &["-d CARD q", "-d CARD query full", "-d CARD verify"],
        ),
        script("no_mic", &["-d CARD q full", "-d CARD verify"]),
        script(
            "four",
            &[
                "-d CARD -i fs_new.bin -y -mac e41d2ddd7850 burn",
                "-d CARD q",
            ],
        ),
        script(
            "no_macs",
            &[
                "-d CARD q",
                "-d CARD -i fs_new.bin -y -mac e41d2ddd7850 burn",
                "-d CARD q",
            ],
        ),
        script(
            "nf",
            &[
                "-d CARD -s -y -mac e41d2ddd7850 sg",
                "-d CARD -s -vsd x sv",
                "-d CARD q",
            ],
        ),
        script(
            "no_product",
            &["-d CARD -s drom", "-d CARD -s brom pxe.rom", "-d CARD q"],
        ),
        script("owner", &["-d CARD -y -vsd x -i new.bin burn", "-d CARD q"]),
        script(
            "bad_rom",
            &[
                "-d CARD -y -nofs -i fs_new.bin -guid 0002c90300112230 -mac e41d2ddd7850 -vsd x burn",
                "-d CARD q",
            ],
        ),
        script(
            "bad_guid",
            &[
                "-d CARD -y -i fs_new.bin -guid 0002c90300112230 -mac e41d2ddd7850 burn",
                "-d CARD q",
            ],
        ),
        script("fs", &["-d CARD -i no_mic.bin burn", "-d CARD verify"]),
        script("fs", &["-d CARD -i near_end.bin burn", "-d CARD verify"]),
        script(
            "fs",
            &[
                "-d CARD -i fs_new.bin -y burn",
                "-d CARD -i fs_old.bin -y burn",
                "-d CARD q",
            ],
        ),
        script(
            "three",
            &[
                "-d CARD -mac e41d2ddd7850 sg",
                "-d CARD -vsd x sv",
                "-d CARD drom",
                "-d CARD -y reset_cfg",
            ],
        ),
    ]
}

/// `sg`, `sv`, `brom`, `drom`, `reset_cfg`, `-clear_semaphore`.
fn changes() -> Vec<Script> {
    vec![
        script("fs", &["-d CARD sg", "-d CARD sv"]),
        script("fs", &["-d CARD -mac e41d2ddd7850 sg", "-d CARD q"]).typed("y\n"),
        script("fs", &["-d CARD -mac e41d2ddd7850 sg"]),
        script("nf", &["-d CARD -y -guid 0002c90300112230 sg", "-d CARD q"]),
        script(
            "nf_blank",
            &[
                "-d CARD -mac e41d2ddd7850 -guid 0002c90300112230 sg",
                "-d CARD q",
            ],
        ),
        script(
            "empty",
            &[
                "-d CARD -mac 2 sg",
                "-d CARD -vsd x sv",
                "-d CARD drom",
                "-d CARD brom pxe.rom",
            ],
        ),
        script("fs", &["-d CARD -vsd rack7 sv", "-d CARD q"]),
        script("nf", &["-d CARD -vsd rack7 sv", "-d CARD q"]),
        script("no_vsd", &["-d CARD -vsd x sv"]),
        script(
            "fs",
            &[
                "-d CARD -vsd 01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678 sv",
            ],
        ),
        script("no_product", &["-d CARD brom pxe.rom", "-d CARD q"]),
        script(
            "no_product",
            &[
                "-d CARD drom",
                "-d CARD q",
                "-d CARD drom",
                "-d CARD brom pxe.rom",
                "-d CARD q",
            ],
        ),
        script("nf_no_product", &["-d CARD drom", "-d CARD verify"]),
        script("fs", &["-d CARD drom", "-d CARD brom pxe.rom"]),
        script("fs", &["-d CARD -allow_rom_change drom", "-d CARD q"]),
        script(
            "fs",
            &["-d CARD -allow_rom_change brom pxe.rom", "-d CARD q"],
        ),
        script("no_product", &["-d CARD brom pro.rom"]),
        script(
            "no_product",
            &[
                "-d CARD brom odd.rom",
                "-d CARD brom no_such.rom",
                "-d CARD brom fs_new.bin",
            ],
        ),
        script("ancient_no_rom", &["-d CARD brom pxe.rom", "-d CARD drom"]),
        script("fs", &["-d CARD reset_cfg"]),
        script("fs", &["-d CARD -no reset_cfg"]),
        script("settings", &["-d CARD -y reset_cfg", "-d CARD verify"]),
        script("empty", &["-d CARD -y reset_cfg"]),
        script("fs", &["-d CARD -clear_semaphore"]),
    ]
}

/// Differences on purpose.
fn ours() -> Vec<Script> {
    vec![
        script("nf", &["-d CARD -i fs_new.bin -nofs -y burn"]).refused(
            "layout",
            "-E- Burning FS2 image failed: the card's layout is non-failsafe, the image's failsafe",
        ),
        script("fs", &["-d CARD -i new.bin -nofs -y burn"]).refused(
            "layout",
            "the card's layout is failsafe, the image's non-failsafe",
        ),
        script("fs", &["-d CARD -y -i fs_new.bin -blank_guids burn"]).refused(
            "blank-guids",
            "-E- Burning FS2 image failed: a card keeps its GUIDs and MACs",
        ),
        script("bad_guid", &["-d CARD -i fs_new.bin -y burn"])
            .refused("identity-crc", "the GUID section on the card fails its CRC"),
        script("fs", &["-d CARD -i four_new.bin -y burn"]).refused(
            "four-entries",
            "the image's GUID section has 4 entries; six are needed",
        ),
        script("fs", &["-d CARD -i no_vsd.bin -y burn"]).refused(
            "no-vsd-tag",
            "the image has no VSD tag to carry the card's VSD",
        ),
        script("fs", &["-d CARD -i multicast.bin -use_image_guids -y burn"])
            .refused("image-macs", "the MAC 0102c9000001 of port 1 is not valid"),
        script("fs", &["-d CARD -i rom_of_pro.bin -y burn"]).refused(
            "rom-device",
            "the firmware is for device 4099, the ROM for device 4103",
        ),
        script("no_product", &["-d CARD -y brom pro.rom"])
            .refused("rom-device", "the ROM for device 4103"),
        script("no_product", &["-d CARD brom zeros.rom"])
            .refused("not-a-rom", "-E- Burn ROM failed: zeros.rom: "),
        script("fs", &["-d CARD -i no_psid.bin -allow_psid_change -y burn"])
            .refused("no-psid", "the image states no PSID"),
        script("fs", &["-d CARD -i two_mib.bin -y burn"]).refused(
            "flash-size",
            "made for a flash of 0x200000 bytes, the chip has 0x100000",
        ),
        script(
            "no_psid",
            &["-d CARD -i fs_new.bin -allow_psid_change -use_image_ps -y burn"],
        )
        .refused("no-psid", "the card's identity sections are damaged"),
        script("blank", &["-d CARD -mac e41d2ddd7850 sg"]).moves("sg-place"),
        script("blank", &["-d CARD -mac e41d2ddd7850 sg nocrc"]).leaves_another("nocrc"),
        script(
            "empty",
            &["-d CARD -i fs_new.bin -nofs -y -guid 0002c90300112230 -mac e41d2ddd7850 burn"],
        )
        .moves("first-half"),
        script("fs", &["-d CARD -i trailing.bin burn"]).leaves_another("trailing-bytes"),
        script("no_macs", &["-d CARD -i fs_new.bin burn"]).leaves_another("derived-macs"),
        script(
            "four",
            &["-d CARD -i fs_new.bin -y -guid 0002c90300112230 burn"],
        )
        .leaves_another("old-section"),
        script("settings", &["-d CARD -i near_end.bin burn"]).leaves_another("settings-kept"),
        script("nf_settings", &["-d CARD -y reset_cfg"]).leaves_another("reset-cfg"),
        script("held", &["-d CARD -clear_semaphore"]).says("clear-semaphore", ""),
        script("protected", &["-d CARD -i fs_new.bin -y burn"])
            .refused("protected", "-E- Burning FS2 image failed: "),
        script(
            "fs",
            &[
                "-d CARD -y -i fs_new.bin burn",
                "-d CARD -y -i fs_new.bin burn",
            ],
        )
        .keeps(
            "nothing-to-do",
            "-I- The card holds exactly this already. Nothing was written.\n",
        ),
        script("fs", &["-d CARD -y -mac f45214aabbc0 sg"]).keeps(
            "nothing-to-do",
            "-I- The card holds exactly this already. Nothing was written.\n",
        ),
    ]
}

#[test]
fn looks_differ_from_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &looks());
}

#[test]
fn copies_differ_from_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &copies());
}

#[test]
fn burns_differ_from_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &burns());
}

#[test]
fn refusals_differ_from_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &refusals());
}

#[test]
fn answers_lead_elsewhere_than_with_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &answered());
}

#[test]
fn corners_differ_from_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &corners());
}

#[test]
fn changes_differ_from_mstflint() {
    let Some(mst) = mst() else { return };
    compare(mst, &changes());
}

#[test]
fn differences_are_others_than_those_in_the_table() {
    let Some(mst) = mst() else { return };
    compare(mst, &ours());
}
