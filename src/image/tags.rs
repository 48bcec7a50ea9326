//! Parsing the tags of an Image Info body (docs/fs2.md#image-info-section).

use super::{BuildDate, Info, Version};

/// Longest list of hardware ids flint has room for (docs/fs2.md#image-info-section "Traps").
const MAX_HW_IDS: usize = 200;

/// The tags by their vendor's names.
mod id {
    pub(super) const FW_VERSION: u8 = 1;
    pub(super) const BUILD_TIME: u8 = 2;
    pub(super) const DEVICE_TYPE: u8 = 3;
    pub(super) const PSID: u8 = 4;
    pub(super) const VSD: u8 = 5;
    pub(super) const PRODUCT_VERSION: u8 = 7;
    pub(super) const VSD_VENDOR_ID: u8 = 8;
    pub(super) const IS_GA: u8 = 9;
    pub(super) const SUPPORTED_HW: u8 = 10;
    pub(super) const MIC_VERSION: u8 = 11;
    pub(super) const MIN_FIT_VERSION: u8 = 12;
    pub(super) const HW_ACCESS_KEY: u8 = 13;
    pub(super) const CONFIG_AREA: u8 = 19;
    pub(super) const PRS_NAME: u8 = 20;
    pub(super) const END: u8 = 0xFF;
}

/// The bytes of one tag and what follows it. flint copies fixed lengths whatever a tag's size says;
/// so do the accessors here, but what lies behind the section reads as zero.
#[derive(Clone, Copy)]
struct Data<'a> {
    rest: &'a [u8],
    size: usize,
}

impl<'a> Data<'a> {
    fn word(self, index: usize) -> u32 {
        let found = self.rest.get(index * 4..).and_then(|b| b.first_chunk());
        found.map_or(0, |b| u32::from_be_bytes(*b))
    }

    /// Upper and lower half of a word.
    fn halves(self, index: usize) -> (u16, u16) {
        let [a, b, c, d] = self.word(index).to_be_bytes();
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }

    fn own(self) -> &'a [u8] {
        &self.rest[..self.size.min(self.rest.len())]
    }

    /// Text of at most `max` bytes, ended by a NUL or the section.
    fn text(self, max: usize) -> Vec<u8> {
        let field = &self.rest[..max.min(self.rest.len())];
        let end = field.iter().position(|&b| b == 0);
        field[..end.unwrap_or(field.len())].to_vec()
    }

    fn version(self) -> Version {
        let (minor, subminor) = self.halves(1);
        Version {
            major: self.halves(0).0,
            minor,
            subminor,
        }
    }
}

impl Info {
    /// Take the tags of `body` in; later tags win over earlier ones, as in flint, which parses each
    /// Image Info section it meets into the same place.
    ///
    /// A tag whose size is no multiple of 4 makes flint's two cursors part: the one it reads from
    /// advances by whole dwords. This follows it, and never leaves `body`.
    ///
    /// # Errors
    /// flint's text, when tags and body size do not fit each other.
    pub(super) fn take_tags(&mut self, body: &[u8]) -> Result<(), String> {
        let (mut offset, mut cursor) = (0, 0);
        let mut number = 0;
        let mut ended = false;
        while !ended && offset < body.len() {
            let rest = body.get(cursor..).unwrap_or_default();
            let head = Data { rest, size: 0 }.word(0);
            let [tag, ..] = head.to_be_bytes();
            let size = (head & 0xFF_FFFF) as usize;
            if offset + size > body.len() {
                return Err(format!(
                    "Info section corrupted: Tag {number} (TagId {tag}, size {size}) exceeds \
                     Info section size ({} bytes) ",
                    body.len()
                ));
            }
            let rest = rest.get(4..).unwrap_or_default();
            self.take(tag, Data { rest, size });
            ended = tag == id::END;
            if !ended {
                // Both fit: `size` has 24 bits, and a section is at most 4 MiB.
                self.tags.push((tag, cursor as u32 + 4, size as u32));
            }
            cursor += size / 4 * 4 + 4;
            offset += size + 4;
            number += 1;
        }
        if offset == body.len() {
            return Ok(());
        }
        let found = if ended {
            format!("but end tag found after {offset:#x} bytes.")
        } else {
            "but end tag not found before section end.".to_owned()
        };
        Err(format!(
            "Info section corrupted: Section data size is {:#x} bytes, {found}",
            body.len()
        ))
    }

