//! Laying out an image: header, BOOT2 blocks, section chain (docs/fs2.md#a-valid-image).

use super::filler::Filler;
use super::{BuildError, Recipe, info, ini};
use crate::image::crc::{push_crc, stamp_full_crc};
use crate::image::new_section::NewSection;
use crate::image::words::{
    AT_GUID_POINTER, AT_INFO_POINTER, AT_SIZE, CHAIN_END, GPH_LEN, HEADER_LEN, put_be32,
    with_check_byte,
};
use crate::image::{Guid, MAGIC};

/// Load address and code dwords of the BOOT2 blocks of the real image (docs/fs2.md#test-vectors).
const BOOT2: [(u32, usize); 2] = [(0x0010_0040, 0x185), (0x0010_0654, 0x8C5)];

/// Load address and size in dwords of the DDR sections of the real image
/// (docs/fs2.md#test-vectors). Sizes are scaled to the size of the recipe.
const DDR: [(u32, u32); 12] = [
    (0x0010_2968, 0x34E1),
    (0x8016_0000, 0x414),
    (0x001A_0000, 0xEF),
    (0x0020_0000, 0xF8EF),
    (0x001C_0000, 0x139C),
    (0x8014_0000, 0x1178),
    (0x0040_0000, 0x2B9),
    (0x8030_0000, 0xC064),
    (0x0012_0040, 0xEE6),
    (0x8027_0000, 0x5538),
    (0x001E_0000, 0x3D),
    (0x8018_0000, 0x141C),
];
/// The one that takes the rest of the size.
const LARGEST_DDR: usize = 3;
/// Smallest DDR body made here, in dwords.
const MIN_DDR: u32 = 4;

/// Triplets in the two Configuration sections of the real image, and dwords of Jump addresses.
const TRIPLETS: [usize; 2] = [0x3E4 / 3, 0x5FA / 3];
const JUMPS: usize = 0x18;

/// CR-space words where a running firmware shows its version and build time
/// (docs/hardware.md#running-version).
const CR_VERSION: u32 = 0x1_F064;

fn new_section(kind: u32, param: u32, body: Vec<u8>) -> Result<NewSection, BuildError> {
    let bytes = body.len() as u64;
    NewSection::new(kind, param, body)
        .ok_or_else(|| BuildError::out_of_range("section size", bytes))
}

/// Makes the image, contiguous.
pub fn build(recipe: &Recipe) -> Result<Vec<u8>, BuildError> {
    check_numbers(recipe)?;
    let boot2 = boot2_blocks(recipe);
    let (front, back) = fixed_sections(recipe)?;
    let fixed = front.iter().chain(&back).map(NewSection::len).sum::<usize>();
    let ddr = ddr_sections(recipe, HEADER_LEN + boot2.len() + fixed)?;

    let mut image = header(recipe)?;
    image.extend(boot2);
    let sections: Vec<_> = front.iter().chain(&ddr).chain(&back).collect();
    for (i, section) in sections.iter().enumerate() {
        place(&mut image, section, i + 1 == sections.len())?;
    }
    let size = image.len() as u32;
    // Both places lie in the header, which is there.
    let _ =
        put_be32(&mut image, AT_SIZE, size) && stamp_full_crc(&mut image, recipe.guids.is_none());
    match stray_signature(&image) {
        Some(at) => Err(BuildError::StraySignature { at: at as u32 }),
        None => Ok(image),
    }
}

fn check_numbers(recipe: &Recipe) -> Result<(), BuildError> {
    let chunk_log2 = recipe.chunk_log2.unwrap_or(16);
    let (entries, blocks, size) = (recipe.guid_entries, recipe.boot2_blocks, recipe.size);
    // A larger image could not be pointed into (24 bits), nor fit half of any supported flash.
    let size_ok = size.is_multiple_of(4) && size <= 0x80_0000;
    let chunk_ok = (16..=23).contains(&chunk_log2);
    let mut rows = [
        ("chunk_log2", chunk_log2.into(), chunk_ok),
        ("guid_entries", entries.into(), matches!(entries, 4 | 6)),
        ("boot2_blocks", blocks.into(), matches!(blocks, 1 | 2)),
        ("size", size, size_ok),
    ]
    .into_iter();
    match rows.find(|(.., good)| !good) {
        Some((field, value, _)) => Err(BuildError::out_of_range(field, value)),
        None => Ok(()),
    }
}

