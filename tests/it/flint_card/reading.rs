//! Scripts that only read.

use super::engine::{CardScript, script};

pub(crate) fn reading() -> Vec<CardScript> {
    vec![
        script("fs", "-d CARD q; -d CARD query full; -d CARD -qq q; -d CARD verify"),
        script("owner", "-d CARD q; -d CARD query full; -d CARD v"),
        script("odd", "-d CARD q; -d CARD verify; -d CARD checksum"),
        script("both", "-d CARD q; -d CARD verify"),
        script("four", "-d CARD q full"),
        script("blank", "-d CARD q; -d CARD verify"),
        script("no_rom", "-d CARD q; -d CARD -qq q"),
        script("no_psid", "-d CARD q full"),
        script("bad_rom", "-d CARD q; -d CARD -qq q; -d CARD verify; -d CARD checksum"),
        script("bad_guid", "-d CARD q; -d CARD verify"),
        script("bad_boot2", "-d CARD q; -d CARD verify; -d CARD checksum"),
        script("three", "-d CARD q; -d CARD verify; -d CARD checksum"),
        script("empty", "-d CARD q; -d CARD -qq q; -d CARD verify; -d CARD checksum"),
        script("secure", "-d CARD q; -d CARD hw query; -d CARD -i fs_new.bin burn"),
        script("held", "-d CARD q"),
        script("fs", "-d CARD checksum; -d CARD rb 0 36; -d CARD rb 16 8 out.bin; -d CARD rw 0x10"),
        script("fs", "-d CARD rb 0xffff0 32; -d CARD rb 1 4; -d CARD rw 0x100000; -d CARD rw 2"),
        script("fs", "-d CARD -i fs_new.bin bc; -d CARD -i fs_old.bin bc; -d CARD swreset"),
        script("fs", "-d CARD hw query").prints(
            "hw-query-lines",
            "CmdSet                  0x80\n  Flash0.WriteProtected   Disabled\n",
        ),
        script("protected", "-d CARD hw query")
            .prints("hw-query-lines", "Flash0.WriteProtected   Top,64-Sectors\n"),
    ]
}

pub(crate) fn copies() -> Vec<CardScript> {
    vec![
        script("fs", "-d CARD ri out.bin; -d CARD dc; -d CARD dc out.ini; -d CARD rrom out.rom"),
        script("owner", "-d CARD ri out.bin; -d CARD dc out.ini; -d CARD rrom out.rom"),
        script("odd", "-d CARD ri out.bin; -d CARD dh"),
        script("no_rom", "-d CARD rrom out.rom"),
        script("fs", "-d CARD rrom pxe.rom"),
        script("fs", "-d CARD rrom pxe.rom; -d CARD ri pro.rom; -d CARD dc zeros.rom").typed("y\n"),
        script("bad_rom", "-d CARD ri out.bin; -d CARD rrom out.rom; -d CARD dc out.ini"),
        script("bad_boot2", "-d CARD ri out.bin; -d CARD dc out.ini"),
        script("empty", "-d CARD dc; -d CARD rrom out.rom"),
        script("three", "-d CARD dc; -d CARD rrom out.rom"),
        script(
            "fs",
            "-d CARD ri no_such/out.bin; -d CARD dc no_such/out.ini; -d CARD rb 0 16 no_such/out.bin; -d CARD rrom no_such/out.rom",
        ),
    ]
}
