//! Scripts that change what is on the card, and every difference on purpose.

use super::engine::{CardScript, script};

pub(crate) fn changes() -> Vec<CardScript> {
    vec![
        script("fs", "-d CARD sg; -d CARD sv"),
        script("fs", "-d CARD -mac e41d2ddd7850 sg; -d CARD q").typed("y\n"),
        script("fs", "-d CARD -mac e41d2ddd7850 sg"),
        script("nf", "-d CARD -y -guid 0002c90300112230 sg; -d CARD q"),
        script("nf_blank", "-d CARD -mac e41d2ddd7850 -guid 0002c90300112230 sg; -d CARD q"),
        script(
            "empty",
            "-d CARD -mac e41d2ddd7850 sg; -d CARD -vsd x sv; -d CARD drom; -d CARD brom pxe.rom",
        ),
        script("fs", "-d CARD -vsd rack7 sv; -d CARD q"),
        script("nf", "-d CARD -vsd rack7 sv; -d CARD q"),
        script("no_vsd", "-d CARD -vsd x sv"),
        script(
            "fs",
            "-d CARD -vsd 01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678 sv",
        ),
        script("no_product", "-d CARD brom pxe.rom; -d CARD q"),
        script(
            "no_product",
            "-d CARD drom; -d CARD q; -d CARD drom; -d CARD brom pxe.rom; -d CARD q",
        ),
        script("nf_no_product", "-d CARD drom; -d CARD verify"),
        script("fs", "-d CARD drom; -d CARD brom pxe.rom"),
        script("fs", "-d CARD -allow_rom_change drom; -d CARD q"),
        script("fs", "-d CARD -allow_rom_change brom pxe.rom; -d CARD q"),
        script("no_product", "-d CARD brom pro.rom"),
        script(
            "no_product",
            "-d CARD brom odd.rom; -d CARD brom no_such.rom; -d CARD brom fs_new.bin",
        ),
        script("ancient_no_rom", "-d CARD brom pxe.rom; -d CARD drom"),
        script("fs", "-d CARD reset_cfg"),
        script("fs", "-d CARD -no reset_cfg"),
        script("settings", "-d CARD -y reset_cfg; -d CARD verify"),
        script("empty", "-d CARD -y reset_cfg"),
        script("fs", "-d CARD -clear_semaphore"),
    ]
}

/// Differences on purpose.
pub(crate) fn ours() -> Vec<CardScript> {
    vec![
        script("nf", "-d CARD -i fs_new.bin -nofs -y burn").refused(
            "layout",
            "-E- Burning FS2 image failed: the card's layout is non-failsafe, the image's failsafe",
        ),
        script("fs", "-d CARD -i new.bin -nofs -y burn")
            .refused("layout", "the card's layout is failsafe, the image's non-failsafe"),
        script("fs", "-d CARD -y -i fs_new.bin -blank_guids burn").refused(
            "blank-guids",
            "-E- Burning FS2 image failed: a card keeps its GUIDs and MACs",
        ),
        script("bad_guid", "-d CARD -i fs_new.bin -y burn")
            .refused("identity-crc", "the GUID section on the card fails its CRC"),
        script("fs", "-d CARD -i four_new.bin -y burn")
            .refused("four-entries", "the image's GUID section has 4 entries; six are needed"),
        script("fs", "-d CARD -i no_vsd.bin -y burn")
            .refused("no-vsd-tag", "the image has no VSD tag to carry the card's VSD"),
        script("fs", "-d CARD -i multicast.bin -use_image_guids -y burn")
            .refused("image-macs", "the MAC 0102c9000001 of port 1 is not valid"),
        script("fs", "-d CARD -i rom_of_pro.bin -y burn").refused(
            "rom-device",
            "the firmware is for device 4099 (0x1003), the ROM for device 4103 (0x1007)",
        ),
        script("no_product", "-d CARD -y brom pro.rom")
            .refused("rom-device", "the ROM for device 4103"),
        script("no_product", "-d CARD brom zeros.rom")
            .refused("not-a-rom", "-E- Burn ROM failed: It is nothing but zeros"),
        script("fs", "-d CARD -i no_psid.bin -allow_psid_change -y burn")
            .refused("no-psid", "the image states no PSID"),
        script("fs", "-d CARD -i two_mib.bin -y burn")
            .refused("flash-size", "made for a flash of 0x200000 bytes, the chip has 0x100000"),
        script("no_psid", "-d CARD -i fs_new.bin -allow_psid_change -use_image_ps -y burn")
            .refused("no-psid", "the card's identity sections are damaged"),
        script("blank", "-d CARD -mac e41d2ddd7850 sg").moves("sg-place"),
        script("blank", "-d CARD -mac e41d2ddd7850 sg nocrc").leaves_another("nocrc"),
        script(
            "empty",
            "-d CARD -i fs_new.bin -nofs -y -guid 0002c90300112230 -mac e41d2ddd7850 burn",
        )
        .moves("first-half"),
        script("fs", "-d CARD -i trailing.bin burn").leaves_another("trailing-bytes"),
        script("no_macs", "-d CARD -i fs_new.bin burn").leaves_another("derived-macs"),
        script("four", "-d CARD -i fs_new.bin -y -guid 0002c90300112230 burn")
            .leaves_another("old-section"),
        script("settings", "-d CARD -i near_end.bin burn").leaves_another("settings-kept"),
        script("nf_settings", "-d CARD -y reset_cfg").leaves_another("reset-cfg"),
        script("held", "-d CARD -clear_semaphore").prints("clear-semaphore", ""),
        script("empty", "-d CARD ri pxe.rom")
            .refused("ri-file", "-E- Failed to read image. No valid image found\n"),
        script("fs", "-d CARD -y -mac e41d2ddd785 sg").refused(
            "digits",
            "-E- Invalid Guid/Mac/Uid syntax (e41d2ddd785) it must have 12 digits",
        ),
        script("fs", "-d CARD -i fs_new.bin -y -mac 1122334455667788 burn")
            .refused("digits", "(1122334455667788) it must have 12 digits"),
        script("fs", "-d CARD -i fs_new.bin -y -guid 0x2c90300112230 burn")
            .refused("digits", "(0x2c90300112230) it must have 16 digits"),
        script("fs", "-d CARD -apc -i other_psid.bin -no burn")
            .refused("apc", "You are about to replace current PSID on flash"),
        script("fs", "-d CARD -y -linkx -i fs_new.bin burn").refused("cables", "-E- "),
        script("worn", "-d CARD -i fs_new.bin -y burn")
            .fails("broken-flash", "the card still boots; the backup is in "),
        script("protected", "-d CARD -i fs_new.bin -y burn")
            .refused("protected", "-E- Burning FS2 image failed: "),
        script("fs", "-d CARD -y -i fs_new.bin burn; -d CARD -y -i fs_new.bin burn").keeps(
            "nothing-to-do",
            "-I- The card holds exactly this already. Nothing was written.\n",
        ),
        script("fs", "-d CARD -y -mac f45214aabbc0 sg").keeps(
            "nothing-to-do",
            "-I- The card holds exactly this already. Nothing was written.\n",
        ),
    ]
}
