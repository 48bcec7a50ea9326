//! The tags of an Image Info body (docs/fs2.md#image-info-section).

use super::{BuildDate, Info, Version, be32};
use crate::escape::ForeignText;
use serde::Serialize;

/// Longest list of hardware ids that mstflint can hold (docs/fs2.md#image-info-section).
const MAX_HW_IDS: usize = 200;

/// The tag behind the last one.
const END: u8 = 0xFF;

/// The bytes of one tag and what follows it. mstflint copies fixed lengths whatever size a tag has;
/// so do the accessors here, but what lies behind the section reads as zero.
#[derive(Clone, Copy)]
struct TagData<'a> {
    rest: &'a [u8],
    size: usize,
}

impl<'a> TagData<'a> {
    fn word(self, index: usize) -> u32 {
        be32(self.rest, index * 4).unwrap_or(0)
    }

    /// Upper and lower half of a word.
    fn halves(self, index: usize) -> (u16, u16) {
        let word = self.word(index);
        ((word >> 16) as u16, word as u16)
    }

    fn own(self) -> &'a [u8] {
        &self.rest[..self.size.min(self.rest.len())]
    }

    /// Text of at most `max` bytes, ended by a NUL or the section.
    fn text(self, max: usize) -> Option<ForeignText> {
        let field = &self.rest[..max.min(self.rest.len())];
        let text = field.split(|&b| b == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned().into())
    }

    fn version(self) -> Version {
        let (minor, subminor) = self.halves(1);
        Version { major: self.halves(0).0, minor, subminor }
    }
}

/// Why the tags of an Image Info section do not fit its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub enum TagFault {
    /// A tag ends behind the section. Tags are numbered from 0.
    #[error(
        "tag {number} (id {id}, {size} bytes) exceeds the Image Info section of {section} bytes"
    )]
    TooLong { number: u32, id: u8, size: u32, section: u32 },
    /// The end tag is missing, or ends here instead of at the end of the section.
    #[error("the end tag of the Image Info section is not at its end ({section:#x} bytes)")]
    EndTag { section: u32, end: Option<u32> },
}

impl Info {
    /// Adds the tags of `body`; later tags replace earlier ones, like in mstflint, which parses
    /// each Image Info section into the same fields.
    ///
    /// A tag whose size is no multiple of 4 makes the two cursors of mstflint differ: the one it
    /// reads from advances by whole dwords. This does the same and never leaves `body`.
    pub(super) fn take_tags(&mut self, body: &[u8]) -> Result<(), TagFault> {
        let (mut offset, mut cursor) = (0, 0);
        let mut ended = false;
        // A section has at most 4 MiB, so its offsets and counts fit u32.
        let section = body.len() as u32;
        for number in 0.. {
            if ended || offset >= body.len() {
                break;
            }
            let head = be32(body, cursor).unwrap_or(0);
            let [id, ..] = head.to_be_bytes();
            let size = (head & 0xFF_FFFF) as usize;
            if offset + size > body.len() {
                return Err(TagFault::TooLong { number, id, size: size as u32, section });
            }
            let rest = body.get(cursor + 4..).unwrap_or_default();
            self.take(id, TagData { rest, size });
            ended = id == END;
            if !ended {
                self.tags.push((id, cursor as u32 + 4, size as u32));
            }
            cursor += size / 4 * 4 + 4;
            offset += size + 4;
        }
        if offset == body.len() {
            return Ok(());
        }
        Err(TagFault::EndTag { section, end: ended.then_some(offset as u32) })
    }

    fn take(&mut self, tag: u8, data: TagData<'_>) {
        match tag {
            1 => self.fw_version = Some(data.version()),
            2 => {
                let [y1, y0, month_bcd, day_bcd] = data.word(1).to_be_bytes();
                self.release_date =
                    Some(BuildDate { year_bcd: u16::from_be_bytes([y1, y0]), month_bcd, day_bcd });
            }
            3 => self.device_id = Some(data.halves(0).1),
            4 => self.psid = data.text(16),
            5 => {
                self.vsd = data.text(208);
                self.vsd_raw = Some(data.own().to_vec());
            }
            7 => self.product_version = data.text(16),
            8 => self.vsd_vendor_id = Some(data.halves(0).1),
            9 => self.is_ga = Some(data.word(0) != 0),
            10 => self.supported_hw = Some(supported_hw(data)),
            11 => self.mic_version = Some(data.version()),
            12 => {
                let ((a, b), (c, d)) = (data.halves(0), data.halves(1));
                self.min_fit_version = Some([a, b, c, d]);
            }
            13 => {
                self.hw_access_key = Some(data.word(0) != 0 || data.word(1) != 0);
            }
            19 => {
                self.config_sectors = Some(data.word(0));
                self.config_pad = Some(data.word(1));
                if data.size > 8 {
                    // 1024 << v; a shift that leaves 32 bits means no size at all.
                    self.sector_size =
                        1024u32.checked_mul(1u32.checked_shl(data.word(2)).unwrap_or(0));
                    self.sector_size = self.sector_size.filter(|&size| size != 0);
                }
            }
            20 => self.prs_name = data.text(99),
            _ => {}
        }
    }
}

