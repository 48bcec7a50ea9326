//! Options that several commands share, and the parsers of values.

use crate::card::BarAccess;
use crate::card::nv::Parameter;
use crate::host::UseId;
use crate::image::{Guid, Mac};
use crate::plan::StartRequest;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Names shown for a setting that does not exist.
const SUGGESTIONS: usize = 3;
/// Letters by which a suggested name may differ.
const MAX_DISTANCE: usize = 6;

/// Where the image of a burn comes from: exactly one of both.
#[derive(Args, Debug, Clone)]
#[group(required = true, multiple = false)]
pub struct ImageSourceArgs {
    /// Image file, or an archive with one image
    pub image: Option<PathBuf>,
    /// Choose the image from this directory, file or archive: the newest valid one with the card's PSID, for its
    /// silicon; can be repeated
    #[arg(long, value_name = "DIR", conflicts_with = "change_psid")]
    pub from: Vec<PathBuf>,
}

/// For one card or for all.
#[derive(Args, Debug, Clone, Copy)]
pub struct CardsArgs {
    /// Every card of the host and every card file (*.cx3) here, one after the other, each with a question of its
    /// own; ends at the first card that does not come back as it was
    #[arg(long)]
    pub all: bool,
}

#[derive(Args, Debug, Clone)]
pub struct BurnOptionArgs {
    /// Write an image of another PSID; name both PSIDs
    #[arg(long, value_name = "FROM:TO", value_parser = psid_change)]
    pub change_psid: Option<(String, String)>,
    /// Expansion ROM on the card afterwards [default: the image's, or the card's if the image has none]
    #[arg(long, value_name = "SOURCE")]
    pub rom: Option<RomArg>,
    /// Write an image older than the one on the card
    #[arg(long)]
    pub allow_older: bool,
    /// Refuse every file but the one with this SHA-256, which `plan` shows
    #[arg(long, value_name = "SHA256", value_parser = sha256)]
    pub expect: Option<String>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RomArg {
    /// The image's
    Image,
    /// The card's
    Device,
    /// None
    None,
}

#[derive(Args, Debug, Clone)]
pub struct ConfirmArgs {
    /// Do not ask
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// Options of every command that writes to the card.
#[derive(Args, Debug, Clone)]
pub struct WriteArgs {
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// Directory in which the backup's own directory is created [default: the state directory]
    #[arg(long, value_name = "DIR")]
    pub backup_dir: Option<PathBuf>,
}

#[derive(Args, Debug, Clone)]
pub struct ActivateArgs {
    /// Leave the old firmware running; the new one starts at the next power-on
    #[arg(long)]
    pub no_activate: bool,
    /// Invalidate the old image before the new firmware was seen running, and leave its first start to the
    /// driver
    #[arg(long)]
    pub no_trial: bool,
}

impl ActivateArgs {
    pub fn request(&self) -> StartRequest {
        match (self.no_activate, self.no_trial) {
            (true, _) => StartRequest::Later,
            (false, true) => StartRequest::Untried,
            (false, false) => StartRequest::Trial,
        }
    }
}

#[derive(Args, Debug, Clone, Default)]
pub struct IdentityArgs {
    /// identity.json of a backup
    #[arg(long, value_name = "FILE", conflicts_with_all = ["guid", "guids", "mac", "macs", "blank_guids", "vsd"])]
    pub identity: Option<PathBuf>,
    /// Node GUID; ports 1 and 2 get +1 and +2, the system image +3 (as in flint). MACs do not change
    #[arg(long, value_name = "GUID", conflicts_with_all = ["guids", "blank_guids"])]
    pub guid: Option<Guid>,
    /// Node, port 1, port 2, system image GUID
    #[arg(
        long,
        value_name = "G,G,G,G",
        value_parser = list::<Guid, 4>,
        conflicts_with = "blank_guids"
    )]
    pub guids: Option<[Guid; 4]>,
    /// All four GUIDs blank, as on many Ethernet cards
    #[arg(long)]
    pub blank_guids: bool,
    /// Port 1 MAC; port 2 gets +1. GUIDs do not change; bit 40 (multicast) must be clear, 0 is refused
    #[arg(long, value_name = "MAC", conflicts_with = "macs")]
    pub mac: Option<Mac>,
    /// Port 1 and port 2 MAC
    #[arg(long, value_name = "M,M", value_parser = list::<Mac, 2>)]
    pub macs: Option<[Mac; 2]>,
    /// Vendor specific data, at most 208 bytes
    #[arg(long, value_name = "TEXT")]
    pub vsd: Option<String>,
}