    fn take(&mut self, tag: u8, data: Data<'_>) {
        let text = |max| {
            let raw = data.text(max);
            (Some(String::from_utf8_lossy(&raw).into_owned()), raw)
        };
        match tag {
            id::FW_VERSION => self.fw_version = Some(data.version()),
            id::BUILD_TIME => {
                let [y1, y0, month_bcd, day_bcd] = data.word(1).to_be_bytes();
                self.release_date = Some(BuildDate {
                    year_bcd: u16::from_be_bytes([y1, y0]),
                    month_bcd,
                    day_bcd,
                });
            }
            id::DEVICE_TYPE => self.device_id = Some(data.halves(0).1),
            id::PSID => (self.psid, self.raw.psid) = text(16),
            id::VSD => {
                (self.vsd, self.raw.vsd) = text(208);
                self.vsd_raw = Some(data.own().to_vec());
            }
            id::PRODUCT_VERSION => {
                (self.product_version, self.raw.product_version) = text(16);
            }
            id::VSD_VENDOR_ID => self.vsd_vendor_id = Some(data.halves(0).1),
            id::IS_GA => self.is_ga = Some(data.word(0) != 0),
            id::SUPPORTED_HW => self.supported_hw = Some(supported_hw(data)),
            id::MIC_VERSION => self.mic_version = Some(data.version()),
            id::MIN_FIT_VERSION => {
                let ((a, b), (c, d)) = (data.halves(0), data.halves(1));
                self.min_fit_version = Some([a, b, c, d]);
            }
            id::HW_ACCESS_KEY => {
                self.hw_access_key = Some(data.word(0) != 0 || data.word(1) != 0);
            }
            id::CONFIG_AREA => {
                self.config_sectors = Some(data.word(0));
                self.config_pad = Some(data.word(1));
                if data.size > 8 {
                    // 1024 << v; a shift that leaves 32 bits means no size at all.
                    self.sector_size =
                        1024u32.checked_mul(1u32.checked_shl(data.word(2)).unwrap_or(0));
                    self.sector_size = self.sector_size.filter(|&size| size != 0);
                }
            }
            id::PRS_NAME => (self.prs_name, self.raw.prs_name) = text(99),
            _ => {}
        }
    }
}

fn supported_hw(data: Data<'_>) -> Vec<(u16, u8)> {
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

    fn parse(body: &[u8]) -> Result<Info, String> {
        let mut info = Info::default();
        info.take_tags(body).map(|()| info)
    }

    #[test]
    fn psid_uses_all_sixteen_bytes() {
        let mut body = words(&[0x0400_0010]);
        body.extend(b"ABCDEFGHIJKLMNOP");
        body.extend(words(&[0xFF00_0000]));
        assert_eq!(
            parse(&body).unwrap().psid.as_deref(),
            Some("ABCDEFGHIJKLMNOP")
        );
    }

    #[test]
    fn short_text_tags_show_what_flint_shows_but_carry_only_their_own() {
        // A VSD of 4 bytes, then a device type.
        let mut body = words(&[0x0500_0004]);
        body.extend(b"abcd");
        body.extend(words(&[0x0300_0004, 4099, 0xFF00_0000]));
        let info = parse(&body).unwrap();
        assert_eq!(info.raw.vsd, b"abcd\x03");
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
    fn sizes_that_do_not_fit_give_the_texts_of_flint() {
        assert_eq!(
            parse(&words(&[0x0300_0004, 4099, 0x0400_0010])).unwrap_err(),
            "Info section corrupted: Tag 1 (TagId 4, size 16) exceeds Info section size (12 bytes) "
        );
        assert_eq!(
            parse(&words(&[0x0300_0004, 4099, 0xFF00_0000, 0])).unwrap_err(),
            "Info section corrupted: Section data size is 0x10 bytes, \
             but end tag found after 0xc bytes."
        );
        // The test counts the offset of the tag's header, so 4 bytes too many pass it.
        assert_eq!(
            parse(&words(&[0x0300_0008, 4099])).unwrap_err(),
            "Info section corrupted: Section data size is 0x8 bytes, \
             but end tag not found before section end."
        );
    }

    #[test]
    fn list_of_hardware_ids_is_bounded_and_ends_at_zero() {
        let body = words(&[0x0A00_000C, 0x0001_01F5, 0, 0x01F7, 0xFF00_0000]);
        assert_eq!(parse(&body).unwrap().supported_hw, Some(vec![(501, 1)]));
        let mut body = words(&[0x0A00_0FA0]);
        body.extend(words(&[501; 1000]));
        body.extend(words(&[0xFF00_0000]));
        assert_eq!(
            parse(&body).unwrap().supported_hw.unwrap().len(),
            MAX_HW_IDS
        );
    }

    #[test]
    fn impossible_sector_sizes_are_none() {
        for (log2, want) in [
            (2, Some(4096)),
            (21, Some(1 << 31)),
            (22, None),
            (u32::MAX, None),
        ] {
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
