//! Raw dumps: interleaved, either half.

use crate::image::tests::fixture::*;
use crate::image::{
    AddressMap, Contents, CrcVerdict, Depth, FlashAddr, Form, Half, ImageOffset, RangeError,
    Recipe, WalkEnd, build, guess_form, read, scan, striped,
};
use proptest::prelude::*;

fn recipe(size: u32, chunk_log2: u8) -> Recipe {
    Recipe { chunk_log2: Some(chunk_log2), size, ..Recipe::default() }
}

/// A reading of the dump finds `image` without a finding, and takes all of its bytes out.
fn is_the_image(mut dump: &[u8], start: u32, image: &[u8]) {
    let found = read(&mut dump, FlashAddr(start), Form::Striped, Depth::Full).unwrap();
    assert_eq!(found.walk_end, WalkEnd::Complete);
    assert_eq!(found.findings, []);
    let contents = Contents::from_dump(dump, FlashAddr(start)).unwrap();
    assert!(contents.bytes() == image);
}

#[test]
fn both_halves_give_back_the_image() {
    let image = build(&recipe(0x9_0000, 18)).unwrap();
    for (half, start) in [(Half::Even, 0), (Half::Odd, 0x4_0000)] {
        let dump = striped(&image, half, 2 << 20).unwrap();
        let magics = scan(&mut dump.as_slice()).unwrap();
        assert_eq!(magics, [FlashAddr(start)]);
        is_the_image(&dump, start, &image);
        let form = guess_form(&mut dump.as_slice(), FlashAddr(start)).unwrap();
        assert_eq!(form, Form::Striped);
    }
    let form = guess_form(&mut image.as_slice(), FlashAddr(0)).unwrap();
    assert_eq!(form, Form::Contiguous);
}

#[test]
fn an_image_that_fills_its_half_to_the_last_byte_is_read() {
    // mstflint's limit test checks the byte behind, one stripe too far
    // (docs/fs2.md#chunk-interleaving).
    let image = build(&recipe(0x8_0000, 19)).unwrap();
    let dump = striped(&image, Half::Odd, 1 << 20).unwrap();
    is_the_image(&dump, 0x8_0000, &image);
}

#[test]
fn a_striped_image_cut_short_reports_the_limits_of_the_dump() {
    let image = build(&recipe(0x3_0000, 16)).unwrap();
    let dump = striped(&image, Half::Even, 0x6_0000).unwrap();
    // The last chunk of the image lies at 0x40000.
    let cut = &dump[..0x4_8000];
    let found = read(&mut &*cut, FlashAddr(0), Form::Striped, Depth::Full).unwrap();
    assert_eq!(found.walk_end, WalkEnd::Block);
    let CrcVerdict::Unreadable { reason } = found.sections.last().unwrap().crc else {
        panic!("{found:?}");
    };
    let RangeError::Outside { len, size, striped, .. } = reason else {
        panic!("{reason:?}");
    };
    assert_eq!((len, size, striped), (4, 0x4_8000, true));
}

#[test]
fn short_images_are_the_same_in_both_forms() {
    let image = MadeImage::failsafe().build();
    let form = guess_form(&mut image.as_slice(), FlashAddr(0)).unwrap();
    assert_eq!(form, Form::Contiguous);
    let map = AddressMap::Striped { chunk_log2: 19, half: Half::Even };
    assert_eq!(map.to_flash(ImageOffset(0x7_FFFF)), Some(FlashAddr(0x7_FFFF)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_size_survives_striping(size in 0x2_0000u32..0x6_0000, odd: bool, log2 in 16u8..=18) {
        let image = build(&recipe(size & !3, log2)).unwrap();
        let (half, start) = if odd { (Half::Odd, 1 << log2) } else { (Half::Even, 0) };
        let dump = striped(&image, half, 2 << 20).unwrap();
        is_the_image(&dump, start, &image);
    }
}
