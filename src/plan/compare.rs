//! What is different and what stays.

use super::identity::fields as identity_fields;
use super::rules::rom_text;
use super::{Change, Kept};
use crate::image::{Contents, Identity, ImageOffset, PatchError};

/// Fields of an image a person cares about, in order.
fn fields(contents: &Contents) -> Vec<(&'static str, Option<String>)> {
    let image = contents.image();
    let info = image.info.as_ref();
    let mut out = vec![
        (
            "fw_version",
            info.and_then(|i| i.fw_version).map(|v| v.to_string()),
        ),
        (
            "fw_release_date",
            info.and_then(|i| i.release_date).map(|d| d.to_string()),
        ),
        ("product_version", info.and_then(|i| i.product_version.clone())),
        (
            "mic_version",
            info.and_then(|i| i.mic_version).map(|v| v.to_string()),
        ),
        ("prs_name", info.and_then(|i| i.prs_name.clone())),
        ("rom", image.rom.as_ref().map(rom_text)),
        (
            "device_id",
            info.and_then(|i| i.device_id).map(|d| d.to_string()),
        ),
        ("psid", info.and_then(|i| i.psid.clone())),
        ("image_size", Some(image.len.to_string())),
    ];
    out.extend(identity_fields(contents));
    out
}

/// Fields that differ. Settings in the ini are one field: whether it differs.
pub(super) fn changes(old: &Contents, new: &Contents) -> Vec<Change> {
    let mut out: Vec<Change> = fields(old)
        .into_iter()
        .zip(fields(new))
        .filter(|((_, from), (_, to))| from != to)
        .map(|((field, from), (_, to))| Change {
            field: field.to_owned(),
            from,
            to,
        })
        .collect();
    let ini = |c: &Contents| {
        c.image()
            .ini
            .as_ref()
            .map(|ini| format!("{} bytes", ini.bytes.len()))
    };
    if old.image().ini != new.image().ini {
        out.push(Change {
            field: "ini".into(),
            from: ini(old),
            to: ini(new),
        });
    }
    out
}

/// Fields that stay.
pub(super) fn kept(old: &Contents, new: &Contents) -> Vec<Kept> {
    fields(old)
        .into_iter()
        .zip(fields(new))
        .filter(|((_, from), (_, to))| from == to)
        .filter_map(|((field, value), _)| {
            Some(Kept {
                field: field.to_owned(),
                value: value?,
            })
        })
        .collect()
}

/// Two images with the same identity put into both, so that all else can be compared.
#[derive(Clone, Debug)]
pub struct Masked {
    /// The first, with the second's identity.
    pub first: Contents,
    /// First differing byte and the number of differing bytes; `None` = equal.
    pub difference: Option<(ImageOffset, u64)>,
}

/// Compare two images, identity (GUIDs, MACs, VSD and the CRCs over them) aside.
///
/// # Errors
/// When `identity` cannot be put into `first` (four GUID entries, no VSD tag).
pub fn masked(
    first: &Contents,
    second: &Contents,
    identity: &Identity,
) -> Result<Masked, PatchError> {
    let first = first.with_identity(identity)?;
    let (a, b) = (first.bytes(), second.bytes());
    let differing = |(_, (x, y)): &(usize, (&u8, &u8))| x != y;
    let common = a.iter().zip(b).enumerate();
    let at = common.clone().find(differing).map(|(i, _)| i);
    let beyond = a.len().abs_diff(b.len()) as u64;
    let count = common.filter(differing).count() as u64 + beyond;
    let at = at.or((beyond > 0).then_some(a.len().min(b.len())));
    Ok(Masked {
        difference: at.map(|i| (ImageOffset(u32::try_from(i).unwrap_or(u32::MAX)), count)),
        first,
    })
}
