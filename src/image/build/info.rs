//! The Image Info body from a recipe (docs/fs2.md#image-info-section), tags in the order of the real image.

use super::{BuildError, Recipe};

/// Bytes of the fixed texts: PSID and product version (docs/fs2.md#image-info-section, tags 4 and 7).
const SHORT_TEXT: usize = 16;
/// Bytes of the VSD field (tag 5).
const VSD_LEN: usize = 208;
/// Characters of a PRS name that tools show (tag 20).
const PRS_MAX: usize = 99;
/// Hardware ids beyond this number overflow an array of flint (docs/fs2.md#image-info-section).
const HW_MAX: usize = 199;

/// Tags under construction.
struct Tags(Vec<u8>);

impl Tags {
    fn words(&mut self, id: u8, words: &[u32]) {
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        self.raw(id, &data);
    }

    /// `data` must be a multiple of 4 and shorter than 16 MiB; all callers see to that.
    fn raw(&mut self, id: u8, data: &[u8]) {
        let head = u32::from(id) << 24 | (data.len() as u32 & 0xFF_FFFF);
        self.0.extend_from_slice(&head.to_be_bytes());
        self.0.extend_from_slice(data);
    }

    fn text(
        &mut self,
        id: u8,
        field: &'static str,
        text: &str,
        len: usize,
    ) -> Result<(), BuildError> {
        let mut data = text.as_bytes().to_vec();
        if data.len() > len {
            return Err(BuildError::TextTooLong { field, max: len });
        }
        data.resize(len, 0);
        self.raw(id, &data);
        Ok(())
    }
}

/// A two-digit decimal number as BCD.
pub(super) fn bcd(field: &'static str, value: u8) -> Result<u32, BuildError> {
    if value > 99 {
        return Err(BuildError::OutOfRange {
            field,
            value: value.into(),
        });
    }
    Ok(u32::from(value / 10) << 4 | u32::from(value % 10))
}

/// Build time as tag 2 has it: `00 hh mm ss`.
pub(super) fn time_word(recipe: &Recipe) -> Result<u32, BuildError> {
    let (hour, minute, second) = recipe.time;
    Ok(bcd("hour", hour)? << 16 | bcd("minute", minute)? << 8 | bcd("second", second)?)
}

/// Build date as tag 2 has it: `yyyy mm dd`.
pub(super) fn date_word(recipe: &Recipe) -> Result<u32, BuildError> {
    let (year, month, day) = recipe.date;
    if year > 9999 {
        return Err(BuildError::OutOfRange {
            field: "year",
            value: year.into(),
        });
    }
    let century = bcd("year", (year / 100) as u8)? << 24;
    let year = bcd("year", (year % 100) as u8)? << 16;
    Ok(century | year | bcd("month", month)? << 8 | bcd("day", day)?)
}

/// The whole body, end tag included.
pub(super) fn body(recipe: &Recipe) -> Result<Vec<u8>, BuildError> {
    let mut tags = Tags(Vec::new());
    let version = recipe.version;
    tags.words(0, &[1]);
    tags.words(
        1,
        &[
            u32::from(version.major) << 16,
            u32::from(version.minor) << 16 | u32::from(version.subminor),
        ],
    );
    tags.words(2, &[time_word(recipe)?, date_word(recipe)?]);
    tags.words(3, &[recipe.device_id.into()]);
    if !recipe.supported_hw.is_empty() {
        if recipe.supported_hw.len() > HW_MAX {
            return Err(BuildError::OutOfRange {
                field: "number of hardware ids",
                value: recipe.supported_hw.len() as u64,
            });
        }
        let list: Vec<u32> = recipe
            .supported_hw
            .iter()
            .map(|(id, revision)| u32::from(*revision) << 16 | u32::from(*id))
            .chain([0])
            .collect();
        tags.words(10, &list);
    }
    if let Some(id) = recipe.vsd_vendor_id {
        tags.words(8, &[id.into()]);
    }
    tags.text(4, "PSID", &recipe.psid, SHORT_TEXT)?;
    if let Some(vsd) = &recipe.vsd {
        tags.text(5, "VSD", vsd, VSD_LEN)?;
    }
    if let Some(text) = &recipe.product_version {
        tags.text(7, "product version", text, SHORT_TEXT)?;
    }
    if let Some(ga) = recipe.is_ga {
        tags.words(9, &[ga.into()]);
    }
    if let Some(mic) = recipe.mic_version {
        let low = u32::from(mic.minor) << 16 | u32::from(mic.subminor);
        tags.words(11, &[u32::from(mic.major) << 16, low]);
    }
    if let Some([a, b, c, d]) = recipe.min_fit_version {
        let pair = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
        tags.words(12, &[pair(a, b), pair(c, d)]);
    }
    if let Some(key) = recipe.hw_access_key {
        tags.words(13, &[(key >> 32) as u32, key as u32]);
    }
    if let Some((sectors, pad, sector)) = recipe.config_area {
        match sector {
            Some(log2_kib) => tags.words(19, &[sectors, pad, log2_kib]),
            None => tags.words(19, &[sectors, pad]),
        }
    }
    if let Some(name) = &recipe.prs_name {
        if name.len() > PRS_MAX {
            return Err(BuildError::TextTooLong {
                field: "PRS name",
                max: PRS_MAX,
            });
        }
        // At least one NUL behind the text, then up to a whole dword.
        tags.text(20, "PRS name", name, name.len() / 4 * 4 + 4)?;
    }
    tags.raw(0xFF, &[]);
    Ok(tags.0)
}
