//! The Image Info section (docs/fs2.md#image-info-section).

use crate::escape::{ForeignText, string_schema};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A firmware or MIC version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
    pub subminor: u16,
}

impl Version {
    /// Without padding, for the MIC version: `2.0.0`.
    pub fn unpadded(self) -> String {
        format!("{}.{}.{}", self.major, self.minor, self.subminor)
    }
}

impl fmt::Display for Version {
    /// `2.42.5000`: subminor padded to four digits, minor too when ≥ 100
    /// (docs/flint.md#query-lines).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, subminor } = self;
        if *minor >= 100 {
            write!(f, "{major}.{minor:04}.{subminor:04}")
        } else {
            write!(f, "{major}.{minor}.{subminor:04}")
        }
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

string_schema!(
    Version,
    "description": "A firmware version as mstflint prints it, such as 2.42.5000.",
    "pattern": r"^[0-9]+\.[0-9]+\.[0-9]{4,}$"
);

impl std::str::FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a version like 2.42.5000");
        let parts: Result<Vec<u16>, _> = text.split('.').map(str::parse).collect();
        match parts.map_err(|_| bad())?[..] {
            [major, minor, subminor] => Ok(Self { major, minor, subminor }),
            _ => Err(bad()),
        }
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Release date, digits as stored (BCD read as hex digits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildDate {
    /// Year, e.g. 0x2017.
    pub year_bcd: u16,
    /// Month, BCD.
    pub month_bcd: u8,
    /// Day, BCD.
    pub day_bcd: u8,
}

impl fmt::Display for BuildDate {
    /// `2017-09-05`, for people and in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}-{:02x}-{:02x}", self.year_bcd, self.month_bcd, self.day_bcd)
    }
}

/// The tags of the Image Info section. `None` = tag absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Info {
    /// Tag 1.
    pub fw_version: Option<Version>,
    /// Tag 2, date part.
    pub release_date: Option<BuildDate>,
    /// Tag 3, PCI device id the firmware presents.
    pub device_id: Option<u16>,
    /// Tag 4.
    pub psid: Option<ForeignText>,
    /// Tag 5, text up to the first NUL (lossy); the raw 208 bytes are in [`Info::vsd_raw`].
    pub vsd: Option<ForeignText>,
    /// Tag 5 as stored, byte for byte (P4).
    #[serde(skip)]
    pub vsd_raw: Option<Vec<u8>>,
    /// Tag 7.
    pub product_version: Option<ForeignText>,
    /// Tag 8.
    pub vsd_vendor_id: Option<u16>,
    /// Tag 9.
    pub is_ga: Option<bool>,
    /// Tag 10: (HW device id, revision) pairs the image may run on.
    pub supported_hw: Option<Vec<(u16, u8)>>,
    /// Tag 11.
    pub mic_version: Option<Version>,
    /// Tag 12.
    pub min_fit_version: Option<[u16; 4]>,
    /// Tag 13: present, and whether the key is non-zero. The key itself is a secret.
    pub hw_access_key: Option<bool>,
    /// Tag 19 first word.
    pub config_sectors: Option<u32>,
    /// Tag 19 second word.
    pub config_pad: Option<u32>,
    /// Tag 19 third word, in bytes (1024 << v).
    pub sector_size: Option<u32>,
    /// Tag 20.
    pub prs_name: Option<ForeignText>,
    /// Every tag in order as (id, offset of its data inside the body, data size), all in bytes.
    #[serde(skip)]
    pub tags: Vec<(u8, u32, u32)>,
}

impl Info {
    /// Place of the last tag with this id: (offset of its data inside the body, data size), in
    /// bytes.
    pub fn tag(&self, id: u8) -> Option<(u32, u32)> {
        let found = self.tags.iter().rev().find(|(tag, ..)| *tag == id);
        found.map(|&(_, at, size)| (at, size))
    }
}
