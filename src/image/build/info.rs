//! The Image Info body from a recipe (docs/fs2.md#image-info-section), tags in the order of the
//! real image.

use super::{BuildError, Recipe};
use crate::image::Version;

/// Bytes of the fixed texts: PSID and product version (tags 4 and 7).
const SHORT_TEXT: usize = 16;
/// Bytes of the VSD field (tag 5).
const VSD_LEN: usize = 208;
/// Characters of a PRS name that tools show (tag 20).
const PRS_MAX: usize = 99;
/// Hardware ids beyond this number overflow an array of mstflint (docs/fs2.md#image-info-section).
const HW_MAX: usize = 199;

/// Tags under construction.
struct TagBytes(Vec<u8>);

impl TagBytes {
    /// `words` is shorter than 16 MiB.
    fn words(&mut self, id: u8, words: &[u32]) {
        let head = u32::from(id) << 24 | (words.len() as u32 * 4);
        let words = [head].into_iter().chain(words.iter().copied());
        self.0.extend(words.flat_map(u32::to_be_bytes));
    }

    /// A text in a field of `len` bytes, a multiple of 4.
    fn text(
        &mut self,
        id: u8,
        field: &'static str,
        text: &str,
        len: usize,
    ) -> Result<(), BuildError> {
        if text.len() > len {
            return Err(BuildError::TextTooLong { field, max: len });
        }
        let mut data = text.as_bytes().to_vec();
        data.resize(len, 0);
        let words: Vec<u32> = crate::image::be32s(&data).collect();
        self.words(id, &words);
        Ok(())
    }
}

fn pair(high: u16, low: u16) -> u32 {
    u32::from(high) << 16 | u32::from(low)
}

fn version_words(version: Version) -> [u32; 2] {
    [pair(version.major, 0), pair(version.minor, version.subminor)]
}

/// A two-digit decimal number as BCD.
fn bcd(field: &'static str, value: u8) -> Result<u32, BuildError> {
    if value > 99 {
        return Err(BuildError::out_of_range(field, value));
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
        return Err(BuildError::out_of_range("year", year));
    }
    let century = bcd("year", (year / 100) as u8)? << 24;
    let year = bcd("year", (year % 100) as u8)? << 16;
    Ok(century | year | bcd("month", month)? << 8 | bcd("day", day)?)
}

/// The complete body, end tag included.
pub(super) fn body(recipe: &Recipe) -> Result<Vec<u8>, BuildError> {
    let mut tags = TagBytes(Vec::new());
    tags.words(0, &[1]);
    tags.words(1, &version_words(recipe.version));
    tags.words(2, &[time_word(recipe)?, date_word(recipe)?]);
    tags.words(3, &[recipe.device_id.into()]);
    let hw = &recipe.supported_hw;
    if hw.len() > HW_MAX {
        let field = "number of hardware ids";
        return Err(BuildError::out_of_range(field, hw.len() as u64));
    }
    if !hw.is_empty() {
        let words = hw.iter().map(|(id, revision)| pair((*revision).into(), *id));
        tags.words(10, &words.chain([0]).collect::<Vec<_>>());
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
        tags.words(11, &version_words(mic));
    }
    if let Some([a, b, c, d]) = recipe.min_fit_version {
        tags.words(12, &[pair(a, b), pair(c, d)]);
    }
    if let Some(key) = recipe.hw_access_key {
        tags.words(13, &[(key >> 32) as u32, key as u32]);
    }
    match recipe.config_area {
        Some((sectors, pad, Some(log2_kib))) => tags.words(19, &[sectors, pad, log2_kib]),
        Some((sectors, pad, None)) => tags.words(19, &[sectors, pad]),
        None => {}
    }
    if let Some(name) = &recipe.prs_name {
        let (field, max) = ("PRS name", PRS_MAX);
        if name.len() > max {
            return Err(BuildError::TextTooLong { field, max });
        }
        // At least one NUL behind the text, then up to a full dword.
        tags.text(20, field, name, name.len() / 4 * 4 + 4)?;
    }
    tags.words(0xFF, &[]);
    Ok(tags.0)
}