/// The header without sizes, pointers and CRC.
fn header(recipe: &Recipe) -> Result<Vec<u8>, BuildError> {
    let failsafe = recipe.chunk_log2.map_or(0, |n| u32::from(n - 16) | 8);
    let failsafe = with_check_byte(failsafe)
        .ok_or_else(|| BuildError::out_of_range("chunk_log2", failsafe))?;
    // 0x10..0x20: opaque words of the real image (docs/fs2.md#header); 0x24: format version 0.
    let words =
        [0x8034_3811, 0x80C0_0000, 0xBDC8_0807, 0x0000_0002, 0, 0x0000_0004, failsafe, 0, 0, 0];
    let words = words.into_iter().flat_map(u32::to_be_bytes);
    Ok(MAGIC.into_iter().chain(words).collect())
}

fn boot2_blocks(recipe: &Recipe) -> Vec<u8> {
    let mut bytes = Vec::new();
    let blocks = BOOT2.iter().take(recipe.boot2_blocks.into());
    for (i, (load, count)) in blocks.enumerate() {
        let start = bytes.len();
        bytes.extend(load.to_be_bytes());
        bytes.extend((*count as u32).to_be_bytes());
        bytes.extend(Filler::new(recipe.seed, 1 + i as u64).words(*count));
        bytes.extend((load + 4).to_be_bytes());
        push_crc(&mut bytes, start);
    }
    bytes
}

/// Sections in front of the DDR ones, and those behind them.
fn fixed_sections(recipe: &Recipe) -> Result<(Vec<NewSection>, Vec<NewSection>), BuildError> {
    let mut front = vec![new_section(2, 0, configuration(recipe, 0)?)?];
    if let Some(rom) = &recipe.rom {
        front.push(new_section(5, 0, rom.clone())?);
    }
    front.push(guid_section(recipe)?);
    front.push(new_section(10, 0, info::body(recipe)?)?);
    let jumps = Filler::new(recipe.seed, 0x20).words(JUMPS);
    let mut back = vec![new_section(2, 0, configuration(recipe, 1)?)?, new_section(3, 0, jumps)?];
    for (i, extra) in recipe.extra.iter().enumerate() {
        let mut filler = Filler::new(recipe.seed, 0x30 + i as u64);
        let mut body = filler.words(extra.len.div_ceil(4) as usize);
        body.truncate(extra.len as usize);
        back.push(new_section(extra.kind, 0, body)?);
    }
    if let Some(text) = &recipe.ini {
        back.push(new_section(9, 0, ini::compressed(text))?);
    }
    Ok((front, back))
}

fn guid_section(recipe: &Recipe) -> Result<NewSection, BuildError> {
    let mut entries: Vec<u64> = match recipe.guids {
        Some(guids) => {
            guids.map(|Guid(guid)| guid).into_iter().chain(recipe.macs.map(|mac| mac.0)).collect()
        }
        None => Vec::new(),
    };
    entries.resize(recipe.guid_entries.into(), u64::MAX);
    let body = entries.into_iter().flat_map(u64::to_be_bytes).collect();
    let mut section = new_section(6, 0, body)?;
    section.crc_blank = recipe.guids.is_none();
    Ok(section)
}

/// Triplets address, value, mask. The first section starts with the words that show the running
/// version (docs/hardware.md#running-version); the addresses of the rest are seeded and mean
/// nothing.
fn configuration(recipe: &Recipe, which: usize) -> Result<Vec<u8>, BuildError> {
    let mut triplets: Vec<[u32; 3]> = Vec::with_capacity(TRIPLETS[which]);
    if which == 0 {
        let version = recipe.version;
        let minor = u32::from(version.minor) << 16 | u32::from(version.subminor);
        let [_, hour, minute, second] = info::time_word(recipe)?.to_be_bytes();
        let time = u32::from_be_bytes([second, minute, hour, 0]);
        triplets.push([CR_VERSION, u32::from(version.major) << 16, 0xFFFF_0000]);
        triplets.push([CR_VERSION + 4, minor, u32::MAX]);
        triplets.push([CR_VERSION + 8, time, 0xFFFF_FF00]);
        triplets.push([CR_VERSION + 12, info::date_word(recipe)?, u32::MAX]);
    }
    let mut filler = Filler::new(recipe.seed, 0x10 + which as u64);
    while triplets.len() < TRIPLETS[which] {
        // A range no register of the simulated card lies in.
        let address = 0x4_0000 | filler.word() & 0x3_FFFC;
        triplets.push([address, filler.word(), u32::MAX]);
    }
    let words = triplets.into_iter().flatten();
    Ok(words.flat_map(u32::to_be_bytes).collect())
}

