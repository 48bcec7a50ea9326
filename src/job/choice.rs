//! The choice of an image from a store, as results and errors have it.

use crate::escape::{self, ForeignText};
use crate::image::Version;
use crate::plan::LeftOutReason;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

/// PSIDs and files that a message names.
const NAMED: usize = 16;

/// A file or directory that may hold images and was not read.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct UnreadFile {
    #[serde(serialize_with = "crate::escape::serialize_path")]
    #[schemars(with = "String")]
    pub file: PathBuf,
    pub problem: String,
}

/// The image that was chosen from a store.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct StoreChoice {
    #[serde(serialize_with = "crate::escape::serialize_path")]
    #[schemars(with = "String")]
    pub file: PathBuf,
    /// SHA-256 of its bytes, lower-case hex.
    pub sha256: String,
    pub psid: String,
    pub fw_version: Option<Version>,
    /// The other images, those nearest to a fit first.
    pub left_out: Vec<LeftOutImage>,
    /// What may hold images and was not read.
    pub unread: Vec<UnreadFile>,
}

/// An image of a store that was not chosen.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct LeftOutImage {
    #[serde(serialize_with = "crate::escape::serialize_path")]
    #[schemars(with = "String")]
    pub file: PathBuf,
    pub psid: Option<ForeignText>,
    pub fw_version: Option<Version>,
    pub reason: LeftOutReason,
    /// What is wrong with a damaged one, or what it is for.
    pub detail: Option<String>,
}

/// Why no image was chosen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotChosen {
    #[error("the PSID of the card is unknown, because it holds no image that can be read")]
    NoPsid,
    #[error("no valid image for {psid} on a {chip} is there: {}", there(.left_out, *.unread))]
    NoneFits {
        psid: ForeignText,
        chip: String,
        left_out: Vec<LeftOutImage>,
        /// Number of files that may hold images and were not read.
        unread: usize,
    },
    #[error(
        "{} different images of {} fit: {}",
        .files.len(),
        .version.map_or_else(|| "the same version".to_owned(), |version| version.to_string()),
        named(.files.iter().map(escape::path).collect())
    )]
    Several { version: Option<Version>, files: Vec<PathBuf> },
}

/// The images that are there instead.
fn there(left_out: &[LeftOutImage], unread: usize) -> String {
    let mut parts = Vec::new();
    let near = left_out.iter().filter(|image| image.reason < LeftOutReason::OtherPsid);
    let near: Vec<String> = near.map(ToString::to_string).collect();
    if !near.is_empty() {
        parts.push(named(near));
    }
    let psids: BTreeSet<&str> = left_out
        .iter()
        .filter(|image| image.reason == LeftOutReason::OtherPsid)
        .map(|image| image.psid.as_ref().map_or("no PSID", ForeignText::as_str))
        .collect();
    if !psids.is_empty() {
        let psids = psids.into_iter().map(str::to_owned).collect();
        parts.push(format!("images for {}", named(psids)));
    }
    if parts.is_empty() {
        parts.push("no image".to_owned());
    }
    if unread > 0 {
        parts.push(format!("{unread} not read"));
    }
    parts.join("; ")
}

fn named(mut list: Vec<String>) -> String {
    let more = list.len().saturating_sub(NAMED);
    list.truncate(NAMED);
    if more > 0 {
        list.push(format!("and {more} more"));
    }
    list.join(", ")
}

impl fmt::Display for LeftOutImage {
    /// A line about it: its file, and why it was not chosen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.fw_version.map_or_else(|| "no version".into(), |v| v.to_string());
        let psid = self.psid.as_ref().map_or("no PSID", ForeignText::as_str);
        let detail = self.detail.as_deref().unwrap_or_default();
        write!(f, "{} (", escape::path(&self.file))?;
        match self.reason {
            LeftOutReason::Older => write!(f, "older: {version}"),
            LeftOutReason::Same => write!(f, "the same bytes"),
            LeftOutReason::Damaged => write!(f, "damaged: {detail}"),
            LeftOutReason::OtherSilicon => write!(f, "for {detail}"),
            LeftOutReason::NoVersion => write!(f, "it states no version"),
            LeftOutReason::OtherPsid => write!(f, "for {psid}, {version}"),
            LeftOutReason::OtherFamily => write!(f, "{detail}"),
        }?;
        f.write_str(")")
    }
}
