//! Archives as vendors and hostile people make them.

use super::{ArchiveError, MAX_MEMBERS, MAX_UNPACKED, image_in_archive};
use crate::escape::ForeignText;
use crate::image::{FileFormat, Half, MAGIC, Recipe, build, striped};
use flate2::{Compression, GzBuilder};
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

type Members<'a> = &'a [(&'a str, &'a [u8])];

fn zip(members: Members<'_>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let method = CompressionMethod::Deflated;
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn tar(members: Members<'_>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        // As it is: the library refuses names that lead elsewhere.
        let field = &mut header.as_mut_bytes()[..100];
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(name: Option<&str>, bytes: &[u8]) -> Vec<u8> {
    let builder = name.map_or_else(GzBuilder::new, |name| GzBuilder::new().filename(name));
    let mut encoder = builder.write(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn image() -> Vec<u8> {
    build(&Recipe { size: 0, ..Recipe::default() }).unwrap()
}

/// Name of the image that is taken, whose bytes are those of [`image`].
fn taken(archive: &[u8], wanted: Option<&str>) -> String {
    assert!(FileFormat::of(archive).is_some_and(FileFormat::is_opened));
    let member = image_in_archive(archive, wanted).unwrap();
    assert!(member.bytes == image());
    member.name.into()
}

fn refused(archive: &[u8]) -> ArchiveError {
    image_in_archive(archive, None).unwrap_err()
}

#[test]
fn the_one_image_is_taken_out_of_every_form() {
    let image = image();
    let members: Members<'_> = &[("README.txt", b"read me"), ("fw/new.bin", &image)];
    assert_eq!(taken(&zip(members), None), "fw/new.bin");
    assert_eq!(taken(&tar(members), None), "fw/new.bin");
    assert_eq!(taken(&gzip(Some("fw.tar"), &tar(members)), None), "fw/new.bin");
    assert_eq!(taken(&gzip(Some("new.bin"), &image), None), "new.bin");
    assert_eq!(taken(&gzip(None, &image), None), "unnamed");
    assert_eq!(taken(&tar(&[("./new.bin", &image)]), None), "new.bin");
    // Two in a row are one; what is behind them does not count.
    let (first, second) = image.split_at(image.len() / 3);
    let row = [gzip(Some("new.bin"), first), gzip(None, second), vec![0; 5]].concat();
    assert_eq!(taken(&row, None), "new.bin");
    let inner = gzip(None, &tar(members));
    assert_eq!(taken(&zip(&[("in.tgz", &inner)]), None), "in.tgz/fw/new.bin");
    let inner = zip(&[("new.bin.gz", &gzip(Some("new.bin"), &image))]);
    assert_eq!(taken(&tar(&[("in.zip", &inner)]), None), "in.zip/new.bin.gz/new.bin");
}

#[test]
fn of_several_images_one_is_named() {
    let image = image();
    let oem = Recipe { psid: "DEL_9990000001".into(), size: 0, ..Recipe::default() };
    let oem = build(&oem).unwrap();
    for archive in [
        zip(&[("a.bin", &image), ("b/b.bin", &oem)]),
        gzip(None, &tar(&[("./a.bin", &image), ("./b/b.bin", &oem)])),
    ] {
        let error = refused(&archive);
        let ArchiveError::Several(images) = &error else { panic!("{error}") };
        assert_eq!(images.len(), 2);
        let text = error.to_string();
        assert!(text.starts_with("2 images are inside: a.bin (MT_"), "{text}");
        assert!(text.contains("b/b.bin (DEL_9990000001, 2."), "{text}");
        for name in ["a.bin", "./a.bin"] {
            assert_eq!(taken(&archive, Some(name)), "a.bin");
        }
        assert!(image_in_archive(&archive, Some("b/b.bin")).unwrap().bytes == oem);
        let error = image_in_archive(&archive, Some("b.bin")).unwrap_err().to_string();
        assert!(error.starts_with("no image b.bin is inside: a.bin ("), "{error}");
    }
}

#[test]
fn what_is_inside_instead_of_an_image_is_named() {
    let dump = striped(
        &build(&Recipe { chunk_log2: Some(19), ..Recipe::default() }).unwrap(),
        Half::Odd,
        1 << 20,
    );
    let mut fs3 = image();
    fs3[0x24] = 3;
    let archive = zip(&[
        ("fw.mfa", b"MFAR and more"),
        ("page.bin", b"<html>Log in</html>"),
        ("switch.bin", &fs3),
        ("flash.bin", &dump.unwrap()),
    ]);
    let text = refused(&archive).to_string();
    for part in [
        "no ConnectX-3 image is inside: ",
        "fw.mfa (an MFA archive)",
        "page.bin (an HTML page)",
        "switch.bin (the file is an FS3 image",
        "flash.bin (the file is a raw dump",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(refused(&zip(&[])).to_string(), "no ConnectX-3 image is inside: it is empty");
    let names: Vec<String> = (0..20).map(|n| format!("{n}.txt")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), b"x".as_slice())).collect();
    let text = refused(&tar(&many)).to_string();
    assert!(text.ends_with("7.txt (a text file), and 12 more"), "{text}");
}

#[test]
fn an_archive_with_a_path_that_leads_out_of_it_is_refused() {
    let image = image();
    for name in [
        "../fw.bin",
        "../../etc/fw.bin",
        "fw/../../fw.bin",
        "fw/..",
        "/etc/fw.bin",
        "C:fw.bin",
        "c:/fw.bin",
        r"C:\fw.bin",
        r"..\fw.bin",
        r"\\host\fw.bin",
        "../a\u{1b}[8m",
    ] {
        // The image itself, another file beside it, and an archive inside.
        let members: [Members<'_>; 2] =
            [&[(name, &image)], &[("fw.bin", &image), (name, b"notes")]];
        for members in members {
            for archive in [
                zip(members),
                tar(members),
                gzip(Some("fw.tar"), &tar(members)),
                zip(&[("in.tgz", &gzip(None, &tar(members)))]),
            ] {
                for wanted in [None, Some("fw.bin"), Some(name)] {
                    let error = image_in_archive(&archive, wanted).unwrap_err();
                    assert_eq!(error, ArchiveError::LeadsOut(name.into()));
                    let line = error.to_string();
                    assert!(line.ends_with(&ForeignText::from(name).to_string()), "{line}");
                    assert!(!line.contains('\u{1b}'), "{line:?}");
                }
            }
        }
        let error = refused(&gzip(Some(name), &image));
        assert_eq!(error, ArchiveError::LeadsOut(name.into()));
    }
    for name in ["..fw.bin", "fw..bin", r"firmware\fw.bin", "2.42:b.bin", "a\u{1b}]52;b.bin"] {
        assert_eq!(taken(&zip(&[(name, &image)]), Some(name)), name);
        assert_eq!(taken(&tar(&[(name, &image)]), None), name);
    }
}

#[test]
fn a_name_that_holds_control_characters_is_only_text() {
    let image = image();
    let text = refused(&tar(&[("a\u{1b}[8m", &image), ("b", &image)])).to_string();
    assert!(text.contains(r"a\x1b[8m ("), "{text}");
}

#[test]
fn a_bomb_is_refused_within_bounds() {
    let zeros = vec![0; MAX_UNPACKED + 1];
    assert_eq!(refused(&gzip(None, &zeros)), ArchiveError::TooLarge);
    // The bound is for all members together.
    let part = &zeros[..MAX_UNPACKED / 2 + 1];
    assert_eq!(refused(&zip(&[("a", part), ("b", part)])), ArchiveError::TooLarge);
    let empty: Vec<(&str, &[u8])> = vec![("x", b"".as_slice()); MAX_MEMBERS + 1];
    assert_eq!(refused(&tar(&empty)), ArchiveError::TooMany);
    let mut directory = b"PK\x03\x04".to_vec();
    directory.extend(b"PK\x01\x02".repeat(MAX_MEMBERS + 1));
    assert_eq!(refused(&directory), ArchiveError::TooMany);
    let mut nested = image();
    for _ in 0..8 {
        nested = gzip(Some("n"), &nested);
    }
    assert!(refused(&nested).to_string().contains("nested too deep"), "{}", refused(&nested));
}

#[test]
fn an_archive_that_is_cut_short_is_damaged() {
    let image = image();
    for archive in [zip(&[("a.bin", &image)]), gzip(None, &image), tar(&[("a.bin", &image)])] {
        for len in [30, archive.len() / 2, archive.len() - 1100] {
            let cut = &archive[..len];
            if !FileFormat::of(cut).is_some_and(FileFormat::is_opened) {
                continue;
            }
            let error = refused(cut);
            assert!(matches!(error, ArchiveError::Damaged { .. }), "{len}: {error}");
        }
    }
    let mut flipped = zip(&[("a.bin", &image)]);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    assert!(matches!(refused(&flipped), ArchiveError::Damaged { .. }));
}

#[test]
fn an_encrypted_member_is_named_as_that() {
    let mut archive = zip(&[("a.bin", &image())]);
    for (magic, flags) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let at = archive.windows(4).rposition(|four| four == magic).unwrap();
        archive[at + flags] |= 1;
    }
    let text = refused(&archive).to_string();
    assert!(text.contains("a.bin (encrypted)"), "{text}");
}

#[test]
fn the_beginning_of_an_image_in_an_archive_is_named() {
    let text = refused(&tar(&[("a.bin", &MAGIC)])).to_string();
    assert!(text.contains("only the first 16 bytes of an FS2 image"), "{text}");
}

#[test]
fn a_member_that_may_be_an_image_and_is_not_read_is_named_as_such() {
    let image = image();
    // Bits 0 of the flags of both headers: encrypted. The method of both: 12, bzip2.
    for (local, central, byte, how) in
        [(6, 8, 1, "encrypted"), (8, 10, 12, "packed by a method that is not read")]
    {
        let mut archive = zip(&[("fw.bin", &image)]);
        archive[local] = byte;
        let directory = archive.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
        archive[directory + central] = byte;
        let error = refused(&archive);
        assert!(matches!(error, ArchiveError::NoImage { unread: true, .. }), "{error}");
        assert!(error.to_string().ends_with(&format!("fw.bin ({how})")), "{error}");
    }
}
