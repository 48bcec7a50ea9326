//! What is different and what stays.

use super::identity::fields as identity_fields;
use super::rules::rom_text;
use super::{Change, Kept};
use crate::escape::ForeignText;
use crate::image::{Contents, ImageOffset, Version};

/// Fields of an image a person cares about, in order.
fn fields(contents: &Contents) -> Vec<(&'static str, Option<String>)> {
    let image = contents.image();
    let info = image.info.as_ref();
    let mut out = vec![
        ("fw_version", info.and_then(|i| i.fw_version).map(|v| v.to_string())),
        ("fw_release_date", info.and_then(|i| i.release_date).map(|d| d.to_string())),
        ("product_version", text(info.and_then(|i| i.product_version.as_ref()))),
        ("mic_version", info.and_then(|i| i.mic_version).map(Version::unpadded)),
        ("prs_name", text(info.and_then(|i| i.prs_name.as_ref()))),
        ("rom", image.rom.as_ref().map(rom_text)),
        ("device_id", info.and_then(|i| i.device_id).map(|d| d.to_string())),
        ("psid", text(info.and_then(|i| i.psid.as_ref()))),
        ("image_size", Some(image.len.to_string())),
    ];
    out.extend(identity_fields(contents));
    out
}

fn text(text: Option<&ForeignText>) -> Option<String> {
    text.cloned().map(String::from)
}

/// Fields that differ. Settings in the ini are one field: whether it differs.
pub(super) fn changes(old: &Contents, new: &Contents) -> Vec<Change> {
    let mut out: Vec<Change> = fields(old)
        .into_iter()
        .zip(fields(new))
        .filter(|((_, from), (_, to))| from != to)
        .map(|((field, from), (_, to))| Change { field: field.to_owned(), from, to })
        .collect();
    let ini = |c: &Contents| c.image().ini.as_ref().map(|ini| format!("{} bytes", ini.bytes.len()));
    if old.image().ini != new.image().ini {
        out.push(Change { field: "ini".into(), from: ini(old), to: ini(new) });
    }
    out
}

/// Fields that stay.
pub(super) fn kept(old: &Contents, new: &Contents) -> Vec<Kept> {
    fields(old)
        .into_iter()
        .zip(fields(new))
        .filter(|((_, from), (_, to))| from == to)
        .filter_map(|((field, value), _)| Some(Kept { field: field.to_owned(), value: value? }))
        .collect()
}

/// First differing byte of two images and the number of differing bytes (bytes that only one of
/// them has count too). `None` = equal.
pub fn difference(first: &Contents, second: &Contents) -> Option<(ImageOffset, u64)> {
    let (a, b) = (first.bytes(), second.bytes());
    let differs = |(_, (x, y)): &(usize, (&u8, &u8))| x != y;
    let common = || a.iter().zip(b).enumerate();
    let beyond = a.len().abs_diff(b.len()) as u64;
    let at =
        common().find(differs).map(|(at, _)| at).or((beyond > 0).then_some(a.len().min(b.len())))?;
    let count = common().filter(differs).count() as u64 + beyond;
    Some((ImageOffset(u32::try_from(at).unwrap_or(u32::MAX)), count))
}