/// The uses of a card by their ids; those that cannot be waived are not offered.
pub(super) fn use_ids() -> impl TypedValueParser<Value = UseId> {
    let ids = UseId::all()
        .map(|id| PossibleValue::new(id.name()).help(id.meaning()).hide(!id.waivable()));
    PossibleValuesParser::new(ids).try_map(|name| name.parse::<UseId>())
}

/// Ways to the registers.
pub(super) fn accesses() -> impl TypedValueParser<Value = BarAccess> {
    let values = BarAccess::ALL.map(|access| PossibleValue::new(access.name()));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<BarAccess>())
}

/// Letters behind a number of bytes, and the power of two that each stands for.
const UNITS: [(&str, u32); 4] = [("k", 10), ("kib", 10), ("m", 20), ("mib", 20)];

/// A length or an address: decimal, hexadecimal after `0x`, or decimal with one of [`UNITS`].
pub(super) fn bytes(text: &str) -> Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    let number = match lower.strip_prefix("0x").filter(|hex| !hex.starts_with('+')) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => {
            let at = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
            let (digits, unit) = lower.split_at(at);
            let named = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, shift)| *shift);
            let shift = if unit.is_empty() { Some(0) } else { named };
            shift.and_then(|shift| digits.parse::<u32>().ok()?.checked_mul(1 << shift))
        }
    };
    number.ok_or_else(|| {
        format!("{text:?} is no number of bytes below 4 GiB: 4096, 0x1000, 4k, 4KiB or 2M expected")
    })
}

/// Exactly `N` values with commas between them.
fn list<T: std::str::FromStr<Err = String>, const N: usize>(text: &str) -> Result<[T; N], String> {
    let parsed: Result<Vec<T>, String> = text.split(',').map(str::parse).collect();
    parsed?.try_into().map_err(|values: Vec<T>| {
        format!("{N} values with commas between them expected, not {}", values.len())
    })
}

/// A digest in lower case, as it is compared.
fn sha256(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("a SHA-256 has 64 hexadecimal digits".into())
    }
}

fn psid_change(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() && !to.contains(':') => {
            Ok((from.to_owned(), to.to_owned()))
        }
        _ => Err("name both PSIDs as FROM:TO".into()),
    }
}

/// Two MACs without colons, so that the one colon separates them.
pub(super) fn mac_change(text: &str) -> Result<(Mac, Mac), String> {
    let mac = |text: &str| {
        text.parse::<Mac>()
            .ok()
            .filter(|mac| mac.is_valid())
            .ok_or_else(|| format!("{text:?} is not a MAC of 12 hexadecimal digits"))
    };
    match text.split_once(':') {
        Some((from, to)) if !to.contains(':') => Ok((mac(from)?, mac(to)?)),
        _ => Err("name both MACs as FROM:TO, without colons inside a MAC".into()),
    }
}

/// `KEY=VALUE` of `config set`.
pub(super) fn setting(text: &str) -> Result<(Parameter, u32), String> {
    let Some((key, value)) = text.split_once('=') else {
        return Err("KEY=VALUE expected, for example SRIOV_EN=1".into());
    };
    let Some(parameter) = Parameter::named(key) else {
        return Err(match suggestions(key).as_slice() {
            [] => "no setting has this name".into(),
            names => format!("no setting has this name; similar names: {}", names.join(", ")),
        });
    };
    let value = parameter
        .parse(value)
        .ok_or_else(|| format!("{} takes {}", parameter.name(), parameter.range()))?;
    Ok((parameter, value))
}

