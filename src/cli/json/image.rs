//! An image in a result.

use crate::escape::ForeignText;
use crate::flint::verdict::{self, FlintVerdict};
use crate::image::{
    AddressMap, CrcVerdict, FindingId, FlashAddr, Guid, Half, Image, ImageOffset, Info, Layout,
    Mac, Rom, Section, Severity, Version,
};
use schemars::JsonSchema;
use serde::Serialize;

/// A firmware image. A field of its Image Info is null when the tag is absent.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Image")]
pub struct ImageDocument {
    pub format: ImageFormat,
    /// False: one image from address 0.
    pub failsafe: bool,
    /// Bytes; null when not failsafe.
    pub chunk_size: Option<u64>,
    /// Flash address of its signature; 0 in a file.
    pub start: FlashAddr,
    /// Null for files and non-failsafe cards.
    pub half: Option<Half>,
    /// Bytes from the header to the end of the last section.
    pub len: u32,
    pub fw_version: Option<Version>,
    /// `2017-09-05`.
    pub release_date: Option<String>,
    /// Such as `2.0.0`.
    pub mic_version: Option<String>,
    pub min_fit_version: Option<[u16; 4]>,
    pub product_version: Option<ForeignText>,
    pub prs_name: Option<ForeignText>,
    /// `[PS_INFO]` of the ini; null when it has none.
    pub part_number: Option<ForeignText>,
    /// As `part_number`.
    pub description: Option<ForeignText>,
    /// PCI device id that the firmware presents.
    pub device_id: Option<u16>,
    pub psid: Option<ForeignText>,
    pub vsd: Option<ForeignText>,
    pub vsd_vendor_id: Option<u16>,
    pub is_ga: Option<bool>,
    /// Whether the key is not zero.
    pub hw_access_key: Option<bool>,
    pub config_sectors: Option<u32>,
    pub config_pad: Option<u32>,
    /// Bytes.
    pub sector_size: Option<u32>,
    pub supported_hw: Option<Vec<SupportedHw>>,
    /// Node, port 1, port 2, system image; null when the section cannot be read.
    pub guids: Option<Vec<Guid>>,
    /// Port 1, port 2; empty in old sections of 4 entries.
    pub macs: Option<Vec<Mac>>,
    /// Every GUID is all ones.
    pub guids_blank: Option<bool>,
    /// The CRC of the GUID section holds.
    pub guids_crc_ok: Option<bool>,
    pub rom: Option<Rom>,
    pub findings: Vec<FindingDocument>,
    /// No finding is an error: the image may be burned.
    pub valid: bool,
    /// Null in `query`.
    pub sections: Option<Vec<SectionDocument>>,
    /// The CRC over the whole image; null in `query`, and when there is none.
    pub full_crc: Option<CrcVerdict>,
    /// The result of flint's `verify` for the same bytes; null in `query`.
    pub flint: Option<FlintVerdict>,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub enum ImageFormat {
    #[serde(rename = "FS2")]
    Fs2,
}

/// A chip that an image may run on.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct SupportedHw {
    pub hw_id: u16,
    pub revision: u8,
}

/// What is wrong with an image.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Finding")]
pub struct FindingDocument {
    pub id: FindingId,
    pub severity: Severity,
    /// Where, if it has a place.
    pub at: Option<ImageOffset>,
    /// One sentence with the values.
    pub detail: String,
    /// flint's `verify` or `query` of the image fails because of it too.
    pub flint_fails: bool,
}

/// A block of an image.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Section")]
pub struct SectionDocument {
    /// The name that mstflint prints.
    pub name: String,
    pub at: ImageOffset,
    /// Bytes, with header and CRC.
    pub len: u32,
    pub crc: CrcVerdict,
}

impl ImageDocument {
    /// Of an image of `query`.
    pub fn quick(image: &Image) -> Self {
        let none = Info::default();
        let info = image.info.as_ref().unwrap_or(&none);
        let guids = image.guids.as_ref();
        let (failsafe, chunk_size) = match image.layout {
            Layout::NonFailsafe => (false, None),
            Layout::Failsafe { chunk_log2 } => (true, 1_u64.checked_shl(chunk_log2.into())),
        };
        let supported = |list: &Vec<(u16, u8)>| {
            list.iter().map(|&(hw_id, revision)| SupportedHw { hw_id, revision }).collect()
        };
        Self {
            format: ImageFormat::Fs2,
            failsafe,
            chunk_size,
            start: image.start,
            half: match image.map {
                AddressMap::Contiguous => None,
                AddressMap::Striped { half, .. } => Some(half),
            },
            len: image.len,
            fw_version: info.fw_version,
            release_date: info.release_date.map(|date| date.to_string()),
            mic_version: info.mic_version.map(Version::unpadded),
            min_fit_version: info.min_fit_version,
            product_version: info.product_version.clone(),
            prs_name: info.prs_name.clone(),
            part_number: image.part_number.clone(),
            description: image.description.clone(),
            device_id: info.device_id,
            psid: info.psid.clone(),
            vsd: info.vsd.clone(),
            vsd_vendor_id: info.vsd_vendor_id,
            is_ga: info.is_ga,
            hw_access_key: info.hw_access_key,
            config_sectors: info.config_sectors,
            config_pad: info.config_pad,
            sector_size: info.sector_size,
            supported_hw: info.supported_hw.as_ref().map(supported),
            guids: guids.map(|g| g.guids.clone()),
            macs: guids.map(|g| g.macs.clone()),
            guids_blank: guids
                .map(|g| !g.guids.is_empty() && g.guids.iter().all(|guid| guid.is_blank())),
            guids_crc_ok: guids.map(|g| g.crc_ok),
            rom: image.rom.clone(),
            findings: image
                .findings
                .iter()
                .map(|finding| FindingDocument {
                    id: finding.id,
                    severity: finding.severity,
                    at: finding.at,
                    detail: finding.detail.clone(),
                    flint_fails: verdict::fails_for(image, finding),
                })
                .collect(),
            valid: image.is_valid(),
            sections: None,
            full_crc: None,
            flint: None,
        }
    }

    /// Of an image of `verify`, which was read in full.
    pub fn full(image: &Image) -> Self {
        let section = |section: &Section| SectionDocument {
            name: section.kind.name(),
            at: section.at,
            len: section.len,
            crc: section.crc,
        };
        Self {
            sections: Some(image.sections.iter().map(section).collect()),
            full_crc: verdict::full_crc(image),
            flint: Some(FlintVerdict::of(image)),
            ..Self::quick(image)
        }
    }
}
