//! Contents from files and dumps.

use super::{Contents, rom};
use crate::image::{FileFormat, FindingId, FlashAddr, Half, ImageError, Recipe, build, striped};

#[test]
fn bytes_behind_the_image_are_cut_off_and_reported() {
    let image = build(&Recipe::default()).unwrap();
    let mut file = image.clone();
    file.extend([0x5A; 64]);
    let contents = Contents::from_file(&file).unwrap();
    assert!(contents.bytes() == image);
    let reported =
        |c: &Contents| c.image().findings.iter().any(|f| f.id == FindingId::TrailingBytes);
    assert!(reported(&contents));
    let after = contents.with_vsd(b"x").unwrap();
    assert_eq!(after.bytes().len(), image.len());
    assert!(!reported(&after));
}

#[test]
fn no_byte_of_a_damaged_image_is_cut_off() {
    let mut file = build(&Recipe::default()).unwrap();
    file[0x5000] ^= 1;
    let contents = Contents::from_file(&file).unwrap();
    assert!(contents.bytes() == file);
    assert!(!contents.image().is_valid());
}

#[test]
fn files_of_other_formats_are_refused_by_name() {
    let file = |bytes: &[u8]| Contents::from_file(bytes).unwrap_err();
    assert!(matches!(file(&[]), ImageError::Empty));
    assert!(matches!(file(b"PK\x03\x04 and more"), ImageError::Foreign(FileFormat::Zip)));
    assert!(matches!(file(&rom(0x1000)), ImageError::RomFile));
    assert!(matches!(file(&[1; 64]), ImageError::NoMagic));
    let image = build(&Recipe::mcx312b_2_42_5000()).unwrap();
    for half in [Half::Even, Half::Odd] {
        let dump = striped(&image, half, 0x20_0000).unwrap();
        assert!(matches!(file(&dump), ImageError::RawDump));
    }
}

#[test]
fn a_dump_gives_back_exactly_the_image() {
    let recipes = [
        (Recipe::mcx312b_2_42_5000(), Half::Even, 0),
        (Recipe::mcx312b_2_42_5000(), Half::Odd, 0x8_0000),
        (Recipe::mcx311a_2_42_5000(), Half::Even, 0),
    ];
    for (recipe, half, start) in recipes {
        let image = build(&recipe).unwrap();
        let dump = striped(&image, half, 0x20_0000).unwrap();
        let contents = Contents::from_dump(&dump, FlashAddr(start)).unwrap();
        assert!(contents.bytes() == image);
        assert!(contents.image().is_valid());
        // Cut anywhere: an image with findings or an error, never more bytes than there are.
        let end = dump.iter().rposition(|b| *b != 0xFF).unwrap();
        let cuts = [0x10, 0x38, 0x3000, 0x8_0000, 0x8_0040, 0x9_0000, 0x14_0000, 0x18_0100];
        for cut in cuts.into_iter().filter(|cut| *cut <= end) {
            if let Ok(found) = Contents::from_dump(&dump[..cut], FlashAddr(start)) {
                assert!(!found.image().is_valid() && found.bytes().len() <= cut);
            }
        }
    }
}
