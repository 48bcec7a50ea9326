//! Images made by hand from docs/fs2.md#a-valid-image, so that the reader is not only tested with
//! what the builder makes.

use crate::image::{
    Depth, Finding, FindingId, FlashAddr, Form, Image, ImageError, MAGIC, crc16, read,
};

pub(crate) const IDENTITY: [u64; 6] = [
    0x0002_C900_0100_D050,
    0x0002_C900_0100_D051,
    0x0002_C900_0100_D052,
    0x0002_C900_0100_D053,
    0x0002_C900_0001,
    0x0002_C900_0002,
];

pub(crate) fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

pub(crate) fn word(image: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(image[at..at + 4].try_into().unwrap())
}

pub(crate) fn put(image: &mut [u8], at: usize, value: u32) {
    image[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// `value` with the top byte that makes the byte sum 0.
pub(crate) fn with_sum(value: u32) -> u32 {
    let sum: u32 = value.to_be_bytes().iter().map(|&b| u32::from(b)).sum();
    value | (sum.wrapping_neg() & 0xFF) << 24
}

pub(crate) fn tag(id: u32, data: &[u8]) -> Vec<u8> {
    let mut tag = bytes(&[id << 24 | data.len() as u32]);
    tag.extend(data);
    tag
}

/// Tags enough for an image without findings.
pub(crate) fn info() -> Vec<u8> {
    let mut psid = b"MT_1170110023".to_vec();
    psid.resize(16, 0);
    let mut vsd = b"n/a".to_vec();
    vsd.resize(208, 0);
    [
        tag(1, &bytes(&[0x0002_0000, 0x002A_1388])),
        tag(2, &bytes(&[0x0014_0336, 0x2017_0905])),
        tag(3, &bytes(&[4099])),
        tag(4, &psid),
        tag(5, &vsd),
        tag(11, &bytes(&[0x0002_0000, 0])),
        tag(0xFF, &[]),
    ]
    .concat()
}

pub(crate) fn guids() -> Vec<u8> {
    IDENTITY.iter().flat_map(|g| g.to_be_bytes()).collect()
}

/// One section to be laid out.
#[derive(Clone)]
pub(crate) struct MadeSection {
    pub(crate) kind: u32,
    pub(crate) body: Vec<u8>,
    /// Instead of the end of the section.
    pub(crate) next: Option<u32>,
}

pub(crate) fn section(kind: u32, body: Vec<u8>) -> MadeSection {
    MadeSection { kind, body, next: None }
}

#[derive(Clone)]
pub(crate) struct MadeImage {
    pub(crate) failsafe: u32,
    pub(crate) sections: Vec<MadeSection>,
}

impl Default for MadeImage {
    fn default() -> Self {
        Self {
            failsafe: 0,
            sections: vec![
                section(2, bytes(&[0x1F064, 0x0002_0000, 0xFFFF_0000])),
                section(6, guids()),
                section(10, info()),
                section(1, vec![0xA5; 256]),
            ],
        }
    }
}

impl MadeImage {
    pub(crate) fn failsafe() -> Self {
        Self { failsafe: 0xF500_000B, ..Self::default() }
    }

    pub(crate) fn with(mut self, kind: u32, body: Vec<u8>) -> Self {
        self.sections.push(section(kind, body));
        self
    }

    pub(crate) fn replace(mut self, kind: u32, body: Vec<u8>) -> Self {
        let found = self.sections.iter_mut().find(|p| p.kind == kind).unwrap();
        found.body = body;
        self
    }

    /// Offsets of the sections, and the bytes.
    pub(crate) fn build_with_places(&self) -> (Vec<usize>, Vec<u8>) {
        let mut image = MAGIC.to_vec();
        image.resize(0x38, 0);
        for load in [0x0010_0040, 0x0010_0654] {
            let at = image.len();
            image.extend(bytes(&[load, 4, 1, 2, 3, 4, load + 4]));
            let crc = crc16(&image[at..]);
            image.extend(bytes(&[u32::from(crc)]));
        }
        let mut places = Vec::new();
        for (index, section) in self.sections.iter().enumerate() {
            let at = image.len();
            let end = at + 20 + section.body.len();
            let last = index + 1 == self.sections.len();
            let next = section.next.unwrap_or(if last { 0xFF00_0000 } else { end as u32 });
            let size = if section.kind == 4 { section.body.len() } else { section.body.len() / 4 };
            image.extend(bytes(&[section.kind, size as u32, 0, next]));
            image.extend(&section.body);
            let crc = crc16(&image[at..]);
            image.extend(bytes(&[u32::from(crc)]));
            match section.kind {
                6 => put(&mut image, 0x34, at as u32 + 16),
                10 => put(&mut image, 0x2C, with_sum(at as u32 + 16)),
                _ => {}
            }
            places.push(at);
        }
        let len = image.len() as u32;
        put(&mut image, 0x24, 4);
        put(&mut image, 0x28, self.failsafe);
        put(&mut image, 0x30, len);
        seal(&mut image);
        (places, image)
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        self.build_with_places().1
    }
}

/// Set the full image CRC.
pub(crate) fn seal(image: &mut [u8]) {
    put(image, 0x20, 0xFFFF);
    let crc = crc16(image);
    put(image, 0x20, u32::from(crc));
}

pub(crate) fn full(image: &[u8]) -> Image {
    try_full(image).unwrap()
}

pub(crate) fn try_full(mut image: &[u8]) -> Result<Image, ImageError> {
    read(&mut image, FlashAddr(0), Form::Contiguous, Depth::Full)
}

pub(crate) fn finding(image: &Image, id: FindingId) -> Option<&Finding> {
    image.findings.iter().find(|f| f.id == id)
}

/// A version block of a ROM.
pub(crate) fn rom_block(product_id: u32, version: (u32, u32, u32), w2: u32) -> Vec<u8> {
    let mut bytes = b"mlxsign:".to_vec();
    let (a, b, c) = version;
    for word in [product_id << 16 | a, b << 16 | c, w2] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

/// 512 bytes with a right checksum and these blocks at the end.
pub(crate) fn rom(blocks: &[Vec<u8>]) -> Vec<u8> {
    let tail = blocks.concat();
    let mut bytes = vec![0; 512 - tail.len()];
    bytes[..3].copy_from_slice(&[0x55, 0xAA, 1]);
    bytes.extend(tail);
    let sum = bytes.iter().fold(0u8, |s, &b| s.wrapping_add(b));
    bytes[3] = sum.wrapping_neg();
    bytes
}
