//! Images made by hand from docs/fs2.md#a-valid-image, so that the reader is not only tested with what its
//! own house builds.

use crate::image::{
    Depth, Finding, FindingId, FlashAddr, Form, Image, ImageError, MAGIC, crc16, read,
};

pub(super) const IDENTITY: [u64; 6] = [
    0x0002_C900_0100_D050,
    0x0002_C900_0100_D051,
    0x0002_C900_0100_D052,
    0x0002_C900_0100_D053,
    0x0002_C900_0001,
    0x0002_C900_0002,
];

pub(super) fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

pub(super) fn word(image: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(image[at..at + 4].try_into().unwrap())
}

pub(super) fn put(image: &mut [u8], at: usize, value: u32) {
    image[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// `value` with the top byte that makes the byte sum 0.
pub(super) fn with_sum(value: u32) -> u32 {
    let sum: u32 = value.to_be_bytes().iter().map(|&b| u32::from(b)).sum();
    value | (sum.wrapping_neg() & 0xFF) << 24
}

pub(super) fn tag(id: u32, data: &[u8]) -> Vec<u8> {
    let mut tag = bytes(&[id << 24 | data.len() as u32]);
    tag.extend(data);
    tag
}

/// Tags enough for an image without findings.
pub(super) fn info() -> Vec<u8> {
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

pub(super) fn guids() -> Vec<u8> {
    IDENTITY.iter().flat_map(|g| g.to_be_bytes()).collect()
}

/// One section to be laid out.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) kind: u32,
    pub(super) body: Vec<u8>,
    /// Instead of the end of the section.
    pub(super) next: Option<u32>,
}

pub(super) fn part(kind: u32, body: Vec<u8>) -> Part {
    Part {
        kind,
        body,
        next: None,
    }
}

#[derive(Clone)]
pub(super) struct Made {
    pub(super) failsafe: u32,
    pub(super) parts: Vec<Part>,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            failsafe: 0,
            parts: vec![
                part(2, bytes(&[0x1F064, 0x0002_0000, 0xFFFF_0000])),
                part(6, guids()),
                part(10, info()),
                part(1, vec![0xA5; 256]),
            ],
        }
    }
}

impl Made {
    pub(super) fn failsafe() -> Self {
        Self {
            failsafe: 0xF500_000B,
            ..Self::default()
        }
    }

    pub(super) fn with(mut self, kind: u32, body: Vec<u8>) -> Self {
        self.parts.push(part(kind, body));
        self
    }

    pub(super) fn replace(mut self, kind: u32, body: Vec<u8>) -> Self {
        let found = self.parts.iter_mut().find(|p| p.kind == kind).unwrap();
        found.body = body;
        self
    }

    /// Offsets of the sections, and the bytes.
    pub(super) fn build_with_places(&self) -> (Vec<usize>, Vec<u8>) {
        let mut image = MAGIC.to_vec();
        image.resize(0x38, 0);
        for load in [0x0010_0040, 0x0010_0654] {
            let at = image.len();
            image.extend(bytes(&[load, 4, 1, 2, 3, 4, load + 4]));
            let crc = crc16(&image[at..]);
            image.extend(bytes(&[u32::from(crc)]));
        }
        let mut places = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            let at = image.len();
            let end = at + 20 + part.body.len();
            let last = index + 1 == self.parts.len();
            let next = part
                .next
                .unwrap_or(if last { 0xFF00_0000 } else { end as u32 });
            let size = if part.kind == 4 {
                part.body.len()
            } else {
                part.body.len() / 4
            };
            image.extend(bytes(&[part.kind, size as u32, 0, next]));
            image.extend(&part.body);
            let crc = crc16(&image[at..]);
            image.extend(bytes(&[u32::from(crc)]));
            match part.kind {
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

    pub(super) fn build(&self) -> Vec<u8> {
        self.build_with_places().1
    }
}

/// Set the full image CRC.
pub(super) fn seal(image: &mut [u8]) {
    put(image, 0x20, 0xFFFF);
    let crc = crc16(image);
    put(image, 0x20, u32::from(crc));
}

pub(super) fn full(image: &[u8]) -> Image {
    try_full(image).unwrap()
}

pub(super) fn try_full(mut image: &[u8]) -> Result<Image, ImageError> {
    read(&mut image, FlashAddr(0), Form::Contiguous, Depth::Full)
}

pub(super) fn finding(image: &Image, id: FindingId) -> Option<&Finding> {
    image.findings.iter().find(|f| f.id == id)
}
