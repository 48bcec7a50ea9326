//! Scripts that burn: what passes, every refusal and question of docs/flint.md#checks-before-the-first-erase, corners.

use super::engine::{CardScript, script};

pub(crate) fn burns() -> Vec<CardScript> {
    vec![
        script("fs", "-d CARD -i fs_new.bin burn; -d CARD q; -d CARD verify"),
        script("odd", "-d CARD -i fs_new.bin b; -d CARD q full"),
        script("both", "-d CARD -i fs_new.bin -y burn"),
        script("owner", "-d CARD -i new.bin burn; -d CARD q; -d CARD verify").typed("y\n"),
        script("owner", "-d CARD -y -s -i new.bin burn"),
        script("owner", "-d CARD -i new.bin burn"),
        script("owner", "-d CARD -no -i new.bin burn"),
        script("fs", "-d CARD -s -i fs_new.bin burn"),
        script("fs", "-d CARD -nofs -i fs_new.bin burn; -d CARD q").typed("yes\n"),
        script("fs", "-d CARD -nofs -i fs_new.bin burn").typed("no\n"),
        script("fs", "-d CARD -i no_rom.bin burn; -d CARD q"),
        script("fs", "-d CARD -i no_rom.bin -use_image_rom burn; -d CARD q"),
        script("fs", "-d CARD -i fs_new.bin -use_dev_rom burn; -d CARD q"),
        script("no_product_no_rom", "-d CARD -i no_rom.bin burn"),
        script("four", "-d CARD -i fs_new.bin burn; -d CARD q"),
        script("bad_boot2", "-d CARD -i fs_new.bin burn; -d CARD q"),
    ]
}

/// Every question and refusal that both programs have; the numbers are rows of docs/flint.md#checks-before-the-first-erase.
pub(crate) fn refusals() -> Vec<CardScript> {
    vec![
        // 4
        script("fs", "-d CARD -i damaged.bin -y burn"),
        script("fs", "-d CARD -i no_magic.bin -y burn"),
        // 5
        script("fs", "-d CARD -i rom_of_pro.bin burn"),
        script("fs", "-d CARD -i rom_of_pro.bin -no burn"),
        // 6
        script("empty", "-d CARD -i new.bin -y burn; -d CARD -i fs_new.bin -nofs -y burn"),
        script("three", "-d CARD -i fs_new.bin -y burn"),
        script("bad_rom", "-d CARD -i fs_new.bin -y burn"),
        // 7
        script("fs", "-d CARD -i fs_new.bin -mac e41d2ddd7850 burn").typed("n\n"),
        script("fs", "-d CARD -i fs_new.bin -use_image_guids burn"),
        script("empty", "-d CARD -nofs -i fs_new.bin -guid 0002c90300112230 burn"),
        // 8
        script("fs", "-d CARD -i new.bin -y burn"),
        script("nf", "-d CARD -i fs_new.bin -y burn"),
        script("empty", "-d CARD -y -i fs_new.bin -guid 0002c90300112230 -mac e41d2ddd7850 burn"),
        // 9
        script("no_psid", "-d CARD -i fs_new.bin -y burn"),
        script("empty", "-d CARD -nofs -i fs_new.bin -use_image_guids burn").typed("y\nn\n"),
        // 10
        script("fs", "-d CARD -i fs_old.bin burn"),
        script("fs", "-d CARD -i fs_old.bin -no burn"),
        script("fs_new", "-d CARD -i fs_old.bin burn").typed("j\n"),
        // 11
        script("fs", "-d CARD -i other_psid.bin -y burn"),
        script("fs", "-d CARD -i other_psid.bin -allow_psid_change burn"),
        // 12
        script("fs", "-d CARD -i pad.bin -y burn"),
        script("fs", "-d CARD -i pad.bin -allow_psid_change -no burn"),
        // 13
        script("nf", "-d CARD -i new.bin burn").typed("n\n"),
        // 15
        script("fs", "-d CARD -i pro.bin -y burn"),
        script("fs", "-d CARD -i pro_untagged.bin -y burn"),
        script("a0", "-d CARD -i fs_new.bin -y burn"),
        script("fs", "-d CARD -i pro.bin -allow_psid_change -y burn"),
        // 16
        script("fs", "-d CARD -i no_psid.bin -y burn"),
        // 18
        script("blank", "-d CARD -i fs_new.bin -y burn"),
        script("fs", "-d CARD -i fs_new.bin -y -mac 0102c9000001 burn"),
        // 10.3
        script("fs", "-d CARD -i chunk128.bin -y burn"),
        script("fs", "-d CARD -i big.bin -y burn"),
        script("nf", "-d CARD -i nf_big.bin -y burn"),
    ]
}

