//! Seeded damage to images, and the repair of CRCs that makes some of it hard to see.

use super::SeededRng;
use cx3flash::image::crc16;
use std::collections::BTreeSet;

/// A damaged image and what was done to it.
pub struct Damaged {
    pub bytes: Vec<u8>,
    pub what: String,
}

/// Big-endian dword, if it is there.
pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(found.try_into().ok()?))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// GPH places of a contiguous image, as far as the chain goes; `None` when it loops.
pub fn chain(bytes: &[u8]) -> Option<Vec<usize>> {
    let mut at = first_gph(bytes);
    let mut seen = BTreeSet::new();
    let mut places = Vec::new();
    while let Some(next) = word(bytes, at + 12) {
        if !seen.insert(at) {
            return None;
        }
        places.push(at);
        if next == 0 || next == 0xFF00_0000 {
            break;
        }
        at = next as usize;
    }
    Some(places)
}

fn first_gph(bytes: &[u8]) -> usize {
    let boot2_end = |at: usize| at + (word(bytes, at + 4).unwrap_or(0) as usize + 4) * 4;
    let second = boot2_end(0x38);
    match word(bytes, second) {
        Some(1..=12) => second,
        _ => boot2_end(second),
    }
}

/// Bytes of the body of the section at `gph`, as its size word has it.
fn body_len(bytes: &[u8], gph: usize) -> usize {
    let size = word(bytes, gph + 4).unwrap_or(0) as usize;
    if word(bytes, gph) == Some(4) { size.next_multiple_of(4) } else { size * 4 }
}

/// Recomputes the CRCs of the BOOT2 blocks, of every section reached, and of the full image.
pub fn repair(bytes: &mut [u8]) {
    let first = first_gph(bytes);
    let mut boot2 = 0x38;
    while boot2 < first && first <= bytes.len() {
        let len = (word(bytes, boot2 + 4).unwrap_or(0) as usize + 3) * 4;
        let Some(block) = bytes.get(boot2..boot2 + len) else {
            break;
        };
        let crc = crc16(block);
        put(bytes, boot2 + len, crc.into());
        boot2 += len + 4;
    }
    let mut end = 0;
    for gph in chain(bytes).unwrap_or_default() {
        let crc_at = gph + 16 + body_len(bytes, gph);
        if let Some(section) = bytes.get(gph..crc_at) {
            let crc = crc16(section);
            put(bytes, crc_at, crc.into());
        }
        end = crc_at + 4;
    }
    let masked = word(bytes, 0x20).unwrap_or(0) | 0xFFFF;
    put(bytes, 0x20, masked);
    if let Some(image) = bytes.get(..end) {
        let crc = u32::from(crc16(image));
        put(bytes, 0x20, masked & 0xFFFF_0000 | crc);
    }
}

/// Classes on which mstflint hangs or reads astray (experiment 2 of docs/fs2.md#experiments): looping chains, tag sizes
/// that are no multiple of 4, image version 3.
pub fn hangs_flint(bytes: &[u8]) -> bool {
    if bytes.get(0x24) == Some(&3) {
        return true;
    }
    let Some(places) = chain(bytes) else {
        return true;
    };
    let infos = places.iter().filter(|at| word(bytes, **at) == Some(10));
    let pointer = (word(bytes, 0x2C).unwrap_or(0) & 0xFF_FFFF) as usize;
    infos.copied().chain(pointer.checked_sub(16)).any(|gph| odd_tag(bytes, gph))
}

/// A tag whose size is no multiple of 4 is met before the walk over the tags stops.
fn odd_tag(bytes: &[u8], gph: usize) -> bool {
    let (mut at, len) = (0, body_len(bytes, gph));
    while at < len {
        let Some(tag) = word(bytes, gph + 16 + at) else {
            return false;
        };
        let size = (tag & 0xFF_FFFF) as usize;
        if tag >> 24 == 0xFF || at + size > len {
            return false;
        }
        if !size.is_multiple_of(4) {
            return true;
        }
        at += size + 4;
    }
    false
}

/// One seeded piece of damage to a valid contiguous image that [`hangs_flint`] does not exclude.
pub fn damage(rng: &mut SeededRng, valid: &[u8]) -> Damaged {
    loop {
        let mut bytes = valid.to_vec();
        let what = one(rng, &mut bytes);
        if !hangs_flint(&bytes) {
            return Damaged { bytes, what };
        }
    }
}

