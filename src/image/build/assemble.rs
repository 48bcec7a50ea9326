//! Laying the parts out: header, BOOT2 blocks, section chain (docs/fs2.md#logical-addresses, docs/fs2.md#a-valid-image).

use super::super::MAGIC;
use super::super::SectionKind;
use super::super::crc::{push_crc, stamp_full_crc};
use super::super::words::{
    AT_GUID_POINTER, AT_INFO_POINTER, AT_SIZE, BLANK_CRC, CHAIN_END, GPH_LEN, HEADER_LEN, gph,
    put_be32, with_check_byte,
};
use super::filler::Filler;
use super::{BuildError, Recipe, info, ini};

/// Load address and code dwords of the BOOT2 blocks of the real image (docs/fs2.md#test-vectors).
const BOOT2: [(u32, usize); 2] = [(0x0010_0040, 0x185), (0x0010_0654, 0x8C5)];

/// Load address and size in dwords of the DDR sections of the real image (docs/fs2.md#test-vectors). Sizes
/// are scaled to the size wanted.
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
/// The one that takes what the others leave.
const LARGEST_DDR: usize = 3;
/// Smallest DDR body made here, in dwords.
const MIN_DDR: u32 = 4;

/// Triplets in the two Configuration sections of the real image, and dwords of Jump addresses.
const TRIPLETS: [usize; 2] = [0x3E4 / 3, 0x5FA / 3];
const JUMPS: usize = 0x18;

/// CR-space words where a running firmware shows its version and build time (docs/hardware.md#running-version).
const CR_VERSION: u32 = 0x1_F064;

/// A section before it has a place.
struct Part {
    kind: u32,
    /// The GPH size word: dwords, bytes for EMT.
    size: u32,
    param: u32,
    body: Vec<u8>,
    crc_blank: bool,
}

impl Part {
    fn new(kind: u32, param: u32, mut body: Vec<u8>) -> Result<Self, BuildError> {
        let bytes = body.len();
        body.resize(bytes.next_multiple_of(4), 0);
        if body.len() > SectionKind::MAX_BODY as usize {
            return Err(BuildError::OutOfRange {
                field: "section size",
                value: bytes as u64,
            });
        }
        let size = if kind == 4 { bytes } else { body.len() / 4 };
        Ok(Self {
            kind,
            size: size as u32,
            param,
            body,
            crc_blank: false,
        })
    }

    fn len(&self) -> usize {
        GPH_LEN + self.body.len() + 4
    }
}

/// Make the image, contiguous.
///
/// # Errors
/// [`BuildError`].
pub fn build(recipe: &Recipe) -> Result<Vec<u8>, BuildError> {
    check_numbers(recipe)?;
    let boot2 = boot2_blocks(recipe);
    let (front, back) = fixed_parts(recipe)?;
    let fixed = HEADER_LEN + boot2.len() + front.iter().chain(&back).map(Part::len).sum::<usize>();
    let ddr = ddr_parts(recipe, fixed)?;

    let mut image = header(recipe)?;
    image.extend(boot2);
    let parts: Vec<&Part> = front.iter().chain(&ddr).chain(&back).collect();
    for (i, part) in parts.iter().enumerate() {
        place(&mut image, part, i + 1 == parts.len())?;
    }
    let blank = recipe.guids.is_none();
    let size = image.len() as u32;
    // Both places lie in the header, which is there.
    let _ = put_be32(&mut image, AT_SIZE, size) && stamp_full_crc(&mut image, blank);
    match stray_signature(&image) {
        Some(at) => Err(BuildError::StraySignature { at: at as u32 }),
        None => Ok(image),
    }
}

