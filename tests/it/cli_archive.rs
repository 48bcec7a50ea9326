//! Archives as vendors ship them are opened; other files are named.

use crate::support::cli::Sandbox;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn tgz(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    gzip(&tar.into_inner().unwrap())
}

/// The owner's card, and `fw.tgz` with a text and the image for it, of odd length.
fn bench() -> Sandbox {
    let bench = Sandbox::owner();
    let mut archive = tgz(&[("README", b"read me"), ("dir/new.bin", &bench.read("new.bin"))]);
    if archive.len().is_multiple_of(2) {
        archive.push(0);
    }
    bench.write("fw.tgz", &archive);
    bench
}

fn sha256(bench: &Sandbox, file: &str) -> String {
    let query = bench.run(&["--json", "query", file]).exits(0).json();
    query["result"]["sha256"].as_str().unwrap().to_owned()
}

#[test]
fn the_image_in_an_archive_is_named_with_its_path_inside_and_its_digest() {
    let bench = bench();
    let digest = sha256(&bench, "new.bin");
    assert_eq!(sha256(&bench, "fw.tgz"), digest);
    for args in [vec!["query", "fw.tgz"], vec!["verify", "fw.tgz"], vec!["plan", "fw.tgz"]] {
        bench.card(&args).exits(0).prints("fw.tgz/dir/new.bin").prints(&digest);
    }
    let plan = bench.card(&["--json", "plan", "fw.tgz"]).exits(0).json();
    assert_eq!(plan["result"]["file"], "fw.tgz/dir/new.bin");
    assert_eq!(plan["result"]["image_sha256"], digest.as_str());
    let names = std::fs::read_dir(bench.path(".")).unwrap().count();
    bench.card(&["burn", "fw.tgz", "--yes", "--expect", &digest]).exits(0);
    bench.card(&["verify", "--against", "new.bin"]).exits(0);
    bench.card(&["burn", "fw.tgz/dir/new.bin", "--yes"]).exits(2);
    assert!(!bench.path("dir").exists() && !bench.path("new").exists());
    // The state directory is all that is new.
    assert!(std::fs::read_dir(bench.path(".")).unwrap().count() <= names + 1);
}

#[test]
fn every_command_that_takes_an_image_takes_an_archive() {
    let bench = bench();
    for args in [
        vec!["config", "show", "fw.tgz"],
        vec!["identity", "show", "fw.tgz"],
        vec!["rom", "info", "fw.tgz"],
        vec!["rom", "read", "out.rom", "--image", "fw.tgz"],
    ] {
        bench.run(&args).exits(0);
    }
    bench.card(&["verify", "--against", "fw.tgz"]).exits(1).reports("fw.tgz");
    bench.refuses(
        &["recover", "fw.tgz", "--guid", "0002c90300112230", "--mac", "0002c9112230", "--yes"],
        4,
    );
}

#[test]
fn of_several_images_the_message_lists_each_and_what_to_type() {
    let bench = Sandbox::owner();
    bench.oem_image("DEL_9990000001");
    let (new, oem) = (bench.read("new.bin"), bench.read("oem.bin"));
    bench.write("fw.tgz", &tgz(&[("a b.bin", &new), ("oem.bin", &oem)]));
    for command in ["query", "verify", "plan", "burn"] {
        bench
            .refuses(&[command, "fw.tgz"], 1)
            .reports("2 images are inside: a b.bin (MT_1170110023, 2.42.5000), oem.bin (DEL_9990000001, 2.42.5000)")
            .reports(&format!("cx3flash -d sim:card.cx3 {command} 'fw.tgz/a b.bin'\n"));
    }
    bench.card(&["query", "fw.tgz/a b.bin"]).exits(0).prints("MT_1170110023");
    bench.card(&["query", "fw.tgz/oem.bin"]).exits(0).prints("DEL_9990000001");
    bench
        .refuses(&["burn", "fw.tgz/c.bin", "--yes"], 1)
        .reports("no image c.bin is inside")
        .reports("hint: list the images inside: cx3flash query fw.tgz");
    bench.refuses(&["burn", "oem.bin/c.bin", "--yes"], 1).reports("oem.bin/c.bin");
}