/// The names closest to `typed`, the closest first.
fn suggestions(typed: &str) -> Vec<String> {
    let typed = typed.to_ascii_uppercase();
    let mut names: Vec<(usize, String)> = Parameter::all()
        .map(|p| p.name())
        .map(|name| {
            // LINK_TYPE means LINK_TYPE_P1.
            let start = !typed.is_empty() && name.starts_with(&typed);
            let distance = if start { 0 } else { strsim::levenshtein(&typed, &name) };
            (distance, name)
        })
        .filter(|(distance, name)| {
            *distance <= MAX_DISTANCE && *distance < name.len().min(typed.len())
        })
        .collect();
    names.sort();
    names.into_iter().take(SUGGESTIONS).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::{bytes, mac_change, psid_change, setting, sha256, suggestions};

    #[test]
    fn a_mac_change_needs_two_macs() {
        for text in
            ["", ":", "e41d2ddd7850", "e41d2ddd7850:", "e4:1d:2d:dd:78:50", "ffffffffffff:1"]
        {
            assert!(mac_change(text).is_err(), "{text:?}");
        }
        let (from, to) = mac_change("e41d2ddd7850:e41d2ddd7852").unwrap();
        assert_eq!((from.0, to.0), (0xE41D_2DDD_7850, 0xE41D_2DDD_7852));
    }

    #[test]
    fn a_digest_has_64_digits_in_any_case() {
        let digits = "0123456789abcdefABCDEF0123456789".repeat(2);
        assert_eq!(sha256(&digits), Ok(digits.to_ascii_lowercase()));
        for text in ["", &digits[1..], &format!("0{digits}"), &format!("{}g", &digits[1..])] {
            assert!(sha256(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_psid_change_needs_two_psids() {
        for text in ["", ":", "A:", ":B", "A", "A:B:C"] {
            assert!(psid_change(text).is_err(), "{text:?}");
        }
        assert_eq!(psid_change("A:B"), Ok(("A".into(), "B".into())));
    }

    #[test]
    fn bytes_are_decimal_or_hexadecimal_or_have_a_unit() {
        for (text, number) in [
            ("0x10", 16),
            ("0X1f", 31),
            ("10", 10),
            ("4k", 4096),
            ("4K", 4096),
            ("64KiB", 0x1_0000),
            ("2M", 0x20_0000),
            ("2mib", 0x20_0000),
        ] {
            assert_eq!(bytes(text), Ok(number), "{text}");
        }
        for text in
            ["", "0x", "10h", "-1", "+1", "0x+1", "0x100000000", "k", "4kB", "4 k", "4096M", "0x4k"]
        {
            assert!(bytes(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_misspelt_setting_gets_similar_names() {
        assert_eq!(suggestions("NUM_OF_VF"), ["NUM_OF_VFS"]);
        assert_eq!(suggestions("link_type"), ["LINK_TYPE_P1", "LINK_TYPE_P2"]);
        assert_eq!(suggestions("SRIOVEN")[0], "SRIOV_EN");
        assert!(suggestions("").is_empty());
        assert!(suggestions("XYZZY").is_empty());
    }

    #[test]
    fn a_setting_out_of_range_is_refused() {
        let (parameter, value) = setting("boot_vlan_p1=0x11").unwrap();
        assert_eq!((parameter.name().as_str(), value), ("BOOT_VLAN_P1", 17));
        for bad in ["BOOT_VLAN_P1=4096", "BOOT_VLAN_P1=", "BOOT_VLAN_P1=x"] {
            assert_eq!(setting(bad).unwrap_err(), "BOOT_VLAN_P1 takes 0..4095", "{bad}");
        }
        for bad in ["", "SRIOV_EN", "=1"] {
            assert!(setting(bad).is_err(), "{bad:?}");
        }
    }
}