/// What goes on after the questions.
pub(crate) fn answered() -> Vec<CardScript> {
    vec![
        script("fs", "-d CARD -i fs_old.bin -mac e41d2ddd7850 burn; -d CARD q").typed("y\ny\n"),
        script("fs_new", "-d CARD -y -i fs_old.bin burn; -d CARD q"),
        script("fs", "-d CARD -i other_psid.bin -allow_psid_change burn; -d CARD q").typed("y\n"),
        script("fs", "-d CARD -i pad.bin -allow_psid_change -y burn; -d CARD q full"),
        script("fs", "-d CARD -i fs_new.bin -guid 0002c90300112230 -y burn; -d CARD q"),
        script(
            "fs",
            "-d CARD -i fs_new.bin -y -guids 0002c90300112231,0002c90300112232,0002c90300112233,0002c90300112234 -macs e41d2ddd7850,e41d2ddd7860 burn; -d CARD q",
        ),
        script("fs", "-d CARD -i fs_new.bin -use_image_guids -use_image_ps -y burn; -d CARD q"),
        script("fs", "-d CARD -i fs_new.bin -vsd rack7 burn; -d CARD q"),
        script("blank", "-d CARD -i fs_new.bin -y -mac e41d2ddd7850 burn; -d CARD q"),
        script(
            "empty",
            "-d CARD -i new.bin -nofs -guid 0002c90300112230 -mac e41d2ddd7850 burn; -d CARD q",
        )
        .typed("y\ny\ny\n"),
        script(
            "empty",
            "-d CARD -y -i new.bin -nofs -use_image_guids -use_image_ps burn; -d CARD q",
        ),
        script(
            "three",
            "-d CARD -y -nofs -i fs_new.bin -guid 0002c90300112230 -mac e41d2ddd7850 -use_image_ps burn; -d CARD q",
        ),
        script("no_psid", "-d CARD -i fs_new.bin -nofs -y burn; -d CARD q"),
        script("no_psid", "-d CARD -i fs_new.bin -use_image_ps -y burn; -d CARD q"),
    ]
}

/// Silent ones, old sections, damaged ROMs.
pub(crate) fn corners() -> Vec<CardScript> {
    vec![
        script("all_tags", "-d CARD q; -d CARD query full; -d CARD verify"),
        script("no_mic", "-d CARD q full; -d CARD verify"),
        script("four", "-d CARD -i fs_new.bin -y -mac e41d2ddd7850 burn; -d CARD q"),
        script("no_macs", "-d CARD q; -d CARD -i fs_new.bin -y -mac e41d2ddd7850 burn; -d CARD q"),
        script("nf", "-d CARD -s -y -mac e41d2ddd7850 sg; -d CARD -s -vsd x sv; -d CARD q"),
        script("no_product", "-d CARD -s drom; -d CARD -s brom pxe.rom; -d CARD q"),
        script("owner", "-d CARD -y -vsd x -i new.bin burn; -d CARD q"),
        script(
            "bad_rom",
            "-d CARD -y -nofs -i fs_new.bin -guid 0002c90300112230 -mac e41d2ddd7850 -vsd x burn; -d CARD q",
        ),
        script(
            "bad_guid",
            "-d CARD -y -i fs_new.bin -guid 0002c90300112230 -mac e41d2ddd7850 burn; -d CARD q",
        ),
        script("fs", "-d CARD -i no_mic.bin burn; -d CARD verify"),
        script("fs", "-d CARD -i near_end.bin burn; -d CARD verify"),
        script("fs", "-d CARD -i fs_new.bin -y burn; -d CARD -i fs_old.bin -y burn; -d CARD q"),
        script(
            "three",
            "-d CARD -mac e41d2ddd7850 sg; -d CARD -vsd x sv; -d CARD drom; -d CARD -y reset_cfg",
        ),
    ]
}