/// One seeded piece of damage, whatever mstflint makes of it.
pub fn one(rng: &mut SeededRng, bytes: &mut Vec<u8>) -> String {
    let len = bytes.len();
    let places = chain(bytes).unwrap_or_default();
    match rng.below(16) {
        0 | 1 => {
            let at = rng.below(len);
            flip(rng, bytes, at)
        }
        2 => {
            let at = rng.below(len);
            let value = rng.next() as u8;
            bytes[at] = value;
            format!("byte {at:#x} = {value:#04x}")
        }
        3 => {
            let cut = rng.below(len / 4 + 1) * 4;
            bytes.truncate(cut);
            format!("cut to {cut:#x}")
        }
        4 => {
            // Close to the end of some section, where the walk has to notice.
            let near = places[rng.below(places.len())] + 4 * rng.below(12);
            let cut = near.saturating_sub(16).min(len);
            bytes.truncate(cut);
            format!("cut to {cut:#x} near a section")
        }
        5 => {
            let cut = rng.below(len);
            bytes.truncate(cut);
            format!("cut to {cut:#x}, any length")
        }
        6 => {
            let more = 1 + rng.below(64);
            let fill = [0, 0xFF, 0x5A][rng.below(3)];
            bytes.resize(len + more, fill);
            format!("{more} bytes of {fill:#04x} appended")
        }
        7 | 8 => {
            let at = rng.below(0x38);
            format!("header: {}", flip(rng, bytes, at))
        }
        9 | 10 => {
            let at = places[rng.below(places.len())] + rng.below(16);
            format!("GPH: {}", flip(rng, bytes, at))
        }
        11 | 12 => repaired_info(rng, bytes, &places),
        13 => {
            let at = find(bytes, &places, 6) + rng.below(16 + 48);
            let what = flip(rng, bytes, at);
            repair(bytes);
            format!("GUID, repaired: {what}")
        }
        14 => repaired_chain(rng, bytes, &places),
        _ => repaired_rom_or_header(rng, bytes, &places),
    }
}

fn flip(rng: &mut SeededRng, bytes: &mut [u8], at: usize) -> String {
    let bit = rng.below(8);
    bytes[at] ^= 1 << bit;
    format!("bit {bit} of {at:#x}")
}

fn find(bytes: &[u8], places: &[usize], kind: u32) -> usize {
    let found = places.iter().find(|at| word(bytes, **at) == Some(kind));
    found.copied().unwrap_or(places[0])
}

/// Image Info: a bit or a whole tag dword, CRCs right afterwards.
fn repaired_info(rng: &mut SeededRng, bytes: &mut [u8], places: &[usize]) -> String {
    let gph = find(bytes, places, 10);
    let body = gph + 16;
    let len = body_len(bytes, gph);
    let what = match rng.below(3) {
        0 => {
            let at = body + rng.below(len);
            flip(rng, bytes, at)
        }
        1 => {
            let at = body + rng.below(len / 4) * 4;
            let value = ((rng.below(24) as u32) << 24) | (rng.below(60) as u32 * 4);
            put(bytes, at, value);
            format!("tag {value:#010x} at {at:#x}")
        }
        _ => {
            let mut tags = vec![0];
            while let Some(tag) = word(bytes, body + tags[tags.len() - 1]) {
                let next = tags[tags.len() - 1] + 4 + (tag & 0xFF_FFFF) as usize;
                if tag >> 24 == 0xFF || next >= len {
                    break;
                }
                tags.push(next);
            }
            let at = body + tags[rng.below(tags.len())];
            let offset = rng.below(4);
            flip(rng, bytes, at + offset)
        }
    };
    repair(bytes);
    format!("Image Info, repaired: {what}")
}

/// Type, size or next of a section, CRCs right afterwards.
fn repaired_chain(rng: &mut SeededRng, bytes: &mut [u8], places: &[usize]) -> String {
    let index = rng.below(places.len());
    let at = places[index];
    let what = match rng.below(5) {
        0 => {
            let kind = rng.below(15) as u32;
            put(bytes, at, kind);
            format!("type {kind} at {at:#x}")
        }
        1 => {
            let size = rng.below(0x200) as u32;
            put(bytes, at + 4, size);
            format!("size {size:#x} at {at:#x}")
        }
        2 => {
            let next = places[rng.below(places.len())] as u32;
            put(bytes, at + 12, next);
            format!("next {next:#x} at {at:#x}")
        }
        3 => {
            let next = [0, 0xFF00_0000, 0xFFFF_FFFF, bytes.len() as u32, 2][rng.below(5)];
            put(bytes, at + 12, next);
            format!("next {next:#x} at {at:#x}")
        }
        _ => {
            let offset = rng.below(16);
            flip(rng, bytes, at + offset)
        }
    };
    repair(bytes);
    format!("chain, repaired: {what}")
}

/// The ROM, a BOOT2 block or a header pointer, CRCs and byte sums right afterwards.
fn repaired_rom_or_header(rng: &mut SeededRng, bytes: &mut [u8], places: &[usize]) -> String {
    let what = match rng.below(4) {
        0 => {
            let gph = find(bytes, places, 5);
            let at = gph + 16 + rng.below(body_len(bytes, gph));
            format!("ROM {}", flip(rng, bytes, at))
        }
        1 => {
            let at = 0x38 + rng.below(0x200);
            format!("BOOT2 {}", flip(rng, bytes, at))
        }
        2 => {
            let target = match rng.below(3) {
                0 => 0,
                1 => places[rng.below(places.len())] as u32 + 16,
                _ => (rng.below(bytes.len() * 2) & !3) as u32,
            };
            put(bytes, 0x34, target);
            format!("GUID pointer {target:#x}")
        }
        _ => {
            let target = match rng.below(3) {
                0 => 0,
                1 => places[rng.below(places.len())] as u32 + 16,
                _ => (rng.below(bytes.len() * 2) & !3) as u32,
            };
            let sum = target.to_be_bytes().iter().fold(0_u8, |s, b| s.wrapping_add(*b));
            put(bytes, 0x2C, target | u32::from(sum.wrapping_neg()) << 24);
            format!("Image Info pointer {target:#x}")
        }
    };
    repair(bytes);
    format!("repaired: {what}")
}