fn supported_hw(data: TagData<'_>) -> Vec<(u16, u8)> {
    let words = (data.size / 4).min(data.rest.len() / 4).min(MAX_HW_IDS);
    (0..words)
        .map(|index| data.word(index))
        .take_while(|&word| word != 0)
        .map(|word| {
            let [_, revision, high, low] = word.to_be_bytes();
            (u16::from_be_bytes([high, low]), revision)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    fn parse(body: &[u8]) -> Result<Info, TagFault> {
        let mut info = Info::default();
        info.take_tags(body).map(|()| info)
    }

    #[test]
    fn psid_uses_all_sixteen_bytes() {
        let mut body = words(&[0x0400_0010]);
        body.extend(b"ABCDEFGHIJKLMNOP");
        body.extend(words(&[0xFF00_0000]));
        assert_eq!(parse(&body).unwrap().psid, Some("ABCDEFGHIJKLMNOP".into()));
    }

    #[test]
    fn a_short_text_tag_is_shown_with_what_follows_it_and_carried_alone() {
        // A VSD of 4 bytes, then a device type.
        let mut body = words(&[0x0500_0004]);
        body.extend(b"abcd");
        body.extend(words(&[0x0300_0004, 4099, 0xFF00_0000]));
        let info = parse(&body).unwrap();
        assert_eq!(info.vsd, Some("abcd\x03".into()));
        assert_eq!(info.vsd_raw.as_deref(), Some(&b"abcd"[..]));
        assert_eq!(info.device_id, Some(4099));
    }

    #[test]
    fn later_tags_of_the_same_id_win() {
        let body = words(&[0x0300_0004, 4099, 0x0300_0004, 4103, 0xFF00_0000]);
        let info = parse(&body).unwrap();
        assert_eq!(info.device_id, Some(4103));
        assert_eq!(info.tag(3), Some((12, 4)));
        assert_eq!(info.tag(4), None);
    }

    #[test]
    fn tags_that_do_not_fit_the_section_are_faults() {
        let (number, id, size, section) = (1, 4, 16, 12);
        assert_eq!(
            parse(&words(&[0x0300_0004, 4099, 0x0400_0010])).unwrap_err(),
            TagFault::TooLong { number, id, size, section }
        );
        let (section, end) = (16, Some(12));
        assert_eq!(
            parse(&words(&[0x0300_0004, 4099, 0xFF00_0000, 0])).unwrap_err(),
            TagFault::EndTag { section, end }
        );
        // The test counts the offset of the tag's header, so 4 bytes too many pass it.
        let (section, end) = (8, None);
        assert_eq!(
            parse(&words(&[0x0300_0008, 4099])).unwrap_err(),
            TagFault::EndTag { section, end }
        );
    }

    #[test]
    fn list_of_hardware_ids_is_bounded_and_ends_at_zero() {
        let body = words(&[0x0A00_000C, 0x0001_01F5, 0, 0x01F7, 0xFF00_0000]);
        assert_eq!(parse(&body).unwrap().supported_hw, Some(vec![(501, 1)]));
        let mut body = words(&[0x0A00_0FA0]);
        body.extend(words(&[501; 1000]));
        body.extend(words(&[0xFF00_0000]));
        assert_eq!(parse(&body).unwrap().supported_hw.unwrap().len(), MAX_HW_IDS);
    }

    #[test]
    fn impossible_sector_sizes_are_none() {
        for (log2, want) in [(2, Some(4096)), (21, Some(1 << 31)), (22, None), (u32::MAX, None)] {
            let body = words(&[0x1300_000C, 2, 0, log2, 0xFF00_0000]);
            assert_eq!(parse(&body).unwrap().sector_size, want, "{log2}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&body);
        }

        #[test]
        fn any_sizes_end_without_a_panic(
            tags in proptest::collection::vec((0u8..22, 0u32..64, any::<u32>()), 0..40)
        ) {
            let body: Vec<u8> = tags
                .iter()
                .flat_map(|&(id, size, word)| words(&[u32::from(id) << 24 | size, word, word]))
                .collect();
            if let Ok(info) = parse(&body) {
                for (_, at, size) in info.tags {
                    prop_assert!(at as usize + size as usize <= body.len() + 3);
                }
            }
        }
    }
}
