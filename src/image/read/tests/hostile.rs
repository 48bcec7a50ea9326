//! Any bytes are read in bounded time and without a panic.

use crate::image::tests::fixture::*;
use crate::image::{
    Depth, FlashAddr, Form, Identity, Recipe, build, crc16, guess_form, read, scan, sniff,
};
use proptest::prelude::*;
use proptest::sample::Index;

/// Calls everything that takes bytes from outside.
fn read_all_ways(bytes: &[u8]) {
    let _ = sniff(bytes);
    let found = scan(&mut &*bytes).unwrap();
    for start in found.into_iter().chain([FlashAddr(4), FlashAddr(u32::MAX)]) {
        let _ = guess_form(&mut &*bytes, start);
        for form in [Form::Contiguous, Form::Striped] {
            for depth in [Depth::Quick, Depth::Full] {
                let Ok(image) = read(&mut &*bytes, start, form, depth) else {
                    continue;
                };
                let _ = Identity::from_image(&image);
                let _ = serde_json::to_string(&image).unwrap();
            }
        }
    }
}

fn images() -> Vec<Vec<u8>> {
    let built = |chunk_log2| {
        let recipe = Recipe { chunk_log2, size: 0, ..Recipe::default() };
        build(&recipe).unwrap()
    };
    vec![
        MadeImage::default().build(),
        MadeImage::failsafe().with(9, vec![0x78; 64]).with(5, vec![0x55; 2048]).build(),
        built(None),
        built(Some(16)),
    ]
}

/// Redo every CRC a walk of the undamaged chain would meet, so that damage gets past them.
fn restore_crcs(bytes: &mut [u8]) {
    let mut at = 0x38;
    while at + 16 <= bytes.len() {
        let kind = word(bytes, at);
        let size = word(bytes, at + 4) as usize;
        let covered = match kind {
            1..=12 => size.checked_mul(4).map(|s| s + 16),
            _ => size.checked_mul(4).map(|s| s + 12),
        };
        let Some(end) = covered.and_then(|c| at.checked_add(c)).filter(|e| e + 4 <= bytes.len())
        else {
            break;
        };
        let crc = crc16(&bytes[at..end]);
        put(bytes, end, u32::from(crc));
        at = end + 4;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_and_truncated_images_are_read_without_a_panic(
        which in 0usize..4,
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<Index>()),
        crcs_right: bool,
    ) {
        let mut bytes = images().swap_remove(which);
        for (at, value) in changes {
            // Half of them in the header and the small sections, where they have an effect.
            let span = if value & 1 == 0 { bytes.len() } else { bytes.len().min(0x400) };
            bytes[at.index(span)] = value;
        }
        if crcs_right {
            restore_crcs(&mut bytes);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_all_ways(&bytes);
    }

    #[test]
    fn extreme_header_and_gph_words_are_read_without_a_panic(
        which in 0usize..4,
        changes in proptest::collection::vec(
            (any::<Index>(), prop_oneof![
                Just(0u32), Just(u32::MAX), Just(0x8000_0000), Just(0x7FFF_FFFF), Just(0x4000_0001),
                Just(0xFFFF_FFF0), Just(0x10_0000), any::<u32>(), 0u32..0x400,
            ]),
            1..4,
        ),
    ) {
        let mut bytes = images().swap_remove(which);
        // Header pointers, first BOOT2, and each word of each GPH.
        let image = full(&bytes);
        let mut places = vec![0x24, 0x28, 0x2C, 0x30, 0x34, 0x3C];
        for section in &image.sections {
            places.extend((0..5).map(|i| section.at.0 as usize + 4 * i));
        }
        for (at, value) in changes {
            put(&mut bytes, places[at.index(places.len())], value);
        }
        let (failsafe, info) = (word(&bytes, 0x28) & 0xFF_FFFF, word(&bytes, 0x2C) & 0xFF_FFFF);
        put(&mut bytes, 0x28, with_sum(failsafe));
        put(&mut bytes, 0x2C, with_sum(info));
        restore_crcs(&mut bytes);
        read_all_ways(&bytes);
    }

    #[test]
    fn noise_behind_a_header_is_read_without_a_panic(noise in proptest::collection::vec(any::<u32>(), 0..200)) {
        let mut image = MadeImage::failsafe().build();
        image.truncate(0x38);
        image.extend(bytes(&noise));
        read_all_ways(&image);
    }
}

#[test]
fn truncated_images_are_read_without_a_panic() {
    let image = MadeImage::failsafe().build();
    for len in 0..0x100 {
        read_all_ways(&image[..len]);
    }
}