#[test]
fn an_archive_without_an_image_names_what_is_inside() {
    let bench = Sandbox::owner();
    bench.write("fw.tgz", &tgz(&[("fw.mfa", b"MFAR...."), ("etc/x\u{1b}[8m", b"<html>")]));
    for command in ["query", "plan", "burn"] {
        bench
            .refuses(&[command, "fw.tgz"], 1)
            .reports("no ConnectX-3 image is inside: fw.mfa (an MFA archive), ")
            .reports(r"etc/x\x1b[8m (an HTML page)");
    }
    bench.write("fw.tgz", &tgz(&[("../new.bin", &bench.read("new.bin"))]));
    for command in ["query", "plan", "burn"] {
        bench
            .refuses(&[command, "fw.tgz"], 1)
            .reports("fw.tgz: the path of a member leads out of the archive: ../new.bin");
    }
}

#[test]
fn a_bomb_is_refused_in_one_line() {
    let bench = Sandbox::owner();
    bench.write("bomb.gz", &gzip(&vec![0; (128 << 20) + 1]));
    bench.refuses(&["burn", "bomb.gz", "--yes"], 1).reports("more than 128 MiB");
}

#[test]
fn files_of_other_formats_are_named_with_the_step_to_take() {
    let bench = Sandbox::owner();
    let show = bench.run(&["config", "show", "new.bin"]).exits(0).stdout;
    let cases: [(&str, &[u8], &str, &str); 9] = [
        ("fw.xz", b"\xFD7zXZ\0\0\x04", "is xz data, not an image", "xz -dk fw.xz"),
        ("fw.bz2", b"BZh91AY&SY", "is bzip2 data", "bzip2 -dk fw.bz2"),
        ("fw.7z", b"7z\xBC\xAF\x27\x1C\0\x04", "is a 7z archive", "7z x fw.7z"),
        ("fw.rpm", b"\xED\xAB\xEE\xDB\x03\0\0", "is an RPM package", "rpm2cpio fw.rpm | cpio"),
        ("fw.deb", b"!<arch>\ndebian-binary  1", "is a Debian package", "dpkg-deb -x fw.deb"),
        ("fw.bin", b"\n<!doctype HTML>\n<title>Login", "is an HTML page", "log in"),
        ("fw.ini", show.as_bytes(), "is an ini", "name the .bin made with it"),
        ("fw.mfa2", b"MLNX.MFA2.XZ.00!.", "is an MFA2 archive", "PSID"),
        ("zeros.bin", &[0; 4099], "is nothing but zeros", "download the file again"),
    ];
    for (name, bytes, what, step) in cases {
        bench.write(name, bytes);
        for args in [vec!["query", name], vec!["verify", name], vec!["burn", name, "--yes"]] {
            bench.refuses(&args, 1).reports(&format!("{name} {what}")).reports(step);
        }
    }
    bench.refuses(&["rom", "write", "fw.7z", "--yes"], 1).reports("not an expansion ROM");
    bench.refuses(&["restore", "fw.xz", "--yes"], 1).reports("not a dump of a flash");
    bench
        .card(&["flint", "-i", "fw.bin", "q"])
        .exits(1)
        .prints("It is an HTML page, not an image; ");
}

#[test]
fn each_part_of_a_split_download_is_named_with_the_step_to_take() {
    let bench = Sandbox::owner();
    let new = bench.read("new.bin");
    let zip = tgz(&[("new.bin", &new)]);
    for (whole, bytes) in [("fw.bin", &new), ("fw.tgz", &zip)] {
        // Lengths that are multiples of 4, and a last part that is not.
        let len = (bytes.len() / 3) & !3;
        for (n, part) in bytes.chunks(len).enumerate() {
            let name = format!("{whole}.{n:03}");
            bench.write(&name, part);
        }
        let parts = bytes.len().div_ceil(len);
        let join = format!("cat {whole}.[0-9][0-9][0-9] > {whole}");
        for n in 0..parts {
            let name = format!("{whole}.{n:03}");
            for args in [vec!["query", &name], vec!["verify", &name], vec!["burn", &name, "--yes"]]
            {
                let ran = bench.refuses(&args, 1).reports("named like a part of a split file");
                ran.reports(&format!("hint: join all parts, then name the whole: {join}"));
            }
        }
        bench.shell(&join).exits(0);
        bench.run(&["verify", whole]).exits(0);
    }
    // The first part under another name.
    bench.write("first.bin", &new[..(new.len() / 2) & !3]);
    let size = format!("of an FS2 image of {}", new.len());
    bench.refuses(&["verify", "first.bin"], 1).reports("holds only the first").reports(&size);
    bench.refuses(&["burn", "first.bin", "--yes"], 1).reports("download the file again");
}
