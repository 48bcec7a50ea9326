//! `KEY=VALUE` of `config set`.

use crate::card::nv::Parameter;

/// Names shown for one that does not exist.
const NEAR: usize = 3;
/// Letters by which a near name may differ.
const FAR: usize = 6;

/// One `KEY=VALUE`.
///
/// # Errors
/// One line that says what is wrong and what may be typed.
pub(super) fn setting(text: &str) -> Result<(Parameter, u32), String> {
    let Some((key, value)) = text.split_once('=') else {
        return Err("it must be KEY=VALUE, like SRIOV_EN=1".into());
    };
    let Some(parameter) = Parameter::named(key) else {
        return Err(match near(key).as_slice() {
            [] => "no setting has this name".into(),
            names => format!("no setting has this name; near it: {}", names.join(", ")),
        });
    };
    let value = parameter
        .parse(value)
        .ok_or_else(|| format!("{} takes {}", parameter.name(), parameter.range()))?;
    Ok((parameter, value))
}

/// The names closest to `typed`, the closest first.
fn near(typed: &str) -> Vec<String> {
    let typed = typed.to_ascii_uppercase();
    let mut names: Vec<(usize, String)> = Parameter::all()
        .map(|p| p.name())
        .map(|name| {
            // LINK_TYPE means LINK_TYPE_P1.
            let start = !typed.is_empty() && name.starts_with(&typed);
            (if start { 0 } else { distance(&typed, &name) }, name)
        })
        .filter(|(far, name)| *far <= FAR && *far < name.len().min(typed.len()))
        .collect();
    names.sort();
    names.into_iter().take(NEAR).map(|(_, name)| name).collect()
}

/// Letters to add, drop or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((y, up), diagonal) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or(0);
            let change = diagonal + usize::from(x != *y);
            next.push(change.min(up + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, near, setting};

    #[test]
    fn a_misspelt_name_is_not_left_without_a_near_one() {
        assert_eq!(near("NUM_OF_VF"), ["NUM_OF_VFS"]);
        assert_eq!(near("link_type"), ["LINK_TYPE_P1", "LINK_TYPE_P2"]);
        assert_eq!(near("SRIOVEN")[0], "SRIOV_EN");
        assert!(near("").is_empty());
        assert!(near("XYZZY").is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_value_out_of_range_does_not_pass() {
        let (parameter, value) = setting("boot_vlan_p1=0x11").unwrap();
        assert_eq!((parameter.name().as_str(), value), ("BOOT_VLAN_P1", 17));
        for bad in ["BOOT_VLAN_P1=4096", "BOOT_VLAN_P1=", "BOOT_VLAN_P1=x"] {
            assert_eq!(
                setting(bad).unwrap_err(),
                "BOOT_VLAN_P1 takes 0..4095",
                "{bad}"
            );
        }
        for bad in ["", "SRIOV_EN", "=1"] {
            assert!(setting(bad).is_err(), "{bad:?}");
        }
    }
}