fn check_numbers(recipe: &Recipe) -> Result<(), BuildError> {
    let checks: [(&'static str, u64, bool); 5] = [
        (
            "chunk_log2",
            recipe.chunk_log2.unwrap_or(16).into(),
            recipe.chunk_log2.is_none_or(|n| (16..=23).contains(&n)),
        ),
        (
            "guid_entries",
            recipe.guid_entries.into(),
            matches!(recipe.guid_entries, 4 | 6),
        ),
        (
            "boot2_blocks",
            recipe.boot2_blocks.into(),
            matches!(recipe.boot2_blocks, 1 | 2),
        ),
        ("size", recipe.size.into(), recipe.size.is_multiple_of(4)),
        // A larger one could not be pointed into (24 bits), nor fit half of any supported flash.
        ("size", recipe.size.into(), recipe.size <= 0x80_0000),
    ];
    for (field, value, good) in checks {
        if !good {
            return Err(BuildError::OutOfRange { field, value });
        }
    }
    Ok(())
}

/// The header without sizes, pointers and CRC.
fn header(recipe: &Recipe) -> Result<Vec<u8>, BuildError> {
    let failsafe = recipe.chunk_log2.map_or(0, |n| u32::from(n - 16) | 8);
    let failsafe = with_check_byte(failsafe).ok_or(BuildError::OutOfRange {
        field: "chunk_log2",
        value: failsafe.into(),
    })?;
    let mut header = MAGIC.to_vec();
    // 0x10..0x20: opaque words of the real image (docs/fs2.md#header); 0x24: format version 0.
    let words = [
        0x8034_3811,
        0x80C0_0000,
        0xBDC8_0807,
        0x0000_0002,
        0,
        0x0000_0004,
        failsafe,
        0,
        0,
        0,
    ];
    header.extend(words.iter().flat_map(|word: &u32| word.to_be_bytes()));
    Ok(header)
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
fn fixed_parts(recipe: &Recipe) -> Result<(Vec<Part>, Vec<Part>), BuildError> {
    let mut front = vec![Part::new(2, 0, configuration(recipe, 0)?)?];
    if let Some(rom) = &recipe.rom {
        if rom.is_empty() {
            return Err(BuildError::OutOfRange {
                field: "size of the ROM",
                value: 0,
            });
        }
        front.push(Part::new(5, 0, rom.clone())?);
    }
    front.push(guid_part(recipe)?);
    front.push(Part::new(10, 0, info::body(recipe)?)?);
    let mut back = vec![Part::new(2, 0, configuration(recipe, 1)?)?];
    back.push(Part::new(
        3,
        0,
        Filler::new(recipe.seed, 0x20).words(JUMPS),
    )?);
    for (i, extra) in recipe.extra.iter().enumerate() {
        let mut body =
            Filler::new(recipe.seed, 0x30 + i as u64).words(extra.len.div_ceil(4) as usize);
        body.truncate(extra.len as usize);
        back.push(Part::new(extra.kind, 0, body)?);
    }
    if let Some(text) = &recipe.ini {
        back.push(Part::new(9, 0, ini::compressed(text))?);
    }
    Ok((front, back))
}

fn guid_part(recipe: &Recipe) -> Result<Part, BuildError> {
    let blank = [super::super::Guid(u64::MAX); 4];
    let mut entries: Vec<u64> = recipe.guids.unwrap_or(blank).map(|guid| guid.0).to_vec();
    if recipe.guids.is_some() {
        entries.extend(recipe.macs.map(|mac| mac.0));
    }
    entries.resize(recipe.guid_entries.into(), u64::MAX);
    let body = entries
        .iter()
        .flat_map(|entry| entry.to_be_bytes())
        .collect();
    let mut part = Part::new(6, 0, body)?;
    part.crc_blank = recipe.guids.is_none();
    Ok(part)
}

/// Triplets address, value, mask. The first section starts with the words that show the running
/// version (docs/hardware.md#running-version); the addresses of the rest are seeded and mean nothing.
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
    Ok(triplets
        .iter()
        .flatten()
        .flat_map(|word| word.to_be_bytes())
        .collect())
}

/// DDR sections of the sizes the recipe names.
fn given_ddr_parts(recipe: &Recipe) -> Result<Vec<Part>, BuildError> {
    recipe
        .ddr
        .iter()
        .zip(0..)
        .map(|(len, i)| {
            if !len.is_multiple_of(4) {
                return Err(BuildError::OutOfRange {
                    field: "ddr",
                    value: u64::from(*len),
                });
            }
            // More sections than there are addresses share the last one.
            let (param, _) = DDR[DDR.len().min(i + 1) - 1];
            let mut filler = Filler::new(recipe.seed, 0x100 + i as u64);
            Part::new(1, param, filler.code(*len as usize / 4))
        })
        .collect()
}

/// DDR sections that fill the image up to the size wanted; one small one when none is.
fn ddr_parts(recipe: &Recipe, fixed: usize) -> Result<Vec<Part>, BuildError> {
    if !recipe.ddr.is_empty() {
        return given_ddr_parts(recipe);
    }
    let overhead = (GPH_LEN + 4) as u32;
    let least = fixed as u32 + overhead + MIN_DDR * 4;
    let wanted = if recipe.size == 0 { least } else { recipe.size };
    let Some(spare) = wanted.checked_sub(least) else {
        return Err(BuildError::TooSmall {
            needed: least,
            wanted,
        });
    };
    // As many sections as leave each at least its minimum.
    let each = overhead + MIN_DDR * 4;
    let count = DDR.len().min(1 + (spare / each) as usize);
    let chosen: Vec<(usize, &(u32, u32))> = DDR
        .iter()
        .enumerate()
        .filter(|(i, _)| *i == LARGEST_DDR || *i < count - usize::from(count <= LARGEST_DDR))
        .collect();
    let dwords = (wanted - fixed as u32 - overhead * chosen.len() as u32) / 4;
    let weight: u64 = chosen.iter().map(|(_, (_, size))| u64::from(*size)).sum();
    let scaled = |size: u32| -> u32 {
        let share = u64::from(size) * u64::from(dwords) / weight;
        (share as u32).max(MIN_DDR)
    };
    let share_of_others: u32 = chosen
        .iter()
        .filter(|(i, _)| *i != LARGEST_DDR)
        .map(|(_, (_, size))| scaled(*size))
        .sum();
    // In a tiny image the minimum of the many can leave nothing for the largest.
    let tiny = share_of_others + MIN_DDR > dwords;
    let size_of = |size: u32| if tiny { MIN_DDR } else { scaled(size) };
    let others = if tiny {
        MIN_DDR * (chosen.len() as u32 - 1)
    } else {
        share_of_others
    };
    chosen
        .iter()
        .map(|(i, (param, size))| {
            let count = if *i == LARGEST_DDR {
                dwords.saturating_sub(others)
            } else {
                size_of(*size)
            };
            let mut filler = Filler::new(recipe.seed, 0x100 + *i as u64);
            Part::new(1, *param, filler.code(count as usize))
        })
        .collect()
}

/// Append one section; the header learns where the GUID and Image Info bodies are.
fn place(image: &mut Vec<u8>, part: &Part, last: bool) -> Result<(), BuildError> {
    let start = image.len();
    let next = if last {
        CHAIN_END
    } else {
        (start + part.len()) as u32
    };
    image.extend(gph(part.kind, part.size, part.param, next));
    image.extend(&part.body);
    if part.crc_blank {
        image.extend(BLANK_CRC.to_be_bytes());
    } else {
        push_crc(image, start);
    }
    let body = (start + GPH_LEN) as u32;
    let pointer = match part.kind {
        6 => Some((AT_GUID_POINTER, body)),
        10 => {
            let pointer = with_check_byte(body).ok_or(BuildError::OutOfRange {
                field: "place of the Image Info section",
                value: body.into(),
            })?;
            Some((AT_INFO_POINTER, pointer))
        }
        _ => None,
    };
    if let Some((at, value)) = pointer {
        // The header is there from the start.
        let _ = put_be32(image, at, value);
    }
    Ok(())
}

/// A signature anywhere but at 0. Candidates are 64 KiB apart, but a chunk or a later patch may
/// move bytes there, so none is let in at all.
fn stray_signature(image: &[u8]) -> Option<usize> {
    image
        .windows(MAGIC.len())
        .skip(1)
        .position(|window| window == MAGIC)
        .map(|at| at + 1)
}