/// A DDR section like number `index` of the real image.
fn ddr_section(recipe: &Recipe, index: usize, dwords: u32) -> Result<NewSection, BuildError> {
    // More sections than there are addresses share the last one.
    let (param, _) = DDR[index.min(DDR.len() - 1)];
    let mut filler = Filler::new(recipe.seed, 0x100 + index as u64);
    new_section(1, param, filler.code(dwords as usize))
}

/// DDR sections of the sizes the recipe names, or such that fill the image up to its size; one
/// small one when it names no size.
fn ddr_sections(recipe: &Recipe, fixed: usize) -> Result<Vec<NewSection>, BuildError> {
    if let Some(len) = recipe.ddr.iter().find(|len| !len.is_multiple_of(4)) {
        return Err(BuildError::out_of_range("ddr", *len));
    }
    if !recipe.ddr.is_empty() {
        let sections = recipe.ddr.iter().enumerate();
        return sections.map(|(i, len)| ddr_section(recipe, i, len / 4)).collect();
    }
    let overhead = (GPH_LEN + 4) as u32;
    let each = overhead + MIN_DDR * 4;
    let needed = fixed as u32 + each;
    let wanted = if recipe.size == 0 { needed } else { recipe.size };
    let spare = wanted.checked_sub(needed);
    let spare = spare.ok_or(BuildError::TooSmall { needed, wanted })?;
    // As many sections as leave each at least its minimum, the largest among them.
    let count = DDR.len().min(1 + (spare / each) as usize);
    let others = count - usize::from(count <= LARGEST_DDR);
    let chosen = DDR.iter().enumerate().filter(|(i, _)| *i == LARGEST_DDR || *i < others);
    let mut sizes: Vec<(usize, u32)> = chosen.map(|(i, (_, size))| (i, *size)).collect();
    let dwords = (wanted - fixed as u32 - overhead * sizes.len() as u32) / 4;
    let weight: u64 = sizes.iter().map(|(_, size)| u64::from(*size)).sum();
    for (_, size) in &mut sizes {
        *size = ((u64::from(*size) * u64::from(dwords) / weight) as u32).max(MIN_DDR);
    }
    let of_others = |sizes: &[(usize, u32)]| -> u32 {
        let others = sizes.iter().filter(|(i, _)| *i != LARGEST_DDR);
        others.map(|(_, size)| size).sum()
    };
    // In a tiny image the minimum of the many can leave nothing for the largest.
    if of_others(&sizes) + MIN_DDR > dwords {
        sizes.iter_mut().for_each(|(_, size)| *size = MIN_DDR);
    }
    let largest = dwords.saturating_sub(of_others(&sizes));
    sizes
        .into_iter()
        .map(|(i, size)| ddr_section(recipe, i, if i == LARGEST_DDR { largest } else { size }))
        .collect()
}

/// Appends one section; the header gets the places of the GUID and Image Info bodies.
fn place(image: &mut Vec<u8>, section: &NewSection, last: bool) -> Result<(), BuildError> {
    let body = section.push(image, last.then_some(CHAIN_END));
    // The header is there from the start.
    let _ = match section.kind {
        6 => put_be32(image, AT_GUID_POINTER, body),
        10 => {
            let pointer = with_check_byte(body)
                .ok_or_else(|| BuildError::out_of_range("place of the Image Info section", body))?;
            put_be32(image, AT_INFO_POINTER, pointer)
        }
        _ => true,
    };
    Ok(())
}

/// A signature anywhere but at 0. Candidates are 64 KiB apart, but a chunk or a later patch may
/// move bytes there, so none is let in at all.
fn stray_signature(image: &[u8]) -> Option<usize> {
    image.windows(MAGIC.len()).skip(1).position(|window| window == MAGIC).map(|at| at + 1)
}
